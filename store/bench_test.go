package store_test

import (
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/embedded"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// One sign-on is one Issue and one Redeem.
func BenchmarkSignOn(b *testing.B) {
	for _, kind := range []struct {
		name  string
		start func(*testing.B) redis.UniversalClient
	}{
		{"embedded", func(b *testing.B) redis.UniversalClient {
			r := ok(embedded.Start())(b)
			b.Cleanup(func() { _ = r.Close() })
			return r.Client()
		}},
		{"redis", func(b *testing.B) redis.UniversalClient { return storetest.StartRedis(b).Client() }},
	} {
		b.Run(kind.name, func(b *testing.B) {
			s := store.New(store.Config{Client: kind.start(b), KeyPrefix: keyPrefix})
			link := register(b, s, billing)
			claim := newClaim(b)
			b.Run("issue", func(b *testing.B) {
				for b.Loop() {
					issue(b, s, billing, link)
				}
			})
			b.Run("issue and redeem", func(b *testing.B) {
				for b.Loop() {
					if got := redeem(b, s, issue(b, s, billing, link), claim); got.Outcome != broker.Granted {
						b.Fatalf("got outcome %d, want granted", got.Outcome)
					}
				}
			})
			b.Run("issue and redeem in parallel", func(b *testing.B) {
				b.SetParallelism(4)
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						in := issueInput(b, billing, link)
						_, issueErr := s.Issue(b.Context(), in)
						got, err := s.Redeem(b.Context(), broker.Redeem{Token: in.Token, Redeemer: in.Redeemer, Claim: claim, At: created})
						if issueErr != nil || err != nil || got.Outcome != broker.Granted {
							b.Errorf("got outcome %d, errors %v, %v, want granted", got.Outcome, issueErr, err)
							return
						}
					}
				})
			})
		})
	}
}

// The provisioner looks for requests several times a second, most of the time in
// vain.
func BenchmarkIdleQueue(b *testing.B) {
	s := store.New(store.Config{Client: storetest.StartRedis(b).Client(), KeyPrefix: keyPrefix})
	for _, servers := range []int{20, 500} {
		var lanes []reconcile.Lane
		for i := range servers {
			for _, kind := range []reconcile.RequestKind{reconcile.RequestRotate, reconcile.RequestReconcile} {
				lanes = append(lanes, reconcile.Lane{Server: fmt.Sprint("web", i), Kind: kind})
			}
		}
		b.Run(fmt.Sprint(servers, " servers"), func(b *testing.B) {
			for b.Loop() {
				if due := ok(s.Due(b.Context(), lanes, 100))(b); len(due) > 0 {
					b.Fatalf("got %v, want nothing", due)
				}
			}
		})
	}
}
