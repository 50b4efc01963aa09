package app

import (
	"context"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/cmd/internal/config"
	"github.com/latchkey-sso/latchkey/cmd/internal/setup"
	"github.com/latchkey-sso/latchkey/store"
)

// followEvery is how often the store is asked for what has changed, and
// followTimeout how long that may take.
const (
	followEvery   = time.Second
	followTimeout = 2 * time.Second
)

// follower keeps in memory what others change in the store: the revision of the
// catalogue that is in force, and whether a provisioner's daemon is alive.
type follower struct {
	cfg   *config.Config
	store *store.Store
	log   *zap.Logger
	// file is the catalogue of the configuration, in force while the store has
	// no revision.
	file *broker.Catalogue

	catalogue atomic.Pointer[broker.Catalogue]
	daemon    atomic.Bool

	number    int    // revision in catalogue; 0 = file
	complaint string // what was logged last
}

var _ broker.Rotations = (*follower)(nil)

func newFollower(cfg *config.Config, s *store.Store, log *zap.Logger) (*follower, error) {
	file, err := setup.NewCatalogue(cfg)
	if err != nil {
		return nil, err
	}
	f := &follower{cfg: cfg, store: s, log: log.Named("catalogue"), file: file}
	f.catalogue.Store(file)
	return f, nil
}

// current returns the catalogue that is in force.
func (f *follower) current() *broker.Catalogue { return f.catalogue.Load() }

// Served implements broker.Rotations.
func (f *follower) Served() bool { return f.daemon.Load() }

// RequestRotation implements broker.Rotations.
func (f *follower) RequestRotation(ctx context.Context, a broker.Account) error {
	return f.store.RequestRotation(ctx, a)
}

// look asks the store once.
func (f *follower) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, followTimeout)
	defer cancel()
	status, err := f.store.Status(ctx)
	if err != nil {
		f.daemon.Store(false)
		return err
	}
	f.daemon.Store(status.Daemon)
	if status.Revision == f.number {
		return nil
	}
	return f.adopt(ctx, status.Revision)
}

// adopt puts a revision in force. One that cannot be used leaves the former in
// force, and is complained of once.
func (f *follower) adopt(ctx context.Context, number int) error {
	if number == 0 {
		f.number = 0
		f.catalogue.Store(f.file)
		f.log.Warn("the store has no revision of the catalogue any more: the configuration's links are in force")
		return nil
	}
	r, err := f.store.Revision(ctx, number)
	if err != nil {
		return err
	}
	catalogue, left, err := setup.RevisionCatalogue(f.cfg, r)
	f.number = number
	if err != nil {
		f.log.Error("a revision of the catalogue cannot be used; the former stays in force", zap.Int("revision", number), zap.Error(err))
		return nil
	}
	f.catalogue.Store(catalogue)
	f.log.Info("revision of the catalogue in force", zap.Int("revision", number), zap.String("author", r.Author), zap.Time("published", r.At))
	for _, l := range left {
		f.log.Error("link left out", zap.Int("revision", number), zap.String("problem", l))
	}
	return nil
}

// run looks again and again until ctx ends.
func (f *follower) run(ctx context.Context) {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := f.look(ctx)
		switch {
		case err == nil:
			f.complaint = ""
		case ctx.Err() == nil && f.complaint != err.Error():
			f.complaint = err.Error()
			f.log.Warn("the store does not tell whether the catalogue has changed; the known one stays in force", zap.Error(err))
		}
	}
}
