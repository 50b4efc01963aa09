package api_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/latchkey-sso/latchkey/api"
	"github.com/latchkey-sso/latchkey/broker"
)

// canaries marks every secret of these tests: it is a part of all of them.
var canaries = []string{"canary", "Canary", "CANARY"}

// secretRequests carry secrets in every place that a client can think of.
func secretRequests() []*http.Request {
	const inToken = "one_time_token=" + tokenText
	header := func(r *http.Request, name, value string) *http.Request {
		r.Header.Set(name, value)
		return r
	}
	method := navigation(loginPath)
	method.Method = "CANARY"
	host := navigation(loginPath)
	host.Host = "canary.example"
	return []*http.Request{
		autologin(),
		post("/autologin?"+linkQuery+"&token="+linkToken, formType, ""),
		post("/autologin?"+linkQuery+"&token="+linkToken+"%zz", formType, linkBody),
		post("/autologin?"+linkToken+"="+linkToken, formType, linkBody),
		post("/autologin?"+linkQuery, formType, linkBody+"%zz"),
		post("/autologin?"+linkQuery, formType, linkBody+"&token="+linkToken),
		post("/autologin?"+linkQuery, jsonType, linkBody),
		post("/autologin?"+linkQuery, jsonType, `{"token":["`+linkToken+`"]}`),
		post("/autologin?"+linkQuery, jsonType, `{"`+linkToken+`":true,"attempt":"`+linkToken+`"}`),
		post("/autologin?"+linkQuery, "text/"+linkToken, linkBody),
		post("/autologin?"+linkQuery, "multipart/form-data;boundary="+linkToken, linkBody),
		header(autologin(), "Content-Encoding", linkToken),
		post("/autologin?server="+linkToken+"&user="+linkToken+"&app="+linkToken, formType, linkBody),
		post("/autologin?"+linkQuery, formType, linkBody+strings.Repeat("x", 1<<20)),
		get(loginPath), navigation(loginPath), loginPost(),
		claimed(get(loginPath), claimText), claimed(navigation(loginPath), claimText),
		httptest.NewRequest("HEAD", loginPath, nil), httptest.NewRequest("OPTIONS", loginPath, nil), httptest.NewRequest("PUT", loginPath, nil),
		navigation("/login?" + inToken + "&" + inToken), navigation("/login?" + inToken + "%zz"), navigation("/login?" + inToken + "canary"),
		navigation("/login/" + tokenText), navigation("/" + tokenText + "?" + inToken), get("/" + tokenText),
		post("/login", "text/plain", inToken), post("/login", formType, inToken+"%zz"),
		header(loginPost(), "Sec-Fetch-Site", "cross-site"), header(loginPost(), "Origin", "https://canary.example"),
		exchange(),
		post("/exchange", formType, inToken+"&client_id=portal&client_secret="+linkToken),
		header(exchange(), "Content-Type", "text/"+linkToken),
		header(post("/exchange", formType, inToken), "Authorization", "Bearer "+linkToken),
		header(post("/exchange", formType, inToken), "Authorization", linkToken),
		post("/exchange", formType, inToken+"&claim_id=canary!"),
		header(navigation(loginPath), "Referer", publicURL+loginPath),
		header(navigation(loginPath), "User-Agent", tokenText),
		header(navigation(loginPath), "X-Request-Id", claimText),
		header(navigation(loginPath), "X-Forwarded-For", tokenText),
		header(navigation(loginPath), "Accept-Language", tokenText),
		method, host,
	}
}

// TestNoSecretIsLogged sends secrets to every route, whatever the domain
// answers, and looks for them in the whole log.
func TestNoSecretIsLogged(t *testing.T) {
	prepare := map[string]func(*domain){
		"success":       func(*domain) {},
		"unknown error": func(d *domain) { d.refuse(errPrivate) },
		"panic": func(d *domain) {
			d.autologin = func(broker.AutologinRequest) (broker.Answer, error) { panic("x") }
			d.login = func(broker.LoginRequest) (broker.FormPost, error) { panic(errPrivate) }
			d.exchange = func(broker.ExchangeRequest) (broker.Exchanged, error) { panic(errPrivate) }
		},
	}
	for _, reason := range broker.Reasons() {
		prepare[reason.String()] = func(d *domain) { d.refuse(&broker.Error{Reason: reason, Err: errPrivate}) }
	}
	for name, change := range prepare {
		t.Run(name, func(t *testing.T) {
			d := &domain{}
			change(d)
			s := newServer(t, d)
			var log strings.Builder
			requests := secretRequests()
			for _, r := range requests {
				s.send(t, r)
			}
			for _, entry := range s.entries.All() {
				fmt.Fprintf(&log, "%s %+v\n", entry.Message, entry.ContextMap())
			}
			for _, canary := range canaries {
				for form, text := range map[string]string{"JSON": s.log.String(), "text": log.String()} {
					if at := strings.Index(text, canary); at >= 0 {
						t.Errorf("the log as %s has a secret: %s", form, text[max(0, at-200):min(len(text), at+100)])
					}
				}
			}
			if got := s.entries.FilterMessage("request").Len(); got != len(requests) {
				t.Errorf("got %d lines, want one for each of %d requests", got, len(requests))
			}
		})
	}
}

// TestALineForEachRequest compares what an operator reads.
func TestALineForEachRequest(t *testing.T) {
	refusal := func(r broker.Reason, err error) error {
		return fmt.Errorf("wrapped: %w", &broker.Error{Reason: r, Err: err})
	}
	tests := []struct {
		name    string
		request *http.Request
		err     error
		level   zapcore.Level
		want    map[string]any
	}{
		{"autologin", autologin(), nil, zap.InfoLevel, map[string]any{"method": "POST", "route": "/autologin", "status": int64(200)}},
		{"login", navigation(loginPath), nil, zap.InfoLevel, map[string]any{"method": "GET", "route": "/login", "status": int64(200)}},
		{"exchange", exchange(), nil, zap.InfoLevel, map[string]any{"method": "POST", "route": "/exchange", "status": int64(200)}},
		{"key set", get("/.well-known/jwks.json"), nil, zap.InfoLevel, map[string]any{"route": "/.well-known/jwks.json", "status": int64(200)}},
		{"not found", get("/nothing"), nil, zap.InfoLevel, map[string]any{"route": "none", "status": int64(404), "reason": nil}},
		{"wrong method", get("/autologin"), nil, zap.InfoLevel, map[string]any{"route": "/autologin", "status": int64(405)}},
		{"an invented method", httptest.NewRequest("HOSTILE", "/login", nil), nil, zap.InfoLevel, map[string]any{"method": "other", "status": int64(405)}},
		{"malformed", post("/autologin", formType, "user=a&user=b"), nil, zap.InfoLevel, map[string]any{
			"status": int64(400), "reason": "invalid_request", "field": "user", "problem": "is there more than once",
		}},
		{"denied", autologin(), refusal(broker.ReasonAccessDenied, errPrivate), zap.InfoLevel, map[string]any{"status": int64(401), "reason": "access_denied"}},
		{"used", navigation(loginPath), refusal(broker.ReasonTokenUsed, nil), zap.InfoLevel, map[string]any{"status": int64(410), "reason": "token_used"}},
		{"unavailable", autologin(), refusal(broker.ReasonUnavailable, errPrivate), zap.WarnLevel, map[string]any{
			"status": int64(503), "reason": "unavailable", "error": privateText,
		}},
		{"unavailable page", navigation(loginPath), refusal(broker.ReasonUnavailable, errPrivate), zap.WarnLevel, map[string]any{
			"status": int64(503), "reason": "unavailable", "error": privateText,
		}},
		{"unavailable exchange", exchange(), refusal(broker.ReasonUnavailable, errPrivate), zap.WarnLevel, map[string]any{
			"status": int64(503), "reason": "unavailable", "error": privateText,
		}},
		{"unavailable, nobody knows why", autologin(), refusal(broker.ReasonUnavailable, nil), zap.WarnLevel, map[string]any{"status": int64(503), "error": nil}},
		{"error", autologin(), errPrivate, zap.ErrorLevel, map[string]any{"status": int64(500), "error": privateText, "reason": nil}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := &domain{}
			if test.err != nil {
				d.refuse(test.err)
			}
			s := newServer(t, d)
			a := s.send(t, test.request)
			if s.entries.Len() != 1 {
				t.Fatalf("got %d lines, want one: %v", s.entries.Len(), s.entries.All())
			}
			entry := s.entries.All()[0]
			got := entry.ContextMap()
			if entry.Level != test.level || entry.Message != "request" {
				t.Errorf("got a line %q at %v, want request at %v", entry.Message, entry.Level, test.level)
			}
			for key, value := range test.want {
				if got[key] != value {
					t.Errorf("%s: got %v, want %v", key, got[key], value)
				}
			}
			if got["request_id"] != a.header.Get("X-Request-Id") || got["address"] != "192.0.2.1" || got["took"] == nil {
				t.Errorf("got %v, want the request id, the address and the time it took", got)
			}
		})
	}
}

// TestAPanicIsLoggedWithItsStack: the line of the request stands beside.
func TestAPanicIsLoggedWithItsStack(t *testing.T) {
	d := &domain{autologin: func(broker.AutologinRequest) (broker.Answer, error) { panic(errors.New("a bug")) }}
	s := newServer(t, d)
	a := s.send(t, autologin())
	panics := s.entries.FilterMessage("panic").All()
	if len(panics) != 1 || panics[0].Level != zap.ErrorLevel {
		t.Fatalf("got %v, want one line about the panic at error", s.entries.All())
	}
	got := panics[0].ContextMap()
	if stack := fmt.Sprintf("%s", got["stack"]); got["error"] != "a bug" || got["request_id"] != a.header.Get("X-Request-Id") ||
		!strings.Contains(stack, "log_test.go") {
		t.Errorf("got %v, want the error, the request id and the stack", got)
	}
	lines := s.entries.FilterMessage("request").All()
	if len(lines) != 1 || lines[0].Level != zap.ErrorLevel || lines[0].ContextMap()["status"] != int64(500) {
		t.Errorf("got the lines %v, want one of a 500 at error", lines)
	}
}

// TestLimitedRequestsAreLogged: an operator sees who is slowed down.
func TestLimitedRequestsAreLogged(t *testing.T) {
	d := &domain{}
	d.refuse(&broker.Error{Reason: broker.ReasonAccessDenied})
	s := newServer(t, d, burst(1), func(c *api.Config) { c.Confirm = api.ConfirmNever })
	s.send(t, autologin())
	s.send(t, autologin())
	entries := s.entries.All()
	if got := entries[len(entries)-1].ContextMap(); got["status"] != int64(429) || got["reason"] != "slow_down" || got["route"] != "/autologin" {
		t.Errorf("got %v, want a 429 of /autologin, slow_down", got)
	}
}
