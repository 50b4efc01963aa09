package storetest

import (
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/latchkey-sso/latchkey/broker"
)

// PostgresServer is a real PostgreSQL of one test, with one database.
type PostgresServer struct {
	Addr string
	User string
	// Password is a canary, too: it has characters that a DSN must escape.
	Password broker.Secret
	Database string

	t testing.TB
}

// StartPostgres starts PostgreSQL on a free port. It keeps nothing and ends with
// the test.
func StartPostgres(t testing.TB) *PostgresServer {
	t.Helper()
	programs := postgresPrograms()
	if programs == "" {
		Missing(t, "PostgreSQL (initdb and postgres)", "apt-get install postgresql")
	}
	port := strconv.Itoa(FreePort(t))
	p := &PostgresServer{
		Addr: net.JoinHostPort("127.0.0.1", port), User: databaseUser, Password: broker.NewSecret(databasePassword),
		Database: "postgres", t: t,
	}
	d := newDaemon(t, "postgres")
	data := d.path("data")
	d.run(filepath.Join(programs, "initdb"), "--pgdata", data, "--username", p.User,
		"--pwfile", d.write("password", databasePassword+"\n"),
		"--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync")
	args := []string{"-D", data, "-p", port, "-h", "127.0.0.1", "-k", ""}
	for _, setting := range []string{
		"fsync=off", "synchronous_commit=off", "full_page_writes=off", "wal_level=minimal", "max_wal_senders=0",
		"shared_buffers=16MB", "max_connections=20", "autovacuum=off",
	} {
		args = append(args, "-c", setting)
	}
	// SIGQUIT is its "immediate shutdown": it ends its own children first.
	d.start(syscall.SIGQUIT, "pgx", p.DSN().Reveal(), filepath.Join(programs, "postgres"), args...)
	return p
}

// DSN returns how to reach the database, as a URL without TLS.
func (p *PostgresServer) DSN() broker.Secret { return p.DSNAt(p.Addr) }

// DSNAt is DSN by way of another address, a proxy's.
func (p *PostgresServer) DSNAt(addr string) broker.Secret {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(p.User, p.Password.Reveal()),
		Host: addr, Path: "/" + p.Database, RawQuery: "sslmode=disable",
	}
	return broker.NewSecret(u.String())
}

// Execute runs statements one after the other.
func (p *PostgresServer) Execute(statements ...string) {
	p.t.Helper()
	execute(p.t, "pgx", p.DSN().Reveal(), statements)
}

// postgresPrograms returns the directory of the newest PostgreSQL. Debian keeps
// it out of PATH.
func postgresPrograms() string {
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	slices.SortFunc(dirs, func(a, b string) int { return postgresVersion(b) - postgresVersion(a) })
	if initdb, err := exec.LookPath("initdb"); err == nil {
		dirs = append(dirs, filepath.Dir(initdb))
	}
	for _, dir := range dirs {
		_, initErr := os.Stat(filepath.Join(dir, "initdb"))
		_, serverErr := os.Stat(filepath.Join(dir, "postgres"))
		if initErr == nil && serverErr == nil {
			return dir
		}
	}
	return ""
}

func postgresVersion(dir string) int {
	version, _ := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
	return version
}
