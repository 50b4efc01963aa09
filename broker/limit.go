package broker

import (
	"context"
	"math"
	"sync"
	"time"
)

// Limit is how often something may be done.
type Limit struct {
	// Rate is per second, in the long run; 0 sets no limit.
	Rate float64
	// Burst is how often at once; at least 1.
	Burst int
}

// LimitScope is whom a limit is for.
type LimitScope string

// The scopes.
const (
	LimitAddress LimitScope = "address"
	LimitAccount LimitScope = "account"
	LimitServer  LimitScope = "server"
	// LimitRotations is for rotations that clicks ask for, by account.
	LimitRotations LimitScope = "rotations"
)

// SharedLimits counts what all brokers let through.
type SharedLimits interface {
	// Spend takes up to n of what is left of a limit, in one atomic step, and
	// returns how many it took. Where that is less than n, wait is when there will
	// be one more. An error means that nothing is known.
	Spend(ctx context.Context, s Spending) (took int, wait time.Duration, err error)
}

// Spending is the input of SharedLimits.Spend.
type Spending struct {
	Scope LimitScope
	Name  string
	Limit Limit
	N     int
}

// LimiterConfig is what a Limiter needs.
type LimiterConfig struct {
	Scope LimitScope
	Limit Limit
	// Shared is optional: without it each broker counts for itself.
	Shared SharedLimits
	Now    func() time.Time
}

const (
	// localShare is the part of a burst that a broker gives without asking: whoever
	// behaves costs no round trip. A broker that never comes to ask is not counted
	// by the others, so that n brokers together may give 1 + n/localShare bursts.
	localShare = 4
	// sharedTimeout is short, because it comes on top of the click's own call.
	sharedTimeout = 50 * time.Millisecond
	// askAgain is how long nobody asks after the shared limits did not answer.
	askAgain = time.Second
	// maxWait is the longest wait that anybody is told.
	maxWait = time.Minute
	// maxLimited bounds how many names a Limiter remembers, and its memory at about
	// 15 MB. Where more come, those that were not counted for longest are forgotten:
	// rather is somebody let through than memory used up.
	maxLimited = 100_000
)

// Limiter holds everybody of a scope to a limit: strictly in this process, and over
// all brokers from a share of the burst upwards. While the shared limits do not
// answer, only the local ones hold. It is safe for concurrent use; a nil Limiter
// limits nobody.
type Limiter struct {
	cfg LimiterConfig

	mu sync.Mutex
	// young takes the buckets until it is full, and is then kept as old, which is
	// forgotten as a whole: a map from which entries are deleted one by one while others
	// come grows all the same.
	young, old map[string]bucket
	away       time.Time // until when the shared limits are not asked; zero while they answer
}

// bucket fills with what was let through and runs empty at the limit's rate.
type bucket struct {
	level float64
	at    time.Time // of level
	// uncharged is what was let through since the bucket was empty and the shared
	// limits have not been told of.
	uncharged int
	// refused is until when the shared limits have nothing left.
	refused time.Time
}

// NewLimiter returns a Limiter, or nil when the limit is none.
func NewLimiter(cfg LimiterConfig) *Limiter {
	if cfg.Limit.Rate <= 0 {
		return nil
	}
	return &Limiter{cfg: cfg, young: make(map[string]bucket)}
}

// Wait returns how long a name that has used up its limit has to wait, as far as
// this process knows, and 0 for all others. It counts nothing.
func (l *Limiter) Wait(name string) time.Duration {
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.cfg.Now()
	return l.wait(l.bucket(name, now), now)
}

// Take counts one, and returns 0 when it is within the limit. Otherwise it returns
// how long to wait, and counts nothing.
func (l *Limiter) Take(ctx context.Context, name string) time.Duration {
	if l == nil {
		return 0
	}
	charge, wait := l.takeLocally(name)
	if charge == 0 {
		return wait
	}
	asking, cancel := context.WithTimeout(ctx, sharedTimeout)
	defer cancel()
	took, wait, err := l.cfg.Shared.Spend(asking, Spending{l.cfg.Scope, name, l.cfg.Limit, charge})

	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.cfg.Now()
	b := l.bucket(name, now)
	switch {
	case err != nil:
		b.uncharged += charge
		if ctx.Err() == nil { // else the client went away, and nothing is known
			l.away = now.Add(askAgain)
		}
		wait = 0
	case took < charge:
		b.level = max(b.level-1, 0)
		b.uncharged += charge - took - 1
		wait = min(max(wait, time.Millisecond), maxWait)
		b.refused = now.Add(wait)
		l.away = time.Time{}
	default:
		wait = 0
		l.away = time.Time{}
	}
	l.keep(name, b)
	return wait
}

// takeLocally counts one here. charge is what to tell the shared limits, 0 when
// they need not be asked.
func (l *Limiter) takeLocally(name string) (charge int, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.cfg.Now()
	b := l.bucket(name, now)
	if wait := l.wait(b, now); wait > 0 {
		l.keep(name, b) // who is over the limit and goes on is not forgotten
		return 0, wait
	}
	share := l.cfg.Limit.Burst / localShare
	b.level++
	b.uncharged++
	if b.level > float64(share) && l.ask(now) {
		// More than the share has gone uncharged only while nobody could be told.
		charge, b.uncharged = min(b.uncharged, share+1), 0
	}
	l.keep(name, b)
	return charge, 0
}

// ask reports whether the shared limits are to be asked. While they are away, one
// call in a while finds out whether they are back.
func (l *Limiter) ask(now time.Time) bool {
	if l.cfg.Shared == nil || now.Before(l.away) {
		return false
	}
	if !l.away.IsZero() {
		l.away = now.Add(askAgain)
	}
	return true
}

func (l *Limiter) wait(b bucket, now time.Time) time.Duration {
	var wait time.Duration
	if over := b.level + 1 - float64(l.cfg.Limit.Burst); over > 0 {
		// In seconds, because a low rate is more than a Duration can hold.
		seconds := math.Min(over/l.cfg.Limit.Rate, maxWait.Seconds())
		wait = max(time.Duration(seconds*float64(time.Second)), time.Nanosecond)
	}
	return max(wait, b.refused.Sub(now))
}

// bucket returns the bucket as it is now.
func (l *Limiter) bucket(name string, now time.Time) bucket {
	b, known := l.young[name]
	if !known {
		b, known = l.old[name]
	}
	if !known {
		return bucket{at: now}
	}
	b.level = max(b.level-max(now.Sub(b.at).Seconds(), 0)*l.cfg.Limit.Rate, 0)
	b.at = now
	if b.level == 0 {
		b.uncharged = 0
	}
	return b
}

// keep remembers a bucket.
func (l *Limiter) keep(name string, b bucket) {
	if _, known := l.young[name]; !known && len(l.young) >= maxLimited/2 {
		l.young, l.old = make(map[string]bucket), l.young
	}
	l.young[name] = b
}
