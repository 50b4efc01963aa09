package setup

import (
	"context"
	"fmt"

	"go.uber.org/zap"
)

// RedisLog takes what go-redis tells of itself: failovers, bad connections. What
// matters of it comes back as errors too, so it is for debugging.
type RedisLog struct{ Log *zap.Logger }

// Printf implements the logger of go-redis.
func (l RedisLog) Printf(_ context.Context, format string, args ...any) {
	l.Log.Debug(fmt.Sprintf(format, args...))
}
