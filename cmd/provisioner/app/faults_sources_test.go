package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// sourceFleet has accounts for a source of subscribers: erin's hosting has ended.
func sourceFleet(t *testing.T) *faultWorld {
	w := newFaultWorld(t, "web01", "web02")
	w.account("web01/alice", "web01/bob", "web02/carol", "web02/erin")
	return w
}

// hosting is the portal's table, as both databases take it. The numbers of customers
// are numbers, and one name has a blank at its end as fixed columns do.
var hosting = []string{
	"create table hosting (server varchar(40), username varchar(40), client_id bigint, status varchar(20))",
	"insert into hosting values ('web01', 'alice', 1001, 'Active'), ('web01', 'bob', 9007199254740993, 'Active')",
	"insert into hosting values ('web02', 'carol', 1003, 'Active'), ('web02', 'erin', 1005, 'Terminated')",
}

// hostingWanted is whose accounts are planned.
var hostingWanted = []string{"web01/alice 1001", "web01/bob 9007199254740993", "web02/carol 1003"}

// planned are the accounts that a plan creates links for, with their subscribers.
func (w *faultWorld) planned(args ...string) []string {
	w.t.Helper()
	var found []string
	for line := range strings.Lines(w.ok(append([]string{"plan", "-o", "json"}, args...)...).out) {
		var p struct{ Plan *reconcile.Plan }
		w.must(json.Unmarshal([]byte(line), &p))
		if p.Plan != nil && len(p.Plan.Steps) > 0 {
			found = append(found, p.Plan.Account.String()+" "+p.Plan.Subscriber)
		}
	}
	slices.Sort(found)
	return found
}

// database is a real one of a test.
type database struct {
	driver string
	dsn    broker.Secret
	// dsnAt is the DSN by way of another address.
	dsnAt    func(address string) broker.Secret
	password broker.Secret
	execute  func(...string)
}

// Subscribers come from a real database, by the query that is the default.
func TestSubscribersFromADatabase(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		start func(*testing.T) database
	}{
		{"PostgreSQL", func(t *testing.T) database {
			p := storetest.StartPostgres(t)
			return database{"postgres", p.DSN(), p.DSNAt, p.Password, p.Execute}
		}},
		{"MariaDB", func(t *testing.T) database {
			m := storetest.StartMariaDB(t)
			return database{"mysql", m.DSN(), m.DSNAt, m.Password, m.Execute}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			db := tt.start(t)
			db.execute(hosting...)
			w := sourceFleet(t)
			w.secrets[db.password.Reveal()] = "password of the database"
			w.secrets[db.dsn.Reveal()] = "DSN"
			use := func(dsn broker.Secret, more string) {
				write(t, filepath.Join(w.dir, "dsn"), dsn.Reveal()+"\n")
				w.configure(faultSettings{subscribers: fmt.Sprintf("{source: sql, sql: {driver: %s, dsn_file: dsn%s}}", db.driver, more)})
			}
			use(db.dsn, "")
			if got := w.planned(); !slices.Equal(got, hostingWanted) {
				t.Errorf("plan: got %q, want %q", got, hostingWanted)
			}
			w.ok("apply")
			if err := w.reached(wantLinks("Invoices", "Tickets", hostingWanted...)); err != nil {
				t.Error(err)
			}
			db.execute("update hosting set client_id = 1009 where username = 'alice'")
			if got, want := w.planned(), []string{"web01/alice 1009"}; !slices.Equal(got, want) {
				t.Errorf("plan after a change of owner: got %q, want %q", got, want)
			}

			before := w.writes()
			refused := func(name, says string) {
				t.Helper()
				for _, command := range []string{"plan", "apply"} {
					if r := w.run(command); r.code == cli.ExitDone || !strings.Contains(r.err, says) {
						t.Errorf("%s: %vwant a failure with %q", name, r, says)
					}
				}
			}
			use(db.dsn, `, query: "select server, username from hosting"`)
			refused("two columns", "it must yield exactly three: server, user, subscriber")
			use(db.dsn, `, query: "select server, username, client_id from hostings"`)
			refused("no such table", "subscribers.sql.query")
			use(broker.NewSecret(strings.Replace(db.dsn.Reveal(), "latchkey:", "nobody:", 1)), "")
			refused("wrong user", "nobody")
			use(db.dsnAt(fmt.Sprintf("127.0.0.1:%d", storetest.FreePort(t))), "")
			refused("nobody listens", "127.0.0.1:")
			use(db.dsn, "")
			db.execute("insert into hosting values ('web01', 'bob', 1004, 'Active')")
			refused("an account twice", `web01/bob is there twice, for subscriber "9007199254740993" and for "1004"`)
			if got := w.writes(); got != before {
				t.Errorf("with a source that cannot be used: got %d writes, want %d", got, before)
			}
		})
	}
}

// Subscribers come from an endpoint of the portal, which wants a bearer token.
func TestSubscribersFromAnEndpoint(t *testing.T) {
	t.Parallel()
	const bearer = "CANARY-bearer-of-the-endpoint"
	var answer atomic.Pointer[http.HandlerFunc]
	var elsewhere atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	t.Cleanup(other.Close)
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+bearer || r.Method != http.MethodGet {
			http.Error(rw, "who are you", http.StatusUnauthorized)
			return
		}
		(*answer.Load())(rw, r)
	}))
	t.Cleanup(server.Close)
	respond := func(h http.HandlerFunc) { answer.Store(&h) }
	list := func(contentType, body string) http.HandlerFunc {
		return func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", contentType)
			_, _ = rw.Write([]byte(body))
		}
	}
	w := sourceFleet(t)
	w.secrets[bearer] = "bearer token"
	write(t, filepath.Join(w.dir, "bearer"), bearer+"\n")
	w.configure(faultSettings{subscribers: fmt.Sprintf("{source: http, http: {url: %q, bearer_file: bearer}}", server.URL+"/accounts")})

	const csv = "server,user,subscriber_unique_id\nweb01,alice,1001\nweb01,bob,9007199254740993\nweb02,carol,1003\n"
	for name, respondWith := range map[string]http.HandlerFunc{
		"CSV": list("text/csv", csv),
		"JSON lines": list("application/x-ndjson", `{"server":"web01","user":"alice","subscriber_unique_id":"1001"}
{"server":"web01","user":"bob","subscriber_unique_id":9007199254740993}
{"server":"web02","user":"carol","subscriber_unique_id":"1003"}
`),
	} {
		respond(respondWith)
		if got := w.planned(); !slices.Equal(got, hostingWanted) {
			t.Errorf("plan from %s: got %q, want %q", name, got, hostingWanted)
		}
	}
	failures := []struct {
		name   string
		answer http.HandlerFunc
		says   string
	}{
		{"in trouble", func(rw http.ResponseWriter, _ *http.Request) {
			http.Error(rw, "no database", http.StatusInternalServerError)
		}, "the answer is 500 Internal Server Error"},
		{"refuses", func(rw http.ResponseWriter, _ *http.Request) { http.Error(rw, "no", http.StatusForbidden) }, "check the token in subscribers.http.bearer_file"},
		{"redirects", func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, other.URL, http.StatusFound) }, "redirects are not followed"},
		{"a page", list("text/html", "<html>log in</html>"), server.URL + "/accounts"},
		{"half a list", func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Length", fmt.Sprint(len(csv)))
			_, _ = rw.Write([]byte(csv[:60]))
			panic(http.ErrAbortHandler)
		}, server.URL + "/accounts"},
		{"a server that is not there", list("text/csv", csv+"web09,zoe,1009\n"), `server "web09" is not in the configuration`},
	}
	for _, tt := range failures {
		respond(tt.answer)
		for _, command := range []string{"plan", "apply"} {
			if r := w.run(command); r.code == cli.ExitDone || !strings.Contains(r.err, tt.says) {
				t.Errorf("%s: %vwant a failure with %q", tt.name, r, tt.says)
			}
		}
	}
	if got := w.writes(); got != 0 || elsewhere.Load() != 0 {
		t.Errorf("got %d writes and %d requests elsewhere, want none", got, elsewhere.Load())
	}
	if _, err := w.store.Revision(t.Context(), 0); err == nil {
		t.Error("a revision was published although the subscribers could not be read")
	}
}
