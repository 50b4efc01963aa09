package broker

import (
	"strings"
	"sync"
	"time"
)

// attempts counts the attempts of clicks for servers that do not say which
// attempt they make. It lives in the process because it is needed exactly when
// the store is away; where a balancer spreads the attempts of a click over
// several brokers it counts too few, and a user waits a few seconds longer. The
// server asks three times at most all the same.
//
// Nobody has looked at the link token yet, so what is counted is all that the
// caller brought: who knows a link but not its token counts on an account of his
// own. A token that is replaced between two attempts begins a new count.
type attempts struct {
	now func() time.Time

	mu sync.Mutex
	// young takes the counts until it is full or attemptMemory old, and is then
	// kept as old, whose counts are forgotten. One map that drops a count for each
	// that comes has no such bound: Go's maps grow under that.
	young, old map[Digest]attemptCount
	born       time.Time // of young
}

type attemptCount struct {
	n  int
	at time.Time
}

const (
	// attemptMemory is longer than a server waits between two attempts (60 s).
	attemptMemory = 70 * time.Second
	// maxAttempted bounds young and old together, and their memory at about 15 MB.
	// Where more clicks come, the oldest counts are forgotten: who is behind them
	// may be asked to come again once too often, and nobody is given up early.
	maxAttempted = 100_000
)

func newAttempts(now func() time.Time) *attempts { return &attempts{now: now} }

// clickOf stands for what a caller brought. No part of it has a NUL.
func clickOf(r AutologinRequest) Digest {
	token := r.Token.Digest()
	return digest("click", strings.Join([]string{r.Link.String(), r.Subscriber, string(token[:])}, "\x00"))
}

// next returns the number of this attempt. What the server says counts.
func (a *attempts) next(r AutologinRequest) int {
	if r.Attempt > 0 {
		return r.Attempt
	}
	click := clickOf(r)
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	count := a.take(click)
	if now.Sub(count.at) > attemptMemory {
		count.n = 0
	}
	count.n++
	count.at = now
	if count.n >= MaxAttempts {
		return MaxAttempts
	}
	if len(a.young) >= maxAttempted/2 || now.Sub(a.born) > attemptMemory {
		a.young, a.old, a.born = make(map[Digest]attemptCount), a.young, now
	}
	a.young[click] = count
	return count.n
}

// forget ends the count of a click that has its answer.
func (a *attempts) forget(r AutologinRequest) {
	if r.Attempt > 0 {
		return // it was never counted
	}
	click := clickOf(r)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.take(click)
}

// take returns the count of a click, zero when there is none, and keeps it no more.
func (a *attempts) take(click Digest) attemptCount {
	count, known := a.young[click]
	if !known {
		count = a.old[click]
	}
	delete(a.young, click)
	delete(a.old, click)
	return count
}
