package broker_test

import (
	"context"
	"crypto/rand"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/store"
)

// rotations is a provisioner of the tests. It does nothing but note what it is
// asked for.
type rotations struct {
	served bool
	// fail, when set, is what RequestRotation does instead.
	fail func(context.Context) error

	mu    sync.Mutex
	asked []broker.Account
}

func (r *rotations) Served() bool { return r.served }

func (r *rotations) RequestRotation(ctx context.Context, a broker.Account) error {
	if r.fail != nil {
		return r.fail(ctx)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, a)
	return nil
}

// supersede gives a link another token, as a provisioner does. The world goes on
// clicking with the former.
func (w *world) supersede(link broker.Link) broker.LinkToken {
	w.t.Helper()
	token := ok(broker.NewLinkToken(rand.Reader))(w.t)
	record := store.LinkRecord{Link: link, Subscriber: aSubscriber, Token: token.Digest(), Created: w.clock()}
	if err := w.store.PutLink(w.t.Context(), record, true); err != nil {
		w.t.Fatal(err)
	}
	return token
}

const (
	agedOnce  = maxAge + time.Second
	agedTwice = 2*maxAge + time.Second
)

// An aged or superseded token has the account's tokens replaced: two attempts are
// asked to come again, and the third is answered as if nobody rotated.
func TestStaleTokensAreRotated(t *testing.T) {
	retry := func(attempt int, after time.Duration) broker.Answer {
		return broker.Answer{RetryAfter: after, Attempt: attempt}
	}
	asked := func(cause broker.Cause, attempt int) broker.Event {
		return broker.Event{Kind: broker.EventRotation, Cause: cause, Attempt: attempt}
	}
	denied := func(cause broker.Cause) broker.Event { return broker.Event{Kind: broker.EventDenied, Cause: cause} }
	aged, issued := broker.Event{Kind: broker.EventAged}, broker.Event{Kind: broker.EventIssued}
	tests := []struct {
		name       string
		served     bool
		age        time.Duration
		superseded bool
		attempt    int
		want       broker.Answer // when it is not a redirect
		reason     broker.Reason // when it is an error
		asked      bool
		events     []broker.Event // kinds, causes and attempts
	}{
		{name: "a token at its maximum age", served: true, age: maxAge, events: []broker.Event{issued}},
		{name: "aged, first attempt", served: true, age: agedOnce, attempt: 1, want: retry(1, time.Second), asked: true, events: []broker.Event{asked(broker.CauseAged, 1)}},
		{name: "aged, second attempt", served: true, age: agedOnce, attempt: 2, want: retry(2, 3*time.Second), asked: true, events: []broker.Event{asked(broker.CauseAged, 2)}},
		{name: "aged, third attempt", served: true, age: agedOnce, attempt: 3, asked: true, events: []broker.Event{asked(broker.CauseAged, 3), aged, issued}},
		{name: "past twice the age, first attempt", served: true, age: agedTwice, attempt: 1, want: retry(1, time.Second), asked: true, events: []broker.Event{asked(broker.CauseAged, 1)}},
		{
			name: "past twice the age, third attempt", served: true, age: agedTwice, attempt: 3, reason: broker.ReasonAccessDenied, asked: true,
			events: []broker.Event{asked(broker.CauseAged, 3), denied(broker.CauseAged)},
		},
		{name: "superseded, first attempt", served: true, superseded: true, attempt: 1, want: retry(1, time.Second), asked: true, events: []broker.Event{asked(broker.CauseSuperseded, 1)}},
		{name: "superseded, second attempt", served: true, superseded: true, attempt: 2, want: retry(2, 3*time.Second), asked: true, events: []broker.Event{asked(broker.CauseSuperseded, 2)}},
		{
			name: "superseded, third attempt", served: true, superseded: true, attempt: 3, reason: broker.ReasonAccessDenied, asked: true,
			events: []broker.Event{asked(broker.CauseSuperseded, 3), denied(broker.CauseSuperseded)},
		},
		{name: "aged, nobody rotates", age: agedOnce, attempt: 1, events: []broker.Event{aged, issued}},
		{name: "past twice the age, nobody rotates", age: agedTwice, attempt: 1, reason: broker.ReasonAccessDenied, events: []broker.Event{denied(broker.CauseAged)}},
		{name: "superseded, nobody rotates", superseded: true, attempt: 1, reason: broker.ReasonAccessDenied, events: []broker.Event{denied(broker.CauseSuperseded)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := &rotations{served: tt.served}
			w := newWorld(t, func(c *broker.Config) { c.Rotations = r })
			if tt.superseded {
				w.supersede(invoices)
			}
			w.advance(tt.age)
			click := w.click(invoices)
			click.Attempt = tt.attempt
			answer, err := w.broker.Autologin(t.Context(), click)
			if broker.ReasonOf(err) != tt.reason || (err != nil) != (tt.reason != 0) {
				t.Errorf("got error %v, want reason %v", err, tt.reason)
			}
			redirects := tt.want.RetryAfter == 0 && tt.reason == 0
			if got := !answer.RedirectURL.IsZero(); got != redirects {
				t.Errorf("got a redirect %v, want %v", got, redirects)
			}
			if answer.RetryAfter != tt.want.RetryAfter || answer.Attempt != tt.want.Attempt {
				t.Errorf("got %+v, want %+v", answer, tt.want)
			}
			var want []broker.Account
			if tt.asked {
				want = []broker.Account{bob}
			}
			if !slices.Equal(r.asked, want) {
				t.Errorf("asked for %v, want %v", r.asked, want)
			}
			got := w.audit.take()
			for i, e := range got {
				if e.Kind == broker.EventIssued {
					e.Portal, e.Token = "", ""
				}
				got[i] = e
			}
			for i := range tt.events {
				e := event(tt.events[i].Kind, invoices, w.clock())
				e.Cause, e.Attempt = tt.events[i].Cause, tt.events[i].Attempt
				tt.events[i] = e
			}
			if !slices.Equal(got, tt.events) {
				t.Errorf("audit:\ngot  %+v\nwant %+v", got, tt.events)
			}
		})
	}
}

// Attempts of servers that do not number them are counted, for each link token anew.
func TestStaleAttemptsAreCounted(t *testing.T) {
	r := &rotations{served: true}
	w := newWorld(t, func(c *broker.Config) { c.Rotations = r })
	fresh := w.supersede(invoices)
	retries := func(name string, want ...time.Duration) {
		t.Helper()
		for i, after := range want {
			answer, err := w.broker.Autologin(t.Context(), w.click(invoices))
			if err != nil || answer.RetryAfter != after || answer.Attempt != i+1 {
				t.Errorf("%s, attempt %d: got %+v (%v), want a retry after %s", name, i+1, answer, err, after)
			}
		}
	}
	retries("first click", time.Second, 3*time.Second)
	_, err := w.broker.Autologin(t.Context(), w.click(invoices))
	wantRefusal(t, err, broker.Error{Reason: broker.ReasonAccessDenied})
	retries("second click", time.Second)
	click := w.click(invoices)
	click.Token = fresh
	if answer := ok(w.broker.Autologin(t.Context(), click))(t); answer.RedirectURL.IsZero() {
		t.Errorf("with the fresh token: got %+v, want a redirect", answer)
	}
	w.linkTokens[invoices] = fresh
	w.supersede(invoices)
	retries("third click", time.Second, 3*time.Second)
	if len(r.asked) != 6 {
		t.Errorf("asked %d times, want 6", len(r.asked))
	}
}

// What could not sign on with a fresh token either is never asked to come again,
// and nobody rotates for it.
func TestNoRotationForWhatIsRefusedAnyway(t *testing.T) {
	wrong := ok(broker.NewLinkToken(rand.Reader))(t)
	outside := netip.MustParseAddr("198.51.100.1")
	from := func(r *broker.AutologinRequest) { r.From.Address = outside }
	tests := []struct {
		name       string
		link       broker.Link
		superseded bool
		change     func(*broker.AutologinRequest)
		reason     broker.Reason
		cause      broker.Cause
	}{
		{"aged, source not allowed", fenced, false, from, broker.ReasonAccessDenied, broker.CauseSource},
		{"superseded, source not allowed", fenced, true, from, broker.ReasonAccessDenied, broker.CauseSuperseded},
		{"aged, server not in the configuration", strange, false, nil, broker.ReasonAccessDenied, broker.CauseServer},
		{"superseded, server not in the configuration", strange, true, nil, broker.ReasonAccessDenied, broker.CauseServer},
		{"aged, app switched off", closed, false, nil, broker.ReasonSignOnDisabled, ""},
		{"superseded, app switched off", closed, true, nil, broker.ReasonAccessDenied, broker.CauseSuperseded},
		{"aged, app not in the catalogue", unlisted, false, nil, broker.ReasonSignOnDisabled, ""},
		{"superseded, app not in the catalogue", unlisted, true, nil, broker.ReasonAccessDenied, broker.CauseSuperseded},
		{"aged, wrong subscriber", invoices, false, func(r *broker.AutologinRequest) { r.Subscriber = "1235" }, broker.ReasonAccessDenied, broker.CauseSubscriber},
		{"wrong token", invoices, false, func(r *broker.AutologinRequest) { r.Token = wrong }, broker.ReasonAccessDenied, broker.CauseToken},
		{"no such link", invoices, false, func(r *broker.AutologinRequest) { r.Link.User = "eve" }, broker.ReasonAccessDenied, broker.CauseNoLink},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := &rotations{served: true}
			w := newWorld(t, func(c *broker.Config) { c.Rotations = r })
			click := w.click(tt.link)
			if tt.superseded {
				w.supersede(tt.link)
			}
			if tt.change != nil {
				tt.change(&click)
			}
			w.advance(agedOnce)
			for attempt := range 3 {
				click.Attempt = attempt + 1
				answer, err := w.broker.Autologin(t.Context(), click)
				wantRefusal(t, err, broker.Error{Reason: tt.reason})
				if answer.RetryAfter != 0 || answer.Attempt != 0 || !answer.RedirectURL.IsZero() {
					t.Errorf("attempt %d: got answer %+v beside the refusal", attempt+1, answer)
				}
				last := broker.Event{}
				if events := w.audit.take(); len(events) > 0 {
					last = events[len(events)-1]
				}
				if last.Cause != tt.cause || (last.Kind == broker.EventDenied) != (tt.cause != "") {
					t.Errorf("attempt %d: got event %+v, want the cause %q", attempt+1, last, tt.cause)
				}
			}
			if len(r.asked) > 0 {
				t.Errorf("asked for %v, want nothing", r.asked)
			}
		})
	}
}

// A request that cannot be made is a store that is away: two retries, then
// unavailable; never a sign-on, and never for longer than the store may take.
func TestRotationCannotBeAskedFor(t *testing.T) {
	away := errors.New("the store is away")
	tests := []struct {
		name string
		fail func(context.Context) error
		want error
		took time.Duration
	}{
		{"at once", func(context.Context) error { return away }, away, 0},
		{"no answer", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, context.DeadlineExceeded, 250 * time.Millisecond},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				stale := signOns{issue: func(context.Context, broker.Issue) (broker.Issued, error) {
					return broker.Issued{}, &broker.DeniedError{Cause: broker.CauseAged}
				}}
				w := newStubWorldWith(t, stale, 250*time.Millisecond, &rotations{served: true, fail: tt.fail})
				for i, after := range []time.Duration{time.Second, 3 * time.Second, 0} {
					begun := time.Now()
					answer, err := w.broker.Autologin(t.Context(), w.click(invoices))
					if took := time.Since(begun); took != tt.took {
						t.Errorf("attempt %d took %s, want %s", i+1, took, tt.took)
					}
					if answer.RetryAfter != after || !answer.RedirectURL.IsZero() {
						t.Errorf("attempt %d: got %+v, want a retry after %s", i+1, answer, after)
					}
					if last := i == 2; last != (broker.ReasonOf(err) == broker.ReasonUnavailable) || last != (err != nil) {
						t.Errorf("attempt %d: got error %v, want unavailable: %v", i+1, err, last)
					}
					events := w.audit.take()
					if len(events) != 1 || events[0].Kind != broker.EventNotNow || events[0].Attempt != i+1 || !errors.Is(events[0].Err, tt.want) {
						t.Errorf("attempt %d: got events %+v, want one %q with %v", i+1, events, broker.EventNotNow, tt.want)
					}
				}
			})
		})
	}
}

// A superseded token never stops asking: what it may ask for has a bound, beyond which
// it is answered as if nobody rotated.
func TestClicksHaveTokensRotatedNowAndThen(t *testing.T) {
	tests := []struct {
		name   string
		age    time.Duration // 0: superseded
		beyond broker.Reason // 0: let in
	}{
		{"superseded", 0, broker.ReasonAccessDenied},
		{"aged", agedOnce, 0},
	}
	for _, tt := range tests {
		r := &rotations{served: true}
		w := newWorld(t, func(c *broker.Config) {
			c.Rotations = r
			c.RotationLimit = broker.NewLimiter(broker.LimiterConfig{Limit: broker.Limit{Rate: 1.0 / 60, Burst: 3}, Now: c.Now})
		})
		if tt.age == 0 {
			w.supersede(invoices)
		}
		w.advance(tt.age)
		click := w.click(invoices)
		click.Attempt = 1
		ask := func(want, rotations int) {
			t.Helper()
			for i := range want {
				answer, err := w.broker.Autologin(t.Context(), click)
				rotated := i < rotations
				if rotated != (answer.RetryAfter > 0) || !rotated && broker.ReasonOf(err) != tt.beyond {
					t.Errorf("%s, click %d: got %+v (%v), want a retry: %v, else reason %v", tt.name, i+1, answer, err, rotated, tt.beyond)
				}
			}
		}
		ask(10, 3)
		w.advance(time.Minute)
		ask(10, 1)
		if len(r.asked) != 4 {
			t.Errorf("%s: asked %d times, want 4", tt.name, len(r.asked))
		}
	}
}

// newStubWorldWith is newStubWorld with a provisioner.
func newStubWorldWith(t *testing.T, s broker.SignOns, timeout time.Duration, r broker.Rotations) *world {
	t.Helper()
	w := newStubWorld(t, s, timeout)
	cfg := w.config(s)
	cfg.StoreTimeout, cfg.Rotations = timeout, r
	w.broker = broker.New(cfg)
	return w
}
