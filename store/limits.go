package store

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"

	"github.com/latchkey-sso/latchkey/broker"
)

var _ broker.SharedLimits = (*Store)(nil)

// Spend implements broker.SharedLimits. Rates are kept to a thousandth per second.
func (s *Store) Spend(ctx context.Context, in broker.Spending) (took int, wait time.Duration, err error) {
	limit := redis_rate.Limit{
		Rate: int(math.Ceil(in.Limit.Rate * 1000)), Period: 1000 * time.Second, Burst: in.Limit.Burst,
	}
	result, err := s.rates.AllowAtMost(ctx, s.prefix+"limit:"+string(in.Scope)+":"+in.Name, limit, in.N)
	if err != nil {
		return 0, 0, fmt.Errorf("spend of the limit of %s %s: %w", in.Scope, in.Name, err)
	}
	if result.Allowed < in.N {
		// Of a part that was taken it says nothing, and then nothing is left.
		wait = max(result.RetryAfter, time.Duration(float64(time.Second)/in.Limit.Rate))
	}
	return result.Allowed, wait, nil
}

// rateClient keeps the keys of redis_rate, which begin with "rate:", under our
// prefix: a Redis user may have the right to nothing else.
type rateClient struct{ redis.UniversalClient }

func ours(keys []string) []string {
	list := make([]string, len(keys))
	for i, key := range keys {
		list[i] = strings.TrimPrefix(key, "rate:")
	}
	return list
}

func (c rateClient) Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd {
	return c.UniversalClient.Eval(ctx, script, ours(keys), args...)
}

func (c rateClient) EvalSha(ctx context.Context, sha1 string, keys []string, args ...any) *redis.Cmd {
	return c.UniversalClient.EvalSha(ctx, sha1, ours(keys), args...)
}
