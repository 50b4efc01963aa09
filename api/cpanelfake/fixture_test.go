package cpanelfake_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"image"
	"image/color"
	"image/png"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/api/cpanelfake"
)

const (
	user     = "bob"
	app      = "latchkey_billing"
	secret   = "first-secret"
	fallback = "https://portal.example.com/login?next=%2Fbilling"
)

// icon is a real PNG of one colour.
func icon(t testing.TB, side int) string {
	t.Helper()
	img := image.NewPaletted(image.Rect(0, 0, side, side), color.Palette{color.NRGBA{R: 10, G: 101, B: 83, A: 255}})
	var buf bytes.Buffer
	if err := png.Encode(&buf, img); err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(buf.Bytes())
}

func link(t testing.TB) cpanelfake.Link {
	t.Helper()
	return cpanelfake.Link{
		App:                app,
		Implements:         "billing",
		Label:              "View Billing",
		SubscriberUniqueID: "1234",
		Token:              cpanelfake.NewToken(secret),
		AutologinTokenURL:  "https://sso.example.com/autologin?server=web01&user=bob&app=latchkey_billing",
		URL:                fallback,
		Base64PNGImage:     icon(t, 8),
		GroupID:            "latchkey",
		Order:              7,
		Hide:               true,
	}
}

// stateWith returns a State with one account that has the links.
func stateWith(t testing.TB, links ...cpanelfake.Link) *cpanelfake.State {
	t.Helper()
	state := new(cpanelfake.State)
	if err := state.AddAccount(cpanelfake.Account{User: user, Domain: "bob.example"}); err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if err := state.PutLink(user, l); err != nil {
			t.Fatal(err)
		}
	}
	return state
}

func newServer(t testing.TB, cfg cpanelfake.Config) *cpanelfake.Server {
	t.Helper()
	if cfg.Name == "" {
		cfg.Name = "web01.example.com"
	}
	s, err := cpanelfake.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// broker is a real HTTP server that plays a broker and keeps what was posted.
type broker struct {
	*httptest.Server
	mu       sync.Mutex
	requests []request
}

type request struct {
	Method, URI string
	Header      http.Header
	Body        []byte
}

// newBroker answers the n-th request (from 1) with answer.
func newBroker(t testing.TB, answer func(w http.ResponseWriter, n int)) *broker {
	t.Helper()
	b := new(broker)
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body bytes.Buffer
		if _, err := body.ReadFrom(r.Body); err != nil {
			t.Errorf("read what was posted: %v", err)
		}
		b.mu.Lock()
		b.requests = append(b.requests, request{r.Method, r.URL.RequestURI(), r.Header.Clone(), body.Bytes()})
		n := len(b.requests)
		b.mu.Unlock()
		answer(w, n)
	}))
	t.Cleanup(b.Close)
	return b
}

func (b *broker) got() []request {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.requests
}

// always answers every request alike.
func always(status int, contentType, body string) func(http.ResponseWriter, int) {
	return func(w http.ResponseWriter, _ int) { write(w, status, contentType, body) }
}

func write(w http.ResponseWriter, status int, contentType, body string) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body))
}

// recorder is a Wait that does not wait, and a Trace that keeps hops.
type recorder struct {
	waits []time.Duration
	hops  []cpanelfake.Hop
	then  func(n int) // called in the n-th wait, from 1
}

func (r *recorder) wait(_ context.Context, d time.Duration) error {
	r.waits = append(r.waits, d)
	if r.then != nil {
		r.then(len(r.waits))
	}
	return nil
}

func (r *recorder) trace(h cpanelfake.Hop) { r.hops = append(r.hops, h) }

func (r *recorder) kinds() []cpanelfake.Kind {
	var kinds []cpanelfake.Kind
	for _, h := range r.hops {
		kinds = append(kinds, h.Kind)
	}
	return kinds
}
