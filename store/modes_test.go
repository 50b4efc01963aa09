package store_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// One node that has all slots is enough to show that every script names its
// keys, and that the keys of a script are in one slot.
func TestConformanceCluster(t *testing.T) {
	node := storetest.StartRedis(t, "--cluster-enabled", "yes")
	single := node.Client()
	if err := single.Do(t.Context(), "CLUSTER", "ADDSLOTSRANGE", 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the cluster to be up", func() bool { return single.Set(t.Context(), "probe", 1, time.Minute).Err() == nil })
	conformance(t, store.Options{Mode: store.Cluster, Addresses: []string{node.Addr}})
}

// One Sentinel is enough to show that the primary is found by its name.
func TestConformanceSentinel(t *testing.T) {
	primary := storetest.StartRedis(t)
	host, port, err := net.SplitHostPort(primary.Addr)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "sentinel.conf")
	if err := os.WriteFile(file, fmt.Appendf(nil, "sentinel monitor main %s %s 1\n", host, port), 0o600); err != nil {
		t.Fatal(err)
	}
	sentinel := storetest.StartSentinel(t, file)
	conformance(t, store.Options{Mode: store.Sentinel, Addresses: []string{sentinel.Addr}, SentinelMaster: "main"})
}

func conformance(t *testing.T, o store.Options) {
	t.Helper()
	client, err := store.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	s := store.New(store.Config{Client: client, KeyPrefix: "latchkey:"})
	waitFor(t, "the store", func() bool { return s.LoadScripts(t.Context()) == nil })
	storetest.Run(t, func(t *testing.T) storetest.Subject {
		if err := client.FlushDB(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		return storetest.Subject{Store: s, Client: client, Advance: func(d time.Duration) { storetest.Advance(t, client, d) }}
	})
}
