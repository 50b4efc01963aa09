package portal

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// The limits themselves are too high to be reached through the handlers.

func TestMemoryOfSpentAssertionsIsBoundedAndNeverForgetsEarly(t *testing.T) {
	now := time.Date(2026, 5, 20, 12, 0, 0, 0, time.UTC)
	s := &spent{now: func() time.Time { return now }, max: 3, until: make(map[[sha256.Size]byte]time.Time)}
	end := now.Add(70 * time.Second)
	for i := range 3 {
		if err := s.take(fmt.Sprint(i), end); err != nil {
			t.Fatalf("take %d: %v", i, err)
		}
	}
	if err := s.take("3", end); !errors.Is(err, errSpentFull) {
		t.Errorf("full: got %v, want errSpentFull", err)
	}
	now = end
	if err := s.take("3", end); !errors.Is(err, errSpentFull) {
		t.Errorf("full at the very end: got %v, want errSpentFull", err)
	}
	if err := s.take("0", end); !errors.Is(err, errSpent) {
		t.Errorf("again at the very end: got %v, want errSpent", err)
	}
	now = end.Add(sweepEvery)
	if err := s.take("3", now.Add(time.Minute)); err != nil {
		t.Errorf("after the end: %v", err)
	}
	if got := len(s.until); got != 1 {
		t.Errorf("remembers %d, want 1", got)
	}
}

func TestNumberOfSessionsIsBounded(t *testing.T) {
	now := time.Date(2026, 5, 20, 12, 0, 0, 0, time.UTC)
	s := newSessions(Config{Now: func() time.Time { return now }})
	s.max = 2
	start := func() *http.Request {
		w := httptest.NewRecorder()
		s.start(w, httptest.NewRequest(http.MethodGet, "/", nil), SignIn{Subscriber: "1"}, "")
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.AddCookie(w.Result().Cookies()[0])
		return r
	}
	alive := func(r *http.Request) bool { _, ok := s.get(r); return ok }
	first, second := start(), start()
	alive(first) // now the second is the one not seen for longest
	third := start()
	if !alive(first) || alive(second) || !alive(third) {
		t.Error("want the session gone that was not seen for longest, and no other")
	}
	now = now.Add(sessionIdle)
	start()
	if got := len(s.byKey); got != 1 || s.order.Len() != 1 {
		t.Errorf("keeps %d sessions, %d in order, want those idle gone", got, s.order.Len())
	}
}
