package hooks_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

func TestAReportBecomesRequests(t *testing.T) {
	tests := []struct {
		name, body string
		want       []reconcile.Request
	}{
		{"created", bob("Accounts::Create"), []reconcile.Request{reconciled("bob")}},
		{"modified", bob("Accounts::Modify"), []reconcile.Request{reconciled("bob")}},
		{"suspended", bob("Accounts::suspendacct"), []reconcile.Request{reconciled("bob")}},
		{"unsuspended", bob("Accounts::unsuspendacct"), []reconcile.Request{reconciled("bob")}},
		{"package changed", bob("Accounts::change_package"), []reconcile.Request{reconciled("bob")}},
		{"removed", bob("Accounts::Remove"), []reconcile.Request{reconciled("bob")}},
		{"restored", bob("PkgAcct::Restore"), []reconcile.Request{reconciled("bob"), rotated("bob")}},
		{"restored, short", bob("Restore"), []reconcile.Request{reconciled("bob"), rotated("bob")}},
		{
			"renamed", `{"server":"web01","event":"Accounts::Modify","user":"bob","new_user":"robert"}`,
			[]reconcile.Request{reconciled("bob"), reconciled("robert")},
		},
		{"renamed to itself", `{"server":"web01","event":"Accounts::Modify","user":"bob","new_user":"bob"}`, []reconcile.Request{reconciled("bob")}},
		{"renamed to nothing", `{"server":"web01","event":"Accounts::Modify","user":"bob","new_user":null}`, []reconcile.Request{reconciled("bob")}},
		{
			"a new name where nothing is renamed", `{"server":"web01","event":"Accounts::Remove","user":"bob","new_user":"robert"}`,
			[]reconcile.Request{reconciled("bob")},
		},
		{
			"domain, plan and what is unknown", `{"domain":["x"],"plan":7,"USER":"eve","data":{"user":"eve"},"server":"web01","event":"Accounts::Create","user":"bob"}`,
			[]reconcile.Request{reconciled("bob")},
		},
		{"white space around", " \n" + bob("Accounts::Create") + "\n ", []reconcile.Request{reconciled("bob")}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := newReceiver()
			a := r.send(t, report(test.body))
			if got, want := strings.TrimSpace(a.body), `{"status":"accepted"}`; a.status != 202 || got != want {
				t.Errorf("got %d %s, want 202 %s", a.status, got, want)
			}
			if got := r.queue.take(); !slices.Equal(got, test.want) {
				t.Errorf("queued: got %v, want %v", got, test.want)
			}
		})
	}
}

func TestAMalformedReportIsRefused(t *testing.T) {
	tests := []struct{ name, body, want string }{
		{"no event", `{"server":"web01","user":"bob"}`, "event is missing"},
		{"unknown event", bob("Accounts::Explode"), "event is not one that Latchkey knows"},
		{"event in another case", bob("accounts::create"), "event is not one that Latchkey knows"},
		{"event is a number", `{"server":"web01","event":1,"user":"bob"}`, "event must be a text"},
		{"no user", `{"server":"web01","event":"Accounts::Create"}`, "user is missing"},
		{"empty user", `{"server":"web01","event":"Accounts::Create","user":""}`, "user is missing"},
		{"user is an object", `{"server":"web01","event":"Accounts::Create","user":{}}`, "user must be a text"},
		{"user is a path", `{"server":"web01","event":"PkgAcct::Restore","user":"/home/cpmove-bob.tar.gz"}`, "user has a character other than letters, digits, dot, underscore and hyphen"},
		{"user has a line break", `{"server":"web01","event":"Accounts::Create","user":"bob\n"}`, "user has a control character"},
		{"user is too long", `{"server":"web01","event":"Accounts::Create","user":"` + strings.Repeat("b", 65) + `"}`, "user is too long"},
		{"user is no UTF-8", "{\"server\":\"web01\",\"event\":\"Accounts::Create\",\"user\":\"b\xffb\"}", "user is not valid UTF-8"},
		{"new name is none", `{"server":"web01","event":"Accounts::Modify","user":"bob","new_user":"../x"}`, "new_user has a character other than letters, digits, dot, underscore and hyphen"},
		{"two users", `{"server":"web01","event":"Accounts::Create","user":"bob","user":"eve"}`, "user is there more than once"},
		{"empty", ``, "body is not a JSON object"},
		{"an array", `[]`, "body is not a JSON object"},
		{"no end", `{"server":"web01"`, "body is not a JSON object"},
		{"something behind", bob("Accounts::Create") + `{}`, "body is not a JSON object"},
		{"a broken member that is not ours", `{"server":"web01","event":"Accounts::Create","user":"bob","pass":tru}`, "body is not a JSON object"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := newReceiver()
			r.send(t, report(test.body)).want(t, 400, "invalid_request", test.want)
			if got := r.queue.take(); len(got) > 0 {
				t.Errorf("queued: got %v, want nothing", got)
			}
		})
	}
}

func TestOnlyJSONOfABoundedSizeIsRead(t *testing.T) {
	long := strings.Repeat(" ", 64<<10)
	tests := []struct {
		name   string
		change func(*http.Request)
		status int
		want   string
	}{
		{"no type", func(r *http.Request) { r.Header.Del("Content-Type") }, 415, "Content-Type must be application/json"},
		{"a form", func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") }, 415, "Content-Type must be application/json"},
		{"a broken type", func(r *http.Request) { r.Header.Set("Content-Type", "application/json; charset") }, 415, "Content-Type must be application/json"},
		{"another charset", func(r *http.Request) { r.Header.Set("Content-Type", "application/json; charset=utf-16") }, 415, "Content-Type must have the charset UTF-8"},
		{"compressed", func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }, 415, "Content-Encoding is not supported"},
		{"too large", func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(long + " ")) }, 413, "body is larger than 64 KiB"},
		{"as large as may be", func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(long)) }, 400, "body is not a JSON object"},
		{"torn off", func(r *http.Request) { r.Body = io.NopCloser(iotest.ErrReader(io.ErrUnexpectedEOF)) }, 400, "body could not be read to its end"},
		{"with a charset", func(r *http.Request) { r.Header.Set("Content-Type", "Application/JSON; charset=UTF-8") }, 202, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			request := report(bob("Accounts::Create"))
			test.change(request)
			a := newReceiver().send(t, request)
			if test.status == 202 {
				if a.status != 202 {
					t.Errorf("got %d %s, want 202", a.status, a.body)
				}
				return
			}
			a.want(t, test.status, "invalid_request", test.want)
		})
	}
}

// TestAServerSpeaksForItselfAlone: whatever is wrong with server and secret, the
// answer is the same byte for byte.
func TestAServerSpeaksForItselfAlone(t *testing.T) {
	as := func(server, authorization string) *http.Request {
		r := report(`{"server":"` + server + `","event":"Accounts::Create","user":"bob"}`)
		r.Header.Del("Authorization")
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		return r
	}
	twice := as("web01", "Bearer "+secret)
	twice.Header.Add("Authorization", "Bearer "+secret)
	unread := as("web01", "Bearer wrong")
	unread.Body = io.NopCloser(iotest.ErrReader(errors.New("the body was read")))
	tests := []struct {
		name    string
		request *http.Request
	}{
		{"wrong secret", as("web01", "Bearer wrong")},
		{"unknown server", as("web99", "Bearer wrong")},
		{"unknown server with a secret of ours", as("web99", "Bearer "+secret)},
		{"another server's secret", as("web01", "Bearer "+otherSecret)},
		{"another server's name", as("web02", "Bearer "+secret)},
		{"no server", as("", "Bearer "+secret)},
		{"no secret", as("web01", "")},
		{"empty secret", as("web01", "Bearer ")},
		{"a server whose secret is not set", as("empty", "Bearer ")},
		{"a server whose secret is empty", as("blank", "Bearer ")},
		{"a part of the secret", as("web01", "Bearer "+secret[:5])},
		{"another scheme", as("web01", "Basic "+base64.StdEncoding.EncodeToString([]byte("web01:"+secret)))},
		{"no scheme", as("web01", secret)},
		{"the secret twice", twice},
		{"a body that must not be read", unread},
	}
	first := answer{}
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := newReceiver()
			a := r.send(t, test.request)
			a.want(t, 401, "access_denied", "the server is unknown or the secret is not its own")
			if got, want := a.header.Get("WWW-Authenticate"), `Bearer realm="latchkey"`; got != want {
				t.Errorf("WWW-Authenticate: got %q, want %q", got, want)
			}
			if i == 0 {
				first = a
			}
			if got, want := fmt.Sprint(a), fmt.Sprint(first); got != want {
				t.Errorf("got %s, want the same as for a wrong secret, %s", got, want)
			}
			if got := r.queue.take(); len(got) > 0 {
				t.Errorf("queued: got %v, want nothing", got)
			}
		})
	}
	if a := newReceiver().send(t, as("web01", "bearer  "+secret)); a.status != 202 {
		t.Errorf("the scheme in small letters: got %d %s, want 202", a.status, a.body)
	}
	if a := newReceiver().send(t, as("web02", "Bearer "+otherSecret)); a.status != 202 {
		t.Errorf("the other server: got %d %s, want 202", a.status, a.body)
	}
}

func TestOnlyPOSTToOneAddress(t *testing.T) {
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "hostile"} {
		request := report(bob("Accounts::Create"))
		request.Method = method
		r := newReceiver()
		a := r.send(t, request)
		if got := a.header.Values("Allow"); a.status != 405 || !slices.Equal(got, []string{"POST"}) {
			t.Errorf("%s: got %d, Allow %q, want 405, Allow POST", method, a.status, got)
		}
		if method == "HEAD" && a.body != "" {
			t.Errorf("HEAD: got the body %q, want none", a.body)
		}
		if got := r.queue.take(); len(got) > 0 {
			t.Errorf("%s: queued %v, want nothing", method, got)
		}
	}
	elsewhere := report(bob("Accounts::Create"))
	elsewhere.URL.Path = "/hooks/whm/"
	newReceiver().send(t, elsewhere).want(t, 404, "not_found", "there is nothing at this address")
}

func TestABusyServerIsSlowedDownAlone(t *testing.T) {
	r := newReceiver()
	for i := range 500 {
		if a := r.send(t, report(bob("Accounts::Create"))); a.status != 202 {
			t.Fatalf("request %d: got %d %s, want 202", i+1, a.status, a.body)
		}
	}
	a := r.send(t, report(bob("Accounts::Create")))
	a.want(t, 429, "slow_down", "there were too many requests")
	if got := a.header.Get("Retry-After"); got != "1" {
		t.Errorf("Retry-After: got %q, want 1", got)
	}
	stranger := report(bob("Accounts::Create"))
	stranger.Header.Set("Authorization", "Bearer "+otherSecret)
	r.send(t, stranger).want(t, 401, "access_denied", "the server is unknown or the secret is not its own")

	other := report(strings.ReplaceAll(bob("Accounts::Create"), "web01", "web02"))
	other.Header.Set("Authorization", "Bearer "+otherSecret)
	if a := r.send(t, other); a.status != 202 {
		t.Errorf("another server: got %d %s, want 202", a.status, a.body)
	}
	r.now = r.now.Add(time.Second)
	for i := range 50 {
		if a := r.send(t, report(bob("Accounts::Create"))); a.status != 202 {
			t.Fatalf("request %d a second later: got %d %s, want 202", i+1, a.status, a.body)
		}
	}
	r.send(t, report(bob("Accounts::Create"))).want(t, 429, "slow_down", "there were too many requests")
}

func TestAQueueThatFailsIsAnswered503(t *testing.T) {
	r := newReceiver()
	r.queue.fail = func(context.Context) error { return errDown }
	a := r.send(t, report(bob("Accounts::Create")))
	a.want(t, 503, "temporarily_unavailable", "the request could not be queued")
	if got := r.log.String(); !strings.Contains(got, errDown.Error()) {
		t.Errorf("log: got %s, want the cause %q in it", got, errDown)
	}
}

func TestAQueueThatIsFullIsAnswered429(t *testing.T) {
	r := newReceiver()
	r.queue.fail = func(context.Context) error { return fmt.Errorf("add: %w", reconcile.ErrQueueFull) }
	a := r.send(t, report(bob("Accounts::Create")))
	a.want(t, 429, "slow_down", "too many reports of the server wait already")
	if got := a.header.Get("Retry-After"); got != "60" {
		t.Errorf("Retry-After: got %q, want 60", got)
	}
	for _, want := range []string{reconcile.ErrQueueFull.Error(), `"level":"warn"`, `"server":"web01"`} {
		if got := r.log.String(); !strings.Contains(got, want) {
			t.Errorf("log: got %s, want %s in it", got, want)
		}
	}
}

func TestAQueueThatHangsIsGivenTwoSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReceiver()
		r.queue.fail = func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}
		start := time.Now()
		r.send(t, report(bob("Accounts::Create"))).want(t, 503, "temporarily_unavailable", "the request could not be queued")
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("took %v, want 2s", took)
		}
	})
}

func TestAPanicIsAnIncidentAndNoMore(t *testing.T) {
	r := newReceiver()
	r.queue.fail = func(context.Context) error { panic("out of cheese") }
	r.send(t, report(bob("Accounts::Create"))).want(t, 500, "server_error", "something went wrong on our side")
	if got := r.log.String(); !strings.Contains(got, "out of cheese") {
		t.Errorf("log: got %s, want the panic in it", got)
	}
}

func TestTheLogNamesWhatHappened(t *testing.T) {
	r := newReceiver()
	r.send(t, report(`{"server":"web01","event":"Accounts::Modify","user":"bob","new_user":"robert","domain":"bob.example.com","plan":"gold"}`))
	got := r.log.String()
	for _, want := range []string{`"server":"web01"`, `"event":"Accounts::Modify"`, `"user":"bob"`, `"new_user":"robert"`, `"status":202`, `"address":"192.0.2.1"`} {
		if !strings.Contains(got, want) {
			t.Errorf("log: got %s, want %s in it", got, want)
		}
	}
	for _, canary := range []string{"bob.example.com", "gold", "canary"} {
		if strings.Contains(got, canary) {
			t.Errorf("log: got %s, want no %q in it", got, canary)
		}
	}
}

// TestNothingElseOfABodyIsKept: wherever a body holds a password, and whatever
// becomes of the report.
func TestNothingElseOfABodyIsKept(t *testing.T) {
	quoted := `"` + password + `"`
	tests := []struct{ name, body string }{
		{"beside what is known", `{"server":"web01","event":"Accounts::Create","user":"bob","pass":` + quoted + `}`},
		{"as the name of a member", `{"server":"web01","event":"Accounts::Create","user":"bob",` + quoted + `:1}`},
		{"WHM's own event", `{"hook":{},"context":{"event":"Accounts::Create"},"data":{"user":"bob","pass":` + quoted + `}}`},
		{"WHM's own event of a known server", `{"server":"web01","event":"Accounts::Create","data":{"user":"bob","pass":` + quoted + `}}`},
		{"as the user", `{"server":"web01","event":"Accounts::Create","user":` + quoted + `}`},
		{"as the new user", `{"server":"web01","event":"Accounts::Modify","user":"bob","new_user":` + quoted + `}`},
		{"as the new user of another event", `{"server":"web01","event":"Accounts::Create","user":"bob","new_user":` + quoted + `}`},
		{"as the event", `{"server":"web01","event":` + quoted + `,"user":"bob"}`},
		{"as the server", `{"server":` + quoted + `,"event":"Accounts::Create","user":"bob"}`},
		{"as domain and plan", `{"server":"web01","event":"Accounts::Create","user":"bob","domain":` + quoted + `,"plan":` + quoted + `}`},
		{"in broken JSON", `{"server":"web01","pass":` + quoted},
		{"twice", `{"server":"web01","user":` + quoted + `,"user":` + quoted + `}`},
	}
	for _, test := range tests {
		for _, key := range []string{secret, "wrong"} {
			t.Run(test.name+" by "+key, func(t *testing.T) {
				r := newReceiver()
				request := report(test.body)
				request.Header.Set("Authorization", "Bearer "+key)
				a := r.send(t, request)
				everywhere := fmt.Sprint(a, r.queue.take(), r.log.String())
				for _, canary := range []string{"CANARY", "canary-secret"} {
					if strings.Contains(everywhere, canary) {
						t.Errorf("got %s, want no %q in it", everywhere, canary)
					}
				}
			})
		}
	}
}
