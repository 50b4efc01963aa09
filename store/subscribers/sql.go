package subscribers

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

// Driver is a kind of database.
type Driver string

// The drivers.
const (
	Postgres Driver = "postgres"
	// MySQL is for MariaDB, too.
	MySQL Driver = "mysql"
)

// SQLConfig says which database to ask, and what.
type SQLConfig struct {
	Driver Driver
	// DSN is postgres://user:password@host:5432/database?sslmode=verify-full (or the
	// same as "host=... user=...") for Postgres and
	// user:password@tcp(host:3306)/database?tls=true for MySQL.
	DSN broker.Secret
	// Query yields three columns: server, user and subscriber, in this order. Their
	// types do not matter. MySQL's driver loses the leading zeros of ZEROFILL
	// columns: cast those to char.
	Query string
	// Timeout bounds a whole reading; 0 means DefaultTimeout.
	Timeout time.Duration
}

// SQL is a source of subscribers: a query.
type SQL struct {
	cfg SQLConfig
	db  database
}

// database is what the driver made of the DSN.
type database struct {
	connector driver.Connector
	// place is for people: "PostgreSQL at db.example.com:5432".
	place string
	// explain makes the driver's error a sentence with what to do.
	explain func(step, error) error
	secrets []string
}

// step is what was attempted.
type step uint8

const (
	stepConnect step = iota + 1
	stepQuery
	stepRows
)

var _ reconcile.Subscriptions = (*SQL)(nil)

// NewSQL returns the source, or an error that says what is wrong with its
// configuration. It does not connect.
func NewSQL(cfg SQLConfig) (*SQL, error) {
	dsn := strings.TrimSpace(cfg.DSN.Reveal())
	switch {
	case dsn == "":
		return nil, errors.New("subscribers.sql.dsn_file holds no DSN")
	case strings.TrimSpace(cfg.Query) == "":
		return nil, errors.New("subscribers.sql.query is empty; it must yield server, user and subscriber")
	}
	s := &SQL{cfg: cfg}
	var err error
	switch cfg.Driver {
	case Postgres:
		s.db, err = openPostgres(dsn)
	case MySQL:
		s.db, err = openMySQL(dsn, cmp.Or(cfg.Timeout, DefaultTimeout))
	default:
		err = fmt.Errorf("subscribers.sql.driver %q is not known; there are %s and %s", cfg.Driver, Postgres, MySQL)
	}
	if err != nil {
		return nil, err
	}
	s.db.secrets = append(s.db.secrets, dsn)
	return s, nil
}

// Read implements reconcile.Subscriptions. A row's Where is like "row 17". It
// uses one connection, which it closes, and a transaction that may only read.
func (s *SQL) Read(ctx context.Context, row func(reconcile.Subscription) error) error {
	ctx, cancel := within(ctx, s.cfg.Timeout)
	defer cancel()
	db := sql.OpenDB(s.db.connector)
	db.SetMaxOpenConns(1)
	defer db.Close()

	conn, err := s.connect(ctx, db)
	if err != nil {
		return s.failed(ctx, fmt.Sprintf("connect to %s", s.db.place), stepConnect, err)
	}
	defer conn.Close()
	tx, err := conn.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return s.failed(ctx, fmt.Sprintf("begin to read from %s", s.db.place), stepRows, err)
	}
	defer func() { _ = tx.Rollback() }() // there is nothing to commit
	return s.query(ctx, cancel, tx, row)
}

// connect waits for connectTimeout at most: a host that does not answer is not
// one that takes its time over a query.
func (s *SQL) connect(ctx context.Context, db *sql.DB) (*sql.Conn, error) {
	short, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := db.Conn(short)
	if err != nil && short.Err() != nil && ctx.Err() == nil {
		return nil, fmt.Errorf("no answer within %s", connectTimeout)
	}
	return conn, err
}

// query runs the query. Where it stops before the last row it calls cancel, which
// breaks the connection: else closing would read all the rows that nobody wants.
func (s *SQL) query(ctx context.Context, cancel context.CancelFunc, tx *sql.Tx, row func(reconcile.Subscription) error) error {
	doing := "run subscribers.sql.query on " + s.db.place
	rows, err := tx.QueryContext(ctx, s.cfg.Query)
	if err != nil {
		return s.failed(ctx, doing, stepQuery, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return s.failed(ctx, doing, stepQuery, err)
	}
	number := 0
	// Some errors come only when the first row is asked for, and have no columns.
	for rows.Next() && len(columns) == fieldCount {
		number++
		r, err := scan(rows)
		if err != nil {
			err = s.failed(ctx, fmt.Sprintf("row %d of %s", number, s.db.place), stepRows, err)
			cancel()
			return err
		}
		if err := row(r.subscription("row " + strconv.Itoa(number))); err != nil {
			cancel()
			return err
		}
	}
	switch err := rows.Err(); {
	case err != nil && number == 0:
		return s.failed(ctx, doing, stepQuery, err)
	case err != nil:
		return s.failed(ctx, fmt.Sprintf("after row %d of %s", number, s.db.place), stepRows, err)
	case len(columns) == fieldCount:
		return nil
	}
	cancel()
	return s.hide(fmt.Errorf("subscribers.sql.query yields %d columns (%s), but it must yield exactly three: server, user, subscriber",
		len(columns), strings.Join(columns, ", ")))
}

// failed makes an error of a driver one for people.
func (s *SQL) failed(ctx context.Context, doing string, at step, err error) error {
	if ctx.Err() != nil {
		return s.hide(fmt.Errorf("%s: %w", doing, context.Cause(ctx)))
	}
	return s.hide(fmt.Errorf("%s: %w", doing, s.db.explain(at, err)))
}

func (s *SQL) hide(err error) error { return hide(err, s.db.secrets...) }

func scan(rows *sql.Rows) (row, error) {
	var values [fieldCount]any
	if err := rows.Scan(&values[0], &values[1], &values[2]); err != nil {
		return row{}, err
	}
	var r row
	for field, value := range values {
		r.values[field] = text(value)
	}
	return r, nil
}

// text returns a value as the database prints it.
func text(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case string:
		return v
	case []byte:
		return string(v)
	case float64: // not 1.234567e+06
		return strconv.FormatFloat(v, 'f', -1, 64)
	case float32:
		return strconv.FormatFloat(float64(v), 'f', -1, 32)
	case time.Time:
		return v.Format(time.RFC3339Nano)
	}
	return fmt.Sprint(value)
}
