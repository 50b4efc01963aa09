package app

import (
	"context"
	"errors"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/latchkey-sso/latchkey/broker"
)

// outageLog tells in the log when the store is lost and when it is back: once
// each, while every request of the time between has a line of its own.
type outageLog struct {
	broker.SignOns
	log  *zap.Logger
	lost atomic.Bool
}

var _ broker.SignOns = (*outageLog)(nil)

// Issue implements broker.SignOns.
func (o *outageLog) Issue(ctx context.Context, in broker.Issue) (broker.Issued, error) {
	issued, err := o.SignOns.Issue(ctx, in)
	o.note(ctx, err)
	return issued, err
}

// Redeem implements broker.SignOns.
func (o *outageLog) Redeem(ctx context.Context, in broker.Redeem) (broker.Redemption, error) {
	found, err := o.SignOns.Redeem(ctx, in)
	o.note(ctx, err)
	return found, err
}

func (o *outageLog) note(ctx context.Context, err error) {
	_, denied := errors.AsType[*broker.DeniedError](err)
	switch {
	case err == nil || denied:
		if o.lost.Load() && o.lost.Swap(false) {
			o.log.Info("the store answers again")
		}
	case errors.Is(ctx.Err(), context.Canceled): // the client went away
	default:
		if !o.lost.Swap(true) {
			o.log.Warn("the store does not answer; servers are told to retry", zap.Error(err))
		}
	}
}
