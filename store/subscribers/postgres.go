package subscribers

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

const postgresForm = "subscribers.sql.dsn_file must hold a DSN like " +
	"postgres://user:password@host:5432/database?sslmode=verify-full (special characters in the password percent-encoded)"

func openPostgres(dsn string) (database, error) {
	secrets, isURL := postgresSecrets(dsn)
	if !isURL && strings.Contains(dsn, "://") {
		return database{}, errors.New(postgresForm)
	}
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil && !isURL {
		// Where a password ends in what cannot be parsed, nobody knows.
		return database{}, errors.New(postgresForm + `; a DSN like "host=... user=... password='...'" is right, too, but this one cannot be parsed`)
	}
	if err != nil {
		return database{}, hide(fmt.Errorf("%s: %s", postgresForm, parseFailure(err, dsn)), secrets...)
	}
	cfg.ConnectTimeout = cmp.Or(cfg.ConnectTimeout, connectTimeout)
	_, address := pgconn.NetworkAddress(cfg.Host, cfg.Port)
	return database{
		connector: stdlib.GetConnector(*cfg),
		place:     "PostgreSQL at " + address,
		explain:   explainPostgres,
		secrets:   append(secrets, cfg.Password),
	}, nil
}

// postgresSecrets returns the passwords in a DSN that is a URL as it should be.
func postgresSecrets(dsn string) (secrets []string, isURL bool) {
	u, err := url.Parse(dsn)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" || u.Fragment != "" {
		return nil, false
	}
	authority, _, _ := strings.Cut(strings.TrimPrefix(dsn, u.Scheme+"://"), "/")
	// pgx and net/url end such passwords at different places.
	if strings.Count(authority, "@") > 1 || strings.Contains(u.Path, "@") {
		return nil, false
	}
	if password, has := u.User.Password(); has {
		user, _, _ := strings.Cut(authority, "@")
		_, written, _ := strings.Cut(user, ":")
		secrets = append(secrets, password, written)
	}
	for _, key := range []string{"password", "sslpassword"} {
		secrets = append(secrets, u.Query()[key]...)
	}
	return secrets, true
}

// parseFailure returns what pgx says, without the DSN that it begins with.
func parseFailure(err error, dsn string) string {
	text := strings.ReplaceAll(err.Error(), dsn, "")
	if i := strings.LastIndex(text, "`: "); i >= 0 {
		text = text[i+len("`: "):]
	}
	return text
}

func explainPostgres(at step, err error) error {
	said, is := errors.AsType[*pgconn.PgError](err)
	switch {
	case is && strings.HasPrefix(said.Code, "28"): // invalid authorization specification
		return fmt.Errorf("authentication failed: %s; check user, password and database in subscribers.sql.dsn_file", said.Message)
	case is && at == stepConnect:
		return fmt.Errorf("the server refused: %s (SQLSTATE %s); check subscribers.sql.dsn_file", said.Message, said.Code)
	case is:
		message := said.Message
		for _, more := range []string{said.Detail, said.Hint} {
			if more != "" {
				message += "; " + more
			}
		}
		if said.Position > 0 {
			message += fmt.Sprintf("; at character %d", said.Position)
		}
		return fmt.Errorf("the server answered: %s (SQLSTATE %s); check subscribers.sql.query", message, said.Code)
	case at == stepConnect:
		if outer, is := errors.AsType[*pgconn.ConnectError](err); is {
			err = outer.Unwrap()
		}
		return fmt.Errorf("%s; check host and port in subscribers.sql.dsn_file", strings.Join(strings.Fields(err.Error()), " "))
	}
	return lost(err)
}

// lost is for errors that are not the server's.
func lost(err error) error {
	return fmt.Errorf("the connection was lost, so the list is not complete (try again): %w", err)
}
