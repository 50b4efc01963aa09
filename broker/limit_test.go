package broker_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
)

// purse is a shared limit with so much left.
type purse struct {
	mu   sync.Mutex
	left int
	err  error
	// asked is what each call wanted.
	asked []int
}

func (p *purse) Spend(_ context.Context, s broker.Spending) (int, time.Duration, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, s.N)
	if p.err != nil {
		return 0, 0, p.err
	}
	took := min(s.N, p.left)
	p.left -= took
	if took < s.N {
		return took, time.Second, nil
	}
	return took, 0, nil
}

// limiting is a limiter with a clock that is moved by hand.
type limiting struct {
	*broker.Limiter
	t   *testing.T
	now time.Time
}

func newLimiting(t *testing.T, limit broker.Limit, shared broker.SharedLimits) *limiting {
	l := &limiting{t: t, now: noon}
	l.Limiter = broker.NewLimiter(broker.LimiterConfig{Scope: broker.LimitAccount, Limit: limit, Shared: shared, Now: func() time.Time { return l.now }})
	return l
}

// passed takes n times and returns how many were let through.
func (l *limiting) passed(n int, name string) (passed int) {
	for range n {
		if l.Take(l.t.Context(), name) == 0 {
			passed++
		}
	}
	return passed
}

func TestAfterABurstComesTheRate(t *testing.T) {
	l := newLimiting(t, broker.Limit{Rate: 2, Burst: 5}, nil)
	if got := l.passed(10, "bob"); got != 5 {
		t.Errorf("at once: got %d, want the burst of 5", got)
	}
	if got := l.Take(t.Context(), "bob"); got != 500*time.Millisecond {
		t.Errorf("wait: got %v, want half a second at 2 per second", got)
	}
	if got := l.passed(10, "eve"); got != 5 {
		t.Errorf("another name: got %d, want a burst of its own", got)
	}
	l.now = l.now.Add(time.Second)
	if got := l.passed(10, "bob"); got != 2 {
		t.Errorf("a second later: got %d, want 2", got)
	}
	l.now = l.now.Add(time.Hour)
	if got := l.passed(10, "bob"); got != 5 {
		t.Errorf("an hour later: got %d, want no more than the burst", got)
	}
	l.now = l.now.Add(-time.Hour)
	if got := l.passed(10, "bob"); got != 0 {
		t.Errorf("after the clock was set back: got %d, want 0", got)
	}
}

func TestLookingCountsNothing(t *testing.T) {
	l := newLimiting(t, broker.Limit{Rate: 1, Burst: 2}, nil)
	for range 5 {
		if got := l.Wait("bob"); got != 0 {
			t.Fatalf("within the limit: got a wait of %v, want none", got)
		}
	}
	l.passed(2, "bob")
	if got := l.Wait("bob"); got != time.Second {
		t.Errorf("used up: got a wait of %v, want 1s", got)
	}
	var none *broker.Limiter
	if none.Wait("bob") != 0 || none.Take(t.Context(), "bob") != 0 {
		t.Error("without a limit somebody has to wait")
	}
}

func TestALowRateMakesNobodyWaitForYears(t *testing.T) {
	l := newLimiting(t, broker.Limit{Rate: 1e-9, Burst: 1}, nil)
	l.passed(1, "bob")
	if got := l.Take(t.Context(), "bob"); got != time.Minute {
		t.Errorf("got a wait of %v, want the longest, 1m", got)
	}
}

// A quarter of the burst is free of calls, and is told with the next one.
func TestTheSharedLimitIsAskedAboveAShare(t *testing.T) {
	shared := &purse{left: 100}
	l := newLimiting(t, broker.Limit{Rate: 1, Burst: 20}, shared)
	if got := l.passed(5, "bob"); got != 5 || len(shared.asked) != 0 {
		t.Errorf("within the share: %d let through, asked for %v; want 5 and no question", got, shared.asked)
	}
	if got := l.passed(2, "bob"); got != 2 || len(shared.asked) != 2 || shared.asked[0] != 6 || shared.asked[1] != 1 {
		t.Errorf("above the share: %d let through, asked for %v; want 2, and 6 and 1", got, shared.asked)
	}
	l.now = l.now.Add(time.Minute) // the bucket is empty: what was uncharged is forgiven
	shared.asked = nil
	if l.passed(6, "bob"); len(shared.asked) != 1 || shared.asked[0] != 6 {
		t.Errorf("a minute later: asked for %v, want 6", shared.asked)
	}
}

func TestWhatOthersUsedUpIsRefusedWithoutAskingAgain(t *testing.T) {
	shared := &purse{left: 3}
	l := newLimiting(t, broker.Limit{Rate: 1, Burst: 20}, shared)
	if got := l.passed(20, "bob"); got != 5 {
		t.Errorf("got %d let through, want the share of 5", got)
	}
	if len(shared.asked) != 1 || l.Wait("bob") != time.Second {
		t.Errorf("asked for %v, wait %v; want one question, and its answer remembered for 1s", shared.asked, l.Wait("bob"))
	}
	shared.left = 100
	l.now = l.now.Add(time.Second)
	if got := l.passed(2, "bob"); got != 2 {
		t.Errorf("after the wait: got %d let through, want 2", got)
	}
	// The bucket holds 4 after a second: within the share, then 2 owed and 1 more.
	if last := shared.asked[len(shared.asked)-1]; last != 4 {
		t.Errorf("asked for %v at last, want 4: 2 of the first five were not counted, and two more", last)
	}
}

// Limits never stand in the way because they cannot be asked, and a store that is
// away is not asked by every click.
func TestWithoutTheSharedLimitTheLocalOneHolds(t *testing.T) {
	shared := &purse{left: 100, err: errors.New("the store is away")}
	l := newLimiting(t, broker.Limit{Rate: 1, Burst: 20}, shared)
	if got := l.passed(40, "bob"); got != 20 {
		t.Errorf("got %d let through, want the local burst of 20", got)
	}
	if len(shared.asked) != 1 {
		t.Errorf("the store was asked %d times, want once in a second", len(shared.asked))
	}
	shared.err, shared.asked = nil, nil
	l.now = l.now.Add(1100 * time.Millisecond)
	if got := l.passed(1, "bob"); got != 1 || len(shared.asked) != 1 || shared.asked[0] != 6 {
		t.Errorf("back: %d let through, asked for %v; want 1, and no more than share and one", got, shared.asked)
	}
}

func TestManyNamesNeedBoundedMemory(t *testing.T) {
	l := newLimiting(t, broker.Limit{Rate: 1e-9, Burst: 1}, nil)
	const names = 250_000
	refused := 0
	for i := range names {
		l.passed(1, strconv.Itoa(i))
	}
	for i := range names {
		if l.Wait(strconv.Itoa(i)) > 0 {
			refused++
		}
	}
	if refused != 100_000 {
		t.Errorf("got %d names remembered of %d, want 100000", refused, names)
	}
}

// Many names push out those that are not counted any more, and not who goes on.
func TestWhoGoesOnIsNotForgotten(t *testing.T) {
	l := newLimiting(t, broker.Limit{Rate: 1e-9, Burst: 1}, nil)
	l.passed(1, "bob")
	for i := range 200_000 {
		l.passed(1, strconv.Itoa(i))
		if i%10_000 == 0 && l.passed(1, "bob") != 0 {
			t.Fatalf("after %d other names bob is let through", i)
		}
	}
}

// limited is a world in which bob may sign on so often, and web01 so often.
func limited(account, server int) func(*broker.Config) {
	return func(c *broker.Config) {
		limiter := func(scope broker.LimitScope, burst int) *broker.Limiter {
			return broker.NewLimiter(broker.LimiterConfig{Scope: scope, Limit: broker.Limit{Rate: 1, Burst: burst}, Now: c.Now})
		}
		c.AccountLimit, c.ServerLimit = limiter(broker.LimitAccount, account), limiter(broker.LimitServer, server)
	}
}

func TestAccountsAndServersHaveLimits(t *testing.T) {
	tests := []struct {
		name            string
		account, server int
		cause           broker.Cause
	}{
		{"account", 2, 10, broker.CauseAccountLimit},
		{"server", 10, 2, broker.CauseServerLimit},
	}
	for _, tt := range tests {
		w := newWorld(t, limited(tt.account, tt.server))
		// Whoever has no link token uses nothing up, before and after.
		strangers := func() {
			t.Helper()
			for range 20 {
				r := w.click(invoices)
				r.Token = w.linkTokens[billing]
				_, err := w.broker.Autologin(t.Context(), r)
				wantRefusal(t, err, broker.Error{Reason: broker.ReasonAccessDenied})
			}
			w.audit.take()
		}
		strangers()
		w.issue(invoices)
		w.issue(billing)
		_, err := w.broker.Autologin(t.Context(), w.click(invoices))
		wantRefusal(t, err, broker.Error{Reason: broker.ReasonSlowDown, RetryAfter: time.Second})
		want := event(broker.EventSlowedDown, invoices, noon)
		want.Cause = tt.cause
		w.wantEvents(want)
		strangers()
		w.advance(time.Second)
		w.issue(invoices)
	}
}

// A click that is known to be over a limit leaves no one-time token in the store.
func TestOverTheLimitNothingIsKept(t *testing.T) {
	var checks []bool
	w := newWorld(t, limited(1, 10), func(c *broker.Config) {
		inner := c.SignOns
		c.SignOns = signOns{issue: func(ctx context.Context, in broker.Issue) (broker.Issued, error) {
			checks = append(checks, in.CheckOnly)
			return inner.Issue(ctx, in)
		}}
	})
	w.issue(invoices)
	_, err := w.broker.Autologin(t.Context(), w.click(invoices))
	wantRefusal(t, err, broker.Error{Reason: broker.ReasonSlowDown, RetryAfter: time.Second})
	if len(checks) != 2 || checks[0] || !checks[1] {
		t.Errorf("check only: got %v, want false, then true", checks)
	}
}
