package store_test

import (
	"testing"

	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// After an outage with many failed calls, the store works as soon as Redis does.
func TestAStoreIsBackWithItsRedis(t *testing.T) {
	server := storetest.StartRedis(t)
	s := store.New(store.Config{Client: open(t, server.Options()), KeyPrefix: keyPrefix})
	for range 3 {
		server.Kill()
		for range 200 {
			if s.Probe(t.Context()) == nil {
				t.Fatal("got an answer of a dead Redis")
			}
		}
		server.Start()
		for i := range 10 {
			if err := s.Probe(t.Context()); err != nil {
				t.Errorf("call %d after Redis was back: %v", i+1, err)
			}
		}
	}
}
