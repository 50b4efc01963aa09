package portal_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/latchkey-sso/latchkey/cmd/demo/portal"
)

const token = "one-time-token-one-time-token"

// answer writes what the exchange says of c, and the assertion for it.
func answer(w http.ResponseWriter, c jwt.MapClaims, assertion string) {
	reply := jwt.MapClaims{"assertion": assertion}
	for k, v := range c {
		reply[k] = v
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(reply)
}

func fail(status int, code string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"error":%q,"error_description":"inner words"}`, code)
	}
}

// lose drops the connection in place of an answer.
func lose(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		_ = conn.Close()
	}
}

// claimIDs notes the claim id of each call.
type claimIDs struct {
	mu  sync.Mutex
	ids []string
}

func (c *claimIDs) note(r *http.Request) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ids = append(c.ids, r.PostFormValue("claim_id"))
	return len(c.ids)
}

func (c *claimIDs) all() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.ids...)
}

func TestExchangeSignsOn(t *testing.T) {
	b := newBench(t)
	c := b.claims(nil)
	b.broker.exchange = func(w http.ResponseWriter, r *http.Request) {
		id, pass, _ := r.BasicAuth()
		id, _ = url.QueryUnescape(id)
		pass, _ = url.QueryUnescape(pass)
		if id != "portal:1" || pass != secret {
			t.Errorf("client: got %q %q", id, pass)
		}
		if got := r.PostFormValue("one_time_token"); got != token {
			t.Errorf("one_time_token: got %q", got)
		}
		if got := r.PostFormValue("claim_id"); len(got) < 22 {
			t.Errorf("claim_id: got %q, want at least 128 bits", got)
		}
		answer(w, c, sign(t, kidEd, c))
	}
	res := b.get("/sso/exchange?one_time_token=" + token)
	if res.StatusCode != http.StatusSeeOther {
		t.Fatalf("got %d, want 303: %v", res.StatusCode, b.reasons())
	}
	if got, want := res.Header.Get("Location"), origin+"/invoices?state=unpaid"; got != want {
		t.Errorf("Location: got %q, want %q", got, want)
	}
	if got := b.signIns(); len(got) != 1 || got[0].Handoff != "exchange" || got[0].Subscriber != "1234" {
		t.Errorf("SignedIn: got %+v", got)
	}
	// The assertion that came along is spent, too.
	wantStatus(t, b.post("/sso/latchkey", formOf(sign(t, kidEd, c), c["target_link_uri"].(string))), http.StatusForbidden)
}

func TestLostReplyIsAskedForAgainUnderTheSameClaim(t *testing.T) {
	cases := map[string]http.HandlerFunc{
		"connection lost": func(w http.ResponseWriter, _ *http.Request) { lose(w) },
		"half an answer": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte(`{"iss":`))
		},
		"time-out":        func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"bad gateway":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
		"broker starting": fail(http.StatusServiceUnavailable, "temporarily_unavailable"),
	}
	for name, lost := range cases {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, func(c *portal.Config) {
				c.HTTPClient = &http.Client{Timeout: 300 * time.Millisecond, Transport: &http.Transport{DisableKeepAlives: true}}
			})
			var claims claimIDs
			c := b.claims(nil)
			b.broker.exchange = func(w http.ResponseWriter, r *http.Request) {
				if claims.note(r) < 3 {
					lost(w, r)
					return
				}
				answer(w, c, sign(t, kidEd, c))
			}
			res := b.get("/sso/exchange?one_time_token=" + token)
			if res.StatusCode != http.StatusSeeOther {
				t.Errorf("got %d, want 303: %v", res.StatusCode, b.reasons())
			}
			if got := claims.all(); len(got) != 3 || got[0] != got[1] || got[1] != got[2] || got[0] == "" {
				t.Errorf("claim ids: got %q, want the same three times", got)
			}
		})
	}
}

func TestExchangeGivesUpAfterThreeCalls(t *testing.T) {
	b := newBench(t)
	var claims claimIDs
	b.broker.exchange = func(w http.ResponseWriter, r *http.Request) { claims.note(r); lose(w) }
	res := b.get("/sso/exchange?one_time_token=" + token)
	wantStatus(t, res, http.StatusServiceUnavailable)
	if res.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if got := len(claims.all()); got != 3 {
		t.Errorf("got %d calls, want 3", got)
	}
	b.get("/sso/exchange?one_time_token=" + token)
	if got := claims.all(); got[0] == got[3] {
		t.Error("another attempt of the customer has the same claim id")
	}
}

func TestExchangeErrorsBecomePages(t *testing.T) {
	good := func(b *bench, t *testing.T, with, signed jwt.MapClaims) http.HandlerFunc {
		c := b.claims(nil)
		said, inside := jwt.MapClaims{}, jwt.MapClaims{}
		for k, v := range c {
			said[k], inside[k] = v, v
		}
		for k, v := range with {
			said[k] = v
		}
		for k, v := range signed {
			inside[k] = v
		}
		return func(w http.ResponseWriter, _ *http.Request) { answer(w, said, sign(t, kidEd, inside)) }
	}
	always := func(h http.HandlerFunc) func(*bench, *testing.T) http.HandlerFunc {
		return func(*bench, *testing.T) http.HandlerFunc { return h }
	}
	differ := func(claim string, v any) func(*bench, *testing.T) http.HandlerFunc {
		return func(b *bench, t *testing.T) http.HandlerFunc { return good(b, t, jwt.MapClaims{claim: v}, nil) }
	}
	cases := map[string]struct {
		exchange func(*bench, *testing.T) http.HandlerFunc
		want     int
	}{
		"invalid_grant":           {always(fail(400, "invalid_grant")), 403},
		"invalid_client":          {always(fail(401, "invalid_client")), 502},
		"invalid_request":         {always(fail(400, "invalid_request")), 502},
		"unknown error":           {always(fail(400, "<script>")), 502},
		"slow_down":               {always(fail(429, "slow_down")), 503},
		"temporarily_unavailable": {always(fail(503, "temporarily_unavailable")), 503},
		"an HTML page":            {always(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }), 502},
		"half JSON": {always(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"iss":`))
		}), 502},
		"endless JSON": {always(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"iss":"` + strings.Repeat("x", 100<<10) + `"}`))
		}), 502},
		"a redirect": {always(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}), 502},
		"no assertion":            {always(func(w http.ResponseWriter, _ *http.Request) { answer(w, jwt.MapClaims{"sub": "1234"}, "") }), 502},
		"assertion not for us":    {func(b *bench, t *testing.T) http.HandlerFunc { return good(b, t, nil, jwt.MapClaims{"aud": "x"}) }, 502},
		"another sub":             {differ("sub", "99"), 502},
		"another jti":             {differ("jti", "x"), 502},
		"another iss":             {differ("iss", "x"), 502},
		"another aud":             {differ("aud", "x"), 502},
		"another iat":             {differ("iat", 1), 502},
		"another nbf":             {differ("nbf", 1), 502},
		"another exp":             {differ("exp", 1), 502},
		"another auth_time":       {differ("auth_time", 1), 502},
		"no auth_time":            {differ("auth_time", nil), 502},
		"another amr":             {differ("amr", []string{"pwd"}), 502},
		"another acr":             {differ("acr", "x"), 502},
		"another cpanel":          {differ("cpanel", map[string]any{"server": "web02"}), 502},
		"another target_link_uri": {differ("target_link_uri", origin+"/profile"), 502},
		"target on another origin": {func(b *bench, t *testing.T) http.HandlerFunc {
			e := jwt.MapClaims{"target_link_uri": "http://evil.example/"}
			return good(b, t, e, e)
		}, 403},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.broker.exchange = tc.exchange(b, t)
			res := b.get("/sso/exchange?one_time_token=" + token)
			page := body(t, res)
			if res.StatusCode != tc.want {
				t.Errorf("got %d, want %d: %v", res.StatusCode, tc.want, b.reasons())
			}
			wantContains(t, page, `href="/login"`)
			reason := fmt.Sprint(b.reasons())
			for _, hidden := range []string{token, secret, url.QueryEscape(secret), "inner words"} {
				if strings.Contains(reason, hidden) || strings.Contains(page, hidden) {
					t.Errorf("%q is shown: %s\n%s", hidden, reason, page)
				}
			}
			if got := b.signIns(); len(got) != 0 {
				t.Errorf("signed in: %+v", got)
			}
		})
	}
}

func TestOnlyNavigationExchanges(t *testing.T) {
	cases := map[string]func(*http.Request){
		"HEAD":           func(r *http.Request) { r.Method = http.MethodHead },
		"prefetch":       func(r *http.Request) { r.Header.Set("Sec-Purpose", "prefetch") },
		"prerender":      func(r *http.Request) { r.Header.Set("Sec-Purpose", "prefetch;prerender") },
		"old prefetch":   func(r *http.Request) { r.Header.Set("Purpose", "prefetch") },
		"Mozilla's":      func(r *http.Request) { r.Header.Set("X-Moz", "prefetch") },
		"an image":       func(r *http.Request) { r.Header.Set("Sec-Fetch-Dest", "image") },
		"a script fetch": func(r *http.Request) { r.Header.Set("Sec-Fetch-Mode", "cors") },
		"a frame":        func(r *http.Request) { r.Header.Set("Sec-Fetch-Dest", "iframe") },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.broker.exchange = func(http.ResponseWriter, *http.Request) { t.Error("the exchange was called") }
			r := httptest.NewRequest(http.MethodGet, "/sso/exchange?one_time_token="+token, nil)
			change(r)
			res := b.do(r)
			wantStatus(t, res, http.StatusOK)
			wantContains(t, body(t, res), `<form method="post" action="/sso/exchange">`)
		})
	}
	t.Run("the button does", func(t *testing.T) {
		b := newBench(t)
		c := b.claims(nil)
		b.broker.exchange = func(w http.ResponseWriter, _ *http.Request) { answer(w, c, sign(t, kidEd, c)) }
		form := url.Values{"one_time_token": {token}}.Encode()
		wantStatus(t, b.post("/sso/exchange", form), http.StatusForbidden) // pressed by another site
		r := httptest.NewRequest(http.MethodPost, "/sso/exchange", strings.NewReader(form))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		wantStatus(t, b.do(r), http.StatusSeeOther)
	})
	for _, query := range []string{"", "?one_time_token=", "?one_time_token=a&one_time_token=b", "?one_time_token=" + strings.Repeat("a", 600)} {
		t.Run("query "+query[:min(len(query), 30)], func(t *testing.T) {
			b := newBench(t)
			b.broker.exchange = func(http.ResponseWriter, *http.Request) { t.Error("the exchange was called") }
			wantStatus(t, b.get("/sso/exchange"+query), http.StatusForbidden)
		})
	}
	t.Run("switched off", func(t *testing.T) {
		b := newBench(t, func(c *portal.Config) { c.ExchangeURL = "" })
		wantStatus(t, b.get("/sso/exchange?one_time_token="+token), http.StatusSeeOther) // a page like any other
	})
}
