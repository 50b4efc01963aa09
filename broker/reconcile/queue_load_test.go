package reconcile_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

// users are those that crowd puts on web01.
func users(n int) []broker.Account {
	var all []broker.Account
	for i := range n {
		all = append(all, broker.Account{Server: "web01", User: fmt.Sprintf("u%03d", i)})
	}
	return all
}

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

// A server that was taken over may not keep the others' customers waiting, nor its
// hooks its own.
func TestRequestsForAServerThatHangsDelayNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newVirtualWorld(t)
		w.settled()
		w.web01().takes = time.Minute
		defer w.serve(t, w.reconciler("the daemon"))()
		for i := range 5000 {
			for _, server := range []string{"web01", "web09"} { // web09 is in no configuration
				w.ask(reconcile.RequestReconcile, broker.Account{Server: server, User: fmt.Sprint("x", i)})
				w.ask(reconcile.RequestRotate, broker.Account{Server: server, User: fmt.Sprint("x", i)})
			}
		}
		time.Sleep(time.Second)
		for range 3 {
			done := w.rotated(carol)
			w.ask(reconcile.RequestRotate, carol)
			until(t, 2*time.Second, "the rotation on the other server", done)
			time.Sleep(40 * time.Second)
		}
	})
}

// One batch of reconciliations is done at a time, and none is so large that others
// wait long for their turn.
func TestReconciliationsOfAServerTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newVirtualWorld(t)
		crowd(w, 300)
		w.settled()
		w.web01().takes = 300 * time.Millisecond
		began := len(w.journal.operations)
		defer w.serve(t, w.reconciler("the daemon"))()
		w.ask(reconcile.RequestReconcile, users(300)...)
		until(t, time.Minute, "the end of the queue", func() bool { return len(w.waiting()) == 0 })
		time.Sleep(time.Second)
		var ended time.Time
		accounts := 0
		for _, o := range w.journal.operations[began:] {
			n := o.Counts.Unchanged / 2 // links
			accounts += n
			if n > 100 || o.Started.Before(ended) {
				t.Errorf("an operation with %d accounts began %v before the one before it ended, want 100 at most, and one after the other", n, ended.Sub(o.Started))
			}
			ended = o.Ended
		}
		if accounts != 300 {
			t.Errorf("got %d accounts looked at, want each of 300 once", accounts)
		}
	})
}
