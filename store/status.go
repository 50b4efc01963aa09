package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// Status is what brokers ask for again and again.
type Status struct {
	// Revision of the catalogue that is in force; 0 when there is none.
	Revision int
	// Controls is the version of the controls: another one after each change; empty
	// when there never was one.
	Controls string
	// Daemon: a provisioner daemon is alive and serves requests.
	Daemon bool
}

// daemonKey is in the slot of the catalogue, so that Status is one round trip.
func (s *Store) daemonKey() string { return s.prefix + "{catalogue}daemon" }

// Beat says that a provisioner daemon is alive, for ttl from now (a millisecond or
// more).
func (s *Store) Beat(ctx context.Context, ttl time.Duration) error {
	if ttl < time.Millisecond {
		return errors.New("daemon's sign of life: it would end at once")
	}
	if err := s.client.Set(ctx, s.daemonKey(), "1", ttl).Err(); err != nil {
		return fmt.Errorf("daemon's sign of life: %w", err)
	}
	return nil
}

// Resign says that the provisioner daemon ends. Another one that is alive says so
// with its next Beat.
func (s *Store) Resign(ctx context.Context) error {
	if err := s.client.Del(ctx, s.daemonKey()).Err(); err != nil {
		return fmt.Errorf("end of the daemon: %w", err)
	}
	return nil
}

// Status returns the Status in one round trip.
func (s *Store) Status(ctx context.Context) (Status, error) {
	pipe := s.client.Pipeline()
	current := pipe.HMGet(ctx, s.catalogueKey(), currentField)
	controls := pipe.Get(ctx, s.controlsVersionKey())
	daemon := pipe.Get(ctx, s.daemonKey())
	_, _ = pipe.Exec(ctx) // each reply has its own error
	if err := current.Err(); err != nil {
		return Status{}, fmt.Errorf("read status: %w", err)
	}
	for _, reply := range []*redis.StringCmd{controls, daemon} {
		if err := reply.Err(); err != nil && !errors.Is(err, redis.Nil) {
			return Status{}, fmt.Errorf("read status: %w", err)
		}
	}
	revision, err := numberIn(current.Val())
	if err != nil {
		return Status{}, fmt.Errorf("read status: revision in force: %w", err)
	}
	return Status{Revision: int(revision), Controls: controls.Val(), Daemon: daemon.Val() != ""}, nil
}
