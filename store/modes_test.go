package store_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

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
		return storetest.Subject{Store: s, Client: whole(client), Advance: func(d time.Duration) { storetest.Advance(t, client, d) }}
	})
}

// whole returns a client whose Keys are those of every primary; go-redis asks one.
func whole(client redis.UniversalClient) redis.UniversalClient {
	if cluster, is := client.(*redis.ClusterClient); is {
		return wholeCluster{cluster}
	}
	return client
}

type wholeCluster struct{ *redis.ClusterClient }

func (c wholeCluster) Keys(ctx context.Context, pattern string) *redis.StringSliceCmd {
	var mu sync.Mutex
	var keys []string
	err := c.ForEachMaster(ctx, func(ctx context.Context, primary *redis.Client) error {
		found, err := primary.Keys(ctx, pattern).Result()
		mu.Lock()
		defer mu.Unlock()
		keys = append(keys, found...)
		return err
	})
	return redis.NewStringSliceResult(keys, err)
}
