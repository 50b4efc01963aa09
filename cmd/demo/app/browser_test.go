package app_test

import (
	"context"
	"iter"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/latchkey-sso/latchkey/cmd/demo/app"
	"github.com/latchkey-sso/latchkey/cmd/demo/portal"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// browser is a Chromium with a fresh profile.
type browser struct {
	t   *testing.T
	ctx context.Context

	mu      sync.Mutex
	oneTime []string // one-time URLs that were navigated to
}

func startBrowser(t *testing.T) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		storetest.Missing(t, "chromium", "apt-get install chromium")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1280, 900),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("accept-lang", "en"))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	ctx, cancelAllocator := chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancelAllocator)
	ctx, cancelTab := chromedp.NewContext(ctx)
	b := &browser{t: t, ctx: ctx}
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx) // waits for the end of the browser
		cancelTab()
	})
	requests := chromedp.Events(ctx, network.RequestWillBeSent) // starts the browser
	if _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); err != nil {
		t.Fatalf("start chromium: %v", err)
	}
	go b.watch(requests)
	return b
}

// watch notes one-time URLs until the browser ends.
func (b *browser) watch(requests iter.Seq2[network.EventRequestWillBeSent, error]) {
	for event, err := range requests {
		if err != nil {
			return
		}
		if strings.Contains(event.Request.URL, "one_time_token=") {
			b.mu.Lock()
			b.oneTime = append(b.oneTime, event.Request.URL)
			b.mu.Unlock()
		}
	}
}

func (b *browser) do(what string, actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	run(b, what, chromedp.Steps(actions...))
}

// run performs one action within a bounded time.
func run[T any](b *browser, what string, action chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	defer cancel()
	value, err := chromedp.Run(ctx, action)
	if err != nil {
		ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
		defer cancel()
		where, _ := chromedp.Run(ctx, chromedp.Location())
		text, _ := chromedp.Run(ctx, chromedp.Text(chromedp.CSS("body")))
		b.t.Fatalf("%s: %v (at %s: %s)", what, err, where, text)
	}
	return value
}

// click opens an account's page and clicks a link in it.
func (b *browser) click(panel app.Panel, user, app string) {
	b.t.Helper()
	b.do("click "+app, chromedp.Navigate(panel.URL+"/"+user+"/"), chromedp.Click(chromedp.CSS(`a[href$="go/`+app+`"]`)))
}

// wantSignedIn waits for the portal's page.
func (b *browser) wantSignedIn(portalURL, page, subscriber string) {
	b.t.Helper()
	b.do("wait for the portal", chromedp.WaitVisible(chromedp.CSS("#subscriber")))
	gotSubscriber := run(b, "read the subscriber", chromedp.Text(chromedp.CSS("#subscriber")))
	gotPage := run(b, "read the page", chromedp.Text(chromedp.CSS("#page")))
	where := run(b, "read the address", chromedp.Location())
	if gotSubscriber != subscriber || gotPage != page || where != portalURL+page {
		b.t.Errorf("signed in: got subscriber %s, page %s at %s; want %s, %s at %s",
			gotSubscriber, gotPage, where, subscriber, page, portalURL+page)
	}
}

// wantTitle waits for a page with a title.
func (b *browser) wantTitle(want string) {
	b.t.Helper()
	b.do("wait for the page "+want, chromedp.WaitVisible(`//h1[text()="`+want+`"]`))
}

// lastOneTimeURL returns the one-time URL of the last click.
func (b *browser) lastOneTimeURL() string {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.oneTime) == 0 {
		b.t.Fatal("the browser was not sent to a one-time URL")
	}
	return b.oneTime[len(b.oneTime)-1]
}

func TestChromiumClicksAndStandsSignedIn(t *testing.T) {
	b := startBrowser(t)
	w := startWorld(t, app.Options{})
	b.click(w.panel(t, "web01"), "alice", "latchkey_invoices")
	b.wantSignedIn(w.PortalURL, "/invoices", "1001")
	b.click(w.panel(t, "web02"), "dave", "latchkey_open_ticket") // by the exchange; another customer in the same browser
	b.wantSignedIn(w.PortalURL, "/tickets/new", "1004")
	w.wantSignIns(t,
		portal.SignIn{Subscriber: "1001", Server: "web01", User: "alice", App: "latchkey_invoices", Page: "/invoices", Handoff: "form_post"},
		portal.SignIn{Subscriber: "1004", Server: "web02", User: "dave", App: "latchkey_open_ticket", Page: "/tickets/new", Handoff: "exchange"},
	)
}

func TestChromiumUsesTheURLAgain(t *testing.T) {
	b := startBrowser(t)
	w := startWorld(t, app.Options{})
	b.click(w.panel(t, "web01"), "alice", "latchkey_billing")
	b.wantSignedIn(w.PortalURL, "/billing", "1001")
	oneTime := b.lastOneTimeURL()
	b.do("go back", chromedp.NavigateBack(), chromedp.WaitReady(chromedp.CSS("body")))
	for range 2 {
		b.do("use the URL again", chromedp.Navigate(oneTime))
		b.wantTitle("This link has already been used")
	}
	way := run(b, "read the way on", chromedp.AttributeValue(chromedp.CSS(".ways a"), "href")).Value
	if want := w.PortalURL + "/login?next=%2Fbilling"; way != want {
		t.Errorf("way on: got %s, want %s", way, want)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.signIns) != 1 {
		t.Errorf("the portal saw %d sign-ins, want 1: %+v", len(w.signIns), w.signIns)
	}
}

func TestChromiumComesTooLate(t *testing.T) {
	b := startBrowser(t)
	w := startWorld(t, app.Options{})
	server := w.panel(t, "web01").Server
	for _, tt := range []struct {
		wait time.Duration
		page string
	}{{119 * time.Second, ""}, {121 * time.Second, "This link has expired"}} {
		outcome, err := server.Click(t.Context(), "bob", "latchkey_profile")
		if err != nil {
			t.Fatal(err)
		}
		w.Advance(tt.wait)
		b.do("follow the URL", chromedp.Navigate(outcome.Location))
		if tt.page == "" {
			b.wantSignedIn(w.PortalURL, "/profile", "1002")
		} else {
			b.wantTitle(tt.page)
		}
	}
	b.do("follow a made-up URL", chromedp.Navigate(w.BrokerURL+"/login?one_time_token="+strings.Repeat("A", 46)))
	b.wantTitle("This link is not valid")
}

func TestChromiumConfirms(t *testing.T) {
	b := startBrowser(t)
	w := startWorld(t, app.Options{Confirm: "always"})
	b.click(w.panel(t, "web01"), "bob", "latchkey_emails")
	b.wantTitle("Continue to your customer portal")
	w.wantSignIns(t)
	b.do("press the button", chromedp.Click(chromedp.CSS("button")))
	b.wantSignedIn(w.PortalURL, "/emails", "1002")
}

func TestChromiumWithoutJavaScript(t *testing.T) {
	b := startBrowser(t)
	w := startWorld(t, app.Options{})
	if _, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		t.Fatal(err)
	}
	b.click(w.panel(t, "web01"), "bob", "latchkey_downloads")
	b.wantTitle("Signing you in…")
	b.do("press the button", chromedp.Click(chromedp.CSS("button")))
	b.wantSignedIn(w.PortalURL, "/downloads", "1002")
}

// A store that fails loses no click: the page's button brings the same browser
// in, and nobody else.
func TestChromiumTriesAgainAfterAFailure(t *testing.T) {
	b := startBrowser(t)
	w := startWorld(t, app.Options{})
	outcome, err := w.panel(t, "web01").Server.Click(t.Context(), "alice", "latchkey_upgrade")
	if err != nil {
		t.Fatal(err)
	}
	w.FailStore("ERR the store is away")
	b.do("follow the URL", chromedp.Navigate(outcome.Location))
	b.wantTitle("One moment, please")
	w.FailStore("")
	b.do("try again", chromedp.Click(chromedp.CSS("button")))
	b.wantSignedIn(w.PortalURL, "/upgrade", "1001")
}
