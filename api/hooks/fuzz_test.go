package hooks_test

import (
	"bufio"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/latchkey-sso/latchkey/api/hooks"
)

// FuzzReport: whatever comes in, the answer is no incident, and only a server's
// own accounts are queued.
func FuzzReport(f *testing.F) {
	f.Add("application/json", "Bearer "+secret, bob("Accounts::Create"))
	f.Add("application/json", "Bearer "+secret, `{"server":"web01","event":"Accounts::Modify","user":"bob","new_user":"robert","x":[{"y":null}]}`)
	f.Add("application/json; charset=utf-8", "Bearer "+secret, `{"server":"web01","event":"Restore","user":"\ud800"}`)
	f.Add("application/json", "Bearer "+secret, `{"server":"web01","user":{"event":1}}}`)
	f.Add("", "Basic Og==", "")
	f.Fuzz(func(t *testing.T, contentType, authorization, body string) {
		r := newReceiver()
		request := httptest.NewRequest(http.MethodPost, hooks.Path, strings.NewReader(body))
		request.Header.Set("Content-Type", contentType)
		request.Header.Set("Authorization", authorization)
		a := r.send(t, request)
		queued := r.queue.take()
		if a.status == http.StatusAccepted != (len(queued) > 0) {
			t.Errorf("got %d with %v queued, want requests for a 202 and else none", a.status, queued)
		}
		for _, q := range queued {
			if q.Account.Server != "web01" && q.Account.Server != "web02" || q.Account.User == "" {
				t.Errorf("queued %+v, want an account of the caller", q)
			}
		}
		switch a.status {
		case http.StatusAccepted, http.StatusBadRequest, http.StatusUnauthorized, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType:
		default:
			t.Errorf("got %d %s, want no other status", a.status, a.body)
		}
	})
}

// FuzzRequest sends whole requests: the headers are on every answer, and without a
// secret nothing is queued.
func FuzzRequest(f *testing.F) {
	const head = " HTTP/1.1\r\nHost: x\r\n"
	report := bob("Accounts::Create")
	f.Add("POST " + hooks.Path + head + "Content-Type: application/json\r\nAuthorization: Bearer x\r\nContent-Length: " + fmt.Sprint(len(report)) + "\r\n\r\n" + report)
	f.Add("OPTIONS *" + head + "\r\n")
	f.Add("HEAD //x@y" + hooks.Path + "/../?%zz" + head + "X-HTTP-Method-Override: POST\r\n\r\n")
	f.Add("POST " + hooks.Path + head + "Transfer-Encoding: chunked\r\nAuthorization: Bearer\r\nAuthorization: Bearer\r\n\r\nzz")
	f.Fuzz(func(t *testing.T, raw string) {
		request, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
		if err != nil {
			return // net/http answers
		}
		request.RemoteAddr = "192.0.2.1:1234"
		r := newReceiver()
		a := r.send(t, request)
		if queued := r.queue.take(); a.status < 400 && a.status != http.StatusNoContent || a.status >= 500 || len(queued) > 0 {
			t.Errorf("got %d with %v queued, want a refusal and nothing queued", a.status, queued)
		}
	})
}
