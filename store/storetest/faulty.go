package storetest

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"

	"github.com/latchkey-sso/latchkey/broker"
)

// ErrInjected is what a Faulty store answers now and then.
var ErrInjected = errors.New("injected: the store did not answer")

// Faulty is a store whose calls fail now and then: half of those before the store
// was asked, half after it has done what it was asked for. It is safe for
// concurrent use, and fails in the same places for the same seed and order of calls.
type Faulty struct {
	broker.SignOns
	share float64

	mu     sync.Mutex
	random *rand.Rand
	failed int
}

// NewFaulty returns a store that fails a share (0 to 1) of its calls.
func NewFaulty(s broker.SignOns, share float64, seed uint64) *Faulty {
	return &Faulty{SignOns: s, share: share, random: rand.New(rand.NewPCG(seed, 1))}
}

// Failed counts the calls that failed.
func (f *Faulty) Failed() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failed
}

// draw says whether a call fails before it is made, or after.
func (f *Faulty) draw() (before, after bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.random.Float64() >= f.share {
		return false, false
	}
	f.failed++
	before = f.random.IntN(2) == 0
	return before, !before
}

// Issue implements broker.SignOns.
func (f *Faulty) Issue(ctx context.Context, in broker.Issue) (broker.Issued, error) {
	before, after := f.draw()
	if before {
		return broker.Issued{}, ErrInjected
	}
	issued, err := f.SignOns.Issue(ctx, in)
	if after {
		return issued, ErrInjected // a lost reply; what came with it must not be believed
	}
	return issued, err
}

// Redeem implements broker.SignOns.
func (f *Faulty) Redeem(ctx context.Context, in broker.Redeem) (broker.Redemption, error) {
	before, after := f.draw()
	if before {
		return broker.Redemption{}, ErrInjected
	}
	found, err := f.SignOns.Redeem(ctx, in)
	if after {
		return found, ErrInjected
	}
	return found, err
}
