package reconcile_test

import (
	"crypto/rand"
	"fmt"
	random "math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

// What the tests in virtual time show holds for the real store only as far as the
// store in memory behaves like it.
func TestTheStoreInMemoryBehavesLikeTheRealOne(t *testing.T) {
	real, fake := newWorld(t).book, newMemory()
	const seed = 1
	r := random.New(random.NewPCG(seed, seed))
	tokens := make([]broker.LinkToken, 8)
	for i := range tokens {
		tokens[i] = ok(broker.NewLinkToken(rand.Reader))(t)
	}
	at := time.Unix(1_790_000_000, 0)
	apps := []string{invoices, tickets}
	for n := range 500 {
		changes := reconcile.AccountChanges{Account: bob}
		for range 1 + r.IntN(3) {
			changes.Changes = append(changes.Changes, reconcile.Change{
				Kind:       reconcile.ChangeKind(1 + r.IntN(int(reconcile.ChangeForgetGroup))),
				App:        apps[r.IntN(2)],
				Token:      tokens[r.IntN(len(tokens))].Digest(),
				Created:    at.Add(time.Duration(n) * time.Second),
				Written:    reconcile.Fingerprint{byte(r.IntN(3))},
				Subscriber: []string{"1001", "1001", "2001"}[r.IntN(3)],
				GroupID:    []string{"a", "b"}[r.IntN(2)],
			})
		}
		fence := reconcile.Fence(n/50 + r.IntN(2))
		got := fake.Write(t.Context(), fence, []reconcile.AccountChanges{changes})
		want := real.Write(t.Context(), fence, []reconcile.AccountChanges{changes})
		where := fmt.Sprintf("seed %d, change %d, %+v", seed, n, changes)
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%s: got %v, want %v", where, got, want)
		}
		gotRecord := ok(fake.Load(t.Context(), []broker.Account{bob}))(t)
		wantRecord := ok(real.Load(t.Context(), []broker.Account{bob}))(t)
		if !reflect.DeepEqual(gotRecord, wantRecord) {
			t.Fatalf("%s:\ngot  %+v\nwant %+v", where, gotRecord, wantRecord)
		}
		for i, token := range tokens {
			link := broker.Link{Account: bob, App: apps[i%2]}
			if got, want := fake.cause(link, token.Digest(), "1001"), real.cause(link, token.Digest(), "1001"); got != want {
				t.Fatalf("%s: token %d of %s: got %q, want %q", where, i, link.App, got, want)
			}
		}
	}
}
