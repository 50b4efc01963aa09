package store_test

import (
	"fmt"
	"testing"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// maxLinkBytes is what a link may cost in Redis, its share of the account's key
// included.
const maxLinkBytes = 80

func TestMemoryOfALink(t *testing.T) {
	const accounts = 200
	client := storetest.StartRedis(t).Client()
	s := store.New(store.Config{Client: client, KeyPrefix: keyPrefix})
	links := broker.DefaultLinks("portal")
	for i := range accounts {
		account := broker.Account{Server: "web01", User: fmt.Sprintf("customer%03d", i)}
		for _, l := range links {
			register(t, s, broker.Link{Account: account, App: "latchkey_" + l.ID})
		}
	}
	keys := ok(client.Keys(t.Context(), "*").Result())(t)
	if len(keys) != accounts {
		t.Fatalf("keys: got %d, want %d", len(keys), accounts)
	}
	var total int64
	for _, key := range keys {
		total += ok(client.MemoryUsage(t.Context(), key, 0).Result())(t)
		if got := ok(client.ObjectEncoding(t.Context(), key).Result())(t); got != "listpack" {
			t.Errorf("encoding of %s: got %s, want listpack", key, got)
		}
	}
	each := float64(total) / float64(accounts*len(links))
	t.Logf("%.1f bytes of Redis memory for each of %d links (%d bytes an account)", each, accounts*len(links), total/accounts)
	if each > maxLinkBytes {
		t.Errorf("memory of a link: got %.1f bytes, want %d at most", each, maxLinkBytes)
	}
}
