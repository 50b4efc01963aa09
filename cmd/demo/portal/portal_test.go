package portal_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"

	"github.com/latchkey-sso/latchkey/cmd/demo/portal"
)

const (
	origin   = "http://127.0.0.1:8482"
	issuer   = "http://127.0.0.1:8480"
	audience = "https://portal.example.com"
	secret   = "s&cret/with=odd chars:+%"
)

// Key ids of the broker stub. The "stranger" key has been published nowhere.
const (
	kidEd, kidEC, kidRSA = "key-ed", "key-ec", "key-rsa"
)

// keys are made once: RSA takes its time.
var keys = sync.OnceValue(func() map[string]crypto.Signer {
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	_, stranger, _ := ed25519.GenerateKey(rand.Reader)
	ec, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	big, _ := rsa.GenerateKey(rand.Reader, 2048)
	return map[string]crypto.Signer{kidEd: ed, kidEC: ec, kidRSA: big, "stranger": stranger}
})

// stub is a broker that publishes keys and exchanges tokens as it is told.
type stub struct {
	*httptest.Server
	mu       sync.Mutex
	jwks     []byte
	down     bool
	fetches  int
	exchange http.HandlerFunc
}

func newStub(t *testing.T) *stub {
	s := &stub{}
	s.publish(t, kidEd, kidEC, kidRSA)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /jwks.json", func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.fetches++
		if s.down {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write(s.jwks)
	})
	mux.HandleFunc("POST /exchange", func(w http.ResponseWriter, r *http.Request) { s.exchange(w, r) })
	mux.HandleFunc("/elsewhere", func(http.ResponseWriter, *http.Request) { t.Error("a redirect of the broker was followed") })
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func (s *stub) publish(t *testing.T, kids ...string) {
	t.Helper()
	set := jwkset.NewMemoryStorage()
	for _, kid := range kids {
		jwk, err := jwkset.NewJWKFromKey(keys()[kid].Public(), jwkset.JWKOptions{
			Metadata: jwkset.JWKMetadataOptions{KID: kid, USE: jwkset.UseSig},
		})
		if err != nil {
			t.Fatalf("make JWK %s: %v", kid, err)
		}
		_ = set.KeyWrite(t.Context(), jwk)
	}
	raw, err := set.JSONPublic(t.Context())
	if err != nil {
		t.Fatalf("make JWKS: %v", err)
	}
	s.mu.Lock()
	s.jwks = raw
	s.mu.Unlock()
}

func (s *stub) setDown(down bool) {
	s.mu.Lock()
	s.down = down
	s.mu.Unlock()
}

func (s *stub) fetched() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fetches
}

// bench is a portal with a clock that stands still, and what it told of itself.
type bench struct {
	*portal.Portal
	broker *stub

	mu      sync.Mutex
	now     time.Time
	signed  []portal.SignIn
	refused []error
}

func newBench(t *testing.T, change ...func(*portal.Config)) *bench {
	t.Helper()
	b := &bench{broker: newStub(t), now: time.Date(2026, 5, 20, 12, 0, 0, 0, time.UTC)}
	cfg := portal.Config{
		PublicURL:    origin,
		Company:      "Harbour Hosting",
		Customers:    map[string]string{"1234": "Ada Example"},
		Issuer:       issuer,
		JWKSURL:      b.broker.URL + "/jwks.json",
		Audience:     audience,
		ExchangeURL:  b.broker.URL + "/exchange",
		ClientID:     "portal:1",
		ClientSecret: portal.NewSecret(secret),
		Now: func() time.Time {
			b.mu.Lock()
			defer b.mu.Unlock()
			return b.now
		},
		SignedIn: func(in portal.SignIn) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.signed = append(b.signed, in)
		},
		Refused: func(reason error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.refused = append(b.refused, reason)
		},
	}
	for _, f := range change {
		f(&cfg)
	}
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	p, err := portal.New(ctx, cfg)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	b.Portal = p
	return b
}

func (b *bench) advance(d time.Duration) {
	b.mu.Lock()
	b.now = b.now.Add(d)
	b.mu.Unlock()
}

func (b *bench) reasons() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return errors.Join(b.refused...)
}

func (b *bench) signIns() []portal.SignIn {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]portal.SignIn(nil), b.signed...)
}

// claims of a good assertion; with adds, replaces or (nil) removes.
func (b *bench) claims(with jwt.MapClaims) jwt.MapClaims {
	b.mu.Lock()
	now := b.now.Unix()
	b.mu.Unlock()
	c := jwt.MapClaims{
		"iss": issuer, "aud": audience, "sub": "1234", "jti": rand.Text(),
		"iat": now, "nbf": now, "exp": now + 60, "auth_time": now,
		"amr": []string{"cpanel"}, "acr": "panel",
		"cpanel":          map[string]any{"server": "web01", "user": "bob", "app": "latchkey_invoices"},
		"target_link_uri": origin + "/invoices?state=unpaid",
	}
	maps.Copy(c, with)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

func sign(t *testing.T, kid string, c jwt.MapClaims) string {
	t.Helper()
	method := map[string]jwt.SigningMethod{kidEC: jwt.SigningMethodES256, kidRSA: jwt.SigningMethodRS256}[kid]
	if method == nil {
		method = jwt.SigningMethodEdDSA
	}
	token := jwt.NewWithClaims(method, c)
	token.Header["typ"], token.Header["kid"] = "latchkey+jwt", kid
	raw, err := token.SignedString(keys()[kid])
	if err != nil {
		t.Fatalf("sign: %v", err)
	}
	return raw
}

func encode(v any) string {
	raw, _ := json.Marshal(v)
	return base64.RawURLEncoding.EncodeToString(raw)
}

func (b *bench) do(r *http.Request, cookies ...*http.Cookie) *http.Response {
	for _, c := range cookies {
		r.AddCookie(c)
	}
	w := httptest.NewRecorder()
	b.ServeHTTP(w, r)
	return w.Result()
}

func (b *bench) get(path string, cookies ...*http.Cookie) *http.Response {
	return b.do(httptest.NewRequest(http.MethodGet, path, nil), cookies...)
}

func (b *bench) post(path, body string, cookies ...*http.Cookie) *http.Response {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", "null")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	return b.do(r, cookies...)
}

func formOf(assertion, target string) string {
	return url.Values{"assertion": {assertion}, "target_link_uri": {target}}.Encode()
}

// present posts an assertion as the broker's page does.
func (b *bench) present(t *testing.T, c jwt.MapClaims, cookies ...*http.Cookie) *http.Response {
	t.Helper()
	target, _ := c["target_link_uri"].(string)
	return b.post("/sso/latchkey", formOf(sign(t, kidEd, c), target), cookies...)
}

// signIn returns the cookie of a customer who is signed in.
func (b *bench) signIn(t *testing.T, c jwt.MapClaims, cookies ...*http.Cookie) *http.Cookie {
	t.Helper()
	res := b.present(t, c, cookies...)
	if res.StatusCode != http.StatusSeeOther {
		t.Fatalf("sign in: got %d, want 303: %v", res.StatusCode, b.reasons())
	}
	return sessionOf(t, res)
}

func sessionOf(t *testing.T, res *http.Response) *http.Cookie {
	t.Helper()
	for _, c := range res.Cookies() {
		if c.Name == "portal_session" {
			return c
		}
	}
	t.Fatalf("no session cookie in %v", res.Header)
	return nil
}

func body(t *testing.T, res *http.Response) string {
	t.Helper()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("read body: %v", err)
	}
	return string(raw)
}

func wantStatus(t *testing.T, res *http.Response, want int) {
	t.Helper()
	if res.StatusCode != want {
		t.Fatalf("got status %d, want %d", res.StatusCode, want)
	}
}

func wantContains(t *testing.T, page, want string) {
	t.Helper()
	if !strings.Contains(page, want) {
		t.Errorf("page lacks %q:\n%s", want, page)
	}
}
