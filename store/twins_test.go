package store_test

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// twins are, for each durability, a store as it is and one that goes without a
// protection, over the same Redis. What a test shows of the first is worth something
// when the second fails.
type twins []*twin

type twin struct {
	durability
	sabotaged bool
	history   *storetest.History
	tokens    []*awaited
}

// awaited is a token, with those who were told to come again for it.
type awaited struct {
	token broker.OneTimeToken
	again []broker.Claim
}

const twinTokens = 20

// issueTwins issues tokens of all.
func issueTwins(t *testing.T, o store.Options, all []durability) twins {
	t.Helper()
	client := open(t, o)
	var both twins
	for _, d := range all {
		s := store.New(d.config(client))
		waitFor(t, "the store", func() bool { return s.LoadScripts(t.Context()) == nil })
		link := register(t, s, billing)
		for _, sabotaged := range []bool{false, true} {
			one := &twin{durability: d, sabotaged: sabotaged, history: storetest.NewHistory()}
			for range twinTokens {
				in := issueInput(t, billing, link)
				if _, err := one.history.Over(s).Issue(t.Context(), in); err != nil {
					t.Fatal(err)
				}
				one.tokens = append(one.tokens, &awaited{token: in.Token})
			}
			both = append(both, one)
		}
	}
	return both
}

// redeem redeems all tokens, as those who were told to come again and as somebody new.
func (both twins) redeem(t *testing.T, o store.Options) {
	t.Helper()
	o.Timeout = 2 * time.Second // more than patience, and it is not about time
	client := open(t, o)
	for _, one := range both {
		s := store.New(one.config(client))
		if one.sabotaged {
			s = store.NewSabotaged(t, one.config(client), one.without)
		}
		waitFor(t, "the store", func() bool { return s.LoadScripts(t.Context()) == nil })
		var all sync.WaitGroup // they may have to wait for replicas
		for _, a := range one.tokens {
			a.again = append(a.again, newClaim(t))
			all.Go(func() { a.redeem(t, one.history.Over(s)) })
		}
		all.Wait()
	}
}

// redeemForGood is redeem where replicas confirm, until nobody is told to come again.
func (both twins) redeemForGood(t *testing.T, o store.Options) {
	t.Helper()
	waitFor(t, "replicas to confirm", func() bool {
		both.redeem(t, o)
		for _, one := range both {
			if slices.ContainsFunc(one.tokens, func(a *awaited) bool { return len(a.again) > 0 }) {
				return false
			}
		}
		return true
	})
}

func (a *awaited) redeem(t *testing.T, s broker.SignOns) {
	var again []broker.Claim
	for _, claim := range a.again {
		err := answered(func() error {
			_, err := s.Redeem(t.Context(), broker.Redeem{Token: a.token, Redeemer: "browser", Claim: claim, At: created})
			if errors.Is(err, store.ErrNotReplicated) {
				again = append(again, claim)
				return nil
			}
			return err
		})
		if err != nil {
			t.Errorf("redeem: %v", err)
		}
	}
	a.again = again
}

// want ends the test unless every token of the intact stores let in one, and every one
// of the sabotaged ones let in two.
func (both twins) want(t *testing.T, rule storetest.Rule) {
	t.Helper()
	for _, one := range both {
		v := one.history.Check(rule)
		switch {
		case one.sabotaged:
			if v.Doubles != twinTokens || len(v.Wrong) != twinTokens {
				t.Errorf("%s without its protection: got %v, want %d doubles: this test would not see one", one.name, v, twinTokens)
			}
		case v.LetIn != twinTokens:
			t.Errorf("%s: got %d tokens that let somebody in, want %d", one.name, v.LetIn, twinTokens)
			fallthrough
		default:
			one.history.Want(t, rule)
		}
	}
}
