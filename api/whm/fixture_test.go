package whm_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"image"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/latchkey-sso/latchkey/api/cpanelfake"
	"github.com/latchkey-sso/latchkey/api/whm"
	"github.com/latchkey-sso/latchkey/api/whm/whmfake"
	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

const (
	apiToken  = "CANARYAPITOKEN0123456789ABCDEFGH"
	linkToken = "canary-link-token-0123456789abcdefghijklmno"
	app       = "latchkey_billing"
)

func ok[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newState has the accounts bob and eve.
func newState(t testing.TB) *cpanelfake.State {
	t.Helper()
	state := new(cpanelfake.State)
	must(t, state.AddAccount(cpanelfake.Account{User: "bob", Domain: "bob.example"}))
	must(t, state.AddAccount(cpanelfake.Account{User: "eve", Domain: "eve.example"}))
	return state
}

func newFake(t testing.TB, cfg whmfake.Config) *whmfake.Server {
	t.Helper()
	if cfg.State == nil {
		cfg.State = newState(t)
	}
	cfg.Token = apiToken
	s := ok(whmfake.New(cfg))(t)
	t.Cleanup(s.Close)
	return s
}

func clientOf(t testing.TB, s *whmfake.Server, edit ...func(*whm.Config)) *whm.Client {
	t.Helper()
	cfg := whm.Config{URL: s.URL(), User: "root", Token: broker.NewSecret(apiToken), CA: s.CAPEM()}
	for _, e := range edit {
		e(&cfg)
	}
	c := ok(whm.New(cfg))(t)
	t.Cleanup(c.Close)
	return c
}

// scripted is a real HTTPS server that answers whatever it is told.
func scripted(t testing.TB, handler http.HandlerFunc, edit ...func(*whm.Config)) *whm.Client {
	t.Helper()
	s := httptest.NewTLSServer(handler)
	t.Cleanup(s.Close)
	cfg := whm.Config{URL: s.URL, User: "root", Token: broker.NewSecret(apiToken)}
	pin := pinOf(s.Certificate().Raw)
	cfg.Pin = &pin
	for _, e := range edit {
		e(&cfg)
	}
	c := ok(whm.New(cfg))(t)
	t.Cleanup(c.Close)
	return c
}

func answers(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }
}

// failure returns the *Failure in err, and fails without one.
func failure(t testing.TB, err error) *reconcile.Failure {
	t.Helper()
	f, is := errors.AsType[*reconcile.Failure](err)
	if !is {
		t.Fatalf("got error %v (%T), want a *reconcile.Failure", err, err)
	}
	return f
}

// kind is what a reconciler goes by.
type kind struct {
	scope        reconcile.Scope
	again, maybe bool
}

const (
	item   = reconcile.ScopeItem
	server = reconcile.ScopeServer
)

func expect(t testing.TB, err error, want kind, words ...string) {
	t.Helper()
	f := failure(t, err)
	if got := (kind{f.Scope, f.Again, f.Maybe}); got != want {
		t.Errorf("got scope, again, maybe %+v, want %+v: %s", got, want, f.Message)
	}
	for _, w := range words {
		if !strings.Contains(f.Message, w) {
			t.Errorf("got message %q, want it to say %q", f.Message, w)
		}
	}
}

func icon(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	must(t, png.Encode(&b, image.NewGray(image.Rect(0, 0, 48, 48))))
	return b.Bytes()
}

func token(text string) broker.LinkToken { return broker.LinkToken{Secret: broker.NewSecret(text)} }

func createLink(user, app string) reconcile.Command {
	return reconcile.Command{
		Function: reconcile.CreateLink, User: user, App: app, Token: token(linkToken),
		Link: reconcile.Fields{
			Implements: "billing", Label: "View Billing", Subscriber: "1234",
			AutologinURL: "https://sso.example.com/autologin?server=web01&user=" + user + "&app=" + app,
			URL:          "https://portal.example.com/login?next=%2Fbilling", GroupID: "latchkey", Order: 7,
		},
	}
}

func listLinks(user string) reconcile.Command {
	return reconcile.Command{Function: reconcile.ListLinks, User: user}
}

func readAll(r io.Reader) (string, error) {
	data, err := io.ReadAll(r)
	return string(data), err
}

func contextOf(t testing.TB) (context.Context, context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	return ctx, cancel
}

func pinOf(der []byte) [32]byte { return sha256.Sum256(der) }
