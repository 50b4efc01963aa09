package api_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/latchkey-sso/latchkey/api"
)

// fuzzed sends a request to a server whose domain succeeds: whatever comes in,
// the answer is no incident and carries every header. The server is used again
// because making one takes longer than all the rest.
func fuzzed(t *testing.T, s *server, d *domain, r *http.Request) answer {
	t.Helper()
	d.forget()
	s.entries.TakeAll()
	s.log.Reset()
	a := s.send(t, r)
	if a.status < 200 || a.status >= 500 {
		t.Fatalf("got %d %s, want no incident", a.status, a.body)
	}
	if got := d.calls(); a.status >= 300 && got > 0 || got > 1 {
		t.Errorf("got %d after %d calls of the domain, want one for a success and none else", a.status, got)
	}
	return a
}

func FuzzAutologin(f *testing.F) {
	f.Add(formType, linkQuery, linkBody)
	f.Add("", linkQuery, linkBody+"&attempt=3&user=bob")
	f.Add(jsonType, linkQuery, `{"token":"x","subscriber_unique_id":1234,"a":[{"b":null}],"attempt":1}`)
	f.Add(jsonType+"; charset=utf-8", linkQuery+"&user=%ff", `{"user":true}`)
	f.Add("multipart/form-data; boundary=x", "", "--x--")
	d := &domain{}
	s := newServer(f, d)
	f.Fuzz(func(t *testing.T, contentType, query, body string) {
		r := post("/autologin", contentType, body)
		r.URL.RawQuery = query
		a := fuzzed(t, s, d, r)
		switch a.status {
		case http.StatusOK:
			asked := d.bound(t)
			if asked.attempt < 0 || asked.attempt > 3 {
				t.Errorf("the domain was asked for the attempt %d, want 0 to 3", asked.attempt)
			}
		case http.StatusBadRequest:
			if p := a.problem(t); p.Error != "invalid_request" || !strings.HasPrefix(p.Description, "The ") {
				t.Errorf("got %+v, want invalid_request about a part of the request", p)
			}
		default:
			t.Errorf("got %d, want 200 or 400", a.status)
		}
	})
}

func FuzzLogin(f *testing.F) {
	const navigate = "Sec-Fetch-Mode: navigate\nSec-Fetch-Dest: document"
	f.Add("GET", "one_time_token="+tokenText, navigate, "")
	f.Add("GET", "one_time_token="+tokenText, navigate+"\nSec-Purpose: prefetch;prerender", "")
	f.Add("HEAD", "one_time_token="+tokenText, "Accept: text/html", "")
	f.Add("POST", "", "Content-Type: "+formType+"\nCookie: "+api.ClaimCookie+"="+claimText, "one_time_token="+tokenText)
	f.Add("POST", "", "Content-Type: "+formType+"\nOrigin: null\nX-Forwarded-For: a, ::1\nX-Request-Id: 12345678", "one_time_token="+tokenText)
	f.Add("hostile", "%zz", "Accept-Language: de;q=x,,;\nAccept: text/html", "")
	d := &domain{}
	s := newServer(f, d, behindProxies)
	f.Fuzz(func(t *testing.T, method, query, headers, body string) {
		r := post("/login", "", body)
		r.Method, r.URL.RawQuery, r.RemoteAddr = method, query, proxy
		for line := range strings.SplitSeq(headers, "\n") {
			name, value, _ := strings.Cut(line, ":")
			r.Header.Add(name, strings.TrimSpace(value))
		}
		a := fuzzed(t, s, d, r)
		if got := d.calls(); got > 0 && method != "GET" && method != "POST" {
			t.Errorf("%q redeems", method)
		}
		page := strings.HasPrefix(a.header.Get("Content-Type"), "text/html")
		if page {
			checkTame(t, parsePage(t, a))
		}
		if (method == "GET" || method == "POST") != page && a.status != http.StatusMethodNotAllowed {
			t.Errorf("%q: got %d as %q", method, a.status, a.header.Get("Content-Type"))
		}
	})
}

func FuzzExchange(f *testing.F) {
	f.Add("Basic cG9ydGFsOnNlY3JldA==", formType, "one_time_token="+tokenText, "")
	f.Add("", formType, "one_time_token=x&client_id=portal&client_secret=%2B&claim_id="+claimText, "")
	f.Add("Basic cG9ydGFsOnNlY3JldA==", formType+"; charset=utf-8", "one_time_token=x&client_secret=y", api.ClaimCookie+"="+claimText)
	f.Add("Basic JTo=", "", "", ";;=")
	d := &domain{}
	s := newServer(f, d)
	f.Fuzz(func(t *testing.T, authorization, contentType, body, cookie string) {
		r := httptest.NewRequest(http.MethodPost, "/exchange", strings.NewReader(body))
		r.Header.Set("Authorization", authorization)
		r.Header.Set("Content-Type", contentType)
		r.Header.Set("Cookie", cookie)
		a := fuzzed(t, s, d, r)
		if a.status == http.StatusOK {
			if got := d.exchanges[0]; got.Token == "" || got.Claim.IsZero() {
				t.Errorf("the domain was asked %+v, want a token and a claim", got)
			}
			return
		}
		if p := a.problem(t); a.status != http.StatusBadRequest || p.Error != "invalid_request" {
			t.Errorf("got %d %+v, want 400 invalid_request", a.status, p)
		}
	})
}
