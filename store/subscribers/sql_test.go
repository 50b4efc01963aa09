package subscribers_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
	"github.com/latchkey-sso/latchkey/store/storetest"
	"github.com/latchkey-sso/latchkey/store/subscribers"
)

// sqlServer is what tests of both databases need, with queries in its dialect.
type sqlServer struct {
	driver   subscribers.Driver
	password string
	dsnAt    func(addr string) broker.Secret
	addr     string
	// many yields a number of rows: web01, the number, the number.
	many func(count int) string
	// breaks yields 999 rows and then fails.
	breaks, broken string
	slow           string
	types          string
	typed          []reconcile.Subscription
	writes         string
	readOnly       string
	missing        string
	// unquoted is what the database says of a wrong query.
	unquoted string
	// connections counts those of others.
	connections string
}

func TestPostgres(t *testing.T) {
	p := storetest.StartPostgres(t)
	p.Execute(`create table hosting (server text, username varchar(16), client_id bigint)`,
		`insert into hosting values ('web01', 'bob', 1234), ('web02', ' ann ', 77), ('web02', 'zoe', null)`)
	testSQL(t, sqlServer{
		driver: subscribers.Postgres, password: p.Password.Reveal(), dsnAt: p.DSNAt, addr: p.Addr,
		many: func(count int) string {
			return fmt.Sprintf("select 'web01', i::text, i from (select generate_series(1, %d) i) s", count)
		},
		breaks: "select 'web01', i::text, 1/(1000-i) from (select generate_series(1, 100000) i) s",
		broken: "division by zero (SQLSTATE 22012)",
		slow:   "select 'web01', 'bob', 1 from pg_sleep(60)",
		types: `values ('web01'::char(8), 'int', 7::int::text), ('a','bigint','9007199254740993'), ('a','x',null) ` +
			`union all select 'u', 'uuid', '8f14e45f-ceea-467f-a8f6-1b2c3d4e5f60'::uuid::text`,
		writes:   "insert into hosting values ('web03', 'eve', 1) returning server, username, client_id",
		readOnly: "cannot execute INSERT in a read-only transaction",
		missing:  `relation "nothing" does not exist; at character 21 (SQLSTATE 42P01); check subscribers.sql.query`,
		unquoted: "syntax error",
		typed: []reconcile.Subscription{
			subscription("web01", "int", "7", "row 1"), subscription("a", "bigint", "9007199254740993", "row 2"),
			subscription("a", "x", "", "row 3"), subscription("u", "uuid", "8f14e45f-ceea-467f-a8f6-1b2c3d4e5f60", "row 4"),
		},
		connections: "select 'web01', 'bob', count(*) from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()",
	})
	columns := []struct{ kind, literal, want string }{
		{"int", "7::int", "7"}, {"bigint", "9007199254740993::bigint", "9007199254740993"}, {"numeric", "12345678901234567890::numeric", "12345678901234567890"},
		{"double", "12345678::float8", "12345678"}, {"real", "0.5::real", "0.5"}, {"uuid", "'8f14e45f-ceea-467f-a8f6-1b2c3d4e5f60'::uuid", "8f14e45f-ceea-467f-a8f6-1b2c3d4e5f60"},
		{"text", "' id '::text", "id"}, {"varchar", "'id'::varchar", "id"}, {"char", "'id'::char(9)", "id"}, {"bytea", "'id'::bytea", "id"},
		{"boolean", "true", "true"}, {"date", "'2026-01-02'::date", "2026-01-02T00:00:00Z"}, {"null", "null::int", ""}, {"nothing typed", "'id'", "id"}, {"json", `'{"a": 1}'::json`, `{"a": 1}`},
	}
	for _, tt := range columns {
		t.Run("column of "+tt.kind, func(t *testing.T) { wantColumn(t, subscribers.Postgres, p.DSN(), tt.literal, tt.want) })
	}
	t.Run("a query that takes too long does not go on", func(t *testing.T) {
		source := newSQL(t, subscribers.Postgres, p.DSN(), "select 'web01', 'bob', 1 from pg_sleep(61)", 200*time.Millisecond)
		_, err := read(t, source)
		wantError(t, err, "not finished after 200ms")
		left := newSQL(t, subscribers.Postgres, p.DSN(), "select 'web01', 'bob', count(*) from pg_stat_activity where query like '%pg_sleep(61)%' and pid <> pg_backend_pid()", 0)
		wantSoon(t, left, "0")
	})
	t.Run("a DSN of keywords", func(t *testing.T) {
		host, port, _ := net.SplitHostPort(p.Addr)
		dsn := fmt.Sprintf("host=%s port=%s user=%s password='%s' dbname=%s sslmode=disable\n", host, port, p.User, p.Password.Reveal(), p.Database)
		ok(read(t, newSQL(t, subscribers.Postgres, broker.NewSecret(dsn), "select 'a', 'b', 'c'", 0)))(t)
	})
}

func TestMariaDB(t *testing.T) {
	m := storetest.StartMariaDB(t)
	m.Execute("create table hosting (server varchar(20), username varchar(16), client_id bigint)",
		"insert into hosting values ('web01', 'bob', 1234), ('web02', ' ann ', 77), ('web02', 'zoe', null)")
	testSQL(t, sqlServer{
		driver: subscribers.MySQL, password: m.Password.Reveal(), dsnAt: m.DSNAt, addr: m.Addr,
		many: func(count int) string { return fmt.Sprintf("select 'web01', seq, seq from seq_1_to_%d", count) },
		breaks: "select 'web01', a.seq, (select b.seq from seq_1_to_2 b where b.seq = 1 or a.seq >= 1000) " +
			"from seq_1_to_100000 a",
		broken: "returns more than 1 row (error 1242)",
		slow:   "select 'web01', 'bob', sleep(60)",
		types:  "values ('web01', 'int', 7), ('a', 'bigint', 9007199254740993), ('a', 'x', null)",
		typed: []reconcile.Subscription{
			subscription("web01", "int", "7", "row 1"), subscription("a", "bigint", "9007199254740993", "row 2"), subscription("a", "x", "", "row 3"),
		},
		writes:      "insert into hosting values ('web03', 'eve', 1) returning server, username, client_id",
		readOnly:    "READ ONLY transaction",
		missing:     "nothing' doesn't exist (error 1146); check subscribers.sql.query",
		unquoted:    "error in your SQL syntax",
		connections: "select 'web01', 'bob', count(*) from information_schema.processlist where user = 'latchkey' and id <> connection_id()",
	})
	columns := []struct{ kind, literal, want string }{
		{"int", "cast(7 as int)", "7"}, {"unsigned bigint", "18446744073709551615", "18446744073709551615"}, {"decimal", "cast(12345678901234567890 as decimal(20,0))", "12345678901234567890"},
		{"double", "cast(12345678 as double)", "12345678"}, {"float", "cast(0.5 as float)", "0.5"}, {"char", "cast(' id ' as char)", "id"},
		{"binary", "cast('id' as binary)", "id"}, {"boolean", "true", "1"}, {"date", "cast('2026-01-02' as date)", "2026-01-02"}, {"null", "null", ""}, {"uuid", "cast('8f14e45f-ceea-467f-a8f6-1b2c3d4e5f60' as uuid)", "8f14e45f-ceea-467f-a8f6-1b2c3d4e5f60"},
	}
	for _, tt := range columns {
		t.Run("column of "+tt.kind, func(t *testing.T) { wantColumn(t, subscribers.MySQL, m.DSN(), tt.literal, tt.want) })
	}
}

func newSQL(t testing.TB, driver subscribers.Driver, dsn broker.Secret, query string, timeout time.Duration) *subscribers.SQL {
	t.Helper()
	return ok(subscribers.NewSQL(subscribers.SQLConfig{Driver: driver, DSN: dsn, Query: query, Timeout: timeout}))(t)
}

func wantColumn(t *testing.T, driver subscribers.Driver, dsn broker.Secret, literal, want string) {
	t.Helper()
	got := ok(read(t, newSQL(t, driver, dsn, "select 'web01', 'bob', "+literal, 0)))(t)
	wantRows(t, got, []reconcile.Subscription{subscription("web01", "bob", want, "row 1")})
}

// wantSoon reads until the one row has the subscriber, which another process
// decides.
func wantSoon(t *testing.T, source reconcile.Subscriptions, want string) {
	t.Helper()
	var got []reconcile.Subscription
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		if got = ok(read(t, source))(t); got[0].Subscriber == want {
			return
		}
	}
	t.Errorf("got %+v for a long while, want %s", got, want)
}

func testSQL(t *testing.T, s sqlServer) {
	dsn := s.dsnAt(s.addr)
	source := func(t *testing.T, query string) *subscribers.SQL { return newSQL(t, s.driver, dsn, query, 0) }
	rows := []struct {
		name, query string
		want        []reconcile.Subscription
	}{
		{"rows in their order", "select server, username, client_id from hosting order by 1, 2;", []reconcile.Subscription{
			subscription("web01", "bob", "1234", "row 1"), subscription("web02", "ann", "77", "row 2"), subscription("web02", "zoe", "", "row 3"),
		}},
		{"no rows", "select server, username, client_id from hosting where server = 'none'", nil},
		{"values", s.types, s.typed},
	}
	for _, tt := range rows {
		t.Run(tt.name, func(t *testing.T) { wantRows(t, ok(read(t, source(t, tt.query)))(t), tt.want) })
	}

	faults := []struct {
		name, query string
		rows        int
		want        []string
	}{
		{"two columns", "select server, username from hosting", 0, []string{"yields 2 columns (server, username), but it must yield exactly three: server, user, subscriber"}},
		{"four columns", "select server, username, client_id, 1 as more from hosting", 0, []string{"yields 4 columns (server, username, client_id, more)"}},
		{"two columns and no rows", "select server, username from hosting where server = 'none'", 0, []string{"yields 2 columns"}},
		{"a table that is not there", "select a, b, c from nothing", 0, []string{"run subscribers.sql.query on ", s.addr, s.missing}},
		{"a query that is none", "this is no query", 0, []string{"run subscribers.sql.query on ", s.unquoted}},
		{"a query that writes", s.writes, 0, []string{s.readOnly}},
		{"a query that fails on its way", s.breaks, 999, []string{"after row 999 of ", s.broken}},
	}
	for _, tt := range faults {
		t.Run(tt.name, func(t *testing.T) {
			got, err := read(t, source(t, tt.query))
			wantError(t, err, tt.want...)
			wantNoSecret(t, err, s.password, dsn.Reveal())
			// The database may be ahead of its answer.
			if len(got) > tt.rows {
				t.Errorf("got %d rows, want %d at most", len(got), tt.rows)
			}
		})
	}

	t.Run("a wrong password", func(t *testing.T) {
		wrong := strings.Replace(dsn.Reveal(), "Canary", canary, 1)
		_, err := read(t, newSQL(t, s.driver, broker.NewSecret(wrong), "select 1, 2, 3", 0))
		wantError(t, err, "connect to ", s.addr, "authentication failed", "check user, password and database in subscribers.sql.dsn_file")
	})
	t.Run("a database that is not there", func(t *testing.T) {
		i := strings.LastIndex(dsn.Reveal(), "/")
		_, err := read(t, newSQL(t, s.driver, broker.NewSecret(dsn.Reveal()[:i]+"/nothing"), "select 1, 2, 3", 0))
		wantError(t, err, "connect to ", s.addr, "nothing", "check subscribers.sql.dsn_file")
		wantNoSecret(t, err, s.password)
	})
	t.Run("nobody listens", func(t *testing.T) {
		addr := fmt.Sprintf("127.0.0.1:%d", storetest.FreePort(t))
		_, err := read(t, newSQL(t, s.driver, s.dsnAt(addr), "select 1, 2, 3", 0))
		wantError(t, err, "connect to ", addr, "connection refused", "check host and port in subscribers.sql.dsn_file")
		wantNoSecret(t, err, s.password)
	})
	t.Run("nobody answers", func(t *testing.T) {
		l := ok(net.Listen("tcp", "127.0.0.1:0"))(t)
		defer l.Close()
		_, err := read(t, newSQL(t, s.driver, s.dsnAt(l.Addr().String()), "select 1, 2, 3", 200*time.Millisecond))
		wantError(t, err, "connect to ", l.Addr().String(), "not finished after 200ms")
		wantNoSecret(t, err, s.password)
	})
	t.Run("the connection is lost after rows", func(t *testing.T) {
		cut := startCutter(t, s.addr)
		count := 0
		err := newSQL(t, s.driver, s.dsnAt(cut.addr), s.many(1_000_000), 0).Read(t.Context(), func(reconcile.Subscription) error {
			if count++; count == 1000 {
				cut.cut()
			}
			return nil
		})
		wantError(t, err, "after row ", "the connection was lost, so the list is not complete")
		wantNoSecret(t, err, s.password)
		if count < 1000 || count == 1_000_000 {
			t.Errorf("got %d rows, want a part of them", count)
		}
	})
	t.Run("a query that takes too long", func(t *testing.T) {
		_, err := read(t, newSQL(t, s.driver, dsn, s.slow, 300*time.Millisecond))
		wantError(t, err, s.addr, "not finished after 300ms")
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want one that is context.DeadlineExceeded", err)
		}
	})
	t.Run("the caller goes", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		err := source(t, s.many(1_000_000)).Read(ctx, func(reconcile.Subscription) error { cancel(); return nil })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want one that is context.Canceled", err)
		}
	})
	t.Run("the row's error comes back and the rest stays unread", func(t *testing.T) {
		calls := 0
		err := source(t, s.many(1_000_000_000)).Read(t.Context(), func(reconcile.Subscription) error { calls++; return errStop })
		if err != errStop || calls != 1 { // the very error
			t.Errorf("got error %v after %d calls, want %v after 1", err, calls, errStop)
		}
	})
	t.Run("rows are never held in memory", func(t *testing.T) { wantSmallHeap(t, 200_000, source(t, s.many(200_000))) })
	t.Run("connections are closed", func(t *testing.T) { wantSoon(t, source(t, s.connections), "0") })
}

func TestSQLConfigIsChecked(t *testing.T) {
	const query = "select 1, 2, 3"
	const pg, my = subscribers.Postgres, subscribers.MySQL
	tests := []struct {
		name       string
		driver     subscribers.Driver
		dsn, query string
		want       []string
	}{
		{"no DSN", pg, " \n", query, []string{"subscribers.sql.dsn_file holds no DSN"}},
		{"no query", pg, "postgres://localhost/x", " ", []string{"subscribers.sql.query is empty"}},
		{"another driver", "oracle", "x", query, []string{`subscribers.sql.driver "oracle"`, "postgres and mysql"}},

		{"Postgres: MySQL's form", pg, "latchkey:" + canary + "@tcp(db:3306)/x", query, []string{"postgres://user:password@host"}},
		{"Postgres: a MySQL URL", pg, "mysql://latchkey:" + canary + "@db/x", query, []string{"postgres://user:password@host"}},
		{"Postgres: a slash in the password", pg, "postgres://latchkey:12/" + canary + "@db/x", query, []string{"percent-encoded"}},
		{"Postgres: a hash in the password", pg, "postgres://latchkey:12#" + canary + "@db/x", query, []string{"percent-encoded"}},
		{"Postgres: a question mark in the password", pg, "postgres://latchkey:x?" + canary + "@db/x", query, []string{"percent-encoded"}},
		{"Postgres: an @ in the password", pg, "postgres://latchkey:a@" + canary + "@db/x", query, []string{"percent-encoded"}},
		{"Postgres: a percent sign in the password", pg, "postgres://latchkey:%zz" + canary + "@db/x", query, []string{"percent-encoded"}},
		{"Postgres: a password with a space", pg, "host=db password=a " + canary + " user=latchkey", query, []string{"cannot be parsed"}},
		{"Postgres: a quote that is not closed", pg, "host=db password='" + canary + " user=latchkey", query, []string{"cannot be parsed"}},
		{"Postgres: an sslmode that is none", pg, "postgres://latchkey:" + canary + "@db/x?sslmode=yes", query, []string{"sslmode"}},
		{"Postgres: a CA file that is not there", pg, "postgres://latchkey:" + canary + "@db/x?sslmode=verify-full&sslrootcert=/none.pem", query, []string{"/none.pem"}},
		{"Postgres: a password among the parameters", pg, "postgres://db/x?sslmode=yes&password=" + canary, query, []string{"sslmode"}},
		{"Postgres: an escaped password", pg, "postgres://latchkey:%20" + canary + "%2F@db/x?sslmode=yes", query, []string{"sslmode"}},

		{"MySQL: a URL", my, "mysql://latchkey:" + canary + "@db:3306/x", query, []string{"user:password@tcp(host:3306)/database", "not a mysql:// URL"}},
		{"MySQL: a URL of MariaDB", my, "mariadb://latchkey:" + canary + "@db:3306/x", query, []string{"not a mariadb:// URL"}},
		{"MySQL: a URL of Postgres", my, "postgres://latchkey:" + canary + "@db/x", query, []string{"user:password@tcp(host:3306)/database"}},
		{"MySQL: no slash", my, "latchkey:" + canary + "@tcp(db:3306)", query, []string{"missing the slash"}},
		{"MySQL: no slash but that of the password", my, "latchkey:" + canary + "/" + canary + "@tcp(db:3306)", query, []string{"cannot be parsed"}},
		{"MySQL: a bracket that is not closed", my, "latchkey:" + canary + "@tcp(db:3306/x", query, []string{"closing brace"}},
		{"MySQL: a network that is none", my, "latchkey:a@" + canary + "(db)/x", query, []string{"cannot be parsed"}},
		{"MySQL: a parameter that is wrong", my, "latchkey:" + canary + "@tcp(db)/x?parseTime=" + canary, query, []string{"each parameter"}},
		{"MySQL: a TLS configuration that is not there", my, "latchkey:" + canary + "@tcp(db)/x?tls=" + canary, query, []string{"each parameter"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := subscribers.NewSQL(subscribers.SQLConfig{Driver: tt.driver, DSN: broker.NewSecret(tt.dsn), Query: tt.query})
			wantError(t, err, tt.want...)
		})
	}
}

// cutter passes a database's connections on until they are cut.
type cutter struct {
	addr     string
	listener net.Listener
	wg       sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn
}

func startCutter(t *testing.T, target string) *cutter {
	t.Helper()
	l := ok(net.Listen("tcp", "127.0.0.1:0"))(t)
	c := &cutter{addr: l.Addr().String(), listener: l}
	c.wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", target)
			if err != nil {
				_ = client.Close()
				continue
			}
			c.mu.Lock()
			c.conns = append(c.conns, client, server)
			c.mu.Unlock()
			c.wg.Go(func() { _, _ = io.Copy(server, client) })
			c.wg.Go(func() { _, _ = io.Copy(client, server) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		c.cut()
		c.wg.Wait()
	})
	return c
}

func (c *cutter) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		_ = conn.Close()
	}
}
