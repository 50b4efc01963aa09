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

	"github.com/redis/go-redis/v9"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

const (
	// waiting is how many tokens a worker has issued and not yet redeemed, so that a
	// replica has them when they are.
	waiting = 16
	// swept is how many of a worker's last tokens are tried again by others, and
	// sweepers how many others do that at once.
	swept, sweepers = 64, 32
	// keptTokens is how many tokens nobody uses until a failover is over.
	keptTokens = 10
)

// traffics are one for each durability, side by side over one Redis.
type traffics []*traffic

// startTraffics starts them. replicas of those that there are have to confirm.
func startTraffics(t *testing.T, o store.Options, replicas, workers int) traffics {
	t.Helper()
	client := open(t, o)
	var all traffics
	for _, d := range durabilities(replicas, nil) {
		all = append(all, startTraffic(t, d, client, workers))
	}
	return all
}

// flow waits until every worker has issued n more tokens, or a quarter of that where a
// token takes longer.
func (all traffics) flow(n int) {
	flowed := make([]func() bool, len(all))
	for i, tr := range all {
		if flowed[i] = tr.flowed(n); tr.replicas > 0 {
			flowed[i] = tr.flowed(n / 4)
		}
	}
	waitFor(all[0].t, "every worker to issue tokens", func() bool {
		return !slices.ContainsFunc(flowed, func(done func() bool) bool { return !done() })
	})
}

// longestGap is that of the durability that does not wait.
func (all traffics) longestGap() time.Duration { return all[0].longestGap() }

func (all traffics) keep() {
	for _, tr := range all {
		tr.keep()
	}
}

func (all traffics) wantKept() {
	for _, tr := range all {
		tr.wantKept()
	}
}

func (all traffics) sweep() {
	for _, tr := range all {
		tr.sweep()
	}
}

// end stops all workers, and ends the test unless every history follows the rule.
func (all traffics) end(t *testing.T, rule storetest.Rule) {
	t.Helper()
	for _, tr := range all {
		tr.end()
		t.Log(tr.name)
		tr.history.Want(t, rule)
	}
}

// traffic is what goes on in a store while its Redis is ill-treated: workers issue
// tokens, redeem them, and try again, as somebody else, what was redeemed.
type traffic struct {
	durability
	t       *testing.T
	s       *store.Store
	signOns broker.SignOns
	history *storetest.History

	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	workers map[broker.Link]*progress
	kept    []broker.OneTimeToken
	// longest time in which a worker could issue no token.
	longest time.Duration
}

// progress is how far a worker is.
type progress struct {
	record store.LinkRecord
	issued int
	last   time.Time
	recent []broker.OneTimeToken
}

// startTraffic starts it with so many workers, each of which has an account. It ends
// with end.
func startTraffic(t *testing.T, d durability, client redis.UniversalClient, workers int) *traffic {
	t.Helper()
	s, history := store.New(d.config(client)), storetest.NewHistory()
	ctx, cancel := context.WithCancel(t.Context())
	tr := &traffic{
		durability: d, t: t, s: s, signOns: history.Over(s), history: history, cancel: cancel,
		workers: map[broker.Link]*progress{},
	}
	t.Cleanup(tr.end)
	for i := range workers {
		link := broker.Link{Account: worker(i), App: "latchkey_billing"}
		token := ok(broker.NewLinkToken(rand.Reader))(t)
		record := store.LinkRecord{Link: link, Subscriber: "1234", Token: token.Digest(), Created: created}
		tr.workers[link] = &progress{record: record, last: time.Now()}
	}
	for _, p := range tr.workers {
		tr.wg.Go(func() { tr.work(ctx, p) })
	}
	waitFor(t, "every worker to issue tokens", tr.flowed(10))
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

// flowed returns whether every worker has issued n more tokens than now.
func (tr *traffic) flowed(n int) func() bool {
	until := tr.issued()
	for link := range until {
		until[link] += n
	}
	return func() bool {
		for link, now := range tr.issued() {
			if now < until[link] {
				return false
			}
		}
		return true
	}
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

func (tr *traffic) work(ctx context.Context, p *progress) {
	pace := time.NewTicker(2 * time.Millisecond) // the processor is needed elsewhere, too
	defer pace.Stop()
	var open []broker.OneTimeToken
	for range pace.C {
		if ctx.Err() != nil {
			return
		}
		once, issued := tr.issue(ctx, p.record)
		if !issued {
			continue
		}
		tr.note(p, once)
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
	return once, true
}

// note remembers a token that a worker has issued.
func (tr *traffic) note(p *progress, once broker.OneTimeToken) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	now := time.Now()
	tr.longest = max(tr.longest, now.Sub(p.last))
	p.last = now
	p.issued++
	p.recent = append(p.recent, once)
	p.recent = p.recent[max(0, len(p.recent)-swept):]
}

// keep issues tokens of the first worker's account that nobody uses for now.
func (tr *traffic) keep() {
	tr.t.Helper()
	record := tr.workers[broker.Link{Account: worker(0), App: "latchkey_billing"}].record
	for tr.kept = nil; len(tr.kept) < keptTokens; {
		waitFor(tr.t, "a token", func() bool {
			once, issued := tr.issue(tr.t.Context(), record)
			if issued {
				tr.kept = append(tr.kept, once)
			}
			return issued
		})
	}
}

// wantKept uses them after a failover: those survive it that count on replicas.
func (tr *traffic) wantKept() {
	tr.t.Helper()
	for _, token := range tr.kept {
		claim := newClaim(tr.t)
		var found broker.Redemption
		untilAnswered(tr.t, "redeem", func() (err error) {
			found, err = tr.signOns.Redeem(tr.t.Context(), broker.Redeem{Token: token, Redeemer: "browser", Claim: claim, At: created})
			return err
		})
		survived := found.Outcome == broker.Granted || found.Outcome == broker.Repeated
		if survived != (tr.replicas > 0) {
			tr.t.Errorf("%s: a token that nobody used before the failover: got outcome %d", tr.name, found.Outcome)
		}
	}
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
	next := make(chan broker.OneTimeToken)
	var wg sync.WaitGroup
	for range sweepers {
		wg.Go(func() {
			for token := range next {
				tr.redeem(tr.t.Context(), token)
			}
		})
	}
	for _, token := range tokens {
		next <- token
	}
	close(next)
	wg.Wait()
}
