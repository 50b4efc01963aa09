package api_test

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/latchkey-sso/latchkey/api"
	"github.com/latchkey-sso/latchkey/broker"
)

// requestKind is a request with the status that it gets.
type requestKind struct {
	name    string
	request *http.Request
	prepare func(*domain)
	status  int
}

func requestKinds() []requestKind {
	large := post("/login", formType, "one_time_token="+strings.Repeat("x", 1<<20))
	crossSite := post("/login", formType, "one_time_token="+tokenText)
	crossSite.Header.Set("Sec-Fetch-Site", "cross-site")
	return []requestKind{
		{"autologin", autologin(), nil, 200},
		{"hand-over page", navigation(loginPath), nil, 200},
		{"confirm page", get(loginPath), nil, 200},
		{"exchange", exchange(), nil, 200},
		{"key set", get("/.well-known/jwks.json"), nil, 200},
		{"HEAD login", httptest.NewRequest("HEAD", loginPath, nil), nil, 200},
		{"OPTIONS login", httptest.NewRequest("OPTIONS", loginPath, nil), nil, 204},
		{"OPTIONS autologin", httptest.NewRequest("OPTIONS", "/autologin", nil), nil, 204},
		{"malformed", post("/autologin", "", ""), func(d *domain) { d.refuse(broker.Invalid("token", "is missing")) }, 400},
		{"malformed query", get("/login?%zz"), nil, 400},
		{"no token", get("/login"), nil, 400},
		{"unknown token", get("/login?one_time_token=x"), nil, 410},
		{"too large", large, nil, 400},
		{"cross-site", crossSite, nil, 403},
		{"not found", get("/nothing"), nil, 404},
		{"not found, as a page", navigation("/nothing"), nil, 404},
		{"HEAD of nothing", httptest.NewRequest("HEAD", "/nothing", nil), nil, 404},
		{"wrong method", get("/autologin"), nil, 405},
		{"an invented method", httptest.NewRequest("HOSTILE", "/login", nil), nil, 405},
		{"OPTIONS of everything", httptest.NewRequest("OPTIONS", "*", nil), nil, 404},
		{"unavailable page", navigation(loginPath), func(d *domain) { d.refuse(&broker.Error{Reason: broker.ReasonUnavailable}) }, 503},
		{"too many", autologin(), func(d *domain) { d.refuse(&broker.Error{Reason: broker.ReasonSlowDown}) }, 429},
		{"error", autologin(), func(d *domain) { d.refuse(errPrivate) }, 500},
		{"panic", autologin(), func(d *domain) { d.autologin = func(broker.AutologinRequest) (broker.Answer, error) { panic("x") } }, 500},
		{"panic of a page", navigation(loginPath), func(d *domain) { d.login = func(broker.LoginRequest) (broker.FormPost, error) { panic("x") } }, 500},
	}
}

// TestEveryAnswerCarriesTheSecurityHeaders is about requests of every kind;
// send compares the headers with the full list.
func TestEveryAnswerCarriesTheSecurityHeaders(t *testing.T) {
	for _, url := range []string{publicURL, "http://127.0.0.1:8080"} {
		for _, test := range requestKinds() {
			t.Run(url+" "+test.name, func(t *testing.T) {
				d := &domain{}
				if test.prepare != nil {
					test.prepare(d)
				}
				s := newServer(t, d, func(c *api.Config) { c.PublicURL = url })
				if a := s.send(t, test.request); a.status != test.status {
					t.Errorf("got %d %s, want %d", a.status, a.body, test.status)
				}
			})
		}
	}
}

// TestHeadersOverTheWire asks a real server, because net/http adds and removes
// headers of its own.
func TestHeadersOverTheWire(t *testing.T) {
	s := newServer(t, &domain{})
	live := httptest.NewServer(s)
	defer live.Close()
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "PUT"} {
		r, err := http.NewRequestWithContext(t.Context(), method, live.URL+loginPath, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := live.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := response.Body.Close(); err != nil {
			t.Error(err)
		}
		for _, problem := range headerProblems(answer{header: response.Header}, true) {
			t.Errorf("%s: %s", method, problem)
		}
		if got := response.Header.Values("Server"); len(got) != 0 {
			t.Errorf("%s: header Server: got %q, want none", method, got)
		}
	}
}

// TestPolicies compares the whole Content-Security-Policy of each kind.
func TestPolicies(t *testing.T) {
	const (
		closed = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
		page   = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; img-src data:; " +
			"script-src 'nonce-N'; style-src 'nonce-N'; form-action "
	)
	tests := []struct {
		name    string
		request *http.Request
		err     error
		want    string
	}{
		{"JSON", autologin(), nil, closed},
		{"a refusal as JSON", get("/nothing"), nil, closed},
		{"confirm page", get(loginPath), nil, page + "'self'"},
		{"hand-over page", navigation(loginPath), nil, page + "https://portal.example.com"},
		{"a refusal as a page", navigation("/nothing"), nil, page + "'none'"},
		{"try again", navigation(loginPath), &broker.Error{Reason: broker.ReasonUnavailable}, page + "'self'"},
	}
	nonce := regexp.MustCompile(`'nonce-[A-Za-z0-9_-]{22}'`)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := &domain{}
			if test.err != nil {
				d.refuse(test.err)
			}
			got := newServer(t, d).send(t, test.request).header.Get("Content-Security-Policy")
			if got = nonce.ReplaceAllString(got, "'nonce-N'"); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
