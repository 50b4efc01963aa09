package subscribers

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

const mysqlForm = "subscribers.sql.dsn_file must hold a DSN like user:password@tcp(host:3306)/database?tls=true"

func openMySQL(dsn string, timeout time.Duration) (database, error) {
	if scheme, _, is := strings.Cut(dsn, "://"); is && (scheme == "mysql" || scheme == "mariadb") {
		return database{}, fmt.Errorf("%s, not a %s:// URL", mysqlForm, scheme)
	}
	cfg, err := mysql.ParseDSN(dsn)
	if err != nil && strings.HasPrefix(err.Error(), "invalid DSN:") {
		return database{}, fmt.Errorf("%s: %w", mysqlForm, err)
	}
	// The driver's other messages quote the DSN. A password in a DSN without a database can be taken for
	// the network, of which the driver would complain later.
	if err != nil || !slices.Contains([]string{"tcp", "tcp4", "tcp6", "unix"}, cfg.Net) {
		return database{}, errors.New(mysqlForm + "; this one cannot be parsed: is the slash before the database there, and is each parameter right?")
	}
	cfg.Timeout = cmp.Or(cfg.Timeout, connectTimeout)
	// The context bounds all but the end of the transaction, and has the first say.
	cfg.ReadTimeout = cmp.Or(cfg.ReadTimeout, timeout+connectTimeout)
	cfg.WriteTimeout = cmp.Or(cfg.WriteTimeout, timeout+connectTimeout)
	cfg.Logger = &mysql.NopLogger{} // else it writes to the standard error on its own
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return database{}, hide(fmt.Errorf("%s: %w", mysqlForm, err), dsn, cfg.Passwd)
	}
	return database{
		connector: connector,
		place:     "MySQL at " + cfg.Addr,
		explain:   explainMySQL,
		secrets:   []string{cfg.Passwd},
	}, nil
}

// Errors of the server, as in its error reference.
const (
	erDBAccessDenied = 1044
	erAccessDenied   = 1045
)

func explainMySQL(at step, err error) error {
	said, is := errors.AsType[*mysql.MySQLError](err)
	switch {
	case is && at == stepConnect && (said.Number == erAccessDenied || said.Number == erDBAccessDenied):
		return fmt.Errorf("authentication failed: %s; check user, password and database in subscribers.sql.dsn_file", said.Message)
	case is && at == stepConnect:
		return fmt.Errorf("the server refused: %s (error %d); check subscribers.sql.dsn_file", said.Message, said.Number)
	case is:
		return fmt.Errorf("the server answered: %s (error %d); check subscribers.sql.query", said.Message, said.Number)
	case at == stepConnect:
		return fmt.Errorf("%w; check host and port in subscribers.sql.dsn_file", err)
	}
	return lost(err)
}
