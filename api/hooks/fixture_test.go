package hooks_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/latchkey-sso/latchkey/api"
	"github.com/latchkey-sso/latchkey/api/hooks"
	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

const (
	// secret has what must be quoted on its way through the script.
	secret      = `canary-secret"of\web01`
	otherSecret = "canary-secret-of-web02"
	// password stands in bodies where it has no business.
	password = "CANARY-y[q95@r.=}3F"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 123_456_789, time.UTC)

// queue is a queue in memory.
type queue struct {
	// fail, when set, is what Add does instead.
	fail func(context.Context) error

	mu   sync.Mutex
	held []reconcile.Request
}

func (q *queue) Add(ctx context.Context, requests ...reconcile.Request) error {
	if q.fail != nil {
		return q.fail(ctx)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.held = append(q.held, requests...)
	return nil
}

// take empties the queue.
func (q *queue) take() []reconcile.Request {
	q.mu.Lock()
	defer q.mu.Unlock()
	all := q.held
	q.held = nil
	return all
}

// receiver is a handler whose queue and log can be read.
type receiver struct {
	http.Handler
	queue *queue
	log   *lockedBuffer
	// now is what its clock shows.
	now time.Time
}

func newReceiver() *receiver {
	r := &receiver{queue: &queue{}, log: &lockedBuffer{}, now: noon}
	encoder := zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig())
	r.Handler = hooks.New(hooks.Config{
		Secrets: map[string]broker.Secret{
			"web01": broker.NewSecret(secret), "web02": broker.NewSecret(otherSecret), "empty": {}, "blank": broker.NewSecret(""),
		},
		Requests: r.queue,
		Now:      func() time.Time { return r.now },
		Log:      zap.New(zapcore.NewCore(encoder, r.log, zap.DebugLevel)),
	})
	return r
}

type answer struct {
	status int
	header http.Header
	body   string
}

func (r *receiver) send(t testing.TB, request *http.Request) answer {
	t.Helper()
	w := httptest.NewRecorder()
	r.ServeHTTP(w, request)
	a := answer{w.Code, w.Header(), w.Body.String()}
	want := http.Header{}
	api.SetSecureHeaders(want)
	for name := range want {
		if got := a.header.Values(name); !slices.Equal(got, want[name]) {
			t.Errorf("%s %s, status %d, header %s: got %q, want %q once", request.Method, request.URL.Path, a.status, name, got, want[name])
		}
	}
	return a
}

// report makes the request of a server that proves itself.
func report(body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, hooks.Path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+secret)
	return r
}

// bob is the body of a report about an event of web01/bob.
func bob(event string) string {
	return `{"server":"web01","event":"` + event + `","user":"bob"}`
}

// want checks an answer's status and its one refusal.
func (a answer) want(t testing.TB, status int, code, description string) {
	t.Helper()
	var got struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if err := json.Unmarshal([]byte(a.body), &got); err != nil {
		t.Fatalf("the body %q is not JSON: %v", a.body, err)
	}
	if a.status != status || got.Error != code || got.Description != description {
		t.Errorf("got %d %s %q, want %d %s %q", a.status, got.Error, got.Description, status, code, description)
	}
	if kind := a.header.Get("Content-Type"); kind != "application/json" {
		t.Errorf("Content-Type: got %q, want application/json", kind)
	}
}

func reconciled(user string) reconcile.Request {
	return reconcile.Request{Account: broker.Account{Server: "web01", User: user}, Kind: reconcile.RequestReconcile}
}

func rotated(user string) reconcile.Request {
	return reconcile.Request{Account: broker.Account{Server: "web01", User: user}, Kind: reconcile.RequestRotate}
}

type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

var _ zapcore.WriteSyncer = (*lockedBuffer)(nil)

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) Sync() error { return nil }

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}

// ok is for calls that cannot fail in a test.
func ok[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// must is for those without a result.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var errDown = errors.New("dial tcp 127.0.0.1:6379: connection refused")
