package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
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
	// Now is the time, to the millisecond, by the clock by which controls are set and
	// judged: that of the Redis that keeps them.
	Now time.Time
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
	keys := []string{s.catalogueKey(), s.controlsVersionKey(), s.daemonKey()}
	reply, err := s.status.Run(ctx, s.client, keys, currentField).StringSlice()
	if err != nil {
		return Status{}, fmt.Errorf("read status: %w", err)
	}
	if len(reply) != 5 {
		return Status{}, fmt.Errorf("read status: Redis answered %d values, want 5", len(reply))
	}
	revision, err := strconv.Atoi(reply[0])
	if err != nil {
		return Status{}, fmt.Errorf("read status: revision in force: %w", err)
	}
	seconds, err := strconv.ParseInt(reply[3], 10, 64)
	if err != nil {
		return Status{}, fmt.Errorf("read status: time: %w", err)
	}
	micros, err := strconv.ParseInt(reply[4], 10, 64)
	if err != nil {
		return Status{}, fmt.Errorf("read status: time: %w", err)
	}
	return Status{
		Revision: revision, Controls: reply[1], Daemon: reply[2] != "",
		Now: time.UnixMilli(seconds*1000 + micros/1000).UTC(),
	}, nil
}
