package broker

import (
	"sync"
	"time"
)

// attempts counts the attempts of clicks for servers that do not say which
// attempt they make. It lives in the process because it is needed exactly when
// the store is away; where a balancer spreads the attempts of a click over
// several brokers it counts too few, and a user waits a few seconds longer.
type attempts struct {
	now func() time.Time

	mu      sync.Mutex
	counts  map[Link]attemptCount
	dropped time.Time // when dropOld went through counts
}

type attemptCount struct {
	n  int
	at time.Time
}

const (
	// attemptMemory is longer than a server waits between two attempts (60 s).
	attemptMemory = 70 * time.Second
	// maxAttemptLinks bounds the memory at about 20 MB.
	maxAttemptLinks = 100_000
)

func newAttempts(now func() time.Time) *attempts {
	return &attempts{now: now, counts: make(map[Link]attemptCount)}
}

// next returns the number of this attempt. What the server says counts.
func (a *attempts) next(link Link, said int) int {
	if said > 0 {
		return said
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	count := a.counts[link]
	if now.Sub(count.at) > attemptMemory {
		count.n = 0
	}
	count.n++
	count.at = now
	if count.n >= MaxAttempts {
		delete(a.counts, link)
		return MaxAttempts
	}
	if len(a.counts) >= maxAttemptLinks {
		a.dropOld(now)
	}
	if len(a.counts) >= maxAttemptLinks {
		return MaxAttempts // too many to remember: nobody is kept waiting
	}
	a.counts[link] = count
	return count.n
}

func (a *attempts) forget(link Link) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.counts, link)
}

// dropOld goes through all counts, so it does that once a second at most.
func (a *attempts) dropOld(now time.Time) {
	if now.Sub(a.dropped) < time.Second {
		return
	}
	a.dropped = now
	for link, count := range a.counts {
		if now.Sub(count.at) > attemptMemory {
			delete(a.counts, link)
		}
	}
}
