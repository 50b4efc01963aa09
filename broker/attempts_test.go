package broker_test

import (
	"context"
	"errors"
	"io"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
)

// flaky is a store that fails while its error is set.
type flaky struct {
	broker.SignOns
	err error
}

func (f *flaky) Issue(ctx context.Context, in broker.Issue) (broker.Issued, error) {
	if f.err != nil {
		return broker.Issued{}, f.err
	}
	return f.SignOns.Issue(ctx, in)
}

func (f *flaky) Redeem(ctx context.Context, in broker.Redeem) (broker.Redemption, error) {
	if f.err != nil {
		return broker.Redemption{}, f.err
	}
	return f.SignOns.Redeem(ctx, in)
}

// newFlakyWorld returns a world whose store is away.
func newFlakyWorld(t *testing.T) (*world, *flaky) {
	t.Helper()
	f := &flaky{err: errors.New("connection refused")}
	return newWorld(t, func(c *broker.Config) { f.SignOns, c.SignOns = c.SignOns, f }), f
}

// wantNotNow clicks and expects the answer of one attempt.
func (w *world) wantNotNow(name string, link broker.Link, said, want int) {
	w.t.Helper()
	r := w.click(link)
	r.Attempt = said
	answer, err := w.broker.Autologin(w.t.Context(), r)
	if want < broker.MaxAttempts {
		seconds := answer.RetryAfter / time.Second
		if err != nil || answer.Attempt != want || answer.RetryAfter%time.Second != 0 || seconds < 1 || seconds > 5 {
			w.t.Errorf("%s: got retry after %v for attempt %d, error %v, want 1 to 5 s for attempt %d", name, answer.RetryAfter, answer.Attempt, err, want)
		}
	} else {
		wantRefusal(w.t, err, broker.Error{Reason: broker.ReasonUnavailable})
		if answer.RetryAfter != 0 {
			w.t.Errorf("%s: got retry after %v beside the refusal", name, answer.RetryAfter)
		}
	}
	if !answer.RedirectURL.IsZero() {
		w.t.Errorf("%s: got a redirect without a store", name)
	}
	events := w.audit.take()
	if len(events) != 1 || events[0].Err == nil {
		w.t.Errorf("%s: got events %+v, want one with its cause", name, events)
		return
	}
	events[0].Err = nil
	notNow := event(broker.EventNotNow, link, w.clock())
	notNow.Attempt = want
	if events[0] != notNow {
		w.t.Errorf("%s: got event %+v, want %+v", name, events[0], notNow)
	}
}

func TestAttemptsThatTheServerCounts(t *testing.T) {
	w, _ := newFlakyWorld(t)
	for _, said := range []int{1, 2, 3, 3, 1, 2, 1} {
		w.wantNotNow("said", invoices, said, said)
	}
}

func TestAttemptsThatNobodyCounts(t *testing.T) {
	type step struct {
		after time.Duration
		link  broker.Link
		want  int
	}
	tests := []struct {
		name  string
		steps []step
	}{
		{"three, then from the start", []step{{0, invoices, 1}, {0, invoices, 2}, {0, invoices, 3}, {0, invoices, 1}, {0, invoices, 2}}},
		{"each link by itself", []step{{0, invoices, 1}, {0, billing, 1}, {0, invoices, 2}, {0, cart, 1}, {0, billing, 2}, {0, invoices, 3}}},
		{"over the longest wait of a server", []step{{0, invoices, 1}, {60 * time.Second, invoices, 2}, {60 * time.Second, invoices, 3}}},
		{"remembered at 70 s", []step{{0, invoices, 1}, {70 * time.Second, invoices, 2}}},
		{"forgotten after 70 s", []step{{0, invoices, 1}, {71 * time.Second, invoices, 1}, {0, invoices, 2}, {71 * time.Second, invoices, 1}}},
	}
	for _, tt := range tests {
		w, _ := newFlakyWorld(t)
		for _, s := range tt.steps {
			w.advance(s.after)
			w.wantNotNow(tt.name, s.link, 0, s.want)
		}
	}
}

func TestAttemptsEndWithAnAnswer(t *testing.T) {
	for name, end := range map[string]func(*world){
		"success": func(w *world) {
			if _, err := w.broker.Autologin(w.t.Context(), w.click(invoices)); err != nil {
				w.t.Errorf("click while the store is back: %v", err)
			}
		},
		"denial": func(w *world) {
			if _, err := w.store.RemoveLink(w.t.Context(), invoices); err != nil {
				w.t.Fatal(err)
			}
			if _, err := w.broker.Autologin(w.t.Context(), w.click(invoices)); broker.ReasonOf(err) != broker.ReasonAccessDenied {
				w.t.Errorf("removed link: got %v", err)
			}
		},
	} {
		w, f := newFlakyWorld(t)
		away := f.err
		w.wantNotNow(name, invoices, 0, 1)
		w.wantNotNow(name, invoices, 0, 2)
		f.err = nil
		end(w)
		w.audit.take()
		f.err = away
		w.wantNotNow("after a "+name, invoices, 0, 1)
	}
}

// Who knows a link, but not its token, leaves its clicks the attempts that they have.
func TestAttemptsOfStrangersDoNotCount(t *testing.T) {
	other := map[string]func(*world, *broker.AutologinRequest){
		"another token":      func(w *world, r *broker.AutologinRequest) { r.Token = w.linkTokens[billing] },
		"another subscriber": func(_ *world, r *broker.AutologinRequest) { r.Subscriber = "1235" },
	}
	for name, change := range other {
		w, f := newFlakyWorld(t)
		stranger := func() (broker.Answer, error) {
			r := w.click(invoices)
			change(w, &r)
			answer, err := w.broker.Autologin(t.Context(), r)
			w.audit.take()
			return answer, err
		}
		for want := 1; want < broker.MaxAttempts; want++ {
			if answer, err := stranger(); err != nil || answer.Attempt != want {
				t.Errorf("%s: got attempt %d, error %v, want attempt %d of their own", name, answer.Attempt, err, want)
			}
		}
		w.wantNotNow(name, invoices, 0, 1)
		away := f.err
		f.err = nil
		if _, err := stranger(); broker.ReasonOf(err) != broker.ReasonAccessDenied {
			t.Errorf("%s, the store is back: got %v, want access_denied", name, err)
		}
		f.err = away
		w.wantNotNow(name+": their denial ends nobody else's click", invoices, 0, 2)
		w.wantNotNow(name, invoices, 0, 3)
	}
}

// A crowd of strangers, however large, gives nobody up early.
func TestACrowdTakesNobodysAttempts(t *testing.T) {
	w, _ := newFlakyWorld(t)
	crowd := func(n int) {
		t.Helper()
		for i := range n {
			r := w.click(invoices)
			r.Token = broker.LinkToken{Secret: broker.NewSecret(strconv.Itoa(i))}
			r.Link.User = "user" + strconv.Itoa(n)
			if answer, err := w.broker.Autologin(t.Context(), r); err != nil || answer.Attempt != 1 {
				t.Fatalf("stranger %d of %d: got attempt %d, error %v, want attempt 1", i+1, n, answer.Attempt, err)
			}
		}
		w.audit.take()
	}
	crowd(150_000)
	w.wantNotNow("after a crowd", invoices, 0, 1)
	crowd(49_000)
	w.wantNotNow("after a smaller one, still remembered", invoices, 0, 2)
	w.wantNotNow("the last", invoices, 0, 3)
}

func TestStoreErrorsLetNobodyIn(t *testing.T) {
	w, f := newFlakyWorld(t)
	away := f.err
	f.err = nil
	token, shopToken, claim := w.issue(invoices), w.issue(cart), newClaim(t)
	unavailable := broker.Error{Reason: broker.ReasonUnavailable}
	for _, err := range []error{away, io.EOF, context.DeadlineExceeded, context.Canceled} {
		f.err = err
		handover, got := w.login(token, claim)
		wantRefusal(t, got, unavailable)
		wantNoFormPost(t, handover)
		if !errors.Is(got, err) {
			t.Errorf("login: got %v, want the cause %v kept for the log", got, err)
		}
		exchanged, got := w.exchange("shop", shopToken, claim)
		wantRefusal(t, got, unavailable)
		if !exchanged.Assertion.IsZero() {
			t.Errorf("%v: exchange gave an assertion", err)
		}
	}
	f.err = nil
	if _, err := w.login(token, claim); err != nil {
		t.Errorf("the same claim when the store is back: %v", err)
	}
	if _, err := w.exchange("shop", shopToken, claim); err != nil {
		t.Errorf("the same exchange when the store is back: %v", err)
	}
}

// A lost reply burns nothing: the claimant tries again and gets its grant.
func TestALostReplyIsRepeated(t *testing.T) {
	var lost error
	w := newWorld(t, func(c *broker.Config) {
		inner := c.SignOns
		c.SignOns = signOns{issue: inner.Issue, redeem: func(ctx context.Context, in broker.Redeem) (broker.Redemption, error) {
			found, err := inner.Redeem(ctx, in)
			if lost != nil {
				return broker.Redemption{}, lost
			}
			return found, err
		}}
	})
	token, claim := w.issue(invoices), newClaim(t)
	lost = io.ErrUnexpectedEOF
	_, err := w.login(token, claim)
	wantRefusal(t, err, broker.Error{Reason: broker.ReasonUnavailable})
	lost = nil
	if _, err := w.login(token, newClaim(t)); broker.ReasonOf(err) != broker.ReasonTokenUsed {
		t.Errorf("another claimant after the lost reply: got %v, want token_used", err)
	}
	if _, err := w.login(token, claim); err != nil {
		t.Errorf("the claimant after the lost reply: %v", err)
	}
}

func TestAHungStoreEndsAtTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := signOns{
			issue: func(ctx context.Context, _ broker.Issue) (broker.Issued, error) {
				<-ctx.Done()
				return broker.Issued{}, ctx.Err()
			},
			redeem: func(ctx context.Context, _ broker.Redeem) (broker.Redemption, error) {
				<-ctx.Done()
				return broker.Redemption{}, ctx.Err()
			},
		}
		const timeout = 300 * time.Millisecond
		w := newStubWorld(t, hang, timeout)
		token := ok(broker.ParseOneTimeToken(canary))(t)
		calls := map[string]func() error{
			"login":    func() error { _, err := w.login(token, newClaim(t)); return err },
			"exchange": func() error { _, err := w.exchange("shop", token, newClaim(t)); return err },
			"autologin": func() error {
				r := w.click(invoices)
				r.Attempt = 3
				_, err := w.broker.Autologin(t.Context(), r)
				return err
			},
		}
		for name, call := range calls {
			start := time.Now()
			err := call()
			if took := time.Since(start); took != timeout {
				t.Errorf("%s: got an answer after %v, want %v", name, took, timeout)
			}
			wantRefusal(t, err, broker.Error{Reason: broker.ReasonUnavailable})
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: got cause %v, want the deadline", name, err)
			}
		}
	})
}
