package whm_test

import (
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/latchkey-sso/latchkey/api/whm"
	"github.com/latchkey-sso/latchkey/api/whm/whmfake"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

func TestFaultsOfARequestAreTold(t *testing.T) {
	status := func(code int) whmfake.Fault { return whmfake.Fault{Kind: whmfake.Status, Status: code} }
	tests := []struct {
		fault    whmfake.Fault
		want     kind // of a request that writes
		executed bool
		words    []string
	}{
		{status(500), kind{item, true, true}, false, []string{"500 Internal Server Error"}},
		{status(502), kind{server, true, true}, false, []string{"502"}},
		{status(503), kind{server, true, true}, false, []string{"503"}},
		{status(504), kind{server, true, true}, false, []string{"504"}},
		{status(408), kind{server, true, false}, false, []string{"408"}},
		{status(429), kind{server, true, false}, false, []string{"429"}},
		{status(400), kind{server, false, false}, false, []string{"400", "url"}},
		{status(401), kind{server, false, false}, false, []string{"401", "url"}},
		{status(404), kind{server, false, false}, false, []string{"404", "url"}},
		{whmfake.Fault{Kind: whmfake.Forbidden}, kind{server, false, false}, false, []string{"root", "token_file", "cPHulk", "the next run, also a daemon's, tries again", "127.0.0.1:"}},
		{whmfake.Fault{Kind: whmfake.Redirect, Location: "https://elsewhere.example/a?b=c"}, kind{server, false, false}, false, []string{"https://elsewhere.example (302", "url"}},
		{whmfake.Fault{Kind: whmfake.HTMLPage}, kind{item, true, true}, false, []string{"cannot be read"}},
		{whmfake.Fault{Kind: whmfake.NoReply}, kind{item, true, true}, false, []string{"ended the connection"}},
		{whmfake.Fault{Kind: whmfake.LostReply}, kind{item, true, true}, true, []string{"ended the connection"}},
		{whmfake.Fault{Kind: whmfake.HalfJSON}, kind{item, true, true}, true, []string{"cannot be read"}},
		{whmfake.Fault{Kind: whmfake.HalfBody}, kind{item, true, true}, true, []string{"ended the connection"}},
		{whmfake.Fault{Kind: whmfake.EmptyBody}, kind{item, true, true}, true, []string{"cannot be read"}},
	}
	for _, tt := range tests {
		for _, n := range []int{1, 3} {
			for _, writes := range []bool{true, false} {
				name := tt.fault.String() + map[int]string{1: "/alone", 3: "/batch"}[n] + map[bool]string{true: "/write", false: "/read"}[writes]
				t.Run(name, func(t *testing.T) {
					fake := newFake(t, whmfake.Config{})
					c := clientOf(t, fake)
					// On a connection that is in use already.
					ok(c.Version(t.Context()))(t)
					fake.Reset()
					fake.SetFault(whmfake.Once(tt.fault))
					commands := slices.Repeat([]reconcile.Command{listLinks("bob")}, n)
					if writes {
						commands[n-1] = createLink("bob", app)
					}
					replies, err := c.Run(t.Context(), commands)
					want := tt.want
					want.maybe = want.maybe && writes
					expect(t, err, want, tt.words...)
					if replies != nil {
						t.Errorf("got %d replies beside the error", len(replies))
					}
					if got := len(fake.Journal()) == n; got != tt.executed {
						t.Errorf("executed: got %v, want %v", got, tt.executed)
					}
					if fake.Requests() != 1 {
						t.Errorf("got %d requests, want 1: nothing is repeated here", fake.Requests())
					}
					for _, r := range ok(c.Run(t.Context(), commands))(t) {
						must(t, r.Err) // and the connection, or a new one, goes on
					}
				})
			}
		}
	}
}

func TestFaultsWithinABatchAreToldByPosition(t *testing.T) {
	broken := kind{item, false, false}
	notRun := kind{item, true, false}
	tests := []struct {
		fault whmfake.Fault
		want  []kind // the zero kind is a success
	}{
		{whmfake.Fault{Kind: whmfake.FailAt, At: 1}, []kind{{}, broken, {}, {}}},
		{whmfake.Fault{Kind: whmfake.FailAt, At: 3}, []kind{{}, {}, {}, broken}},
		{whmfake.Fault{Kind: whmfake.StopAt, At: 1}, []kind{{}, notRun, notRun, notRun}},
		{whmfake.Fault{Kind: whmfake.StopAt, At: 3}, []kind{{}, {}, {}, notRun}},
		{whmfake.Fault{Kind: whmfake.StopAt, At: 0}, []kind{notRun, notRun, notRun, notRun}},
		{whmfake.Fault{Kind: whmfake.GarbageAt, At: 0}, []kind{{item, true, true}, {}, {}, {}}},
		{whmfake.Fault{Kind: whmfake.GarbageAt, At: 2}, []kind{{}, {}, {item, true, false}, {}}},
		{whmfake.Fault{Kind: whmfake.SurplusAt}, []kind{{}, {}, {}, {}}},
		{whmfake.Fault{Kind: whmfake.Slow}, []kind{{}, {}, {}, {}}},
	}
	commands := []reconcile.Command{createLink("bob", "a"), createLink("bob", "b"), listLinks("bob"), createLink("bob", "c")}
	for _, v := range whmfake.Variants() {
		for _, tt := range tests {
			t.Run(v.String()+"/"+tt.fault.String(), func(t *testing.T) {
				fake := newFake(t, whmfake.Config{Variant: v})
				fake.SetFault(whmfake.Always(tt.fault))
				replies := ok(clientOf(t, fake).Run(t.Context(), commands))(t)
				for i, want := range tt.want {
					if want == (kind{}) {
						if replies[i].Err != nil {
							t.Errorf("position %d: %v", i, replies[i].Err)
						}
						continue
					}
					expect(t, replies[i].Err, want)
				}
				if len(replies) != len(commands) {
					t.Errorf("got %d replies, want %d", len(replies), len(commands))
				}
			})
		}
	}
}

func TestAServerThatIsNotThere(t *testing.T) {
	fake := newFake(t, whmfake.Config{})
	fake.Down()
	// A client without a connection from before: where one ends while a request is
	// sent, nobody knows whether that arrived.
	_, err := clientOf(t, fake).Run(t.Context(), []reconcile.Command{createLink("bob", app)})
	expect(t, err, kind{server, true, false}, "cannot connect to 127.0.0.1:", "connection refused", "firewall")
	if f := failure(t, err); strings.Contains(f.Message, "->") {
		t.Errorf("got message %q, want it without what is new each time", f.Message)
	}
	must(t, fake.Up())
	ok(clientOf(t, fake).Version(t.Context()))(t)
}

func TestNamesThatNobodyKnows(t *testing.T) {
	c := ok(whm.New(whm.Config{URL: "https://web01.invalid:2087", User: "root", Token: token(apiToken).Secret}))(t)
	_, err := c.Functions(t.Context())
	expect(t, err, kind{server, true, false}, "cannot connect to web01.invalid:2087", "web01.invalid")
}

func TestConnectionsThatEndInTheHandshake(t *testing.T) {
	l := ok(net.Listen("tcp", "127.0.0.1:0"))(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	c := ok(whm.New(whm.Config{URL: "https://" + l.Addr().String(), User: "root", Token: token(apiToken).Secret}))(t)
	_, err := c.Run(t.Context(), []reconcile.Command{createLink("bob", app)})
	expect(t, err, kind{server, true, false}, "cannot connect")
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	var followed []string
	elsewhere := newFake(t, whmfake.Config{Log: writerFunc(func(line string) { followed = append(followed, line) })})
	for _, code := range []int{301, 302, 303, 307, 308} {
		c := scripted(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL()+"/json-api/version?api.version=1", code)
		})
		_, err := c.Version(t.Context())
		expect(t, err, kind{server, false, false}, elsewhere.URL()+" (", "not followed")
	}
	if len(followed) > 0 || elsewhere.Requests() > 0 {
		t.Errorf("got %v, want nothing sent on", followed)
	}
}

type writerFunc func(string)

func (w writerFunc) Write(p []byte) (int, error) {
	w(string(p))
	return len(p), nil
}
