package portal_test

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
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

func TestBadClaimsAreRefused(t *testing.T) {
	now := time.Date(2026, 5, 20, 12, 0, 0, 0, time.UTC).Unix()
	cases := map[string]jwt.MapClaims{
		"iss of another broker":         {"iss": "http://127.0.0.1:9"},
		"iss with a slash behind":       {"iss": issuer + "/"},
		"iss missing":                   {"iss": nil},
		"aud of another portal":         {"aud": "https://other.example.com"},
		"aud missing":                   {"aud": nil},
		"aud with others as well":       {"aud": []string{audience, "https://other.example.com"}},
		"aud twice":                     {"aud": []string{audience, audience}},
		"aud empty array":               {"aud": []string{}},
		"aud a number":                  {"aud": 7},
		"exp passed":                    {"exp": now - 11, "iat": now - 70, "nbf": now - 70},
		"exp missing":                   {"exp": nil},
		"exp a word":                    {"exp": "tomorrow"},
		"exp far away":                  {"exp": now + 86400},
		"nbf in the future":             {"nbf": now + 11},
		"nbf missing":                   {"nbf": nil},
		"iat in the future":             {"iat": now + 11},
		"iat missing":                   {"iat": nil},
		"auth_time missing":             {"auth_time": nil},
		"auth_time in the future":       {"auth_time": now + 11},
		"sub missing":                   {"sub": nil},
		"sub empty":                     {"sub": ""},
		"sub a number":                  {"sub": 1234},
		"sub endless":                   {"sub": strings.Repeat("1", 300)},
		"jti missing":                   {"jti": nil},
		"jti empty":                     {"jti": ""},
		"jti endless":                   {"jti": strings.Repeat("1", 300)},
		"target missing":                {"target_link_uri": nil},
		"target on another host":        {"target_link_uri": "http://evil.example/"},
		"target on another port":        {"target_link_uri": "http://127.0.0.1:8483/"},
		"target with another scheme":    {"target_link_uri": "https://127.0.0.1:8482/"},
		"target with a script":          {"target_link_uri": "javascript:alert(1)"},
		"target with our name in front": {"target_link_uri": origin + ".evil.example/"},
		"target with our host in front": {"target_link_uri": "http://127.0.0.1.evil.example:8482/"},
		"target with our name as user":  {"target_link_uri": origin + "@evil.example/"},
		"target with a user":            {"target_link_uri": "http://user@127.0.0.1:8482/"},
		"target without a host":         {"target_link_uri": "/invoices"},
		"target without a scheme":       {"target_link_uri": "//127.0.0.1:8482/"},
		"target with a backslash":       {"target_link_uri": origin + `\@evil.example/`},
		"target with a line end":        {"target_link_uri": origin + "/\r\nSet-Cookie: a=b"},
		"target endless":                {"target_link_uri": origin + "/" + strings.Repeat("a", 5000)},
	}
	for name, with := range cases {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			c := b.claims(with)
			target, _ := c["target_link_uri"].(string)
			b.mustRefuse(t, formOf(sign(t, kidEd, c), target))
		})
	}
}

func TestBadSignaturesAndHeadersAreRefused(t *testing.T) {
	pkix := func(kid string) []byte {
		der, err := x509.MarshalPKIXPublicKey(keys()[kid].Public())
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	header := func(kid any, more ...any) map[string]any {
		h := map[string]any{"typ": "latchkey+jwt", "kid": kid}
		for i := 0; i < len(more); i += 2 {
			h[more[i].(string)] = more[i+1]
		}
		return h
	}
	// hmac is key confusion: a public key taken for an HMAC secret.
	hmac := func(method jwt.SigningMethod, kid string, key []byte) func(*bench) string {
		return func(b *bench) string { return signAs(t, method, key, header(kid), b.claims(nil)) }
	}
	with := func(method jwt.SigningMethod, key string, h map[string]any) func(*bench) string {
		return func(b *bench) string { return signAs(t, method, keys()[key], h, b.claims(nil)) }
	}
	change := func(f func(parts []string) string) func(*bench) string {
		return func(b *bench) string { return f(strings.Split(sign(t, kidEd, b.claims(nil)), ".")) }
	}
	none := func(alg string) func(*bench) string {
		return func(b *bench) string {
			return encode(header(kidEd, "alg", alg)) + "." + encode(b.claims(nil)) + "."
		}
	}
	ed := keys()[kidEd].Public().(ed25519.PublicKey)
	cases := map[string]func(*bench) string{
		"alg none":                       none("none"),
		"alg None":                       none("None"),
		"alg empty":                      none(""),
		"alg unknown":                    none("XS256"),
		"HS256 with the raw Ed25519 key": hmac(jwt.SigningMethodHS256, kidEd, ed),
		"HS256 with the RSA key's DER":   hmac(jwt.SigningMethodHS256, kidRSA, pkix(kidRSA)),
		"HS512 with the RSA key's PEM":   hmac(jwt.SigningMethodHS512, kidRSA, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: pkix(kidRSA)})),
		"HS256 with an empty secret":     hmac(jwt.SigningMethodHS256, kidEC, []byte{}),
		"RS512, not in our list":         with(jwt.SigningMethodRS512, kidRSA, header(kidRSA)),
		"PS256, not in our list":         with(jwt.SigningMethodPS256, kidRSA, header(kidRSA)),
		"ES384, not in our list":         with(jwt.SigningMethodES384, kidP384, header(kidP384)),
		"EdDSA under an RSA key":         with(jwt.SigningMethodEdDSA, kidEd, header(kidRSA)),
		"RS256 under an Ed25519 key":     with(jwt.SigningMethodRS256, kidRSA, header(kidEd)),
		"ES256 under an RSA key":         with(jwt.SigningMethodES256, kidEC, header(kidRSA)),
		"ES256 under a P-384 key":        with(jwt.SigningMethodES256, kidEC, header(kidP384)),
		"RS256 under an EC key":          with(jwt.SigningMethodRS256, kidRSA, header(kidEC)),
		"RS256 under 1024 bits":          with(jwt.SigningMethodRS256, kidSmall, header(kidSmall)),
		"a key that is for encryption":   with(jwt.SigningMethodEdDSA, kidEnc, header(kidEnc)),
		"a key of a stranger":            with(jwt.SigningMethodEdDSA, "stranger", header(kidEd)),
		"kid unknown":                    with(jwt.SigningMethodEdDSA, "stranger", header("stranger")),
		"kid missing":                    with(jwt.SigningMethodEdDSA, kidEd, header(nil)),
		"kid empty":                      with(jwt.SigningMethodEdDSA, kidEd, header("")),
		"kid a number":                   with(jwt.SigningMethodEdDSA, kidEd, header(1)),
		"kid a path":                     with(jwt.SigningMethodEdDSA, "stranger", header("../../dev/null")),
		"kid endless":                    with(jwt.SigningMethodEdDSA, kidEd, header(strings.Repeat("k", 4000))),
		"typ JWT":                        with(jwt.SigningMethodEdDSA, kidEd, header(kidEd, "typ", "JWT")),
		"typ in another case":            with(jwt.SigningMethodEdDSA, kidEd, header(kidEd, "typ", "Latchkey+JWT")),
		"typ with application/":          with(jwt.SigningMethodEdDSA, kidEd, header(kidEd, "typ", "application/latchkey+jwt")),
		"typ missing":                    with(jwt.SigningMethodEdDSA, kidEd, header(kidEd, "typ", nil)),
		"typ an array":                   with(jwt.SigningMethodEdDSA, kidEd, header(kidEd, "typ", []string{"latchkey+jwt"})),
		"crit unknown":                   with(jwt.SigningMethodEdDSA, kidEd, header(kidEd, "crit", []string{"b64"}, "b64", false)),
		"the key brought along": with(jwt.SigningMethodEdDSA, "stranger", header("stranger", "jwk",
			map[string]any{"kty": "OKP", "crv": "Ed25519", "kid": "stranger", "x": encode("x")}, "jku", "http://127.0.0.1:1/jwks.json")),
		"signature missing":         change(func(p []string) string { return p[0] + "." + p[1] + "." }),
		"signature changed":         change(func(p []string) string { return p[0] + "." + p[1] + "." + flip(p[2]) }),
		"signature of other claims": func(b *bench) string { return graft(sign(t, kidEd, b.claims(nil)), encode(b.claims(nil))) },
		"two parts":                 change(func(p []string) string { return p[0] + "." + p[1] }),
		"four parts":                change(func(p []string) string { return strings.Join(p, ".") + ".x" }),
		"padding":                   change(func(p []string) string { return p[0] + "." + p[1] + "." + p[2] + "==" }),
		"space behind":              change(func(p []string) string { return strings.Join(p, ".") + " " }),
		"JSON serialisation":        change(func(p []string) string { return `{"payload":"` + p[1] + `"}` }),
		"claims are not an object":  func(*bench) string { return encode(header(kidEd, "alg", "EdDSA")) + "." + encode("x") + ".AAAA" },
		"header is not an object":   change(func(p []string) string { return encode([]int{1}) + "." + p[1] + "." + p[2] }),
		"garbage":                   func(*bench) string { return "\x00\xff../../etc/passwd" },
		"dots":                      func(*bench) string { return ".." },
		"oversize, and signed right": func(b *bench) string {
			return sign(t, kidEd, b.claims(jwt.MapClaims{"x": strings.Repeat("x", 16<<10)}))
		},
	}
	for name, make := range cases {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.mustRefuse(t, formOf(make(b), origin+"/invoices?state=unpaid"))
		})
	}
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
		"bad escapes":              func(b *bench) string { return formOf(good(b), page) + "&x=%zz" },
		"semicolons":               func(b *bench) string { return formOf(good(b), page) + ";x=1" },
		"oversize":                 func(b *bench) string { return formOf(good(b), page) + "&x=" + strings.Repeat("x", 64<<10) },
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

func flip(s string) string {
	if s[0] == 'A' {
		return "B" + s[1:]
	}
	return "A" + s[1:]
}

func graft(token, claims string) string {
	p := strings.Split(token, ".")
	return p[0] + "." + claims + "." + p[2]
}
