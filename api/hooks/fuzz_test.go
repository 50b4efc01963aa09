package hooks_test

import (
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
