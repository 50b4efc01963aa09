package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sony/gobreaker/v2"
	"go.uber.org/zap"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/store"
)

const (
	// tripAfter is how many calls in a row must find Redis away or unable to work before
	// the store counts as lost. With one node of a cluster lost, calls of the others come
	// in between.
	tripAfter = 20
	// probeEvery is how often one call is let through while it is lost: it is back
	// for everybody within that time.
	probeEvery = 100 * time.Millisecond
)

// breaker spares callers the wait for a store that is lost, and the store the
// crowd when it comes back. It tells both in the log, once each, while every
// request of the time between has a line of its own.
type breaker struct {
	broker.SignOns
	circuit *gobreaker.TwoStepCircuitBreaker[struct{}]
}

var _ broker.SignOns = (*breaker)(nil)

func newBreaker(s broker.SignOns, log *zap.Logger) *breaker {
	var last error // of calls that failed; guarded by the circuit
	return &breaker{s, gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Timeout:     probeEvery,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= tripAfter },
		IsSuccessful: func(err error) bool {
			if store.Lost(err) {
				last = err
				return false
			}
			return true // also an error: a Redis that complains of one record is there
		},
		// The client went away, which says nothing of the store.
		IsExcluded: func(err error) bool { return errors.Is(err, context.Canceled) },
		OnStateChange: func(_ string, from, to gobreaker.State) {
			switch {
			case from == gobreaker.StateClosed:
				log.Warn("the store does not answer; servers are told to retry", zap.Error(last))
			case to == gobreaker.StateClosed:
				log.Info("the store answers again")
			}
		},
	})}
}

// errLost: the call was not made.
var errLost = fmt.Errorf("the store has not answered for a while; it is asked again every %v", probeEvery)

// Issue implements broker.SignOns.
func (b *breaker) Issue(ctx context.Context, in broker.Issue) (_ broker.Issued, err error) {
	done, refused := b.circuit.Allow()
	if refused != nil {
		return broker.Issued{}, errLost
	}
	defer func() { done(err) }()
	return b.SignOns.Issue(ctx, in)
}

// Redeem implements broker.SignOns.
func (b *breaker) Redeem(ctx context.Context, in broker.Redeem) (_ broker.Redemption, err error) {
	done, refused := b.circuit.Allow()
	if refused != nil {
		return broker.Redemption{}, errLost
	}
	defer func() { done(err) }()
	return b.SignOns.Redeem(ctx, in)
}
