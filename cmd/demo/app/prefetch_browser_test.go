package app_test

import (
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/latchkey-sso/latchkey/cmd/demo/app"
	"github.com/latchkey-sso/latchkey/cmd/demo/portal"
)

// speculative is a site whose page lets a browser load a URL before anybody clicks:
// by <link>, by speculation rules, as a picture, in a frame. The URL leads through
// the site to the broker, so that the site sees what the browser does.
type speculative struct {
	*httptest.Server
	mu   sync.Mutex
	seen []string
}

func startSpeculative(t *testing.T, broker, oneTimePath string) *speculative {
	t.Helper()
	target, err := url.Parse(broker)
	if err != nil {
		t.Fatal(err)
	}
	s := &speculative{}
	proxy := httputil.NewSingleHostReverseProxy(target)
	mux := http.NewServeMux()
	mux.HandleFunc("/login", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.seen = append(s.seen, fmt.Sprintf("%s purpose=%q mode=%s dest=%s", r.Method, r.Header.Get("Sec-Purpose"), r.Header.Get("Sec-Fetch-Mode"), r.Header.Get("Sec-Fetch-Dest")))
		s.mu.Unlock()
		proxy.ServeHTTP(w, r)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		link := html.EscapeString(oneTimePath)
		_, _ = fmt.Fprintf(w, `<!doctype html><title>speculative</title>
<link rel="prefetch" href="%[1]s&amp;n=1"><link rel="prerender" href="%[1]s&amp;n=2"><link rel="preload" as="fetch" href="%[1]s&amp;n=3">
<script type="speculationrules">{"prefetch":[{"source":"list","urls":[%[2]q],"eagerness":"immediate"}],"prerender":[{"source":"list","urls":[%[3]q],"eagerness":"immediate"}]}</script>
<img src="%[1]s&amp;n=6"><iframe src="%[1]s&amp;n=7"></iframe><a id="link" href="%[1]s">sign in</a>`,
			link, oneTimePath+"&n=4", oneTimePath+"&n=5")
	})
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func (s *speculative) all() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.seen, "\n")
}

// A browser that loads a one-time URL before anybody clicked it, in every way that
// it has, consumes nothing; the click that follows signs on. (No twin: the click
// shows that the token was there to be consumed.)
func TestChromiumPrefetchesAndConsumesNothing(t *testing.T) {
	b := startBrowser(t)
	w := startWorld(t, app.Options{})
	outcome, err := w.panel(t, "web01").Server.Click(t.Context(), "alice", "latchkey_invoices")
	if err != nil {
		t.Fatal(err)
	}
	path := strings.TrimPrefix(outcome.Location, w.BrokerURL)
	s := startSpeculative(t, w.BrokerURL, path)
	b.do("open the page", chromedp.Navigate(s.URL), chromedp.WaitReady(chromedp.CSS("#link")))
	wanted := []string{`purpose="prefetch"`, `purpose="prefetch;prerender"`, "dest=image", "dest=iframe"}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) { // the browser decides when
		missing := wanted[:0:0]
		for _, want := range wanted {
			if !strings.Contains(s.all(), want) {
				missing = append(missing, want)
			}
		}
		if len(missing) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the browser did not load the URL with %q, but\n%s", missing, s.all())
		}
	}
	w.wantSignIns(t)
	b.do("follow the URL", chromedp.Navigate(outcome.Location))
	b.wantSignedIn(w.PortalURL, "/invoices", "1001")
	w.wantSignIns(t, portal.SignIn{Subscriber: "1001", Server: "web01", User: "alice", App: "latchkey_invoices", Page: "/invoices", Handoff: "form_post"})
	t.Logf("the browser loaded\n%s", s.all())
}
