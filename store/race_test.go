package store_test

import (
	"sync"
	"testing"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// Of all who race for a token, over several clients, one is let in; without the
// comparison of claimants all are, and the history shows it. TEST_TOKENS makes it
// longer.
func TestARaceForATokenIsWonOnce(t *testing.T) {
	t.Parallel()
	o := storetest.StartRedis(t).Options()
	cfgs := []store.Config{{Client: open(t, o), KeyPrefix: keyPrefix}, {Client: open(t, o), KeyPrefix: keyPrefix}, {Client: open(t, o), KeyPrefix: keyPrefix}}
	link := register(t, store.New(cfgs[0]), billing)
	n := storetest.Amount(t, "TEST_TOKENS", 300, 100_000)
	race := func(n int, open func(store.Config) *store.Store) storetest.Verdict {
		history := storetest.NewHistory()
		for range n {
			in := issueInput(t, billing, link)
			if _, err := history.Over(open(cfgs[0])).Issue(t.Context(), in); err != nil {
				t.Fatal(err)
			}
			var racers sync.WaitGroup
			start := make(chan struct{})
			for i := range 6 {
				s, claim := open(cfgs[i%len(cfgs)]), newClaim(t)
				racers.Go(func() {
					<-start
					_, _ = history.Over(s).Redeem(t.Context(), broker.Redeem{Token: in.Token, Redeemer: "browser", Claim: claim, At: created})
				})
			}
			close(start)
			racers.Wait()
		}
		return history.Check(storetest.GoneForGood)
	}
	good := race(n, func(cfg store.Config) *store.Store { return store.New(cfg) })
	t.Log(good)
	if good.Doubles != 0 || len(good.Wrong) != 0 || good.LetIn != n {
		t.Errorf("got %v, want %d tokens with one winner each", good, n)
	}
	if bad := race(20, func(cfg store.Config) *store.Store { return store.NewSabotaged(t, cfg, store.Careless()) }); bad.Doubles != 20 {
		t.Errorf("without the comparison: got %v, want 20 doubles: this test would not see one", bad)
	}
}
