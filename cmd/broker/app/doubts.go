package app

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/latchkey-sso/latchkey/cmd/internal/config"
)

const doubtTimeout = 2 * time.Second

// settingsFile is the one of deploy/redis for a mode of the store.
func settingsFile(mode string) string {
	switch mode {
	case config.StoreSentinel:
		return "deploy/redis/replicated.conf"
	case config.StoreCluster:
		return "deploy/redis/cluster.conf"
	}
	return "deploy/redis/standalone.conf"
}

// doubtStore warns of a Redis that will lose what it is given. It asks once, beside
// the work: nothing waits for the answer, and nothing fails without it.
func (b *Broker) doubtStore(ctx context.Context) {
	asked, cancel := context.WithTimeout(ctx, doubtTimeout)
	defer cancel()
	doubts, err := b.store.Doubts(asked)
	for _, d := range doubts {
		b.log.Warn("Redis is not set up as it should be", zap.String("primary", d.Primary), zap.String("problem", d.Problem),
			zap.String("settings", settingsFile(b.cfg.Store.Mode)))
	}
	if err != nil && ctx.Err() == nil {
		b.log.Info("whether Redis is set up as it should be is not known", zap.Error(err))
	}
}
