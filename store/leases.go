package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

var _ reconcile.Leases = (*Store)(nil)

func (s *Store) leaseKey(server string) string { return s.prefix + "lease:{" + server + "}" }
func (s *Store) fenceKey(server string) string { return s.prefix + "fence:{" + server + "}" }

func leaseValue(l reconcile.Lease) string {
	return l.Holder + "|" + strconv.FormatUint(uint64(l.Fence), 10)
}

// Acquire implements reconcile.Leases. The holder that has the lease gets it
// again, with a larger fence: it may have lost the reply. So each worker needs
// a name of its own.
func (s *Store) Acquire(ctx context.Context, server, holder string, ttl time.Duration) (reconcile.Lease, error) {
	if ttl < time.Millisecond {
		return reconcile.Lease{}, fmt.Errorf("acquire lease of %s: it would end at once", server)
	}
	reply, err := s.acquire.Run(ctx, s.client, []string{s.leaseKey(server), s.fenceKey(server)}, holder, ttl.Milliseconds()).StringSlice()
	switch {
	case err != nil:
		return reconcile.Lease{}, fmt.Errorf("acquire lease of %s: %w", server, err)
	case len(reply) == 3 && reply[0] == "held":
		left, err := strconv.ParseInt(reply[2], 10, 64)
		if err != nil {
			return reconcile.Lease{}, fmt.Errorf("acquire lease of %s: remaining time: %w", server, err)
		}
		return reconcile.Lease{}, &reconcile.HeldError{Server: server, Holder: reply[1], For: max(0, time.Duration(left)*time.Millisecond)}
	case len(reply) == 2 && reply[0] == "ok":
		fence, err := strconv.ParseUint(reply[1], 10, 64)
		if err != nil {
			return reconcile.Lease{}, fmt.Errorf("acquire lease of %s: fence: %w", server, err)
		}
		return reconcile.Lease{Server: server, Holder: holder, Fence: reconcile.Fence(fence)}, nil
	}
	return reconcile.Lease{}, fmt.Errorf("acquire lease of %s: Redis answered something that is not known", server)
}

// Renew implements reconcile.Leases.
func (s *Store) Renew(ctx context.Context, l reconcile.Lease, ttl time.Duration) error {
	if ttl < time.Millisecond {
		return fmt.Errorf("renew lease of %s: it would end at once", l.Server)
	}
	switch renewed, err := s.prolong(ctx, l, ttl); {
	case err != nil:
		return fmt.Errorf("renew lease of %s: %w", l.Server, err)
	case !renewed:
		return reconcile.ErrFenced
	}
	return nil
}

// Release implements reconcile.Leases.
func (s *Store) Release(ctx context.Context, l reconcile.Lease) error {
	if _, err := s.prolong(ctx, l, 0); err != nil {
		return fmt.Errorf("release lease of %s: %w", l.Server, err)
	}
	return nil
}

// Epochs implements reconcile.Leases.
func (s *Store) Epochs(ctx context.Context, servers []string) (map[string]reconcile.Epoch, error) {
	pipe := s.client.Pipeline()
	fences, leases := make([]*redis.StringCmd, len(servers)), make([]*redis.StringCmd, len(servers))
	for i, server := range servers {
		fences[i], leases[i] = pipe.Get(ctx, s.fenceKey(server)), pipe.Get(ctx, s.leaseKey(server))
	}
	if len(servers) > 0 {
		_, _ = pipe.Exec(ctx) // each reply has its own error
	}
	epochs := map[string]reconcile.Epoch{}
	for i, server := range servers {
		fence, err := fences[i].Uint64()
		if err != nil && !errors.Is(err, redis.Nil) {
			return nil, fmt.Errorf("fence of %s: %w", server, err)
		}
		held := leases[i].Err()
		if held != nil && !errors.Is(held, redis.Nil) {
			return nil, fmt.Errorf("lease of %s: %w", server, held)
		}
		epochs[server] = reconcile.Epoch{Fence: reconcile.Fence(fence), Held: held == nil}
	}
	return epochs, nil
}

// prolong reports whether the lease was still ours; 0 gives it back.
func (s *Store) prolong(ctx context.Context, l reconcile.Lease, ttl time.Duration) (bool, error) {
	held, err := s.renew.Run(ctx, s.client, []string{s.leaseKey(l.Server)}, leaseValue(l), ttl.Milliseconds()).Int()
	return held == 1, err
}
