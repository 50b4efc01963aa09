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
			conformance(t, storetest.StartRedis(t, kind.Args()...).Options(), durabilities(0, nil)[0])
		})
	}
}

func TestConformanceCluster(t *testing.T) {
	t.Parallel()
	o := storetest.StartCluster(t, storetest.KeepsNothing).Options()
	for _, d := range durabilities(1, nil) {
		t.Run(d.name, func(t *testing.T) { conformance(t, o, d) })
	}
}

func TestConformanceSentinel(t *testing.T) {
	t.Parallel()
	conformance(t, storetest.StartReplicated(t, storetest.ReplicatedConfig{}).Options(), durabilities(0, nil)[0])
}

func conformance(t *testing.T, o store.Options, d durability) {
	t.Helper()
	o.Timeout = 5 * time.Second // it is not about time, and disks may be slow
	client := open(t, o)
	cfg := d.config(client)
	cfg.KeyPrefix, cfg.ReplicaTimeout = keyPrefix, 3*time.Second
	s := store.New(cfg)
	waitFor(t, "the store", func() bool { return s.LoadScripts(t.Context()) == nil })
	storetest.Run(t, func(t *testing.T) storetest.Subject {
		storetest.Empty(t, client)
		return storetest.Subject{Store: s, Client: client, Advance: func(d time.Duration) { storetest.Advance(t, client, d) }}
	})
}
