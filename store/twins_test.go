package store_test

import (
	"testing"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// twins are a store and one whose tokens are bound to nothing, over the same Redis.
// What a test shows of the first is worth something when the second fails.
type twins struct {
	bound, unbound *twin
}

type twin struct {
	history *storetest.History
	tokens  []broker.OneTimeToken
}

const twinTokens = 20

// issueTwins issues tokens of both.
func issueTwins(t *testing.T, o store.Options) twins {
	t.Helper()
	cfg := store.Config{Client: open(t, o), KeyPrefix: keyPrefix}
	s := store.New(cfg)
	waitFor(t, "the store", func() bool { return s.LoadScripts(t.Context()) == nil })
	link := register(t, s, billing)
	both := twins{&twin{history: storetest.NewHistory()}, &twin{history: storetest.NewHistory()}}
	for _, one := range []*twin{both.bound, both.unbound} {
		for range twinTokens {
			in := issueInput(t, billing, link)
			if _, err := one.history.Over(s).Issue(t.Context(), in); err != nil {
				t.Fatal(err)
			}
			one.tokens = append(one.tokens, in.Token)
		}
	}
	return both
}

// redeem redeems all tokens of both, as somebody new.
func (both twins) redeem(t *testing.T, o store.Options) {
	t.Helper()
	cfg := store.Config{Client: open(t, o), KeyPrefix: keyPrefix}
	s, without := store.New(cfg), store.NewSabotaged(t, cfg, store.Unbound())
	waitFor(t, "the store", func() bool { return s.LoadScripts(t.Context()) == nil && without.LoadScripts(t.Context()) == nil })
	both.bound.redeem(t, s)
	both.unbound.redeem(t, without)
}

func (one *twin) redeem(t *testing.T, s *store.Store) {
	t.Helper()
	for _, token := range one.tokens {
		claim := newClaim(t)
		untilAnswered(t, "redeem", func() error {
			_, err := one.history.Over(s).Redeem(t.Context(), broker.Redeem{Token: token, Redeemer: "browser", Claim: claim, At: created})
			return err
		})
	}
}

// want ends the test unless every token of the first let in one, and every one of the
// second let in two.
func (both twins) want(t *testing.T, rule storetest.Rule) {
	t.Helper()
	both.bound.history.Want(t, rule)
	if v := both.bound.history.Check(rule); v.LetIn != twinTokens {
		t.Errorf("bound tokens: got %d that let somebody in, want %d", v.LetIn, twinTokens)
	}
	if v := both.unbound.history.Check(rule); v.Doubles != twinTokens || len(v.Wrong) != twinTokens {
		t.Errorf("unbound tokens: got %v, want %d doubles: this test would not see one", v, twinTokens)
	}
}
