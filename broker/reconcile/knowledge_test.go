package reconcile_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

// An account that has changed hands does not go back to its former subscriber because
// a list of customers took long to read.
func TestALaterListOfCustomersWins(t *testing.T) {
	const owner = "9999"
	change := func(w *world) { w.handOver(bob, owner) }
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

// The same between two processes: a command that waited for the lease has an older
// list than the daemon, which had it meanwhile.
func TestAListThatWaitedForTheLeaseIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newVirtualWorld(t)
		crowd(w, 200)
		w.settled()
		w.superseding = true
		daemon, command := w.reconciler("the daemon"), w.reconciler("apply")
		defer w.serve(t, daemon)()
		w.web01().takes = 20 * time.Second // the daemon's run keeps the lease for long
		var runs sync.WaitGroup
		runs.Go(func() { _, _ = daemon.Run(t.Context(), w.order(reconcile.Policy{Deep: true})) })
		time.Sleep(time.Second)
		old := w.order(reconcile.Policy{})
		runs.Go(func() { _, _ = command.Run(t.Context(), old) })
		time.Sleep(time.Second)
		w.handOver(bob, "9999")
		w.ask(reconcile.RequestReconcile, bob)
		until(t, time.Hour, "the change of subscriber", func() bool { return w.record(bob).Subscriber == "9999" })
		ended := make(chan struct{})
		go func() { defer close(ended); runs.Wait() }()
		w.staysWith(t, bob, "9999", ended)
	})
}

// A run may last for hours, and requests are done all the time.
func TestALongRunTakesNothingBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newVirtualWorld(t)
		w.superseding = true
		crowd(w, 300)
		w.settled()
		last := broker.Account{Server: "web01", User: "u299"}
		r := w.reconciler("the daemon")
		defer w.serve(t, r)()
		w.web01().takes = 10 * time.Minute
		began, ended := time.Now(), make(chan struct{})
		go func() {
			defer close(ended)
			_, _ = r.Run(t.Context(), w.order(reconcile.Policy{Deep: true}))
		}()
		time.Sleep(time.Minute)
		w.handOver(last, "9999")
		w.ask(reconcile.RequestReconcile, last)
		until(t, 2*time.Hour, "the request", func() bool { return len(w.waiting()) == 0 })
		time.Sleep(time.Until(began.Add(65 * time.Minute)))
		w.ask(reconcile.RequestReconcile, eve)
		w.staysWith(t, last, "9999", ended)
		if time.Since(began) < 2*time.Hour {
			t.Errorf("the run took %v, which shows nothing", time.Since(began))
		}
	})
}

// handOver gives an account to another subscriber, in the list of customers.
func (w *world) handOver(a broker.Account, subscriber string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.subscribers[a] = subscriber
}

// staysWith watches until the end that an account is its subscriber's.
func (w *world) staysWith(t *testing.T, a broker.Account, subscriber string, end <-chan struct{}) {
	t.Helper()
	for {
		if got := w.record(a).Subscriber; got != subscriber {
			t.Fatalf("%s went back to %s", a, got)
		}
		select {
		case <-end:
			if got := w.servers[a.Server].link(a.User, invoices).fields.Subscriber; got != subscriber {
				t.Errorf("the link of %s on the server: got subscriber %s, want %s", a, got, subscriber)
			}
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// What was overtaken is not done: a request comes again with a later list.
func TestAnOvertakenRequestComesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newVirtualWorld(t)
		w.settled()
		w.web01().edit("bob", invoices, func(f *reconcile.Fields) { f.Label = "of an old backup" })
		w.directory = func(context.Context) (*reconcile.Directory, error) {
			defer time.Sleep(20 * time.Second)
			return w.readDirectory(), nil
		}
		r := w.reconciler("the daemon")
		defer w.serve(t, r)()
		w.ask(reconcile.RequestReconcile, bob) // a hook: it was restored
		time.Sleep(5 * time.Second)
		if result := ok(r.Run(t.Context(), w.order(reconcile.Policy{})))(t); !result.OK() {
			t.Errorf("the run: got %+v", result)
		}
		until(t, 5*time.Minute, "the repair", func() bool { return w.web01().link("bob", invoices).fields.Label != "of an old backup" })
		until(t, 5*time.Minute, "the end of the request", func() bool { return len(w.waiting()) == 0 })
	})
}

// A rotation needs no list of customers, and a run that begins meanwhile does not stop
// it.
func TestARunDoesNotOvertakeARotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newVirtualWorld(t)
		w.settled()
		r := w.reconciler("the daemon")
		w.web01().takes = 2 * time.Second
		defer w.serve(t, r)()
		w.ask(reconcile.RequestRotate, bob)
		time.Sleep(1500 * time.Millisecond)
		_, _ = r.Run(t.Context(), w.order(reconcile.Policy{}))
		until(t, time.Minute, "the end of the request", func() bool { return len(w.waiting()) == 0 })
		if got := w.record(bob).Links[invoices].Generation; got < 2 {
			t.Errorf("generation: got %d, want another than before", got)
		}
	})
}

// An account that has moved works by the records of where it came from. They stay
// while a request that has overtaken the run has not written its links anew.
func TestAnOvertakenAccountKeepsTheRecordsItWorksBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newVirtualWorld(t)
		w.settled()
		twin := broker.Account{Server: "web02", User: "bob"}
		w.web01().copyTo("bob", w.web02(), "bob")
		delete(w.web01().accounts, "bob")
		w.mu.Lock()
		w.subscribers[twin] = "1001"
		delete(w.subscribers, bob)
		w.check(bob)
		w.mu.Unlock()
		w.web02().takes = time.Second
		w.web02().fault = func(_ int, r request) fault {
			f := fault{refuse: map[int]error{}}
			for i, c := range r.commands {
				if c.Function.Writes() && c.User == "bob" {
					f.refuse[i] = refused("the disk is full")
				}
			}
			return f
		}
		r := w.reconciler("the daemon")
		defer w.serve(t, r)()
		o := w.order(reconcile.Policy{})
		time.Sleep(100 * time.Millisecond)
		w.ask(reconcile.RequestReconcile, twin)
		_ = ok(r.Run(t.Context(), o))(t)
		if w.record(bob).Empty() {
			t.Error("the records of web01/bob are forgotten, and the links on web02 work by them")
		}
	})
}
