package broker_test

import (
	"context"
	"crypto/rand"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
)

// busy is a world with one slot for clicks and one for redemptions, and a store that
// takes this long.
func busy(t *testing.T, takes time.Duration) *world { return slotted(t, takes, 1) }

// slotted is a world with so many slots of each kind.
func slotted(t *testing.T, takes time.Duration, n int) *world {
	store := signOns{
		issue: func(context.Context, broker.Issue) (broker.Issued, error) {
			time.Sleep(takes)
			return broker.Issued{Created: noon}, nil
		},
		redeem: func(context.Context, broker.Redeem) (broker.Redemption, error) {
			time.Sleep(takes)
			return broker.Redemption{Outcome: broker.Unknown}, nil
		},
	}
	w := newStubWorld(t, store, time.Minute)
	cfg := w.config(store)
	cfg.Slots = n
	w.broker = broker.New(cfg)
	return w
}

func TestWhoFindsNoSlotComesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := busy(t, time.Second)
		go func() { _, _ = w.broker.Autologin(t.Context(), w.click(invoices)) }()
		synctest.Wait()
		for attempt := 1; attempt <= broker.MaxAttempts; attempt++ {
			r := w.click(invoices)
			r.Attempt = attempt
			began := time.Now()
			answer, err := w.broker.Autologin(t.Context(), r)
			if took := time.Since(began); took > 50*time.Millisecond {
				t.Errorf("attempt %d: got an answer after %v, want it within 50ms", attempt, took)
			}
			if attempt == broker.MaxAttempts {
				wantRefusal(t, err, broker.Error{Reason: broker.ReasonUnavailable})
			} else if err != nil || answer.RetryAfter == 0 || answer.Attempt != attempt {
				t.Errorf("attempt %d: got %+v (%v), want a retry", attempt, answer, err)
			}
		}
		// Redemptions have slots of their own, and portals share them.
		token := ok(broker.NewOneTimeToken(rand.Reader, bob))(t)
		go func() { _, _ = w.login(token, newClaim(t)) }()
		synctest.Wait()
		_, err := w.login(token, newClaim(t))
		wantRefusal(t, err, broker.Error{Reason: broker.ReasonUnavailable})
		_, err = w.exchange("shop", token, newClaim(t))
		wantRefusal(t, err, broker.Error{Reason: broker.ReasonUnavailable})
		time.Sleep(2 * time.Second)
		_, err = w.login(token, newClaim(t))
		wantRefusal(t, err, broker.Error{Reason: broker.ReasonTokenUnknown})
		_, err = w.exchange("shop", token, newClaim(t))
		wantRefusal(t, err, broker.Error{Reason: broker.ReasonTokenUnknown})
	})
}

func TestAShortWaitForASlotIsNoRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := busy(t, 40*time.Millisecond)
		go func() { _, _ = w.broker.Autologin(t.Context(), w.click(invoices)) }()
		synctest.Wait()
		if answer, err := w.broker.Autologin(t.Context(), w.click(invoices)); err != nil || answer.RedirectURL.IsZero() {
			t.Errorf("got %+v (%v), want a one-time URL", answer, err)
		}
	})
}

// Doubted clicks, however many, take four slots from the others, and wait for one of
// those four in the order in which they came.
func TestDoubtedClicksTakeFewSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const takes = 20 * time.Millisecond
		w := slotted(t, takes, 5)
		doubted := w.click(invoices)
		doubted.Doubted, doubted.Attempt = true, 1
		var mu sync.Mutex
		got, began := map[time.Duration]int{}, time.Now()
		ask := func() {
			answer, err := w.broker.Autologin(t.Context(), doubted)
			if err != nil {
				t.Errorf("doubted: %v", err)
			}
			after := time.Since(began)
			if answer.RedirectURL.IsZero() {
				after = -after // a retry
			}
			mu.Lock()
			got[after]++
			mu.Unlock()
		}
		var asking sync.WaitGroup
		for range 100 {
			asking.Go(ask)
		}
		synctest.Wait()
		if answer, err := w.broker.Autologin(t.Context(), w.click(invoices)); err != nil || answer.RedirectURL.IsZero() || time.Since(began) != takes {
			t.Errorf("a click that is not doubted: got %+v (%v) after %v, want a one-time URL after %v", answer, err, time.Since(began), takes)
		}
		asking.Wait()
		// Three times four find a slot in 50 ms, and all others come again then.
		want := map[time.Duration]int{takes: 4, 2 * takes: 4, 3 * takes: 4, -50 * time.Millisecond: 88}
		if !maps.Equal(got, want) {
			t.Errorf("doubted clicks by the time of their answer, retries below 0: got %v, want %v", got, want)
		}
	})
}

// Whoever is over a limit and goes on takes no more slots from others than doubted
// clicks do.
func TestClicksOverALimitAreDoubted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const takes = 20 * time.Millisecond
		var mu sync.Mutex
		now, most := 0, 0
		store := signOns{issue: func(context.Context, broker.Issue) (broker.Issued, error) {
			mu.Lock()
			now++
			most = max(most, now)
			mu.Unlock()
			time.Sleep(takes)
			mu.Lock()
			now--
			mu.Unlock()
			return broker.Issued{Created: noon}, nil
		}}
		w := newStubWorld(t, store, time.Minute)
		cfg := w.config(store)
		cfg.Slots = 50
		limited(1, 10)(&cfg)
		w.broker = broker.New(cfg)
		if answer, err := w.broker.Autologin(t.Context(), w.click(invoices)); err != nil || answer.RedirectURL.IsZero() {
			t.Fatalf("within the limit: got %+v (%v), want a one-time URL", answer, err)
		}
		var clicks sync.WaitGroup
		for range 50 {
			r := w.click(invoices)
			r.Attempt = 1
			clicks.Go(func() { _, _ = w.broker.Autologin(t.Context(), r) })
		}
		clicks.Wait()
		if most != 4 {
			t.Errorf("got %d clicks over the limit worked on at once, want 4", most)
		}
	})
}

// Real clicks amid 400 connections of their own address that come again as soon as they
// are answered, and with the waits of a real server: most get in, not all.
func TestMostClicksOutlastAFloodFromTheirAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := slotted(t, time.Millisecond, 8)
		ctx, end := context.WithCancel(t.Context())
		flood := w.click(invoices)
		flood.Doubted, flood.Attempt = true, 1
		var crowd, real sync.WaitGroup
		for range 400 {
			crowd.Go(func() {
				for ctx.Err() == nil {
					_, _ = w.broker.Autologin(ctx, flood)
				}
			})
		}
		const clicks = 60
		var in atomic.Int64
		for i := range clicks {
			real.Go(func() {
				time.Sleep(time.Duration(i*37) * time.Millisecond)
				for attempt := 1; attempt <= broker.MaxAttempts; attempt++ {
					r := flood
					r.Attempt = attempt
					answer, err := w.broker.Autologin(ctx, r)
					if err == nil && !answer.RedirectURL.IsZero() {
						in.Add(1)
						return
					}
					time.Sleep(answer.RetryAfter)
				}
			})
		}
		real.Wait()
		end()
		crowd.Wait()
		t.Logf("%d of %d", in.Load(), clicks)
		if got := in.Load(); got < clicks*3/4 {
			t.Errorf("got %d of %d clicks in, want three of four at least", got, clicks)
		}
	})
}
