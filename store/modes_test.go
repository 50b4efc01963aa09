package store_test

import (
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

func TestConformanceRedis(t *testing.T) {
	t.Parallel()
	for _, kind := range storetest.Persistences() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			conformance(t, storetest.StartRedis(t, kind.Args()...).Options())
		})
	}
}

func TestConformanceCluster(t *testing.T) {
	t.Parallel()
	conformance(t, storetest.StartCluster(t, storetest.KeepsNothing).Options())
}

func TestConformanceSentinel(t *testing.T) {
	t.Parallel()
	conformance(t, storetest.StartReplicated(t, storetest.ReplicatedConfig{}).Options())
}

func conformance(t *testing.T, o store.Options) {
	t.Helper()
	o.Timeout = 5 * time.Second // it is not about time, and disks may be slow
	client := open(t, o)
	s := store.New(store.Config{Client: client, KeyPrefix: keyPrefix})
	waitFor(t, "the store", func() bool { return s.LoadScripts(t.Context()) == nil })
	storetest.Run(t, func(t *testing.T) storetest.Subject {
		storetest.Empty(t, client)
		return storetest.Subject{Store: s, Client: client, Advance: func(d time.Duration) { storetest.Advance(t, client, d) }}
	})
}
