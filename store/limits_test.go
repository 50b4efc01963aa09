package store_test

import (
	"strings"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// What one broker spends is gone for all.
func TestALimitIsSharedByAllStores(t *testing.T) {
	topologies := map[string]func() store.Options{
		"standalone": func() store.Options { return storetest.StartRedis(t).Options() },
		"cluster":    func() store.Options { return storetest.StartCluster(t, storetest.KeepsNothing).Options() },
	}
	for name, start := range topologies {
		t.Run(name, func(t *testing.T) {
			o := start()
			o.Timeout = 5 * time.Second
			client := open(t, o)
			one := store.New(store.Config{Client: client, KeyPrefix: keyPrefix})
			two := store.New(store.Config{Client: open(t, o), KeyPrefix: keyPrefix})
			waitFor(t, "the store", func() bool { return one.LoadScripts(t.Context()) == nil })
			spend := func(s *store.Store, account string, n, want int) (wait time.Duration) {
				t.Helper()
				took, wait, err := s.Spend(t.Context(), broker.Spending{
					Scope: broker.LimitAccount, Name: account, Limit: broker.Limit{Rate: 0.01, Burst: 10}, N: n,
				})
				if err != nil || took != want {
					t.Errorf("spend %d of %s: got %d (%v), want %d", n, account, took, err, want)
				}
				return wait
			}
			if got := spend(one, "web01/bob", 4, 4); got != 0 {
				t.Errorf("within the limit: got a wait of %v, want none", got)
			}
			spend(two, "web01/bob", 5, 5)
			spend(one, "web01/bob", 3, 1)
			// At 0.01 per second there is one more after 100 s.
			if got := spend(two, "web01/bob", 1, 0); got < 90*time.Second || got > 100*time.Second {
				t.Errorf("used up: got a wait of %v, want almost 100s", got)
			}
			spend(two, "web01/eve", 10, 10)
			for _, key := range storetest.Keys(t, client) {
				if !strings.HasPrefix(key, keyPrefix) {
					t.Errorf("the key %q has not our prefix %q", key, keyPrefix)
				}
				if ttl, err := client.PTTL(t.Context(), key).Result(); err != nil || strings.Contains(key, "limit:") && ttl <= 0 {
					t.Errorf("the key %q: got %v (%v) to live, want it to go by itself", key, ttl, err)
				}
			}
		})
	}
}
