package api_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/latchkey-sso/latchkey/api"
)

func confirm(mode api.Confirm) func(*api.Config) {
	return func(c *api.Config) { c.Confirm = mode }
}

// TestWhoRedeemsAtOnce shows which GETs are a person's navigation, in each
// mode, and that all others are asked to press a button.
func TestWhoRedeemsAtOnce(t *testing.T) {
	headers := func(pairs ...string) http.Header {
		h := http.Header{}
		for i := 0; i < len(pairs); i += 2 {
			h.Add(pairs[i], pairs[i+1])
		}
		return h
	}
	navigate := func(pairs ...string) http.Header {
		return headers(append([]string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, pairs...)...)
	}
	tests := []struct {
		name   string
		header http.Header
		// auto and never say whether the mode redeems; always never does.
		auto, never bool
	}{
		{"navigation", navigate(), true, true},
		{"navigation by a person", navigate("Sec-Fetch-User", "?1", "Sec-Fetch-Site", "cross-site"), true, true},
		{"no headers", headers(), false, true},
		{"an old browser", headers("Accept", "text/html", "User-Agent", "Mozilla/5.0"), false, true},
		{"navigation into an iframe", headers("Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"), false, true},
		{"navigation into an embed", headers("Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "embed"), false, true},
		{"navigation to nowhere", headers("Sec-Fetch-Mode", "navigate"), false, true},
		{"document without navigation", headers("Sec-Fetch-Dest", "document"), false, true},
		{"fetch by a script", headers("Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty"), false, true},
		{"image", headers("Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"), false, true},
		{"a purpose that nobody knows", navigate("Sec-Purpose", "future"), false, true},
		{"prefetch", navigate("Sec-Purpose", "prefetch"), false, false},
		{"prefetch in capitals", navigate("Sec-Purpose", "Prefetch"), false, false},
		{"prerender", navigate("Sec-Purpose", "prefetch;prerender"), false, false},
		{"prerender with anonymous address", navigate("Sec-Purpose", "prefetch;anonymous-client-ip"), false, false},
		{"prefetch of old Chrome", navigate("Purpose", "prefetch"), false, false},
		{"preview of Safari", navigate("X-Purpose", "preview"), false, false},
		{"preview of old Safari", navigate("Purpose", "preview"), false, false},
		{"prefetch of Firefox", navigate("X-Moz", "prefetch"), false, false},
		{"prefetch named second", navigate("Purpose", "other", "Purpose", "prefetch"), false, false},
	}
	for _, test := range tests {
		for mode, redeems := range map[api.Confirm]bool{
			api.ConfirmAuto: test.auto, api.ConfirmNever: test.never, api.ConfirmAlways: false,
		} {
			t.Run(test.name+", "+string(mode), func(t *testing.T) {
				d := &domain{}
				r := get(loginPath)
				r.Header = test.header.Clone()
				a := newServer(t, d, confirm(mode)).send(t, r)
				if a.status != http.StatusOK {
					t.Fatalf("got %d %s, want 200", a.status, a.body)
				}
				if redeems {
					checkRedeemed(t, d, a)
				} else {
					checkConfirmPage(t, d, a, mode)
				}
			})
		}
	}
}

func checkRedeemed(t *testing.T, d *domain, a answer) {
	t.Helper()
	if len(d.logins) != 1 {
		t.Fatalf("the domain was called %d times, want once", len(d.logins))
	}
	if got := d.logins[0].Token.Reveal(); got != tokenText {
		t.Errorf("token: got %q, want %q", got, tokenText)
	}
	if p := parsePage(t, a); p.action != portalLogin {
		t.Errorf("the form goes to %q, want %q", p.action, portalLogin)
	}
}

func checkConfirmPage(t *testing.T, d *domain, a answer, mode api.Confirm) {
	t.Helper()
	if got := d.calls(); got != 0 {
		t.Errorf("the domain was called %d times, want 0", got)
	}
	p := parsePage(t, a)
	if want := publicURL + "/login"; p.forms != 1 || p.action != want || p.method != "post" {
		t.Errorf("got %d forms, the last a %s to %q, want one, a post to %q", p.forms, p.method, p.action, want)
	}
	if p.buttons != 1 || len(p.inputs) != 1 || p.inputs["one_time_token"] != tokenText {
		t.Errorf("got %d buttons and the fields %v, want one button and the one-time token", p.buttons, p.inputs)
	}
	if want := mode != api.ConfirmAlways; p.submits != want || (p.scripts == 1) != want {
		t.Errorf("a script presses the button: got %v with %d scripts, want %v", p.submits, p.scripts, want)
	}
}

func TestLookingDoesNotRedeem(t *testing.T) {
	for _, mode := range []api.Confirm{api.ConfirmAuto, api.ConfirmAlways, api.ConfirmNever} {
		for _, method := range []string{"HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "PREFETCH"} {
			t.Run(string(mode)+" "+method, func(t *testing.T) {
				d := &domain{}
				r := navigation(loginPath)
				r.Method = method
				r.Header.Set("X-Http-Method-Override", "POST")
				a := newServer(t, d, confirm(mode)).send(t, r)
				if got := d.calls(); got != 0 {
					t.Errorf("the domain was called %d times, want 0", got)
				}
				if strings.Contains(a.body, tokenText) || len(a.header.Values("Set-Cookie")) > 0 {
					t.Errorf("got %s %v, want no token and no cookie", a.body, a.header)
				}
			})
		}
	}
}

// TestTokensThatNobodyIssued: the form of a token is checked before the domain
// is asked.
func TestTokensThatNobodyIssued(t *testing.T) {
	tests := []struct {
		name, query string
		status      int
		title       string
	}{
		{"none", "", 400, "This link is not complete"},
		{"another field", "token=" + tokenText, 400, "This link is not complete"},
		{"empty", "one_time_token=", 400, "This link is not complete"},
		{"twice", "one_time_token=" + tokenText + "&one_time_token=" + tokenText, 400, "This link is not complete"},
		{"bad percent-encoding", "one_time_token=" + tokenText + "&x=%zz", 400, "This link is not complete"},
		{"bad UTF-8", "one_time_token=%FF" + tokenText[1:], 400, "This link is not complete"},
		{"too short", "one_time_token=" + tokenText[1:], 410, "This link is not valid"},
		{"too long", "one_time_token=" + tokenText + "x", 410, "This link is not valid"},
		{"very long", "one_time_token=" + strings.Repeat("x", 10_000), 410, "This link is not valid"},
		{"with a slash", "one_time_token=" + tokenText[:45] + "/", 410, "This link is not valid"},
		{"with markup", "one_time_token=%3Cscript%3Ehostile%3C%2Fscript%3E", 410, "This link is not valid"},
		{"with a space at its end", "one_time_token=" + tokenText + "+", 410, "This link is not valid"},
	}
	for _, test := range tests {
		for _, method := range []string{"GET", "POST"} {
			t.Run(test.name+" "+method, func(t *testing.T) {
				d := &domain{}
				s := newServer(t, d, confirm(api.ConfirmNever))
				r := navigation("/login")
				r.URL.RawQuery = test.query
				if method == "POST" {
					r = post("/login", formType, test.query)
				}
				a := s.send(t, r)
				if a.status != test.status || !strings.Contains(a.body, "<h1>"+test.title+"</h1>") {
					t.Errorf("got %d %s, want %d with the title %q", a.status, a.body, test.status, test.title)
				}
				for _, value := range []string{"hostile", tokenText, "xxxx"} {
					if strings.Contains(a.body, value) {
						t.Errorf("the page repeats what the client sent: %s", a.body)
					}
				}
				if got := d.calls(); got != 0 {
					t.Errorf("the domain was called %d times, want 0", got)
				}
			})
		}
	}
}

// A proxy need not pass the Host on: what our own origin is, the configuration
// says.
func TestPostBehindAProxyWithAnotherHost(t *testing.T) {
	for origin, want := range map[string]int{publicURL: 200, "http://backend:8080": 200, "https://evil.example": 403} {
		r := post("http://backend:8080/login", formType, "one_time_token="+tokenText)
		r.Header.Set("Origin", origin)
		if a := newServer(t, &domain{}).send(t, r); a.status != want {
			t.Errorf("Origin %s: got %d, want %d", origin, a.status, want)
		}
	}
}

func TestPostOfTheButtonRedeems(t *testing.T) {
	const body = "one_time_token=" + tokenText
	tests := []struct {
		name   string
		header map[string]string
		status int
	}{
		{"from our page", map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": publicURL}, 200},
		{"from our page, its origin hidden", map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": "null"}, 200},
		{"by hand", map[string]string{"Sec-Fetch-Site": "none"}, 200},
		{"from our page in an old browser", map[string]string{"Origin": publicURL}, 200},
		{"from our page in an old browser, its origin hidden", map[string]string{"Origin": "null"}, 200},
		{"without a word", nil, 200},
		{"prefetch headers change nothing", map[string]string{"Sec-Purpose": "prefetch"}, 200},
		{"from another site", map[string]string{"Sec-Fetch-Site": "cross-site"}, 403},
		{"from another host of ours", map[string]string{"Sec-Fetch-Site": "same-site"}, 403},
		{"from another site with our origin", map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": publicURL}, 403},
		{"from another site that hides its origin", map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "null"}, 403},
		{"from another site in an old browser", map[string]string{"Origin": "https://evil.example"}, 403},
		{"from a host that begins like ours", map[string]string{"Origin": publicURL + ".evil.example"}, 403},
		{"from another port", map[string]string{"Origin": publicURL + ":8443"}, 403},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := &domain{}
			r := post(publicURL+"/login", formType, body)
			for name, value := range test.header {
				r.Header.Set(name, value)
			}
			a := newServer(t, d, confirm(api.ConfirmAlways)).send(t, r)
			if a.status != test.status {
				t.Fatalf("got %d %s, want %d", a.status, a.body, test.status)
			}
			if test.status == http.StatusOK {
				checkRedeemed(t, d, a)
				return
			}
			if got := d.calls(); got != 0 {
				t.Errorf("the domain was called %d times, want 0", got)
			}
			if !strings.Contains(a.body, "<h1>") {
				t.Errorf("got %s, want a page", a.body)
			}
		})
	}
}

func TestPostTakesNothingButAForm(t *testing.T) {
	const body = "one_time_token=" + tokenText
	tests := []struct{ name, contentType, body, query string }{
		{"no type", "", body, ""},
		{"plain text", "text/plain", body, ""},
		{"JSON", jsonType, `{"one_time_token":"` + tokenText + `"}`, ""},
		{"multipart", "multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=one_time_token\r\n\r\n" + tokenText + "\r\n--x--", ""},
		{"another charset", formType + "; charset=utf-7", body, ""},
		{"the token in the URL", formType, "", "?" + body},
		{"too large", formType, body + "&x=" + strings.Repeat("x", 16<<10), ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := &domain{}
			r := post("/login"+test.query, test.contentType, test.body)
			if a := newServer(t, d).send(t, r); a.status != http.StatusBadRequest {
				t.Errorf("got %d %s, want 400", a.status, a.body)
			}
			if got := d.calls(); got != 0 {
				t.Errorf("the domain was called %d times, want 0", got)
			}
		})
	}
}

// TestASignInFromEndToEnd follows a click through a real broker.
func TestASignInFromEndToEnd(t *testing.T) {
	b, store := newBroker(t)
	s := newServer(t, b)
	a := s.send(t, autologin())
	path := strings.TrimSuffix(strings.TrimPrefix(a.body, `{"redirect_url":"`+publicURL), "\"}\n")
	if a.status != 200 || !strings.HasPrefix(path, "/login?one_time_token=") {
		t.Fatalf("got %d %s, want a one-time URL", a.status, a.body)
	}
	for _, method := range []string{"HEAD", "OPTIONS", "GET"} {
		if a := s.send(t, httptest.NewRequest(method, path, nil)); a.status/100 != 2 {
			t.Fatalf("%s: got %d, want 2xx", method, a.status)
		}
	}
	if got := store.called(); got != 1 {
		t.Fatalf("the store was called %d times before the navigation, want once", got)
	}
	page := parsePage(t, s.send(t, navigation(path)))
	if page.action != portalLogin || page.inputs["target_link_uri"] != target || strings.Count(page.inputs["assertion"], ".") != 2 {
		t.Errorf("got a form to %s with %v, want the assertion and %s", page.action, page.inputs, target)
	}
	for range 2 {
		again := s.send(t, navigation(path))
		if again.status != 410 || !strings.Contains(again.body, "already been used") {
			t.Errorf("again: got %d %s, want 410, used", again.status, again.body)
		}
		if strings.Contains(again.body, "assertion") {
			t.Errorf("again: the page hands over: %s", again.body)
		}
	}
}
