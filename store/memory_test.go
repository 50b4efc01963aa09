package store_test

import (
	"crypto/rand"
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// maxLinkBytes is what a link may cost in Redis, its share of the account's key
// included.
const maxLinkBytes = 80

// The links of accounts as the provisioner writes them: in one group, every token
// prepared and then promoted, by the holder of a lease that is not the first.
func TestMemoryOfALink(t *testing.T) {
	const accounts = 200
	client := storetest.StartRedis(t).Client()
	s := store.New(store.Config{Client: client, KeyPrefix: keyPrefix})
	written := reconcile.Fingerprint{1, 2, 3, 4, 5}
	links := broker.DefaultLinks("portal")
	rotate := func() {
		t.Helper()
		var prepare, promote []reconcile.AccountChanges
		for i := range accounts {
			account := broker.Account{Server: "web01", User: fmt.Sprintf("customer%03d", i)}
			before := []reconcile.Change{{Kind: reconcile.ChangeSubscriber, Subscriber: fmt.Sprint(10_000 + i)}}
			after := []reconcile.Change{{Kind: reconcile.ChangeGroup, GroupID: "latchkey", Written: written}}
			for _, l := range links {
				app, token := "latchkey_"+l.ID, ok(broker.NewLinkToken(rand.Reader))(t).Digest()
				before = append(before, reconcile.Change{Kind: reconcile.ChangePrepare, App: app, Token: token, Created: created, Written: written})
				after = append(after, reconcile.Change{Kind: reconcile.ChangePromote, App: app, Token: token, Created: created, Written: written})
			}
			prepare = append(prepare, reconcile.AccountChanges{Account: account, Changes: before})
			promote = append(promote, reconcile.AccountChanges{Account: account, Changes: after})
		}
		for _, changes := range [][]reconcile.AccountChanges{prepare, promote} {
			for _, err := range s.Write(t.Context(), 1234, changes) {
				if err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for rotations := range 5 {
		rotate()
		total := measure(t, client, accounts)
		each := float64(total) / float64(accounts*len(links))
		t.Logf("after %d rotations: %.1f bytes of Redis memory for each of %d links (%d bytes an account)", rotations, each, accounts*len(links), total/accounts)
		if each > maxLinkBytes {
			t.Errorf("memory of a link after %d rotations: got %.1f bytes, want %d at most", rotations, each, maxLinkBytes)
		}
	}
}

// measure returns the bytes of all keys, which are compact hashes.
func measure(t *testing.T, client redis.UniversalClient, want int) (total int64) {
	t.Helper()
	keys := ok(client.Keys(t.Context(), "*").Result())(t)
	if len(keys) != want {
		t.Fatalf("keys: got %d, want %d", len(keys), want)
	}
	for _, key := range keys {
		total += ok(client.MemoryUsage(t.Context(), key, 0).Result())(t)
		if got := ok(client.ObjectEncoding(t.Context(), key).Result())(t); got != "listpack" {
			t.Errorf("encoding of %s: got %s, want listpack", key, got)
		}
	}
	return total
}
