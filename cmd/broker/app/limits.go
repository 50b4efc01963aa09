package app

import (
	"context"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/cmd/internal/config"
	"github.com/latchkey-sso/latchkey/store"
)

// limiters are the limits of the configuration; a nil one is no limit.
type limiters struct{ address, account, server, rotations *broker.Limiter }

// An account whose clicks ask for rotations gets rotationBurst at once, which is what
// the attempts of four clicks need while a provisioner is slow, and rotationRate per
// second afterwards: one a minute.
const (
	rotationBurst = 4 * broker.MaxAttempts
	rotationRate  = 1.0 / 60
)

func newLimiters(o Options, s *store.Store) limiters {
	var shared broker.SharedLimits // none: a broker with an embedded store is alone
	if o.Config.Store.Mode != config.StoreEmbedded {
		shared = &sharedLimits{SharedLimits: s, log: o.Log}
	}
	limiter := func(scope broker.LimitScope, rate float64, burst int) *broker.Limiter {
		return broker.NewLimiter(broker.LimiterConfig{Scope: scope, Limit: broker.Limit{Rate: rate, Burst: burst}, Shared: shared, Now: o.Now})
	}
	l := o.Config.Broker.Limits
	return limiters{
		address:   limiter(broker.LimitAddress, l.PerAddressRate, l.PerAddressBurst),
		account:   limiter(broker.LimitAccount, l.PerAccountRate, l.PerAccountBurst),
		server:    limiter(broker.LimitServer, l.PerServerRate, l.PerServerBurst),
		rotations: limiter(broker.LimitRotations, o.rotations.Rate, o.rotations.Burst),
	}
}

// sharedLimits tells in the log, once each, that the shared limits do not answer
// and that they do again.
type sharedLimits struct {
	broker.SharedLimits
	log  *zap.Logger
	away atomic.Bool
}

// Spend implements broker.SharedLimits.
func (s *sharedLimits) Spend(ctx context.Context, in broker.Spending) (int, time.Duration, error) {
	took, wait, err := s.SharedLimits.Spend(ctx, in)
	switch {
	case err == nil && s.away.CompareAndSwap(true, false):
		s.log.Info("the store answers about limits again")
	case err != nil && ctx.Err() != context.Canceled && s.away.CompareAndSwap(false, true):
		s.log.Warn("the store does not answer about limits; this broker keeps them for itself (broker.limits)", zap.Error(err))
	}
	return took, wait, err
}
