package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// replicaTimeout is the default of Config.ReplicaTimeout.
const replicaTimeout = 150 * time.Millisecond

// ErrNotReplicated: the replicas did not confirm a redemption in time. Whether it
// outlives a failover is not known, so it does not count yet; its claimant may try
// again.
var ErrNotReplicated = errors.New("too few replicas have confirmed it in time")

// What a one-time token counts on: the Redis that issued it, or replicas.
const (
	local      = "local"
	replicated = "replicated"
)

// runReplicated runs a script and waits until its writes have reached replicas (WAIT),
// in one round trip on one connection: WAIT is about the writes of its connection
// (Redis documentation, WAIT).
func (s *Store) runReplicated(ctx context.Context, script *redis.Script, keys []string, args []any) ([]string, error) {
	node, err := s.nodeOf(ctx, keys[0])
	if err != nil {
		return nil, err
	}
	run := func() ([]string, error) {
		pipe := node.Pipeline()
		reply := pipe.EvalSha(ctx, script.Hash(), keys, args...)
		have := pipe.Do(ctx, "WAIT", s.replicas, s.patience.Milliseconds())
		_, _ = pipe.Exec(ctx) // each reply has its own error
		values, err := reply.StringSlice()
		if err != nil {
			return nil, err
		}
		switch n, err := have.Int(); {
		case err != nil:
			return nil, fmt.Errorf("wait for replicas: %w", err)
		case n < s.replicas:
			return nil, fmt.Errorf("%w: %d of %d", ErrNotReplicated, n, s.replicas)
		}
		return values, nil
	}
	values, err := run()
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		if err := script.Load(ctx, node).Err(); err != nil {
			return nil, fmt.Errorf("load script: %w", err)
		}
		values, err = run()
	}
	if cluster, is := s.client.(*redis.ClusterClient); is && (redis.HasErrorPrefix(err, "MOVED") || redis.HasErrorPrefix(err, "ASK")) {
		cluster.ReloadState(ctx) // the caller asks again
	}
	return values, err
}

// nodeOf returns the primary of a key.
func (s *Store) nodeOf(ctx context.Context, key string) (redis.UniversalClient, error) {
	cluster, is := s.client.(*redis.ClusterClient)
	if !is {
		return s.client, nil
	}
	return cluster.MasterForKey(ctx, key)
}
