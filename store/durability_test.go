package store_test

import (
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// patience with replicas is short, because tests take them away.
const patience = 50 * time.Millisecond

// durability is one of the two, as a test uses it.
type durability struct {
	name string
	// replicas that have to confirm; 0 with local.
	replicas int
	// without is the protection that a twin goes without.
	without store.Sabotage
}

// durabilities returns both. With replicated so many replicas have to confirm.
func durabilities(replicas int, without store.Sabotage) []durability {
	return []durability{{"local", 0, store.Unbound()}, {"replicated", replicas, without}}
}

// config has its own keys, so that both can use one Redis.
func (d durability) config(client redis.UniversalClient) store.Config {
	return store.Config{Client: client, KeyPrefix: d.name + ":", Replicas: d.replicas, ReplicaTimeout: patience}
}

// waitForAge waits until servers are old enough to know a token that is issued then: a
// process must be older than a token, in whole seconds.
func waitForAge(t *testing.T, servers ...*storetest.RedisServer) {
	t.Helper()
	for _, server := range servers {
		client := redis.NewClient(&redis.Options{Addr: server.Addr})
		defer client.Close()
		waitFor(t, "a server to be two seconds old", func() bool {
			_, uptime, _ := strings.Cut(client.Info(t.Context(), "server").Val(), "uptime_in_seconds:")
			return uptime != "" && !strings.HasPrefix(uptime, "0\r") && !strings.HasPrefix(uptime, "1\r")
		})
	}
}

// waitForReplicas waits until n replicas have all that was written. WAIT is about the
// writes of its own connection, so one is made first, in the slot of an account.
func waitForReplicas(t *testing.T, primary redis.UniversalClient, n int, of broker.Account) {
	t.Helper()
	conn := primary.(*redis.Client).Conn()
	defer conn.Close()
	if err := conn.Set(t.Context(), "{"+of.Tag()+"}written-last", 1, time.Minute).Err(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the replicas to have everything", func() bool {
		have, err := conn.Do(t.Context(), "WAIT", n, 1000).Int()
		return err == nil && have >= n
	})
}
