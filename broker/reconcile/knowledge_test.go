package reconcile_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

// An account that has changed hands does not go back to its former subscriber because
// a list of customers took long to read.
func TestALaterListOfCustomersWins(t *testing.T) {
	const owner = "9999"
	change := func(w *world) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.subscribers[bob] = owner
	}
	// stays watches the record until everything has ended.
	stays := func(t *testing.T, w *world, ended func() bool) {
		t.Helper()
		until(t, time.Minute, "the change of subscriber", func() bool { return w.record(bob).Subscriber == owner })
		until(t, 10*time.Minute, "the end", func() bool {
			if got := w.record(bob).Subscriber; got != owner {
				t.Fatalf("the account went back to %s", got)
			}
			return ended()
		})
		if got := w.web01().link("bob", invoices).fields.Subscriber; got != owner {
			t.Errorf("the link on the server: got subscriber %s, want %s", got, owner)
		}
	}

	t.Run("a request reads earlier than a run", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newVirtualWorld(t)
			w.settled()
			w.directory = func(context.Context) (*reconcile.Directory, error) {
				defer time.Sleep(20 * time.Second)
				return w.readDirectory(), nil
			}
			r := w.reconciler("the daemon")
			defer w.serve(t, r)()
			w.ask(reconcile.RequestReconcile, bob)
			time.Sleep(5 * time.Second)
			change(w)
			if result := ok(r.Run(t.Context(), w.order(reconcile.Policy{})))(t); !result.OK() {
				t.Errorf("the run: got %+v", result)
			}
			stays(t, w, func() bool { return len(w.waiting()) == 0 })
		})
	})
	t.Run("a run reads earlier than a request", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newVirtualWorld(t)
			w.settled()
			r := w.reconciler("the daemon")
			defer w.serve(t, r)()
			old := w.order(reconcile.Policy{})
			time.Sleep(5 * time.Second)
			change(w)
			w.ask(reconcile.RequestReconcile, bob)
			until(t, time.Minute, "the end of the request", func() bool { return len(w.waiting()) == 0 })
			done := make(chan struct{})
			go func() {
				defer close(done)
				_, _ = r.Run(t.Context(), old)
			}()
			stays(t, w, func() bool {
				select {
				case <-done:
					return true
				default:
					return false
				}
			})
		})
	})
	t.Run("both at once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newVirtualWorld(t)
			w.settled()
			r := w.reconciler("the daemon")
			defer w.serve(t, r)()
			old := w.order(reconcile.Policy{Deep: true})
			time.Sleep(time.Second)
			change(w)
			done := make(chan struct{})
			go func() {
				defer close(done)
				_, _ = r.Run(t.Context(), old)
			}()
			w.ask(reconcile.RequestReconcile, bob)
			stays(t, w, func() bool { <-done; return len(w.waiting()) == 0 })
		})
	})
}
