package reconcile_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

// serve runs a daemon's queue until the function that it returns is called. A
// goroutine that it leaves behind fails the bubble.
func (w *world) serve(t *testing.T, r *reconcile.Reconciler) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var serving sync.WaitGroup
	serving.Go(func() { r.Serve(ctx) })
	return func() {
		cancel()
		serving.Wait()
	}
}

func (w *world) ask(kind reconcile.RequestKind, accounts ...broker.Account) {
	w.t.Helper()
	for _, a := range accounts {
		if err := w.book.Add(context.Background(), reconcile.Request{Account: a, Kind: kind}); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) waiting() []reconcile.Request {
	w.t.Helper()
	return w.book.(*memory).requests(func(reconcile.Request) bool { return true })
}

// until waits for something, and returns how long it took.
func until(t *testing.T, most time.Duration, what string, happened func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for !happened() {
		if time.Since(began) > most {
			t.Fatalf("%s has not happened within %v", what, most)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return time.Since(began)
}

// rotated reports whether all links of an account have another token than before.
func (w *world) rotated(a broker.Account) func() bool {
	token := func(app string) string { return w.servers[a.Server].link(a.User, app).token.Reveal() }
	before, links := []string{token(invoices), token(tickets)}, w.record(a).Links
	return func() bool {
		now := w.record(a).Links
		promoted := now[invoices].Generation > links[invoices].Generation && now[tickets].Generation > links[tickets].Generation
		return token(invoices) != before[0] && token(tickets) != before[1] && promoted
	}
}

func TestRequestsAreDoneAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newVirtualWorld(t)
		w.settled()
		defer w.serve(t, w.reconciler("the daemon"))()
		time.Sleep(time.Hour)
		done := w.rotated(bob)
		w.ask(reconcile.RequestRotate, bob)
		if took := until(t, time.Second, "the rotation", done); took > 310*time.Millisecond {
			t.Errorf("the rotation took %v, want 300 ms at most", took)
		}
		dave := broker.Account{Server: "web02", User: "dave"}
		w.web02().add("dave")
		w.mu.Lock()
		w.subscribers[dave] = "1004"
		w.mu.Unlock()
		w.ask(reconcile.RequestReconcile, dave)
		if took := until(t, time.Second, "the new account", func() bool { return len(w.record(dave).Links) == 2 }); took > 310*time.Millisecond {
			t.Errorf("the new account took %v, want 300 ms at most", took)
		}
		synctest.Wait()
		if left := w.waiting(); len(left) > 0 {
			t.Errorf("requests: got %+v, want none left", left)
		}
		w.wantAllWork(bob, dave)
		for _, wr := range w.written() {
			if wr.account != bob && wr.account != dave {
				t.Errorf("written: %v, want nothing but what was asked for", wr)
			}
		}
	})
}

// A click waits for its rotation: the server asks again after 1 s, and after 3 s
// more.
func TestRequestsAreDoneDuringARun(t *testing.T) {
	for _, tt := range []struct{ takes, within time.Duration }{
		{500 * time.Millisecond, 2 * time.Second},
		{time.Second, 4 * time.Second},
	} {
		t.Run(tt.takes.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newVirtualWorld(t)
				crowd(w, 200)
				w.settled()
				w.spec.link("invoices").Label = "Bills"
				w.web01().takes = tt.takes
				done := w.rotated(broker.Account{Server: "web01", User: "u199"})
				var ended time.Time
				var running sync.WaitGroup
				running.Go(func() {
					w.apply(reconcile.Policy{})
					ended = time.Now()
				})
				time.Sleep(2500 * time.Millisecond)
				w.ask(reconcile.RequestRotate, broker.Account{Server: "web01", User: "u199"})
				until(t, tt.within, "the rotation", done)
				at := time.Now()
				running.Wait()
				if !ended.After(at.Add(5 * time.Second)) {
					t.Errorf("the run ended %v after the rotation, want it to be much longer", ended.Sub(at))
				}
				w.wantExact(reconcile.Policy{})
			})
		})
	}
}

func TestARunDoesNoRequestsOfOtherServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newVirtualWorld(t)
		w.settled()
		w.web01().takes = 2 * time.Second
		time.Sleep(time.Second)
		w.ask(reconcile.RequestRotate, carol)
		o := w.order(reconcile.Policy{})
		o.Servers = []string{"web01"}
		w.run(o)
		if len(w.web02().asked) > 0 {
			t.Errorf("web02 was asked %+v by a run on web01 alone", w.web02().asked)
		}
	})
}

func TestARunDoesNotUndoWhatWasDoneOnRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newVirtualWorld(t)
		crowd(w, 200)
		w.settled()
		last := broker.Account{Server: "web01", User: "u199"}
		w.spec.link("invoices").Label = "Bills"
		w.web01().takes = time.Second
		old := w.order(reconcile.Policy{})
		var running sync.WaitGroup
		running.Go(func() { w.run(old) })
		time.Sleep(2500 * time.Millisecond)
		w.mu.Lock()
		w.subscribers[last] = "2001" // the account was sold while the run goes on
		w.mu.Unlock()
		w.ask(reconcile.RequestReconcile, last)
		running.Wait()
		if got := w.record(last).Subscriber; got != "2001" {
			t.Errorf("subscriber after the run: got %q, want 2001, who was known later than what the run goes by", got)
		}
		w.wantAllWork(last)
		if left := w.waiting(); len(left) > 0 {
			t.Errorf("requests: got %+v, want none left", left)
		}
	})
}

func TestAnAccountWithoutASubscriberComesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newVirtualWorld(t)
		w.settled()
		w.web01().add("dave", "ann")
		w.mu.Lock()
		w.subscribers[broker.Account{Server: "web01", User: "ann"}] = "1005"
		w.mu.Unlock()
		defer w.serve(t, w.reconciler("the daemon"))()
		began := len(w.journal.operations)
		w.ask(reconcile.RequestReconcile, broker.Account{Server: "web01", User: "dave"}, broker.Account{Server: "web01", User: "ann"})
		time.Sleep(time.Hour)
		synctest.Wait()
		var pauses []time.Duration
		operations := w.journal.operations[began:]
		for i := range operations[1:] {
			pauses = append(pauses, operations[i+1].Started.Sub(operations[i].Started).Truncate(time.Second))
		}
		want := []time.Duration{2 * time.Second, 5 * time.Second, 15 * time.Second, time.Minute, 5 * time.Minute}
		if !slices.Equal(pauses, want) {
			t.Errorf("it was tried again after %v, want %v", pauses, want)
		}
		if left := w.waiting(); len(left) > 0 {
			t.Errorf("requests: got %+v, want them dropped at last", left)
		}
		for i, o := range operations {
			if want := map[bool]int{true: 1, false: 0}[i == 0]; o.Counts.Skipped != 1 || o.Counts.Created != 2*want || o.Counts.Unchanged != 0 {
				t.Errorf("operation %d: got %+v, want only the account without subscriber to come again", i, o.Counts)
			}
		}
	})
}

func TestASubscriberThatIsKnownLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newVirtualWorld(t)
		w.settled()
		dave := broker.Account{Server: "web01", User: "dave"}
		w.web01().add("dave")
		defer w.serve(t, w.reconciler("the daemon"))()
		w.ask(reconcile.RequestReconcile, dave)
		time.Sleep(3 * time.Second)
		w.mu.Lock()
		w.subscribers[dave] = "1004"
		w.mu.Unlock()
		until(t, 6*time.Second, "the account", func() bool { return len(w.record(dave).Links) == 2 })
		synctest.Wait()
		if left := w.waiting(); len(left) > 0 {
			t.Errorf("requests: got %+v, want none left", left)
		}
	})
}

// One account that cannot be done costs the others nothing.
func TestOnlyWhatFailedComesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newVirtualWorld(t)
		w.settled()
		defer w.serve(t, w.reconciler("the daemon"))()
		time.Sleep(time.Hour)
		w.web01().fault = refuseReads("eve")
		w.ask(reconcile.RequestRotate, bob, eve)
		time.Sleep(time.Hour)
		if got := w.record(bob).Links[invoices].Generation; got != 2 {
			t.Errorf("bob has token %d, want one rotation: the second token", got)
		}
		if got := w.record(eve).Links[invoices].Generation; got != 1 {
			t.Errorf("eve has token %d, want the first one", got)
		}
	})
}

func TestWhatAnotherProcessWorksOnIsLeftToIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newVirtualWorld(t)
		w.settled()
		time.Sleep(time.Hour)
		lease := ok(w.book.Acquire(t.Context(), "web01", "another process", time.Hour))(t)
		defer w.serve(t, w.reconciler("the daemon"))()
		done, doneThere := w.rotated(bob), w.rotated(carol)
		w.ask(reconcile.RequestRotate, bob, carol, broker.Account{Server: "web09", User: "bob"})
		until(t, time.Second, "the rotation on the free server", doneThere)
		time.Sleep(time.Minute)
		if done() || len(w.web01().asked) > 0 {
			t.Errorf("web01 was asked %+v while another process works there", w.web01().asked)
		}
		if err := w.book.Release(t.Context(), lease); err != nil {
			t.Fatal(err)
		}
		until(t, time.Second, "the rotation after the other process", done)
		synctest.Wait()
		if left := w.waiting(); len(left) != 1 || left[0].Account.Server != "web09" {
			t.Errorf("requests: got %+v, want the one of an unknown server left", left)
		}
	})
}

func TestRequestsThatCannotBeDoneAreLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newVirtualWorld(t)
		w.settled()
		broken := errors.New("accounts.csv:3: a column is missing")
		w.directory = func(context.Context) (*reconcile.Directory, error) { return nil, broken }
		defer w.serve(t, w.reconciler("the daemon"))()
		w.ask(reconcile.RequestReconcile, bob)
		time.Sleep(time.Second)
		o := w.journal.operation(0)
		if o.State != reconcile.StateFailed || o.Kind != reconcile.OperationReconcile || o.Counts.Failed != 1 || o.By != "the daemon" {
			t.Errorf("operation: got %+v, want a failed one", o)
		}
		wantLines(t, "log", w.journal.lines(o.ID, reconcile.LevelDebug), []string{"warning web01 bob: reconcile: " + broken.Error()})
		w.mu.Lock()
		w.directory = nil
		w.mu.Unlock()
		until(t, 3*time.Second, "the second try", func() bool { return len(w.waiting()) == 0 })
	})
}

func TestStoppingLosesNoRequest(t *testing.T) {
	for _, after := range []time.Duration{100 * time.Millisecond, 400 * time.Millisecond, 1500 * time.Millisecond, 2500 * time.Millisecond, 5 * time.Second} {
		t.Run(after.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newVirtualWorld(t)
				w.settled()
				w.web01().takes = time.Second
				time.Sleep(time.Second)
				done := w.rotated(bob)
				stop := w.serve(t, w.reconciler("the daemon"))
				w.ask(reconcile.RequestRotate, bob)
				time.Sleep(after)
				began := time.Now()
				stop()
				if took := time.Since(began); took > time.Second {
					t.Errorf("stopping took %v, want the request on its way to be all that it waits for", took)
				}
				if len(w.waiting()) == 0 && !done() {
					t.Error("the request is gone and was not done")
				}
				if links := w.record(bob).Links; links[invoices].Pending+links[tickets].Pending > 0 {
					t.Errorf("record: got %+v, want nothing pending", links)
				}
				stop = w.serve(t, w.reconciler("the next daemon"))
				until(t, 5*time.Second, "the rotation", done)
				time.Sleep(time.Second)
				stop()
				w.wantExact(reconcile.Policy{})
			})
		})
	}
}

func TestRemovingDoesNoRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newVirtualWorld(t)
		w.settled()
		w.web01().takes = 2 * time.Second
		w.ask(reconcile.RequestReconcile, bob)
		w.apply(reconcile.Policy{Remove: true})
		if left := w.waiting(); len(left) != 1 {
			t.Errorf("requests: got %+v, want the one that was there: done meanwhile it would put links back", left)
		}
		if got := strings.Join(w.accounts(), " "); got != "" {
			t.Errorf("accounts in the store: got %q, want none", got)
		}
	})
}
