package store_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

const (
	// waiting is how many tokens a worker has issued and not yet redeemed, so that a
	// replica has them when they are.
	waiting = 16
	// swept is how many of a worker's last tokens are tried again by others.
	swept = 64
)

// traffic is what goes on in a store while its Redis is ill-treated: workers issue
// tokens, redeem them, and try again, as somebody else, what was redeemed.
type traffic struct {
	t       *testing.T
	s       *store.Store
	signOns broker.SignOns
	history *storetest.History

	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	workers map[broker.Link]*progress
	// longest time in which a worker could issue no token.
	longest time.Duration
}

// progress is how far a worker is.
type progress struct {
	issued int
	last   time.Time
	recent []broker.OneTimeToken
}

// startTraffic starts it with so many workers, each of which has an account. It ends
// with end.
func startTraffic(t *testing.T, s *store.Store, workers int) *traffic {
	t.Helper()
	history := storetest.NewHistory()
	ctx, cancel := context.WithCancel(t.Context())
	tr := &traffic{
		t: t, s: s, signOns: history.Over(s), history: history, cancel: cancel,
		workers: map[broker.Link]*progress{},
	}
	t.Cleanup(tr.end)
	tokens := map[broker.Link]broker.LinkToken{}
	for i := range workers {
		link := broker.Link{Account: worker(i), App: "latchkey_billing"}
		tokens[link] = ok(broker.NewLinkToken(rand.Reader))(t)
		tr.workers[link] = &progress{last: time.Now()}
	}
	for link, token := range tokens {
		tr.wg.Go(func() { tr.work(ctx, link, token) })
	}
	tr.flow(10)
	return tr
}

// worker is the account of a worker, counted from 0.
func worker(i int) broker.Account {
	return broker.Account{Server: "web01", User: fmt.Sprint("user", i)}
}

// end stops the workers and waits for them.
func (tr *traffic) end() {
	tr.cancel()
	tr.wg.Wait()
}

// flow waits until every worker has issued n more tokens.
func (tr *traffic) flow(n int) {
	tr.t.Helper()
	until := tr.issued()
	for link := range until {
		until[link] += n
	}
	waitFor(tr.t, "every worker to issue tokens", func() bool {
		for link, now := range tr.issued() {
			if now < until[link] {
				return false
			}
		}
		return true
	})
}

// issued returns how many tokens each worker has issued.
func (tr *traffic) issued() map[broker.Link]int {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	issued := map[broker.Link]int{}
	for link, p := range tr.workers {
		issued[link] = p.issued
	}
	return issued
}

// longestGap returns the longest time in which a worker could issue no token, and
// begins anew.
func (tr *traffic) longestGap() time.Duration {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	longest := tr.longest
	tr.longest = 0
	return longest
}

func (tr *traffic) work(ctx context.Context, link broker.Link, token broker.LinkToken) {
	record := store.LinkRecord{Link: link, Subscriber: "1234", Token: token.Digest(), Created: created}
	pace := time.NewTicker(2 * time.Millisecond) // the processor is needed elsewhere, too
	defer pace.Stop()
	var open []broker.OneTimeToken
	for range pace.C {
		if ctx.Err() != nil {
			return
		}
		once, issued := tr.issue(ctx, record)
		if !issued {
			continue
		}
		open = append(open, once)
		if len(open) <= waiting {
			continue
		}
		next := open[0]
		open = open[1:]
		tr.redeem(ctx, next)
		tr.redeem(ctx, next)
	}
}

// issue issues a token, and registers the link where Redis has lost it.
func (tr *traffic) issue(ctx context.Context, record store.LinkRecord) (broker.OneTimeToken, bool) {
	once, err := broker.NewOneTimeToken(rand.Reader, record.Link.Account)
	if err != nil {
		tr.t.Error(err)
		return once, false
	}
	_, err = tr.signOns.Issue(ctx, broker.Issue{
		Link: record.Link, LinkToken: record.Token, Subscriber: record.Subscriber, Token: once, TTL: 120 * time.Second, Redeemer: "browser",
		Grant: broker.Grant{Token: once.Digest(), Link: record.Link, Subscriber: record.Subscriber, IssuedAt: created},
	})
	if _, denied := errors.AsType[*broker.DeniedError](err); denied {
		_ = tr.s.PutLink(ctx, record, true)
	}
	if err != nil {
		return once, false
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	now := time.Now()
	p := tr.workers[record.Link]
	tr.longest = max(tr.longest, now.Sub(p.last))
	p.last = now
	p.issued++
	p.recent = append(p.recent, once)
	p.recent = p.recent[max(0, len(p.recent)-swept):]
	return once, true
}

// redeem redeems as somebody new. What comes of it is in the history.
func (tr *traffic) redeem(ctx context.Context, token broker.OneTimeToken) {
	claim, err := broker.NewClaim(rand.Reader)
	if err != nil {
		tr.t.Error(err)
		return
	}
	_, _ = tr.signOns.Redeem(ctx, broker.Redeem{Token: token, Redeemer: "browser", Claim: claim, At: created})
}

// sweep tries the last tokens of all workers once more, each as somebody new.
func (tr *traffic) sweep() {
	tr.mu.Lock()
	var tokens []broker.OneTimeToken
	for _, p := range tr.workers {
		tokens = slices.Concat(tokens, p.recent)
	}
	tr.mu.Unlock()
	for _, token := range tokens {
		tr.redeem(tr.t.Context(), token)
	}
}
