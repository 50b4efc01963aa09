package storetest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/latchkey-sso/latchkey/broker"
)

// MariaDBServer is a real MariaDB of one test, with one database.
type MariaDBServer struct {
	Addr string
	User string
	// Password is a canary, too: it has characters that are special in a DSN.
	Password broker.Secret
	Database string

	t testing.TB
}

// StartMariaDB starts MariaDB on a free port. It keeps nothing and ends with the
// test.
func StartMariaDB(t testing.TB) *MariaDBServer {
	t.Helper()
	server, install := program("mariadbd"), program("mariadb-install-db")
	if server == "" || install == "" {
		Missing(t, "MariaDB (mariadbd and mariadb-install-db)", "apt-get install mariadb-server")
	}
	port := strconv.Itoa(FreePort(t))
	m := &MariaDBServer{
		Addr: net.JoinHostPort("127.0.0.1", port), User: databaseUser, Password: broker.NewSecret(databasePassword),
		Database: databaseName, t: t,
	}
	d := newDaemon(t, "mysql")
	settings := []string{
		"--no-defaults", "--datadir=" + d.path("data"), "--skip-name-resolve", "--skip-log-bin",
		"--innodb-log-file-size=8M", "--innodb-buffer-pool-size=16M", "--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0",
	}
	d.run(install, append(settings, "--auth-root-authentication-method=normal", "--skip-test-db")...)
	first := d.write("first.sql", fmt.Sprintf(
		"CREATE DATABASE %s;\nCREATE USER %s@'127.0.0.1' IDENTIFIED BY '%s';\nGRANT ALL ON *.* TO %[2]s@'127.0.0.1';\nDROP USER root@localhost;\n",
		m.Database, m.User, databasePassword))
	d.start(os.Kill, "mysql", m.DSN().Reveal(), server, append(settings,
		"--bind-address=127.0.0.1", "--port="+port,
		// In the data directory: the path of a socket may not be long.
		"--socket=mariadb.sock", "--pid-file="+d.path("pid"), "--init-file="+first)...)
	return m
}

// DSN returns how to reach the database, in the form of go-sql-driver, without
// TLS.
func (m *MariaDBServer) DSN() broker.Secret { return m.DSNAt(m.Addr) }

// DSNAt is DSN by way of another address, a proxy's.
func (m *MariaDBServer) DSNAt(addr string) broker.Secret {
	cfg := mysql.NewConfig()
	cfg.Net, cfg.Addr, cfg.User, cfg.Passwd, cfg.DBName = "tcp", addr, m.User, m.Password.Reveal(), m.Database
	return broker.NewSecret(cfg.FormatDSN())
}

// Execute runs statements one after the other.
func (m *MariaDBServer) Execute(statements ...string) {
	m.t.Helper()
	execute(m.t, "mysql", m.DSN().Reveal(), statements)
}

// program finds a program also where PATH does not lead to for other users than
// root.
func program(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin"} {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			return path
		}
	}
	return ""
}
