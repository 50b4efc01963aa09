package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/latchkey-sso/latchkey/api"
	"github.com/latchkey-sso/latchkey/broker"
)

const (
	publicURL     = "https://sso.example.com"
	portalLogin   = "https://portal.example.com/sso/latchkey"
	portalWayOn   = "https://portal.example.com/login"
	target        = "https://portal.example.com/billing?tab=open"
	linkToken     = "canary-link-token-0123456789"
	assertionText = "canary-header.canary-claims.canary-signature"
	claimText     = "canary-claim-0123456789"
	clientSecret  = "canary client:secret"
	redirectURL   = publicURL + "/login?one_time_token=" + tokenText
	// tokenText has the form of a one-time token.
	tokenText = "tagCanaryOneTimeToken-0123456789_0123456789abc"

	linkQuery = "server=web01&user=bob&app=latchkey_billing"
	linkBody  = "token=" + linkToken + "&subscriber_unique_id=1234"
	formType  = "application/x-www-form-urlencoded"
	jsonType  = "application/json"
)

// domain is a function stub of api.Domain that remembers its calls. What is not
// set succeeds.
type domain struct {
	autologin func(broker.AutologinRequest) (broker.Answer, error)
	login     func(broker.LoginRequest) (broker.FormPost, error)
	exchange  func(broker.ExchangeRequest) (broker.Exchanged, error)
	waysOn    []string

	mu         sync.Mutex
	autologins []broker.AutologinRequest
	logins     []broker.LoginRequest
	exchanges  []broker.ExchangeRequest
}

var _ api.Domain = (*domain)(nil)

func (d *domain) Autologin(_ context.Context, r broker.AutologinRequest) (broker.Answer, error) {
	d.mu.Lock()
	d.autologins = append(d.autologins, r)
	d.mu.Unlock()
	if d.autologin != nil {
		return d.autologin(r)
	}
	return broker.Answer{RedirectURL: broker.NewSecret(redirectURL)}, nil
}

func (d *domain) Login(_ context.Context, r broker.LoginRequest) (broker.FormPost, error) {
	d.mu.Lock()
	d.logins = append(d.logins, r)
	d.mu.Unlock()
	if d.login != nil {
		return d.login(r)
	}
	return handover(portalLogin, target), nil
}

func (d *domain) Exchange(_ context.Context, r broker.ExchangeRequest) (broker.Exchanged, error) {
	d.mu.Lock()
	d.exchanges = append(d.exchanges, r)
	d.mu.Unlock()
	if d.exchange != nil {
		return d.exchange(r)
	}
	return exchanged(), nil
}

func (d *domain) KeySet() []byte { return []byte(`{"keys":[{"kid":"one"}]}`) }

func (d *domain) WaysOn() []string {
	if d.waysOn != nil {
		return d.waysOn
	}
	return []string{portalWayOn}
}

// calls is how often any method that does something was called.
func (d *domain) calls() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.autologins) + len(d.logins) + len(d.exchanges)
}

// forget empties the memory of calls.
func (d *domain) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.autologins, d.logins, d.exchanges = nil, nil, nil
}

// refuse makes every method answer err.
func (d *domain) refuse(err error) {
	d.autologin = func(broker.AutologinRequest) (broker.Answer, error) { return broker.Answer{}, err }
	d.login = func(broker.LoginRequest) (broker.FormPost, error) { return broker.FormPost{}, err }
	d.exchange = func(broker.ExchangeRequest) (broker.Exchanged, error) { return broker.Exchanged{}, err }
}

func handover(login, target string) broker.FormPost {
	return broker.FormPost{
		LoginURL: login, Origin: originOf(login), Assertion: broker.Assertion{Secret: broker.NewSecret(assertionText)}, TargetLinkURI: target,
	}
}

func originOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

func exchanged() broker.Exchanged {
	return broker.Exchanged{
		Claims: broker.Claims{
			Issuer: publicURL, Audience: "https://portal.example.com", Subject: "1234", ID: "an-id",
			IssuedAt: 1000, NotBefore: 1000, Expires: 1060, AuthTime: 990,
			Methods: []string{"cpanel"}, Class: broker.PanelAccess,
			Panel:         broker.PanelClaims{Server: "web01", User: "bob", App: "latchkey_billing"},
			TargetLinkURI: target,
		},
		Assertion: broker.Assertion{Secret: broker.NewSecret(assertionText)},
	}
}

// server is a Server whose log can be read and whose every answer is checked
// for the headers that all answers carry.
type server struct {
	*api.Server
	https   bool
	entries *observer.ObservedLogs
	log     *lockedBuffer
}

func newServer(t testing.TB, d api.Domain, change ...func(*api.Config)) *server {
	t.Helper()
	core, entries := observer.New(zap.DebugLevel)
	text := &lockedBuffer{}
	encoder := zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig())
	cfg := api.Config{
		Domain:    d,
		Log:       zap.New(zapcore.NewTee(core, zapcore.NewCore(encoder, text, zap.DebugLevel))),
		PublicURL: publicURL, Confirm: api.ConfirmAuto, ClaimTTL: 2 * time.Minute,
	}
	for _, c := range change {
		c(&cfg)
	}
	s, err := api.New(cfg)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return &server{Server: s, https: strings.HasPrefix(cfg.PublicURL, "https:"), entries: entries, log: text}
}

type answer struct {
	status int
	header http.Header
	body   string
}

func (s *server) send(t testing.TB, r *http.Request) answer {
	t.Helper()
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	a := answer{w.Code, w.Header(), w.Body.String()}
	for _, problem := range headerProblems(a, s.https) {
		t.Errorf("%s %s, status %d: %s", r.Method, r.URL.Path, a.status, problem)
	}
	return a
}

// headerProblems says what is wrong with the headers that every answer carries.
func headerProblems(a answer, https bool) []string {
	want := map[string]string{
		"Referrer-Policy":              "no-referrer",
		"X-Content-Type-Options":       "nosniff",
		"X-Frame-Options":              "DENY",
		"X-Robots-Tag":                 "noindex, nofollow",
		"Cross-Origin-Opener-Policy":   "same-origin",
		"Cross-Origin-Resource-Policy": "same-origin",
		"Permissions-Policy":           "camera=(), geolocation=(), microphone=(), payment=()",
		"Cache-Control":                "no-store",
	}
	if https {
		want["Strict-Transport-Security"] = "max-age=63072000"
	}
	if a.header.Get("Content-Type") == "application/jwk-set+json" {
		want["Cache-Control"] = "public, max-age=300"
	}
	var problems []string
	for name, value := range want {
		if got := a.header.Values(name); !slices.Equal(got, []string{value}) {
			problems = append(problems, fmt.Sprintf("header %s: got %q, want %q once", name, got, value))
		}
	}
	if got := a.header.Values("Strict-Transport-Security"); !https && len(got) > 0 {
		problems = append(problems, fmt.Sprintf("header Strict-Transport-Security: got %q, want none over HTTP", got))
	}
	if got := a.header.Values("X-Request-Id"); len(got) != 1 || len(got[0]) < 8 {
		problems = append(problems, fmt.Sprintf("header X-Request-Id: got %q, want one id", got))
	}
	policy := a.header.Values("Content-Security-Policy")
	if len(policy) != 1 {
		return append(problems, fmt.Sprintf("header Content-Security-Policy: got %q, want one", policy))
	}
	for _, directive := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action "} {
		if !strings.Contains(policy[0], directive) {
			problems = append(problems, fmt.Sprintf("Content-Security-Policy %q: want %q in it", policy[0], directive))
		}
	}
	return problems
}

// post makes a POST of a body; no header is set for an empty content type.
func post(path, contentType, body string) *http.Request {
	return withType(httptest.NewRequest(http.MethodPost, path, strings.NewReader(body)), contentType)
}

func withType(r *http.Request, contentType string) *http.Request {
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	return r
}

func autologin() *http.Request { return post("/autologin?"+linkQuery, formType, linkBody) }

func exchange() *http.Request {
	r := post("/exchange", formType, "one_time_token="+tokenText)
	r.SetBasicAuth("portal", "canary+client%3Asecret")
	return r
}

// get makes a GET of a path by a program.
func get(path string) *http.Request { return httptest.NewRequest(http.MethodGet, path, nil) }

// navigation makes a GET of a path by a person's browser.
func navigation(path string) *http.Request {
	r := get(path)
	r.Header.Set("Accept", "text/html,application/xhtml+xml")
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	return r
}

const loginPath = "/login?one_time_token=" + tokenText

type problemBody struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
	RequestID   string `json:"request_id"`
}

// problem reads the JSON of a refusal.
func (a answer) problem(t testing.TB) problemBody {
	t.Helper()
	var p problemBody
	decoder := json.NewDecoder(strings.NewReader(a.body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&p); err != nil {
		t.Fatalf("the body %q is no refusal: %v", a.body, err)
	}
	if got, want := a.header.Get("Content-Type"), "application/json"; got != want {
		t.Errorf("Content-Type: got %q, want %q", got, want)
	}
	return p
}

type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

var _ zapcore.WriteSyncer = (*lockedBuffer)(nil)

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) Sync() error { return nil }

func (b *lockedBuffer) Reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.buffer.Reset()
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}

// unsized hides how long a body is, so that it is sent in chunks.
type unsized struct{ io.Reader }
