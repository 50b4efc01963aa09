package store_test

import (
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// However many calls failed while Redis was away, the first one after that is
// served.
func TestTheFirstCallAfterAnOutageIsServed(t *testing.T) {
	server := storetest.StartRedis(t)
	s := store.New(store.Config{Client: open(t, server.Options()), KeyPrefix: keyPrefix})
	waitFor(t, "the store", func() bool { return s.Probe(t.Context()) == nil })
	server.Kill()
	for range 500 {
		if err := s.Probe(t.Context()); err == nil {
			t.Fatal("a Redis that was killed answered")
		}
	}
	server.Start()
	began := time.Now()
	if err := s.Probe(t.Context()); err != nil {
		t.Errorf("first call, %v after Redis is back: got %v, want it to be served", time.Since(began), err)
	}
}
