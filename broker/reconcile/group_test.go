package reconcile_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

// wantTheirs wants bob's group to be what somebody else has made of it.
func wantTheirs(t *testing.T, w *world, id string) {
	t.Helper()
	if got := w.web01().accounts["bob"].groups[id]; !got.foreign || got.group.Label != "Theirs" {
		t.Errorf("their group was overwritten: %+v", got)
	}
}

// A rotation comes between the look that finds a group of others and the links that
// are written into it.
func TestAGroupOfOthersStaysTheirsBesideARotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newVirtualWorld(t)
		alone(w)
		w.settled()
		w.web01().foreignGroup("bob", "portal")
		w.spec.group.ID = "portal"
		w.web01().takes = time.Second
		r := w.reconciler("the daemon")
		var runs sync.WaitGroup
		runs.Go(func() { _, _ = r.Run(t.Context(), w.order(reconcile.Policy{})) })
		time.Sleep(500 * time.Millisecond)
		o := w.order(reconcile.Policy{Rotate: true, RotateBefore: w.now().Add(time.Hour)})
		o.Accounts, o.Servers = []broker.Account{bob}, []string{"web01"}
		_ = ok(r.Run(t.Context(), o))(t)
		runs.Wait()
		for range 2 {
			w.run(w.order(reconcile.Policy{}))
			wantTheirs(t, w, "portal")
		}
	})
}

// The same with a link that was registered by hand, and no group on record.
func TestAGroupOfOthersStaysTheirsBesideALinkByHand(t *testing.T) {
	w := newWorld(t)
	alone(w)
	w.web01().foreignGroup("bob", groupID)
	byHand(w, "")
	done := false
	w.web01().fault = func(_ int, r request) fault {
		for _, c := range r.commands {
			if c.Function == reconcile.GetLink && !done {
				done = true
				w.mu.Unlock()
				rotation := reconcile.Change{Kind: reconcile.ChangePrepare, App: invoices, Token: digest(w), Created: w.now(), Subscriber: "1001"}
				promoted := rotation
				promoted.Kind = reconcile.ChangePromote
				prepare(w, bob, rotation, promoted)
				w.mu.Lock()
			}
		}
		return fault{}
	}
	w.worked = map[place]bool{}
	for range 3 {
		w.run(w.order(reconcile.Policy{}))
		wantTheirs(t, w, groupID)
	}
}

// WHM refuses to make our group and makes our links; then somebody makes a group of
// that name.
func TestAGroupThatWasRefusedIsNotOurs(t *testing.T) {
	w := newWorld(t)
	alone(w)
	w.web01().fault = func(_ int, r request) fault {
		f := fault{refuse: map[int]error{}}
		for i, c := range r.commands {
			if c.Function == reconcile.CreateGroup {
				f.refuse[i] = refused("no groups today")
			}
		}
		return f
	}
	w.run(w.order(reconcile.Policy{}))
	w.web01().fault = nil
	w.web01().foreignGroup("bob", groupID)
	for range 2 {
		w.run(w.order(reconcile.Policy{}))
		wantTheirs(t, w, groupID)
	}
}
