package portal_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/latchkey-sso/latchkey/cmd/demo/portal"
)

// signedIn reports whether a cookie opens the portal.
func (b *bench) signedIn(c *http.Cookie) bool {
	return b.get("/billing", c).StatusCode == http.StatusOK
}

func TestSessionCookie(t *testing.T) {
	for _, public := range []string{origin, "https://portal.example.com/"} {
		t.Run(public, func(t *testing.T) {
			b := newBench(t, func(c *portal.Config) { c.PublicURL = public })
			c := b.signIn(t, b.claims(jwt.MapClaims{"target_link_uri": strings.TrimSuffix(public, "/") + "/tickets"}))
			secure := strings.HasPrefix(public, "https:")
			if c.Path != "/" || c.Domain != "" || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Secure != secure || len(c.Value) != 43 {
				t.Errorf("got %+v", c)
			}
		})
	}
}

func TestSignInReplacesTheFormerSession(t *testing.T) {
	b := newBench(t)
	planted := &http.Cookie{Name: "portal_session", Value: strings.Repeat("A", 43)}
	first := b.signIn(t, b.claims(nil), planted)
	if first.Value == planted.Value || b.signedIn(planted) {
		t.Error("a planted id became a session")
	}
	second := b.signIn(t, b.claims(jwt.MapClaims{"sub": "99"}), first)
	if second.Value == first.Value {
		t.Error("the id stays the same")
	}
	if b.signedIn(first) {
		t.Error("the former customer's session lives on")
	}
	wantContains(t, body(t, b.get("/billing", second)), `<dd id="subscriber">99</dd>`)
}

func TestSessionEnds(t *testing.T) {
	t.Run("30 minutes idle", func(t *testing.T) {
		b := newBench(t)
		c := b.signIn(t, b.claims(nil))
		for range 3 {
			b.advance(29 * time.Minute)
			if !b.signedIn(c) {
				t.Fatal("ended although in use")
			}
		}
		b.advance(30 * time.Minute)
		if b.signedIn(c) {
			t.Error("lives on")
		}
	})
	t.Run("12 hours", func(t *testing.T) {
		b := newBench(t)
		c := b.signIn(t, b.claims(nil))
		for range 35 {
			b.advance(20 * time.Minute)
			if !b.signedIn(c) {
				t.Fatal("ended too early")
			}
		}
		b.advance(20 * time.Minute)
		if b.signedIn(c) {
			t.Error("lives on")
		}
	})
	t.Run("signing out", func(t *testing.T) {
		b := newBench(t)
		c := b.signIn(t, b.claims(nil))
		other := b.signIn(t, b.claims(nil))
		r := httptest.NewRequest(http.MethodPost, "/logout", nil)
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		res := b.do(r, c)
		wantStatus(t, res, http.StatusSeeOther)
		if got := sessionOf(t, res); got.MaxAge >= 0 || got.Value != "" {
			t.Errorf("cookie: got %+v, want it gone", got)
		}
		if b.signedIn(c) {
			t.Error("lives on")
		}
		if !b.signedIn(other) {
			t.Error("another browser was signed out, too")
		}
	})
	t.Run("not because another site says so", func(t *testing.T) {
		b := newBench(t)
		c := b.signIn(t, b.claims(nil))
		wantStatus(t, b.post("/logout", "", c), http.StatusForbidden)
		wantStatus(t, b.get("/logout", c), http.StatusOK) // a page like any other
		if !b.signedIn(c) {
			t.Error("signed out")
		}
	})
}

func TestWithoutASessionEveryPageLeadsToTheLogin(t *testing.T) {
	b := newBench(t)
	for _, path := range []string{"/", "/invoices", "/tickets?id=7&x=%2f", "/a/b/c"} {
		res := b.get(path)
		wantStatus(t, res, http.StatusSeeOther)
		if got, want := res.Header.Get("Location"), origin+"/login?next="+url.QueryEscape(path); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
	res := b.get("/login?next=%2Ftickets%3Fid%3D7")
	wantStatus(t, res, http.StatusOK)
	page := body(t, res)
	wantContains(t, page, "This sample portal has no passwords")
	wantContains(t, page, "/tickets?id=7")
	if strings.Contains(page, "<form") {
		t.Error("the login page has a form")
	}
}

func TestNextLeadsNowhereElse(t *testing.T) {
	b := newBench(t)
	c := b.signIn(t, b.claims(nil))
	local := map[string]string{"/tickets?id=7": "/tickets?id=7", "/": "/", "/a//b": "/a//b", "": "/"}
	for next, want := range local {
		res := b.get("/login?next="+url.QueryEscape(next), c)
		if got := res.Header.Get("Location"); got != origin+want {
			t.Errorf("next %q: got %q, want %q", next, got, origin+want)
		}
	}
	for _, next := range []string{
		"//evil.example", "///evil.example", "http://evil.example/", "https:evil.example", "javascript:alert(1)",
		`/\evil.example`, `\\evil.example`, "/\t/evil.example", "/\n/evil.example", " //evil.example", "evil.example",
		"@evil.example", ".evil.example", ":8080", "/%zz", "/\x00", "/\u2028", strings.Repeat("/a", 4000),
	} {
		res := b.get("/login?next="+url.QueryEscape(next), c)
		wantStatus(t, res, http.StatusSeeOther)
		if got := res.Header.Get("Location"); got != origin+"/" {
			t.Errorf("next %q: got %q, want %q", next, got, origin+"/")
		}
		if page := body(t, b.get("/login?next="+url.QueryEscape(next))); strings.Contains(page, "evil") || strings.Contains(page, "next=") {
			t.Errorf("next %q: shown on the login page", next)
		}
	}
}

func FuzzNext(f *testing.F) {
	for _, next := range []string{"/invoices", "//evil.example", `/\evil.example`, "/%2f/evil.example", "/?//", "/#"} {
		f.Add(next)
	}
	f.Fuzz(func(t *testing.T, next string) {
		b := newBench(t)
		c := b.signIn(t, b.claims(nil))
		res := b.get("/login?next="+url.QueryEscape(next), c)
		wantStatus(t, res, http.StatusSeeOther)
		u, err := url.Parse(res.Header.Get("Location"))
		if err != nil || "http://"+u.Host != origin || u.User != nil || !strings.HasPrefix(res.Header.Get("Location"), origin+"/") {
			t.Errorf("next %q leads to %q", next, res.Header.Get("Location"))
		}
	})
}

func FuzzAssertion(f *testing.F) {
	f.Add("a.b.c", "http://127.0.0.1:8482/")
	f.Add(encode(map[string]any{"alg": "EdDSA", "typ": "latchkey+jwt", "kid": kidEd})+"."+encode(map[string]any{"sub": "1"})+".AAAA", "")
	f.Fuzz(func(t *testing.T, assertion, target string) {
		b := newBench(t)
		wantStatus(t, b.post("/sso/latchkey", formOf(assertion, target)), http.StatusForbidden)
	})
}
