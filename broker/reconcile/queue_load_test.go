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

func TestManyRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newVirtualWorld(t)
		w.settled()
		var invented []broker.Account
		for i := range 500 {
			invented = append(invented, broker.Account{Server: "web01", User: fmt.Sprint("nobody", i)})
		}
		defer w.serve(t, w.reconciler("the daemon"))()
		w.ask(reconcile.RequestReconcile, invented...)
		until(t, 5*time.Second, "the end of the queue", func() bool { return len(w.waiting()) == 0 })
		if n := len(w.web01().asked); n > 10 {
			t.Errorf("web01 was asked %d times for accounts that it has not, want a few times", n)
		}
	})
}

// A server that was taken over may not keep the others' customers waiting.
func TestRequestsForAServerThatHangsDelayNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newVirtualWorld(t)
		crowd(w, 700)
		w.settled()
		w.web01().takes = time.Minute
		var many []broker.Account
		for i := range 700 {
			many = append(many, broker.Account{Server: "web01", User: fmt.Sprintf("u%03d", i)}, broker.Account{Server: "web09", User: fmt.Sprint("x", i)})
		}
		defer w.serve(t, w.reconciler("the daemon"))()
		w.ask(reconcile.RequestRotate, many...)
		time.Sleep(time.Second)
		done := w.rotated(carol)
		w.ask(reconcile.RequestRotate, carol)
		until(t, 2*time.Second, "the rotation on the other server", done)
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
