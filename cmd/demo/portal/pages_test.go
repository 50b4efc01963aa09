package portal_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

var catalogue = map[string]string{
	"/upgrade": "Upgrade or downgrade", "/domains/register": "Register a domain", "/domains/transfer": "Transfer a domain",
	"/tickets/new": "Open a ticket", "/tickets": "Tickets", "/announcements": "Announcements", "/downloads": "Downloads",
	"/knowledgebase": "Knowledgebase", "/network-status": "Network status", "/profile": "Profile", "/billing": "Billing",
	"/billing/methods": "Payment methods", "/emails": "E-mail history", "/invoices": "Invoices",
}

func TestEveryPageOfTheCatalogue(t *testing.T) {
	b := newBench(t)
	c := b.signIn(t, b.claims(nil))
	for path, title := range catalogue {
		res := b.get(path, c)
		wantStatus(t, res, http.StatusOK)
		page := body(t, res)
		wantContains(t, page, `<h1 id="heading">`+title+`</h1>`)
		wantContains(t, page, `<dd id="page">`+path+`</dd>`)
		for other := range catalogue {
			wantContains(t, page, `<a href="`+other+`"`)
		}
		if got := strings.Count(page, "aria-current"); got != 1 {
			t.Errorf("%s: got %d current pages in the navigation, want 1", path, got)
		}
	}
	page := body(t, b.get("/profile", c))
	for _, want := range []string{
		`data-subscriber="1234" data-server="web01" data-user="bob" data-app="latchkey_invoices" data-handoff="form_post"`,
		`<dd id="server">web01</dd>`, `<dd id="user">bob</dd>`, `<dd id="app">latchkey_invoices</dd>`, `<dd id="handoff">form_post</dd>`,
		"Harbour Hosting", `action="/logout"`,
	} {
		wantContains(t, page, want)
	}
}

func TestHeadingsOfOtherPaths(t *testing.T) {
	b := newBench(t)
	c := b.signIn(t, b.claims(nil))
	cases := map[string]string{
		"/":                               "Overview",
		"/services/ssl-certificates":      "Ssl certificates",
		"/services/my_sites/":             "My sites",
		"/%D0%BF%D1%80%D0%B8%D0%B2":       "Прив",
		"/a%E2%80%AEb":                    "A b",
		"/" + strings.Repeat("long", 100): "Long" + strings.Repeat("long", 14) + "…",
		"/%2f%2f":                         "Overview",
		"/%00%01":                         "Overview",
	}
	for path, want := range cases {
		res := b.get(path, c)
		wantStatus(t, res, http.StatusOK)
		wantContains(t, body(t, res), `<h1 id="heading">`+want+`</h1>`)
	}
}

func TestHostileTextIsEscaped(t *testing.T) {
	const evil = `"><script>alert(1)</script>'`
	b := newBench(t)
	c := b.signIn(t, b.claims(jwt.MapClaims{"sub": evil, "acr": evil, "cpanel": map[string]any{"server": evil, "user": evil, "app": evil}}))
	pages := map[string]string{"claims": body(t, b.get("/profile", c))}
	for _, path := range []string{
		"/%22%3E%3Cscript%3Ealert(1)%3C/script%3E", "/x?%22%3E%3Cscript%3E", `/x?"><script>alert(1)</script>`, "/login?next=/x%3F%22%3E%3Cscript%3E",
	} {
		r := httptest.NewRequest(http.MethodGet, "/x", nil)
		r.URL.Path, r.URL.RawQuery, _ = strings.Cut(strings.NewReplacer("%22", `"`, "%3E", ">", "%3C", "<").Replace(path), "?")
		pages["inside "+path] = body(t, b.do(r, c))
		r.Header.Del("Cookie")
		pages["outside "+path] = body(t, b.do(r))
	}
	for name, page := range pages {
		if strings.Contains(page, "<script") || strings.Contains(page, `"">`) {
			t.Errorf("%s: not escaped:\n%s", name, page)
		}
	}
}

func TestEveryAnswerHasTheHeaders(t *testing.T) {
	b := newBench(t)
	c := b.signIn(t, b.claims(nil))
	answers := map[string]*http.Response{
		"page":         b.get("/invoices", c),
		"login":        b.get("/login"),
		"to the login": b.get("/invoices"),
		"refusal":      b.post("/sso/latchkey", ""),
		"sign-in":      b.present(t, b.claims(nil)),
		"not allowed":  b.do(httptest.NewRequest(http.MethodDelete, "/invoices", nil)),
		"OPTIONS":      b.do(httptest.NewRequest(http.MethodOptions, "/sso/latchkey", nil)),
		"clean path":   b.get("/a/../b"),
		"style":        b.get("/style.css"),
		"icon":         b.get("/icon.svg"),
		"favicon":      b.get("/favicon.ico"),
	}
	for name, res := range answers {
		for header, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
			"X-Content-Type-Options":  "nosniff",
			"X-Frame-Options":         "DENY",
			"Referrer-Policy":         "same-origin",
		} {
			if got := res.Header.Get(header); got != want {
				t.Errorf("%s: %s: got %q, want %q", name, header, got, want)
			}
		}
		if got, want := res.Header.Get("Cache-Control"), "no-store"; got != want && name != "style" && name != "icon" {
			t.Errorf("%s: Cache-Control: got %q, want %q", name, got, want)
		}
		if page := body(t, res); strings.Contains(page, "<script") || strings.Contains(page, "style=") || strings.Contains(page, "<style") {
			t.Errorf("%s: has inline script or style", name)
		}
	}
	wantStatus(t, answers["not allowed"], http.StatusMethodNotAllowed)
	wantStatus(t, answers["style"], http.StatusOK)
}

func TestRedirectsStayHereWhateverTheHostHeaderSays(t *testing.T) {
	b := newBench(t)
	for _, path := range []string{"/invoices", "//evil.example/x", "/a/../b", `/\evil.example`} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL.Path, r.Host = path, "evil.example"
		r.Header.Set("X-Forwarded-Host", "evil.example")
		res := b.do(r)
		got := res.Header.Get("Location")
		if !strings.HasPrefix(got, origin+"/") && (!strings.HasPrefix(got, "/") || strings.HasPrefix(got, "//")) {
			t.Errorf("%s: leads to %q", path, got)
		}
	}
}
