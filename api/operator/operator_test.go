package operator_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/latchkey-sso/latchkey/api/operator"
)

func ready(context.Context) error { return nil }

func notReady(context.Context) error { return errors.New("the store is away") }

func TestHealth(t *testing.T) {
	tests := []struct {
		name         string
		ready        operator.Ready
		method, path string
		status       int
		body         string
	}{
		{"live", ready, "GET", "/healthz/live", 200, `{"status":"ok"}`},
		{"live while not ready", notReady, "GET", "/healthz/live", 200, `{"status":"ok"}`},
		{"ready", ready, "GET", "/healthz/ready", 200, `{"status":"ok"}`},
		{"not ready", notReady, "GET", "/healthz/ready", 503, `{"status":"unavailable","reason":"the store is away"}`},
		{"HEAD live", ready, "HEAD", "/healthz/live", 200, `{"status":"ok"}`},
		{"HEAD ready", ready, "HEAD", "/healthz/ready", 200, `{"status":"ok"}`},
		{"HEAD not ready", notReady, "HEAD", "/healthz/ready", 503, `{"status":"unavailable","reason":"the store is away"}`},
		{"another method", ready, "POST", "/healthz/live", 405, ""},
		{"another address", ready, "GET", "/", 404, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			operator.New(test.ready).ServeHTTP(w, httptest.NewRequest(test.method, test.path, nil))
			if w.Code != test.status {
				t.Fatalf("got %d %s, want %d", w.Code, w.Body, test.status)
			}
			if got := w.Body.String(); test.body != "" && got != test.body+"\n" {
				t.Errorf("got %s, want %s", got, test.body)
			}
			if !json.Valid(w.Body.Bytes()) || w.Header().Get("Content-Type") != "application/json" {
				t.Errorf("got %s as %q, want JSON", w.Body, w.Header().Get("Content-Type"))
			}
			for name, want := range map[string]string{
				"Cache-Control":                "no-store",
				"Content-Security-Policy":      "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
				"X-Content-Type-Options":       "nosniff",
				"Referrer-Policy":              "no-referrer",
				"X-Frame-Options":              "DENY",
				"X-Robots-Tag":                 "noindex, nofollow",
				"Cross-Origin-Opener-Policy":   "same-origin",
				"Cross-Origin-Resource-Policy": "same-origin",
				"Permissions-Policy":           "camera=(), geolocation=(), microphone=(), payment=()",
			} {
				if got := w.Header().Get(name); got != want {
					t.Errorf("%s: got %q, want %q", name, got, want)
				}
			}
		})
	}
}

// TestAHangingStoreIsNotReady: a balancer gets its answer all the same.
func TestAHangingStoreIsNotReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hanging := func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}
		start := time.Now()
		w := httptest.NewRecorder()
		operator.New(hanging).ServeHTTP(w, httptest.NewRequest("GET", "/healthz/ready", nil))
		if took := time.Since(start); w.Code != 503 || took > 2*time.Second {
			t.Errorf("got %d after %v, want 503 within two seconds", w.Code, took)
		}
	})
}

// TestLiveDoesNotAsk: a broker whose store is away must not be restarted.
func TestLiveDoesNotAsk(t *testing.T) {
	asked := false
	handler := operator.New(func(context.Context) error {
		asked = true
		return nil
	})
	handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/healthz/live", nil))
	if asked {
		t.Error("live asked whether the broker can serve, want it not to")
	}
}
