package broker_test

import (
	"context"
	"crypto/rand"
	"maps"
	"sync"
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
		for range 100 {
			go ask()
		}
		synctest.Wait()
		if answer, err := w.broker.Autologin(t.Context(), w.click(invoices)); err != nil || answer.RedirectURL.IsZero() || time.Since(began) != takes {
			t.Errorf("a click that is not doubted: got %+v (%v) after %v, want a one-time URL after %v", answer, err, time.Since(began), takes)
		}
		time.Sleep(time.Second)
		// Three times four find a slot in 50 ms, and all others come again then.
		want := map[time.Duration]int{takes: 4, 2 * takes: 4, 3 * takes: 4, -50 * time.Millisecond: 88}
		if !maps.Equal(got, want) {
			t.Errorf("doubted clicks by the time of their answer, retries below 0: got %v, want %v", got, want)
		}
	})
}
