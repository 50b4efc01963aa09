package app_test

import (
	"bytes"
	"context"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/api/cpanelfake"
	"github.com/latchkey-sso/latchkey/cmd/demo/app"
	"github.com/latchkey-sso/latchkey/cmd/demo/portal"
	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
)

// world is a running demo and what its portal saw.
type world struct {
	*app.Demo

	mu      sync.Mutex
	signIns []portal.SignIn
	refused []error
}

func startWorld(t *testing.T, o app.Options) *world {
	t.Helper()
	w := &world{}
	o.SignedIn = func(s portal.SignIn) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.signIns = append(w.signIns, s)
	}
	o.Refused = func(err error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.refused = append(w.refused, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	d, err := app.New(ctx, o)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	w.Demo = d
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("stop the demo: %v", err)
		}
	})
	return w
}

func (w *world) panel(t *testing.T, id string) app.Panel {
	t.Helper()
	for _, p := range w.Panels {
		if p.ID == id {
			return p
		}
	}
	t.Fatalf("no panel %s", id)
	return app.Panel{}
}

// wantSignIns compares what the portal saw with what it should have seen.
func (w *world) wantSignIns(t *testing.T, want ...portal.SignIn) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.signIns) != len(want) {
		t.Fatalf("the portal saw %+v (refused %v), want %+v", w.signIns, w.refused, want)
	}
	for i := range want {
		if w.signIns[i] != want[i] {
			t.Errorf("sign-in %d: got %+v, want %+v", i, w.signIns[i], want[i])
		}
	}
}

// Whatever way of posting a cPanel server has, a click gets a one-time URL.
func TestEveryVariantOfCPanelSignsOn(t *testing.T) {
	for _, variant := range cpanelfake.Variants() {
		t.Run(variant.String(), func(t *testing.T) {
			t.Parallel()
			w := startWorld(t, app.Options{Variant: variant})
			outcome, err := w.panel(t, "web02").Server.Click(t.Context(), "carol", "latchkey_invoices")
			if err != nil || outcome.Kind != cpanelfake.SignedOn || outcome.Attempts != 1 {
				t.Errorf("click: got %v, %v, want a sign-on at the first attempt", outcome, err)
			}
		})
	}
}

// While the store is away a server is asked to come again, and gets in when the
// store is back; when it stays away the user lands on the link's own url.
func TestRetryUntilTheStoreIsBack(t *testing.T) {
	var w *world
	var hops []cpanelfake.Hop
	backAfter := 1
	w = startWorld(t, app.Options{Trace: func(_ string, hop cpanelfake.Hop) {
		hops = append(hops, hop)
		if hop.Kind == cpanelfake.Retry && hop.Attempt == backAfter {
			w.FailStore("")
		}
	}})
	server := w.panel(t, "web01").Server
	w.FailStore("ERR the store is away")
	outcome, err := server.Click(t.Context(), "alice", "latchkey_billing")
	if err != nil || outcome.Kind != cpanelfake.SignedOn || outcome.Attempts != 2 {
		t.Errorf("store back after one attempt: got %v, %v, want a sign-on at the second attempt; hops %v", outcome, err, hops)
	}

	backAfter, hops = 0, nil
	w.FailStore("ERR the store is away")
	outcome, err = server.Click(t.Context(), "alice", "latchkey_billing")
	if err != nil || outcome.Kind != cpanelfake.FellBack || outcome.Attempts != 3 {
		t.Errorf("store stays away: got %v, %v, want the link's url after three attempts", outcome, err)
	}
	if want := w.PortalURL + "/login?next=%2Fbilling"; outcome.Location != want {
		t.Errorf("fall back: got %s, want %s", outcome.Location, want)
	}
	if last := hops[len(hops)-2]; last.Status != http.StatusServiceUnavailable {
		t.Errorf("third attempt: got status %d, want 503", last.Status)
	}
}

// A link is worth nothing on another account, with another token, or for another
// subscriber: the user lands on the link's url, and the portal sees nobody.
func TestWrongLinksFallBack(t *testing.T) {
	w := startWorld(t, app.Options{})
	server := w.panel(t, "web01").Server
	tests := []struct {
		name   string
		change func(*cpanelfake.Link)
	}{
		{"wrong token", func(l *cpanelfake.Link) { l.Token = cpanelfake.NewToken("guessed") }},
		{"another subscriber", func(l *cpanelfake.Link) { l.SubscriberUniqueID = "1002" }},
		{"another account's URL", func(l *cpanelfake.Link) {
			l.AutologinTokenURL = strings.Replace(l.AutologinTokenURL, "alice", "bob", 1)
		}},
		{"another server's URL", func(l *cpanelfake.Link) {
			l.AutologinTokenURL = strings.Replace(l.AutologinTokenURL, "web01", "web02", 1)
		}},
		{"another app's URL", func(l *cpanelfake.Link) {
			l.AutologinTokenURL = strings.Replace(l.AutologinTokenURL, "latchkey_emails", "latchkey_billing", 1)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			link, err := server.State().Link("alice", "latchkey_emails")
			if err != nil {
				t.Fatal(err)
			}
			changed := link
			tt.change(&changed)
			if err := server.State().PutLink("alice", changed); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = server.State().PutLink("alice", link) }()
			outcome, err := server.Click(t.Context(), "alice", "latchkey_emails")
			if err != nil || outcome.Kind != cpanelfake.FellBack || outcome.Location != link.URL {
				t.Errorf("got %v, %v, want the link's url %s", outcome, err, link.URL)
			}
		})
	}
	w.wantSignIns(t)
}

func TestOnceCommand(t *testing.T) {
	var out, errors bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	env := cli.Env{In: strings.NewReader(""), Out: &out, Err: &errors, Signals: ctx}
	if code := app.Main([]string{"--once"}, env); code != 0 {
		t.Fatalf("exit code: got %d, want 0; stderr: %s; stdout: %s", code, errors.String(), out.String())
	}
	for _, want := range []string{
		"1  200  GET ", "2  303  GET ", "3  200  GET ", "4  303  POST ", "5  200  GET ",
		"The portal saw subscriber 1001 (web01/alice) at /invoices",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("output has no %q:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "one_time_token=") {
		t.Errorf("the output has a one-time token:\n%s", out.String())
	}
	for arg, want := range map[string]string{
		"--nonsense": "demo: unknown flag: --nonsense\nUsage: demo [flags]\nSee `demo --help`.\n",
		"more":       "demo: `demo` takes no arguments, and got \"more\"\n",
	} {
		var errs bytes.Buffer
		env.Err = &errs
		if code := app.Main([]string{arg}, env); code != 2 || !strings.HasPrefix(errs.String(), want) {
			t.Errorf("%s: exit code %d and %q, want 2 and %q", arg, code, errs.String(), want)
		}
	}
}

// The demo's terminal tells what happens, one-time URLs that were used again
// included, and never the URL itself.
func TestDemoTellsWhatHappens(t *testing.T) {
	out := &lines{}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan int, 1)
	go func() {
		done <- app.Main(nil, cli.Env{In: strings.NewReader(""), Out: out, Err: out, Signals: ctx})
	}()
	address := regexp.MustCompile(`Open (http://\S+/)alice/`)
	var panel string
	for deadline := time.Now().Add(30 * time.Second); panel == ""; time.Sleep(10 * time.Millisecond) {
		if found := address.FindStringSubmatch(out.String()); found != nil {
			panel = found[1]
		}
		if time.Now().After(deadline) {
			t.Fatalf("the demo does not say what to open:\n%s", out)
		}
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Get(panel + "alice/go/latchkey_invoices")
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	for range 2 {
		r, err := http.NewRequest(http.MethodGet, response.Header.Get("Location"), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Sec-Fetch-Mode", "navigate")
		r.Header.Set("Sec-Fetch-Dest", "document")
		page, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = page.Body.Close()
	}
	stop()
	if code := <-done; code != 0 {
		t.Errorf("exit code: got %d, want 0", code)
	}
	for _, want := range []string{"broker: issued", "broker: redeemed", "broker: replayed", " UTC  stopped; nothing was kept"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the terminal does not say %q:\n%s", want, out)
		}
	}
	if strings.Contains(out.String(), "one_time_token=") {
		t.Errorf("the terminal shows a one-time token:\n%s", out)
	}
}

// lines is a terminal that can be read while it is written to.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
