package api_test

import (
	"bytes"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/latchkey-sso/latchkey/api"
	"github.com/latchkey-sso/latchkey/broker"
)

func TestKeySet(t *testing.T) {
	d := &domain{}
	a := newServer(t, d).send(t, get("/.well-known/jwks.json"))
	if a.status != 200 || a.body != string(d.KeySet()) {
		t.Errorf("got %d %s, want 200 %s", a.status, a.body, d.KeySet())
	}
	if got, want := a.header.Get("Content-Type"), "application/jwk-set+json"; got != want {
		t.Errorf("Content-Type: got %q, want %q", got, want)
	}
	if got, want := a.header.Get("Cache-Control"), "public, max-age=300"; got != want {
		t.Errorf("Cache-Control: got %q, want %q", got, want)
	}
	if got := broker.KeySetMaxAge; got >= broker.KeyOverlap {
		t.Errorf("a portal may keep keys for %v, want less than the overlap of %v", got, broker.KeyOverlap)
	}
}

// TestThePublicURLsPathBeginsEveryRoute is for a broker below another site.
func TestThePublicURLsPathBeginsEveryRoute(t *testing.T) {
	tests := []struct{ url, prefix string }{
		{"https://example.com/sso", "/sso"},
		{"https://example.com/a/b", "/a/b"},
		{"https://example.com", ""},
	}
	for _, test := range tests {
		t.Run(test.url, func(t *testing.T) {
			d := &domain{}
			s := newServer(t, d, func(c *api.Config) { c.PublicURL = test.url })
			requests := func(prefix string) []*http.Request {
				return []*http.Request{
					post(prefix+"/autologin?"+linkQuery, formType, linkBody),
					navigation(prefix + loginPath),
					post(prefix+"/login", formType, "one_time_token="+tokenText),
					httptest.NewRequest("HEAD", prefix+"/login", nil),
					post(prefix+"/exchange", formType, "one_time_token="+tokenText+"&client_id=portal"),
					get(prefix + "/.well-known/jwks.json"),
				}
			}
			for _, r := range requests(test.prefix) {
				if a := s.send(t, r); a.status != 200 {
					t.Errorf("%s %s: got %d %s, want 200", r.Method, r.URL.Path, a.status, a.body)
				}
			}
			before := d.calls()
			for _, r := range requests(test.prefix + "/x") {
				if a := s.send(t, r); a.status != 404 {
					t.Errorf("%s %s: got %d, want 404", r.Method, r.URL.Path, a.status)
				}
			}
			if test.prefix != "" {
				for _, r := range requests("") {
					if a := s.send(t, r); a.status != 404 {
						t.Errorf("%s %s: got %d, want 404", r.Method, r.URL.Path, a.status)
					}
				}
			}
			if got := d.calls(); got != before {
				t.Errorf("other addresses called the domain %d times, want 0", got-before)
			}
			page := parsePage(t, s.send(t, get(test.prefix+loginPath)))
			if want := test.url + "/login"; page.action != want {
				t.Errorf("the button goes to %q, want %q", page.action, want)
			}
		})
	}
}

func TestNewRefusesWhatIsNoURL(t *testing.T) {
	for _, u := range []string{"https://sso.example.com:port", "://", "https://sso.example.com/%zz"} {
		if _, err := api.New(api.Config{Domain: &domain{}, Log: zap.NewNop(), PublicURL: u}); err == nil {
			t.Errorf("New with the public URL %q: got no error, want one", u)
		}
	}
}

func TestHTTPServerCutsSlowClients(t *testing.T) {
	handler := newServer(t, &domain{})
	settings := &tls.Config{MinVersion: tls.VersionTLS12}
	var log bytes.Buffer
	core := zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(&log), zap.DebugLevel)
	s := api.HTTPServer(handler, settings, zap.New(core))
	timeouts := map[string]struct{ got, most time.Duration }{
		"ReadHeaderTimeout": {s.ReadHeaderTimeout, 10 * time.Second},
		"ReadTimeout":       {s.ReadTimeout, 30 * time.Second},
		"WriteTimeout":      {s.WriteTimeout, time.Minute},
		"IdleTimeout":       {s.IdleTimeout, 2 * time.Minute},
	}
	for name, timeout := range timeouts {
		if timeout.got <= 0 || timeout.got > timeout.most {
			t.Errorf("%s: got %v, want one of at most %v", name, timeout.got, timeout.most)
		}
	}
	if s.WriteTimeout <= s.ReadTimeout {
		t.Errorf("WriteTimeout: got %v, want more than ReadTimeout, %v, which it includes", s.WriteTimeout, s.ReadTimeout)
	}
	if s.MaxHeaderBytes <= 0 || s.MaxHeaderBytes > 64<<10 {
		t.Errorf("MaxHeaderBytes: got %d, want at most 64 KiB", s.MaxHeaderBytes)
	}
	if s.Handler != http.Handler(handler) || s.TLSConfig != settings {
		t.Error("the handler or the TLS settings are not those that were given")
	}
	s.ErrorLog.Print("said by net/http")
	if !strings.Contains(log.String(), "said by net/http") {
		t.Errorf("what net/http says is not in the log: %q", log.String())
	}
}

func TestHTTPServerRefusesLargeHeaders(t *testing.T) {
	d := &domain{}
	live := httptest.NewUnstartedServer(nil)
	live.Config = api.HTTPServer(newServer(t, d), nil, zap.NewNop())
	live.Start()
	defer live.Close()
	r, err := http.NewRequestWithContext(t.Context(), "GET", live.URL+loginPath, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept-Language", strings.Repeat("x", 32<<10))
	response, err := live.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil {
		t.Error(err)
	}
	if response.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("got %d, want 431", response.StatusCode)
	}
}

// TestManyAtOnce is for the race detector: requests of all kinds, one token
// that many browsers want.
func TestManyAtOnce(t *testing.T) {
	b, _ := newBroker(t)
	s := newServer(t, b, burst(1e6))
	_, token, _ := strings.Cut(s.send(t, autologin()).body, "one_time_token=")
	token = strings.TrimSuffix(token, "\"}\n")
	var (
		group sync.WaitGroup
		mu    sync.Mutex
		count = map[int]int{}
	)
	for range 16 {
		group.Go(func() {
			s.send(t, autologin())
			s.send(t, exchange())
			s.send(t, get("/.well-known/jwks.json"))
			a := s.send(t, navigation("/login?one_time_token="+token))
			mu.Lock()
			defer mu.Unlock()
			count[a.status]++
		})
	}
	group.Wait()
	if count[200] != 1 || count[410] != 15 {
		t.Errorf("got the statuses %v, want 200 once and 410 15 times", count)
	}
}
