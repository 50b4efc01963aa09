package store_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"testing"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// lossy is a kind of Redis behind a proxy that loses replies.
type lossy struct {
	name  string
	start func(*testing.T) (*storetest.Proxy, store.Options)
	// share of the replies that are lost here: 1/share.
	share int
}

func lossies() []lossy {
	return []lossy{
		{"standalone", func(t *testing.T) (*storetest.Proxy, store.Options) {
			proxy := storetest.StartProxy(t, storetest.StartRedis(t).Addr)
			return proxy, store.Options{Mode: store.Standalone, Addresses: []string{proxy.Addr}}
		}, 1},
		// Here the client itself sends a call again whose reply was lost, and waits before
		// it does.
		{"cluster", func(t *testing.T) (*storetest.Proxy, store.Options) {
			port := strconv.Itoa(storetest.FreePort(t))
			node := storetest.StartRedis(t, "--cluster-enabled", "yes", "--cluster-announce-ip", "127.0.0.1", "--cluster-announce-port", port)
			if err := node.Client().Do(t.Context(), "CLUSTER", "ADDSLOTSRANGE", 0, 16383).Err(); err != nil {
				t.Fatal(err)
			}
			proxy := storetest.StartProxyAt(t, net.JoinHostPort("127.0.0.1", port), node.Addr)
			return proxy, store.Options{Mode: store.Cluster, Addresses: []string{proxy.Addr}}
		}, 10},
	}
}

// A lost reply burns no token: its claimant asks again and is let in, and nobody else
// ever is. TEST_DROPS is how many replies are lost; a tenth of that on a cluster.
func TestALostReplyBurnsNoToken(t *testing.T) {
	t.Parallel()
	for _, kind := range lossies() {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			proxy, o := kind.start(t)
			s := store.New(store.Config{Client: open(t, o), KeyPrefix: keyPrefix})
			history, burnt := loseReplies(t, proxy, s, max(storetest.Amount(t, "TEST_DROPS", 500, 10_000)/kind.share, 1))
			if burnt != 0 {
				t.Errorf("got %d burnt tokens, want none", burnt)
			}
			history.Want(t, storetest.GoneForGood)
		})
	}
}

// The same where a claimant is not known again: the test above would see it.
func TestALostReplyBurnsTokensOfAForgetfulStore(t *testing.T) {
	t.Parallel()
	for _, kind := range lossies() {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			proxy, o := kind.start(t)
			s := store.NewSabotaged(t, store.Config{Client: open(t, o), KeyPrefix: keyPrefix}, store.Forgetful())
			_, burnt := loseReplies(t, proxy, s, 10)
			if burnt == 0 {
				t.Error("got no burnt token, want some")
			}
		})
	}
}

// loseReplies loses so many replies, one of three of a script, while tokens are
// issued and redeemed. It returns what happened, and how many tokens did not let
// their claimant in.
func loseReplies(t *testing.T, proxy *storetest.Proxy, s *store.Store, drops int) (*storetest.History, int) {
	t.Helper()
	waitFor(t, "the store", func() bool { return s.LoadScripts(t.Context()) == nil })
	link := register(t, s, billing)
	history := storetest.NewHistory()
	over := history.Over(s)

	const seed = 1
	chance := rand.New(rand.NewPCG(seed, seed))
	proxy.LoseReplies(func(command string) bool { return command == "evalsha" && chance.IntN(3) == 0 })
	burnt := 0
	for tokens := 0; proxy.Lost() < drops; tokens++ {
		in := issueInput(t, billing, link)
		untilAnswered(t, "issue", func() error { _, err := over.Issue(t.Context(), in); return err })
		first, second := newClaim(t), newClaim(t)
		redeem := func(claim broker.Claim) (found broker.Redemption) {
			untilAnswered(t, "redeem", func() (err error) {
				found, err = over.Redeem(t.Context(), broker.Redeem{Token: in.Token, Redeemer: in.Redeemer, Claim: claim, At: created})
				return err
			})
			return found
		}
		if tokens%2 == 0 { // somebody else comes between a lost reply and the repetition
			_, _ = over.Redeem(t.Context(), broker.Redeem{Token: in.Token, Redeemer: in.Redeemer, Claim: first, At: created})
			redeem(second)
		}
		if got := redeem(first); got.Outcome != broker.Granted && got.Outcome != broker.Repeated || got.Grant != in.Grant {
			burnt++
		}
		redeem(second)
	}
	t.Logf("%d replies lost, seed %d", proxy.Lost(), seed)
	return history, burnt
}

// untilAnswered makes a call until its reply arrives.
func untilAnswered(t *testing.T, what string, call func() error) {
	t.Helper()
	if err := answered(call); err != nil {
		t.Fatal(fmt.Errorf("%s, a hundred times: %w", what, err))
	}
}

// answered is untilAnswered for other goroutines than the test's.
func answered(call func() error) (err error) {
	for range 100 {
		if err = call(); err == nil {
			return nil
		}
	}
	return err
}
