package reconcile_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

// A click may come with a token that was stale already when the rotation under way
// began: what it asks for is done after that.
func TestARotationThatIsAskedForDuringOneIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newVirtualWorld(t)
		w.settled()
		w.web01().takes = time.Second
		defer w.serve(t, w.reconciler("the daemon"))()
		w.ask(reconcile.RequestRotate, bob)
		time.Sleep(800 * time.Millisecond)
		w.ask(reconcile.RequestRotate, bob)
		time.Sleep(10 * time.Second)
		if got := w.record(bob).Links[invoices].Generation; got != 3 {
			t.Errorf("bob has token %d, want the third: two rotations", got)
		}
		if left := w.waiting(); len(left) > 0 {
			t.Errorf("requests: got %+v, want none left", left)
		}
	})
}

// The daemon's clock, that of the store and that of whoever made the tokens may
// differ.
func TestRotationsDoNotDependOnClocks(t *testing.T) {
	tests := []struct {
		name          string
		maker, daemon time.Duration // how far their clocks are ahead
	}{
		{"all the same", 0, 0},
		{"the daemon is behind", 0, -time.Minute},
		{"the daemon is ahead", 0, time.Minute},
		{"the maker is ahead", time.Minute, 0},
		{"both are", time.Minute, -time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newVirtualWorld(t)
				w.later = tt.maker
				w.settled()
				w.later = tt.daemon
				defer w.serve(t, w.reconciler("the daemon"))()
				done := w.rotated(bob)
				w.ask(reconcile.RequestRotate, bob)
				until(t, time.Second, "the rotation", done)
				time.Sleep(time.Hour)
				if got := w.record(bob).Links[invoices].Generation; got != 2 {
					t.Errorf("bob has token %d, want one rotation: the second token", got)
				}
			})
		})
	}
}

func TestARotationIsNotBehindReconciliations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newVirtualWorld(t)
		crowd(w, 300)
		w.settled()
		w.web01().takes = 300 * time.Millisecond
		defer w.serve(t, w.reconciler("the daemon"))()
		w.ask(reconcile.RequestReconcile, users(300)...)
		for i := range 4700 {
			w.ask(reconcile.RequestReconcile, broker.Account{Server: "web01", User: fmt.Sprint("x", i)})
		}
		time.Sleep(time.Second)
		done := w.rotated(bob)
		w.ask(reconcile.RequestRotate, bob)
		until(t, 2*time.Second, "the rotation", done)
		if left := len(w.waiting()); left < 4000 {
			t.Errorf("%d reconciliations are left: this shows nothing", left)
		}
	})
}

// An account that the server does not get on with is not in the way of others'
// clicks.
func TestARotationDoesNotWaitForAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newVirtualWorld(t)
		w.settled()
		w.web01().fault = func(_ int, r request) fault {
			for i, c := range r.commands {
				if c.User == "eve" {
					return fault{lose: map[int]error{i: lost("timed out")}}
				}
			}
			return fault{}
		}
		defer w.serve(t, w.reconciler("the daemon"))()
		w.ask(reconcile.RequestRotate, eve)
		time.Sleep(time.Second)
		done := w.rotated(bob)
		w.ask(reconcile.RequestRotate, bob)
		until(t, 2*time.Second, "the rotation beside the one that is tried again and again", done)
	})
}

// Clicks wait for rotations; they do not wait for a list of customers that takes
// long to read.
func TestRotationsDoNotWaitForTheListOfCustomers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 10 {
			w := newVirtualWorld(t)
			w.settled()
			w.directory = func(ctx context.Context) (*reconcile.Directory, error) {
				return w.readDirectory(), wait(ctx, time.Minute)
			}
			time.Sleep(time.Second)
			stop := w.serve(t, w.reconciler("the daemon"))
			done := w.rotated(bob)
			w.ask(reconcile.RequestReconcile, bob, eve)
			w.ask(reconcile.RequestRotate, bob)
			until(t, 2*time.Second, "the rotation", done)
			stop()
		}
	})
}
