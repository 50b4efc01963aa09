package store

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// call is one call of a script, and what came of it.
type call struct {
	keys  []string
	args  []any
	reply *redis.Cmd // with its own error
}

// runAll makes calls of a script in one round trip (on a cluster one to each node),
// and those again for which Redis had forgotten the script: none of them can have
// been made.
func (s *Store) runAll(ctx context.Context, script *redis.Script, calls []*call) {
	if len(calls) == 0 {
		return
	}
	s.runOnce(ctx, script, calls)
	var again []*call
	for _, c := range calls {
		if redis.HasErrorPrefix(c.reply.Err(), "NOSCRIPT") {
			again = append(again, c)
		}
	}
	if len(again) == 0 {
		return
	}
	if err := script.Load(ctx, s.client).Err(); err != nil {
		for _, c := range again {
			c.reply.SetErr(fmt.Errorf("load script: %w", err))
		}
		return
	}
	s.runOnce(ctx, script, again)
}

func (s *Store) runOnce(ctx context.Context, script *redis.Script, calls []*call) {
	pipe := s.client.Pipeline()
	for _, c := range calls {
		c.reply = pipe.EvalSha(ctx, script.Hash(), c.keys, c.args...)
	}
	_, _ = pipe.Exec(ctx) // each reply has its own error
}
