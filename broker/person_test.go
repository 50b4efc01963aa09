package broker_test

import (
	"context"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// customer is somebody who clicks.
type customer struct {
	link       broker.Link
	subscriber string
	token      broker.LinkToken
}

// crowd are customers with links in the store of a world.
func crowd(t *testing.T, w *world, n int) []customer {
	t.Helper()
	all := make([]customer, n)
	for i := range all {
		c := customer{
			link:       broker.Link{Account: broker.Account{Server: "web01", User: fmt.Sprint("user", i)}, App: cart.App},
			subscriber: fmt.Sprint("subscriber-", i), token: ok(broker.NewLinkToken(rand.Reader))(t),
		}
		record := store.LinkRecord{Link: c.link, Subscriber: c.subscriber, Token: c.token.Digest(), Created: noon}
		if err := w.store.PutLink(t.Context(), record, false); err != nil {
			t.Fatal(err)
		}
		all[i] = c
	}
	return all
}

// tally is what came of many sign-ons.
type tally struct {
	clicks, tokens, signedOn, foreign, doubles atomic.Int64
}

// signOn clicks for a customer and has several claimants redeem at once, each again
// when the store failed, some of them giving up in the middle. It counts who landed as
// somebody else, and tokens that let more than one claimant in.
func (sum *tally) signOn(t *testing.T, b *broker.Broker, c customer, random *mathrand.Rand) {
	sum.clicks.Add(1)
	answer, err := b.Autologin(t.Context(), broker.AutologinRequest{Link: c.link, Token: c.token, Subscriber: c.subscriber, From: inside})
	if err != nil || answer.RedirectURL.IsZero() {
		return
	}
	sum.tokens.Add(1)
	token := tokenIn(t, answer)
	cancels := make([]bool, 1+random.IntN(3))
	for i := range cancels {
		cancels[i] = random.IntN(4) == 0
	}
	var let atomic.Int64
	var racing sync.WaitGroup
	for _, cancelled := range cancels {
		racing.Go(func() {
			claim, in := ok(broker.NewClaim(rand.Reader))(t), false
			for range 3 {
				ctx, cancel := context.WithCancel(t.Context())
				if cancelled {
					go cancel()
				}
				got, err := b.Exchange(ctx, broker.ExchangeRequest{
					ClientID: "shop-client", ClientSecret: broker.NewSecret("shop-secret"), Token: token.Reveal(), Claim: claim, From: inside,
				})
				cancel()
				if err != nil {
					if got.Claims.Subject != "" || !got.Assertion.IsZero() {
						sum.foreign.Add(1)
					}
					continue
				}
				in = true
				sum.signedOn.Add(1)
				panel := broker.PanelClaims{Server: c.link.Server, User: c.link.User, App: c.link.App}
				if got.Claims.Subject != c.subscriber || got.Claims.Panel != panel {
					sum.foreign.Add(1)
				}
			}
			if in {
				let.Add(1)
			}
		})
	}
	racing.Wait()
	if let.Load() > 1 {
		sum.doubles.Add(1)
	}
}

// everybody has so many sign-ons made by customers in a random order.
func everybody(t *testing.T, b *broker.Broker, customers []customer, n int, seed uint64) *tally {
	t.Helper()
	sum := &tally{}
	var working sync.WaitGroup
	const workers = 16
	for worker := range workers {
		random := mathrand.New(mathrand.NewPCG(seed, uint64(worker)))
		working.Go(func() {
			for range n / workers {
				sum.signOn(t, b, customers[random.IntN(len(customers))], random)
			}
		})
	}
	working.Wait()
	t.Logf("seed %d: %d clicks, %d one-time tokens, %d assertions, %d for somebody else, %d tokens used by two",
		seed, sum.clicks.Load(), sum.tokens.Load(), sum.signedOn.Load(), sum.foreign.Load(), sum.doubles.Load())
	return sum
}

// silence keeps nothing, however much happens.
type silence struct{}

func (silence) Record(context.Context, broker.Event) {}

const seed = 20_261_123

// Nobody lands as somebody else, whatever is cancelled or fails in the middle.
// TEST_SIGNONS and TEST_SUBSCRIBERS make it longer.
func TestNobodyLandsAsSomebodyElse(t *testing.T) {
	w := newCrowdedWorld(t, func(c *broker.Config) {
		c.SignOns, c.Audit = storetest.NewFaulty(c.SignOns, 0.05, seed), silence{}
	})
	customers := crowd(t, w, storetest.Amount(t, "TEST_SUBSCRIBERS", 200, 10_000))
	sum := everybody(t, w.broker, customers, storetest.Amount(t, "TEST_SIGNONS", 480, 500_000), seed)
	if sum.foreign.Load() != 0 || sum.doubles.Load() != 0 {
		t.Errorf("got %d sign-ons as somebody else and %d tokens used by two, want none", sum.foreign.Load(), sum.doubles.Load())
	}
	if sum.signedOn.Load() < sum.clicks.Load()/2 {
		t.Errorf("got %d sign-ons of %d clicks: too few to show anything", sum.signedOn.Load(), sum.clicks.Load())
	}
}

// The former test sees a store that mixes up its answers: with the digest of the
// token that was asked for, which the broker compares, and without.
func TestAMixUpOfAnswersIsSeen(t *testing.T) {
	for _, forged := range []bool{false, true} {
		var mu sync.Mutex
		var last broker.Redemption
		mixed := 0
		w := newWorld(t, func(c *broker.Config) {
			inner := c.SignOns
			c.Audit = silence{}
			c.SignOns = signOns{issue: inner.Issue, redeem: func(ctx context.Context, in broker.Redeem) (broker.Redemption, error) {
				found, err := inner.Redeem(ctx, in)
				mu.Lock()
				defer mu.Unlock()
				if err == nil && found.Outcome == broker.Granted {
					if last.Outcome == broker.Granted && mixed < 50 {
						mixed++
						found.Grant = last.Grant
						if forged {
							found.Grant.Token = in.Token.Digest()
						}
					}
					last = found
				}
				return found, err
			}}
		})
		sum := everybody(t, w.broker, crowd(t, w, 50), 320, seed)
		if seen := sum.foreign.Load() > 0; seen != forged || mixed != 50 {
			t.Errorf("forged %v: got %d sign-ons as somebody else of %d mixed up", forged, sum.foreign.Load(), mixed)
		}
	}
}

// Whatever share of the store's calls fails, nobody is let in by it: not with a wrong
// link token, not with a token that another claimant has, not as somebody else.
func TestFailingCallsLetNobodyIn(t *testing.T) {
	for _, percent := range []int{1, 5, 20, 50} {
		t.Run(fmt.Sprint(percent, " percent"), func(t *testing.T) {
			var faulty *storetest.Faulty
			w := newCrowdedWorld(t, func(c *broker.Config) {
				faulty = storetest.NewFaulty(c.SignOns, float64(percent)/100, seed)
				c.SignOns, c.Audit = faulty, silence{}
			})
			customers := crowd(t, w, 50)
			n := storetest.Amount(t, "TEST_SIGNONS", 160, 20_000)
			sum := everybody(t, w.broker, customers, n, seed)
			if sum.foreign.Load() != 0 || sum.doubles.Load() != 0 {
				t.Errorf("got %d sign-ons as somebody else and %d tokens used by two, want none", sum.foreign.Load(), sum.doubles.Load())
			}
			impostors := 0
			for i := range n {
				c, other := customers[i%len(customers)], customers[(i+1)%len(customers)]
				for _, r := range []broker.AutologinRequest{
					{Link: c.link, Token: other.token, Subscriber: c.subscriber, From: inside},
					{Link: c.link, Token: c.token, Subscriber: other.subscriber, From: inside},
					{Link: strange, Token: c.token, Subscriber: c.subscriber, From: inside},
				} {
					if answer, err := w.broker.Autologin(t.Context(), r); !answer.RedirectURL.IsZero() {
						impostors++
					} else if err == nil && answer.RetryAfter == 0 {
						t.Fatal("a click got no answer and no error")
					}
				}
			}
			if impostors != 0 {
				t.Errorf("%d wrong clicks got a one-time URL", impostors)
			}
			if got := faulty.Failed() * 100 / (3 * n); got == 0 && percent > 1 {
				t.Errorf("%d calls failed: too few to show anything", faulty.Failed())
			}
		})
	}
}

// The former test sees a store whose errors come with a yes.
func TestAStoreThatForgetsItsErrorsIsSeen(t *testing.T) {
	var mu sync.Mutex
	random := mathrand.New(mathrand.NewPCG(seed, 2))
	w := newWorld(t, func(c *broker.Config) {
		inner := c.SignOns
		c.Audit = silence{}
		c.SignOns = signOns{issue: inner.Issue, redeem: func(ctx context.Context, in broker.Redeem) (broker.Redemption, error) {
			found, err := inner.Redeem(ctx, in)
			mu.Lock()
			defer mu.Unlock()
			if err == nil && found.Outcome == broker.Used && random.IntN(20) == 0 {
				found.Outcome, found.RedeemedAt = broker.Granted, in.At
			}
			return found, err
		}}
	})
	if sum := everybody(t, w.broker, crowd(t, w, 50), 240, seed); sum.doubles.Load() == 0 {
		t.Error("got no token used by two: this test could not see one")
	}
}
