package broker

import (
	"context"
	"errors"
	"time"
)

// slotWait is how long a request may wait for others to end. Whoever would wait
// longer is better off coming again: behind a queue that only grows everybody
// would wait until nobody wants the answer any more.
const slotWait = 50 * time.Millisecond

// doubtedSlots is how many doubted clicks are worked on at once: so few that a flood
// leaves slots to others. The real clicks of the server that it comes from share them
// with the flood, and have three attempts over four seconds: of hundreds of connections
// at once some clicks lose all three.
const doubtedSlots = 4

// errBusy: the request was not begun.
var errBusy = errors.New("too many requests at once; this broker takes no more for the moment")

// slots bound how many requests are worked on at once. A nil slots has no bound.
type slots chan struct{}

func newSlots(n int) slots {
	if n <= 0 {
		return nil
	}
	return make(slots, n)
}

// take waits a moment for a slot and returns how to give it back, or
// ReasonUnavailable.
func (s slots) take(ctx context.Context) (free func(), err error) {
	if s == nil {
		return func() {}, nil
	}
	free = func() { <-s }
	select {
	case s <- struct{}{}:
		return free, nil
	default:
	}
	timer := time.NewTimer(slotWait)
	defer timer.Stop()
	select {
	case s <- struct{}{}:
		return free, nil
	case <-timer.C:
		return nil, &Error{Reason: ReasonUnavailable, Err: errBusy}
	case <-ctx.Done():
		return nil, &Error{Reason: ReasonUnavailable, Err: ctx.Err()}
	}
}
