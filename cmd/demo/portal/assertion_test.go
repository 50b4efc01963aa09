package portal_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/latchkey-sso/latchkey/cmd/demo/portal"
)

func TestGoodAssertionSignsOn(t *testing.T) {
	for _, kid := range []string{kidEd, kidEC, kidRSA} {
		t.Run(kid, func(t *testing.T) {
			b := newBench(t)
			c := b.claims(nil)
			res := b.post("/sso/latchkey", formOf(sign(t, kid, c), c["target_link_uri"].(string)))
			if res.StatusCode != http.StatusSeeOther {
				t.Fatalf("got %d, want 303: %v", res.StatusCode, b.reasons())
			}
			if got, want := res.Header.Get("Location"), origin+"/invoices?state=unpaid"; got != want {
				t.Errorf("Location: got %q, want %q", got, want)
			}
			want := portal.SignIn{Subscriber: "1234", Server: "web01", User: "bob", App: "latchkey_invoices", Page: "/invoices?state=unpaid", Handoff: "form_post"}
			if got := b.signIns(); len(got) != 1 || got[0] != want {
				t.Errorf("SignedIn: got %+v, want %+v", got, want)
			}
			page := body(t, b.get("/invoices?state=unpaid", sessionOf(t, res)))
			wantContains(t, page, `<dd id="subscriber">1234</dd>`)
			wantContains(t, page, `<dd id="page">/invoices?state=unpaid</dd>`)
			wantContains(t, page, `Welcome, <strong id="customer">Ada Example</strong>`)
		})
	}
}

func TestLeniencyThatIsMeant(t *testing.T) {
	cases := map[string]jwt.MapClaims{
		"aud as an array of one":      {"aud": []string{audience}},
		"target is the bare origin":   {"target_link_uri": origin},
		"target in upper-case host":   {"target_link_uri": "HTTP://127.0.0.1:8482/billing"},
		"a customer without a name":   {"sub": "99"},
		"claims that nobody here has": {"nonce": "n", "email": "a@example.com"},
	}
	for name, with := range cases {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.signIn(t, b.claims(with))
		})
	}
	t.Run("clocks 9 s apart", func(t *testing.T) {
		b := newBench(t)
		c := b.claims(nil)
		b.advance(69 * time.Second)
		b.signIn(t, c)
		c = b.claims(nil)
		b.advance(-9 * time.Second)
		b.signIn(t, c)
	})
	t.Run("no target_link_uri in the form", func(t *testing.T) {
		b := newBench(t)
		wantStatus(t, b.post("/sso/latchkey", url.Values{"assertion": {sign(t, kidEd, b.claims(nil))}}.Encode()), http.StatusSeeOther)
	})
}

func TestBadFormsAreRefused(t *testing.T) {
	good := func(b *bench) string { return sign(t, kidEd, b.claims(nil)) }
	page := origin + "/invoices?state=unpaid"
	cases := map[string]func(*bench) string{
		"empty":                    func(*bench) string { return "" },
		"assertion empty":          func(*bench) string { return "assertion=" },
		"assertion twice":          func(b *bench) string { return formOf(good(b), page) + "&assertion=" + good(b) },
		"same assertion twice":     func(b *bench) string { a := good(b); return formOf(a, page) + "&assertion=" + a },
		"target twice":             func(b *bench) string { return formOf(good(b), page) + "&target_link_uri=" + url.QueryEscape(page) },
		"target not the signed":    func(b *bench) string { return formOf(good(b), origin+"/profile") },
		"target empty":             func(b *bench) string { return formOf(good(b), "") },
		"target on another origin": func(b *bench) string { return formOf(good(b), "http://evil.example/") },
		"target endless": func(b *bench) string {
			endless := origin + "/" + strings.Repeat("a", 5000)
			return formOf(sign(t, kidEd, b.claims(jwt.MapClaims{"target_link_uri": endless})), endless)
		},
		"bad escapes": func(b *bench) string { return formOf(good(b), page) + "&x=%zz" },
		"semicolons":  func(b *bench) string { return formOf(good(b), page) + ";x=1" },
		"oversize":    func(b *bench) string { return formOf(good(b), page) + "&x=" + strings.Repeat("x", 64<<10) },
	}
	for name, make := range cases {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.mustRefuse(t, make(b))
		})
	}
	for _, kind := range []string{"", "text/plain", "application/json", "multipart/form-data; boundary=x"} {
		t.Run("content type "+kind, func(t *testing.T) {
			b := newBench(t)
			r := httptest.NewRequest(http.MethodPost, "/sso/latchkey", strings.NewReader(formOf(good(b), page)))
			r.Header.Set("Content-Type", kind)
			wantStatus(t, b.do(r), http.StatusForbidden)
		})
	}
	t.Run("in the query string", func(t *testing.T) {
		b := newBench(t)
		wantStatus(t, b.post("/sso/latchkey?"+formOf(good(b), page), ""), http.StatusForbidden)
		wantStatus(t, b.get("/sso/latchkey?"+formOf(good(b), page)), http.StatusSeeOther) // to the login page
		if got := b.signIns(); len(got) != 0 {
			t.Errorf("signed in: %+v", got)
		}
	})
}

// mustRefuse posts a form and wants a page that tells nothing, a reason that tells
// nothing secret, and no session.
func (b *bench) mustRefuse(t *testing.T, form string) {
	t.Helper()
	res := b.post("/sso/latchkey", form)
	page := body(t, res)
	if res.StatusCode != http.StatusForbidden {
		t.Errorf("got %d, want 403: %v", res.StatusCode, b.reasons())
	}
	if got := res.Header["Set-Cookie"]; got != nil {
		t.Errorf("a refusal sets a cookie: %v", got)
	}
	if got := b.signIns(); len(got) != 0 {
		t.Errorf("signed in: %+v", got)
	}
	wantContains(t, page, "This sign-in did not work")
	wantContains(t, page, `href="/login"`)
	reason := b.reasons()
	if reason == nil {
		t.Fatal("Refused was not called")
	}
	if strings.Contains(page, reason.Error()) || len(reason.Error()) > 500 {
		t.Errorf("reason shown or endless: %v", reason)
	}
	if values, err := url.ParseQuery(form); err == nil {
		if a := values.Get("assertion"); len(a) > 20 && strings.Contains(reason.Error(), a) {
			t.Errorf("reason holds the assertion: %v", reason)
		}
	}
}

func TestAssertionWorksOnce(t *testing.T) {
	b := newBench(t)
	c := b.claims(nil)
	b.signIn(t, c)
	wantStatus(t, b.present(t, c), http.StatusForbidden)
	other := b.claims(jwt.MapClaims{"jti": c["jti"], "sub": "99"})
	wantStatus(t, b.present(t, other), http.StatusForbidden) // signed anew, the same jti
	b.advance(69 * time.Second)
	b.signIn(t, b.claims(nil))
	wantStatus(t, b.present(t, c), http.StatusForbidden) // as long as the clock allows
	b.advance(2 * time.Second)
	wantStatus(t, b.present(t, c), http.StatusForbidden)
}

func TestRefusedAssertionIsNotSpent(t *testing.T) {
	b := newBench(t)
	c := b.claims(nil)
	raw := sign(t, kidEd, c)
	wantStatus(t, b.post("/sso/latchkey", formOf(raw, origin+"/profile")), http.StatusForbidden)
	wantStatus(t, b.post("/sso/latchkey", formOf(raw, c["target_link_uri"].(string))), http.StatusSeeOther)
}

func TestConcurrentReplaysLetExactlyOneIn(t *testing.T) {
	b := newBench(t)
	form := formOf(sign(t, kidEC, b.claims(nil)), origin+"/invoices?state=unpaid")
	var in, out atomic.Int32
	var all sync.WaitGroup
	gate := make(chan struct{})
	for range 64 {
		all.Go(func() {
			<-gate
			switch b.post("/sso/latchkey", form).StatusCode {
			case http.StatusSeeOther:
				in.Add(1)
			case http.StatusForbidden:
				out.Add(1)
			}
		})
	}
	close(gate)
	all.Wait()
	if in.Load() != 1 || out.Load() != 63 {
		t.Errorf("got %d in and %d refused, want 1 and 63", in.Load(), out.Load())
	}
}
