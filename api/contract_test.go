package api_test

import (
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
)

const privateText = "private: redis at 10.9.8.7 said no"

var errPrivate = errors.New(privateText)

func TestAutologinAnswersByTheContract(t *testing.T) {
	refusal := func(r broker.Reason) error { return &broker.Error{Reason: r, Err: errPrivate} }
	tests := []struct {
		name   string
		answer broker.Answer
		err    error
		status int
		// body is a text, or the code of a refusal.
		body, code string
	}{
		{"signed on", broker.Answer{RedirectURL: broker.NewSecret(redirectURL)}, nil, 200, `{"redirect_url":"` + redirectURL + `"}`, ""},
		{"not now, attempt 1", broker.Answer{RetryAfter: time.Second, Attempt: 1}, nil, 200, `{"retry":1,"attempt":1}`, ""},
		{"not now, attempt 2", broker.Answer{RetryAfter: 3 * time.Second, Attempt: 2}, nil, 200, `{"retry":3,"attempt":2}`, ""},
		{"not now, attempt 3", broker.Answer{}, refusal(broker.ReasonUnavailable), 503, "", "temporarily_unavailable"},
		{"malformed", broker.Answer{}, refusal(broker.ReasonInvalidRequest), 400, "", "invalid_request"},
		{"denied", broker.Answer{}, refusal(broker.ReasonAccessDenied), 401, "", "access_denied"},
		{"switched off", broker.Answer{}, refusal(broker.ReasonSignOnDisabled), 403, "", "sign_on_disabled"},
		{"too many", broker.Answer{}, refusal(broker.ReasonSlowDown), 429, "", "slow_down"},
		{"an unknown error", broker.Answer{}, errPrivate, 500, "", "server_error"},
		{"a reason that nobody knows", broker.Answer{}, refusal(250), 500, "", "server_error"},
		{"no reason", broker.Answer{}, refusal(0), 500, "", "server_error"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := &domain{autologin: func(broker.AutologinRequest) (broker.Answer, error) { return test.answer, test.err }}
			a := newServer(t, d).send(t, autologin())
			if a.status != test.status {
				t.Fatalf("status: got %d %s, want %d", a.status, a.body, test.status)
			}
			if got := a.header.Get("Content-Type"); got != "application/json" {
				t.Errorf("Content-Type: got %q, want application/json", got)
			}
			if test.body != "" && a.body != test.body+"\n" {
				t.Errorf("body: got %s, want %s", a.body, test.body)
			}
			if strings.Contains(a.body, "private") {
				t.Errorf("the private text is shown: %s", a.body)
			}
			if test.code == "" {
				return
			}
			if p := a.problem(t); p.Error != test.code || p.Description == "" {
				t.Errorf("got %+v, want the error %s and a description", p, test.code)
			}
		})
	}
}

func TestRetryAfterIsInWholeSecondsRoundedUp(t *testing.T) {
	tests := []struct {
		after time.Duration
		want  string
	}{
		{0, ""}, {time.Millisecond, "1"}, {time.Second, "1"}, {1500 * time.Millisecond, "2"}, {time.Minute, "60"},
	}
	for _, test := range tests {
		d := &domain{}
		d.refuse(&broker.Error{Reason: broker.ReasonSlowDown, RetryAfter: test.after})
		s := newServer(t, d)
		for name, r := range map[string]*http.Request{"autologin": autologin(), "login": navigation(loginPath), "exchange": exchange()} {
			a := s.send(t, r)
			if got := a.header.Get("Retry-After"); a.status != 429 || got != test.want {
				t.Errorf("%s, %v: got %d with Retry-After %q, want 429 with %q", name, test.after, a.status, got, test.want)
			}
		}
	}
}

// TestDeniedLooksTheSame shows that no byte tells why a server was refused.
func TestDeniedLooksTheSame(t *testing.T) {
	const subscriber = "&subscriber_unique_id=1234"
	tests := []struct{ name, query, body string }{
		{"wrong token", linkQuery, "token=wrong" + subscriber},
		{"no such app", "server=web01&user=bob&app=latchkey_none", linkBody},
		{"no such app and wrong token", "server=web01&user=bob&app=none", "token=wrong" + subscriber},
		{"no such user", "server=web01&user=eve&app=latchkey_billing", linkBody},
		{"no such server", "server=web99&user=bob&app=latchkey_billing", linkBody},
		{"wrong subscriber", linkQuery, "token=" + linkToken + "&subscriber_unique_id=99"},
		{"token too old", "server=web01&user=old&app=latchkey_billing", linkBody},
		{"address not allowed", "server=web02&user=bob&app=latchkey_billing", linkBody},
		{"switched off and wrong token", "server=web01&user=bob&app=latchkey_off", "token=wrong" + subscriber},
	}
	b, store := newBroker(t)
	s := newServer(t, b)
	var first answer
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before := store.called()
			a := s.send(t, post("/autologin?"+test.query, formType, test.body))
			if a.status != http.StatusUnauthorized {
				t.Fatalf("got %d %s, want 401", a.status, a.body)
			}
			if got := store.called() - before; got != 1 {
				t.Errorf("the store was called %d times, want once", got)
			}
			id := a.header.Get("X-Request-Id")
			if strings.Contains(a.body, id) {
				t.Errorf("the body %s has the request id", a.body)
			}
			a.header.Del("X-Request-Id")
			if i == 0 {
				first = a
			}
			if a.body != first.body {
				t.Errorf("body: got %q, want %q", a.body, first.body)
			}
			if !maps.EqualFunc(a.header, first.header, slices.Equal) {
				t.Errorf("headers: got %v, want %v", a.header, first.header)
			}
		})
	}
	if got, want := first.body, `{"error":"access_denied","error_description":"The link was not accepted."}`+"\n"; got != want {
		t.Errorf("body: got %q, want %q", got, want)
	}
}

// TestAnIncidentTellsNothing: errors and panics are one fixed answer.
func TestAnIncidentTellsNothing(t *testing.T) {
	incidents := map[string]func(*domain){
		"error": func(d *domain) { d.refuse(errPrivate) },
		"panic": func(d *domain) {
			d.autologin = func(broker.AutologinRequest) (broker.Answer, error) { panic(privateText) }
			d.login = func(broker.LoginRequest) (broker.FormPost, error) { panic(errPrivate) }
			d.exchange = func(broker.ExchangeRequest) (broker.Exchanged, error) { panic(privateText) }
		},
	}
	for name, incident := range incidents {
		t.Run(name, func(t *testing.T) {
			d := &domain{}
			incident(d)
			s := newServer(t, d)
			for route, r := range map[string]*http.Request{"autologin": autologin(), "exchange": exchange()} {
				a := s.send(t, r)
				want := `{"error":"server_error","error_description":"Something went wrong on our side.","request_id":"` +
					a.header.Get("X-Request-Id") + `"}` + "\n"
				if a.status != 500 || a.body != want {
					t.Errorf("%s: got %d %s, want 500 %s", route, a.status, a.body, want)
				}
			}
			a := s.send(t, navigation(loginPath))
			if a.status != 500 || !strings.Contains(a.body, "<h1>Something went wrong</h1>") || strings.Contains(a.body, "private") {
				t.Errorf("login: got %d %s, want the page of a 500 without private text", a.status, a.body)
			}
			if got := s.log.String(); !strings.Contains(got, privateText) {
				t.Errorf("the log does not say what happened: %s", got)
			}
		})
	}
}

// TestWrongAddressesAndMethods shows 404 and 405 in the form that the caller
// accepts.
func TestWrongAddressesAndMethods(t *testing.T) {
	const html = "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"
	tests := []struct {
		method, path, accept string
		status               int
		code, allow          string
	}{
		{"GET", "/", "", 404, "not_found", ""},
		{"GET", "/", "*/*", 404, "not_found", ""},
		{"GET", "/", html, 404, "page", ""},
		{"GET", "/hostile%00", html, 404, "page", ""},
		{"POST", "/nothing", "application/json", 404, "not_found", ""},
		{"HEAD", "/nothing", "", 404, "", ""},
		{"HOSTILE", "/nothing", "", 404, "not_found", ""},
		{"GET", "/login/", html, 404, "page", ""},
		{"GET", "/Login", html, 404, "page", ""},
		{"GET", "/autologin/../login", html, 404, "page", ""},
		{"GET", "/autologin", "", 405, "invalid_request", "OPTIONS, POST"},
		{"GET", "/autologin", html, 405, "page", "OPTIONS, POST"},
		{"HEAD", "/autologin", "", 405, "", "OPTIONS, POST"},
		{"PUT", "/autologin", "", 405, "invalid_request", "OPTIONS, POST"},
		{"GET", "/exchange", "", 405, "invalid_request", "OPTIONS, POST"},
		{"PUT", "/login", html, 405, "page", "GET, HEAD, OPTIONS, POST"},
		{"DELETE", "/login", "", 405, "invalid_request", "GET, HEAD, OPTIONS, POST"},
		{"HOSTILE", "/login", "", 405, "invalid_request", "GET, HEAD, OPTIONS, POST"},
		{"TRACE", "/login", "", 405, "invalid_request", "GET, HEAD, OPTIONS, POST"},
		{"POST", "/.well-known/jwks.json", "", 405, "invalid_request", "GET, HEAD, OPTIONS"},
		{"OPTIONS", "/autologin", "", 204, "", "OPTIONS, POST"},
		{"OPTIONS", "/exchange", "", 204, "", "OPTIONS, POST"},
		{"OPTIONS", "/login", "", 204, "", "GET, HEAD, OPTIONS, POST"},
	}
	for _, test := range tests {
		t.Run(test.method+" "+test.path+" "+test.accept, func(t *testing.T) {
			d := &domain{}
			r := httptest.NewRequest(test.method, test.path, nil)
			if test.accept != "" {
				r.Header.Set("Accept", test.accept)
			}
			a := newServer(t, d).send(t, r)
			if a.status != test.status {
				t.Fatalf("got %d %s, want %d", a.status, a.body, test.status)
			}
			if got := allowed(a); got != test.allow {
				t.Errorf("Allow: got %q, want %q", got, test.allow)
			}
			switch test.code {
			case "":
				if a.body != "" {
					t.Errorf("body: got %q, want none", a.body)
				}
			case "page":
				if !strings.Contains(a.body, "<h1>Page not found</h1>") {
					t.Errorf("got %s, want the page of a wrong address", a.body)
				}
			default:
				if p := a.problem(t); p.Error != test.code || p.RequestID != a.header.Get("X-Request-Id") {
					t.Errorf("got %+v, want the error %s and the request id", p, test.code)
				}
			}
			if got := d.calls(); got != 0 {
				t.Errorf("the domain was called %d times, want 0", got)
			}
		})
	}
}

// allowed returns the methods of the Allow header, sorted.
func allowed(a answer) string {
	var methods []string
	for m := range strings.SplitSeq(strings.Join(a.header.Values("Allow"), ","), ",") {
		methods = append(methods, strings.TrimSpace(m))
	}
	slices.Sort(methods)
	return strings.Join(slices.Compact(methods), ", ")
}
