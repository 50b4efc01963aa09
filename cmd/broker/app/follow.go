package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/cmd/internal/config"
	"github.com/latchkey-sso/latchkey/cmd/internal/setup"
	"github.com/latchkey-sso/latchkey/store"
)

// followEvery is how often the store is asked for what has changed, and
// followTimeout how long that may take: as many controls as there can be, of the
// longest kind, come over a slow line in 2 s. A control is in force everywhere within
// a second. After a failure it is asked again soon: once the controls are stale,
// nobody is signed on before it has answered.
const (
	followEvery   = 500 * time.Millisecond
	followTimeout = 4 * time.Second
	lostEvery     = 50 * time.Millisecond
)

// follower keeps in memory what others change in the store: the controls, the
// revision of the catalogue that is in force, and whether a provisioner's daemon is
// alive.
type follower struct {
	cfg   *config.Config
	store *store.Store
	log   *zap.Logger
	now   func() time.Time // this machine's clock
	// file is the catalogue of the configuration, in force while the store has
	// no revision.
	file *broker.Catalogue

	catalogue atomic.Pointer[broker.Catalogue]
	daemon    atomic.Bool
	known     atomic.Pointer[knownControls]

	number  int  // revision in catalogue; 0 = file
	refused int  // the store's revision, when it cannot be used; else 0
	lost    bool // the last look failed, and that was logged
}

var _ broker.Rotations = (*follower)(nil)

// knownControls are the controls as they were when they were asked for, and the time
// by their clock. Both go on by the clock that nobody sets: what time it is does not
// depend on what this machine takes for it.
type knownControls struct {
	controls *broker.Controls
	version  string
	asked    time.Time
	// whole: nothing was changed while controls were read. If not, they are those that
	// were read and those that were known before.
	whole bool
	// askedAt is asked by the clock of this machine, which goes on while the machine is
	// suspended; the other one does not.
	askedAt time.Time
	// now is what the store's clock said, answered when that was heard. So now and the
	// time since are never ahead of that clock (no pause ends early, no token is taken
	// for a later one), and behind by no more than the answer took to come.
	now, answered time.Time
}

func newFollower(cfg *config.Config, s *store.Store, log *zap.Logger, now func() time.Time) (*follower, error) {
	file, err := setup.NewCatalogue(cfg)
	if err != nil {
		return nil, err
	}
	f := &follower{cfg: cfg, store: s, log: log.Named("catalogue"), now: now, file: file}
	f.catalogue.Store(file)
	return f, nil
}

// current returns the catalogue that is in force.
func (f *follower) current() *broker.Catalogue { return f.catalogue.Load() }

// controls returns what sign-on is switched off for, the time by the clock by which
// that was set, and whether both are fresh.
func (f *follower) controls() (controls *broker.Controls, now time.Time, fresh bool) {
	known := f.known.Load()
	if known == nil {
		return nil, time.Time{}, false
	}
	// When this machine's clock is set, that costs one look.
	passed := f.now().Round(0).Sub(known.askedAt).Abs()
	return known.controls, known.now.Add(time.Since(known.answered)), max(passed, time.Since(known.asked)) <= broker.MaxControlsAge
}

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
	asked, askedAt := time.Now(), f.now().Round(0)
	status, err := f.store.Status(ctx)
	if err != nil {
		f.daemon.Store(false)
		return err
	}
	f.daemon.Store(status.Daemon)
	seen := knownControls{version: status.Controls, asked: asked, askedAt: askedAt, now: status.Now, answered: time.Now()}
	if err := f.control(ctx, seen); err != nil {
		return err
	}
	switch {
	case status.Revision == f.number:
		f.refused = 0
		return nil
	case status.Revision == 0:
		f.number, f.refused = 0, 0
		f.catalogue.Store(f.file)
		f.log.Warn("the store has no revision of the catalogue any more: the configuration's links are in force")
		return nil
	case status.Revision == f.refused:
		return nil // revisions do not change, and neither does our configuration
	}
	return f.adopt(ctx, status.Revision)
}

// control puts the controls in force whose version was seen. When they are changed
// while they are read, a block that was moved from one target to another may be in
// neither place: so those that were known before stay in force as well, until a look
// that nobody disturbs.
func (f *follower) control(ctx context.Context, seen knownControls) error {
	known := f.known.Load()
	if known != nil && known.whole && known.version == seen.version {
		seen.controls, seen.whole = known.controls, true
		f.known.Store(&seen)
		return nil
	}
	var err error
	if seen.controls, err = f.store.Controls(ctx); err != nil {
		return err
	}
	after, err := f.store.Status(ctx)
	if err != nil {
		return err
	}
	if seen.whole = after.Controls == seen.version; !seen.whole {
		var before *broker.Controls
		if known != nil {
			before = known.controls
		} else if before, err = f.store.Controls(ctx); err != nil { // what was moved meanwhile is there by now
			return err
		}
		seen.controls = broker.NewControls(append(before.List(), seen.controls.List()...))
	}
	f.known.Store(&seen)
	if known == nil && len(seen.controls.List()) == 0 {
		return nil
	}
	inForce := []string{}
	for _, c := range seen.controls.List() {
		if c.InForce(seen.now) && len(inForce) < 20 {
			inForce = append(inForce, c.Target.String())
		}
	}
	f.log.Info("controls have changed; in force are, at most 20 named", zap.Strings("targets", inForce))
	return nil
}

// lookBack is how many revisions are tried when the last ones cannot be used.
const lookBack = 10

// adopt puts a revision in force. Of one that cannot be used it complains once, and
// the last one before it that can be used is in force: a broker that has just
// started then does the same as one that was there all the time. When there is
// none, that is what was in force: at the start, the configuration's links.
func (f *follower) adopt(ctx context.Context, number int) error {
	var problem error
	for n := number; n > max(0, number-lookBack) && n != f.number; n-- {
		r, err := f.store.Revision(ctx, n)
		if errors.Is(err, store.ErrNoRevision) && n < number {
			break
		}
		if err != nil {
			return err
		}
		catalogue, left, err := setup.RevisionCatalogue(f.cfg, r)
		if err != nil {
			problem = cmp.Or(problem, err)
			continue
		}
		f.number = n
		f.catalogue.Store(catalogue)
		f.log.Info("revision of the catalogue in force", zap.Int("revision", n), zap.String("author", r.Author), zap.Time("published", r.At))
		for _, l := range left {
			f.log.Error("link left out", zap.Int("revision", n), zap.String("problem", l))
		}
		break
	}
	f.refused = 0
	if problem != nil {
		f.refused = number
		f.log.Error("a revision of the catalogue cannot be used: publish one that can", zap.Int("revision", number),
			zap.String("in_force", f.inForce()), zap.Error(problem))
	}
	return nil
}

// inForce names the catalogue in force.
func (f *follower) inForce() string {
	if f.number == 0 {
		return "the configuration's links"
	}
	return fmt.Sprintf("revision %d", f.number)
}

// run looks again and again until ctx ends.
func (f *follower) run(ctx context.Context) {
	timer := time.NewTimer(followEvery)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		err := f.look(ctx)
		if err == nil {
			if f.lost {
				f.log.Info("the store tells again what has changed")
			}
			f.lost = false
			timer.Reset(followEvery)
			continue
		}
		timer.Reset(lostEvery)
		if ctx.Err() == nil && !f.lost {
			f.lost = true
			f.log.Warn("the store does not tell what has changed; the known catalogue stays in force, and after five seconds servers are told to retry",
				zap.Error(err), zap.String("advice", adviceOn(err)))
		}
	}
}
