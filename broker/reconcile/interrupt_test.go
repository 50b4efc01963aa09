package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

// crowd fills web01 with n accounts.
func crowd(w *world, n int) {
	for i := range n {
		a := broker.Account{Server: "web01", User: fmt.Sprintf("u%03d", i)}
		w.web01().add(a.User)
		w.subscribers[a] = "77"
	}
}

func TestARunThatIsStoppedFinishesWhatItHasBegun(t *testing.T) {
	for _, tt := range []struct {
		name string
		// takes is how long a request takes; the run is stopped at the time stop.
		takes, stop time.Duration
		policy      reconcile.Policy
		// within is how soon after that it has ended.
		within time.Duration
	}{
		{"while the accounts are listed", 2 * time.Second, 3 * time.Second, reconcile.Policy{}, 2 * time.Second},
		{"while it looks", 2 * time.Second, 5 * time.Second, reconcile.Policy{}, 2 * time.Second},
		{"while it writes", 2 * time.Second, 7 * time.Second, reconcile.Policy{}, 2 * time.Second},
		{"later", 2 * time.Second, 25 * time.Second, reconcile.Policy{}, 2 * time.Second},
		{"while it looks in detail", 2 * time.Second, 7 * time.Second, reconcile.Policy{Deep: true}, 2 * time.Second},
		{"while a request hangs", time.Hour, 3 * time.Second, reconcile.Policy{}, 15 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newVirtualWorld(t)
				delete(w.servers, "web02")
				delete(w.subscribers, carol)
				crowd(w, 40)
				if tt.policy.Deep {
					w.settled()
				}
				w.web01().takes = tt.takes
				ctx, cancel := context.WithCancel(t.Context())
				var stopped time.Time
				time.AfterFunc(tt.stop, func() {
					stopped = time.Now()
					cancel()
				})
				r := ok(w.reconciler("a run").Run(ctx, w.order(tt.policy)))(t)
				if took := time.Since(stopped); took > tt.within {
					t.Errorf("it went on for %v, want %v at most", took, tt.within)
				}
				if !r.Interrupted || r.OK() || r.Servers[0].State != reconcile.ServerInterrupted {
					t.Errorf("got %+v, want it interrupted", r)
				}
				if got := w.journal.operation(r.Operation).State; got != reconcile.StateInterrupted {
					t.Errorf("operation: got %q, want interrupted", got)
				}
				for _, asked := range w.web01().asked {
					if asked.at.After(stopped) {
						t.Errorf("it began something %v after it was stopped", asked.at.Sub(stopped))
					}
				}
				if tt.takes < time.Minute {
					for i := range 40 {
						record := w.record(broker.Account{Server: "web01", User: fmt.Sprintf("u%03d", i)})
						for app, l := range record.Links {
							if l.Pending > 0 {
								t.Errorf("%s/%s: got %+v, want it finished", record.Account, app, l)
							}
						}
					}
				}
				if lines := w.journal.lines(r.Operation, reconcile.LevelWarning); len(lines) > 0 {
					t.Errorf("warnings: got %q, want none", lines)
				}
				w.web01().takes = 0
				before := len(w.written())
				w.apply(tt.policy)
				if n := len(w.written()); !tt.policy.Deep && n != 42*3 {
					t.Errorf("%d commands were written, %d of them at first, want each of 126 once", n, before)
				}
				w.wantExact(reconcile.Policy{})
			})
		})
	}
}

// A request may be many: what the first of them has done is written down also when
// the time is up during the second.
func TestWhatWasDoneIsWrittenDownWhenTheTimeIsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newVirtualWorld(t)
		alone(w)
		w.settled()
		w.spec.link("invoices").Label, w.spec.link("tickets").Label = "Bills", "Questions"
		w.web01().takes = 10 * time.Second
		w.web01().fault = func(_ int, r request) fault {
			if len(r.commands) > 1 && r.reads() == 0 {
				return fault{err: refused("one of these is forbidden")}
			}
			return fault{}
		}
		// applist, listaccts, links, fields, both at once: 50 s; then one by one.
		ctx, cancel := context.WithTimeout(t.Context(), 51*time.Second)
		defer cancel()
		r := ok(w.reconciler("a run").Run(ctx, w.order(reconcile.Policy{})))(t)
		links := w.record(bob).Links
		if got := links[invoices]; !r.Interrupted || got.Generation != 2 || got.Pending != 0 {
			t.Errorf("the link that was done: got %+v of %+v, want its second token confirmed", got, r)
		}
		if got := links[tickets]; got.Generation != 1 || got.Pending != 1 {
			t.Errorf("the link that was on its way: got %+v, want its second token pending", got)
		}
	})
}

func TestForgettingCanBeStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newVirtualWorld(t)
		crowd(w, 60)
		w.settled()
		for i := range 60 {
			delete(w.web01().accounts, fmt.Sprintf("u%03d", i))
		}
		w.web01().takes = 10 * time.Second
		ctx, cancel := context.WithTimeout(t.Context(), 35*time.Second) // during the first 48 questions
		defer cancel()
		o := w.order(reconcile.Policy{})
		o.ForgetMany = true
		r := ok(w.reconciler("a run").Run(ctx, o))(t)
		if got := r.Servers[0]; !r.Interrupted || got.State != reconcile.ServerInterrupted || len(r.Problems) > 0 {
			t.Errorf("got %+v, want web01 interrupted and nothing failed", r)
		}
		if got, want := len(w.accounts()), 3+12; got != want {
			t.Errorf("accounts in the store: got %d, want %d: what was begun is finished", got, want)
		}
		ok(w.reconciler("a run").Run(t.Context(), o))(t)
		if got := len(w.accounts()); got != 3 {
			t.Errorf("accounts in the store: got %d, want 3", got)
		}
	})
}

// What is to be asked again is left to the next run.
func TestARunThatIsStoppedDoesNotAskAgain(t *testing.T) {
	for _, failing := range []func(request) bool{
		func(r request) bool { return r.function == "applist" },
		func(r request) bool { return r.reads() > 0 },
		func(r request) bool { return len(r.commands) > r.reads() },
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newVirtualWorld(t)
			alone(w)
			w.web01().fault = func(_ int, r request) fault {
				if failing(r) {
					return fault{err: lost("no answer in time")}
				}
				return fault{}
			}
			ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
			defer cancel()
			began := time.Now()
			r := ok(w.reconciler("a run").Run(ctx, w.order(reconcile.Policy{})))(t)
			if took := time.Since(began); took != 2500*time.Millisecond {
				t.Errorf("it ended after %v, want it to end when it is stopped", took)
			}
			if !r.Interrupted || r.Servers[0].State != reconcile.ServerInterrupted {
				t.Errorf("got %+v, want it interrupted", r)
			}
			w.web01().fault = nil
			w.apply(reconcile.Policy{})
			w.wantExact(reconcile.Policy{})
		})
	}
}

// WHM's brute-force protection may count refusals: each worker meets one at most.
func TestATokenThatIsRefusedIsNotTriedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newVirtualWorld(t)
		crowd(w, 100)
		w.web01().takes = time.Second
		refusals := 0
		w.web01().fault = func(_ int, r request) fault {
			if r.function == "run" {
				refusals++
				return fault{err: forbidden()}
			}
			return fault{}
		}
		w.run(w.order(reconcile.Policy{}))
		if refusals == 0 || refusals > 4 {
			t.Errorf("the token was refused %d times, want one to four: requests that are on their way at once", refusals)
		}
	})
}

func TestARunThatIsStoppedBeforeItBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newVirtualWorld(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := w.reconciler("a run").Run(ctx, w.order(reconcile.Policy{})); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want that it was cancelled", err)
		}
	})
}

func TestTheStoreMayFailOver(t *testing.T) {
	for _, tt := range []struct {
		name   string
		away   time.Duration
		failed bool
	}{
		{"for five seconds", 5 * time.Second, false},
		{"for good", time.Hour, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newVirtualWorld(t)
				began := time.Now()
				w.storeFault = func(reconcile.Fence) error {
					if time.Since(began) < tt.away {
						return errors.New("the store is away")
					}
					return nil
				}
				r := w.run(w.order(reconcile.Policy{}))
				if r.OK() == tt.failed {
					t.Errorf("got %+v, want failed %v", r, tt.failed)
				}
				if tt.failed && !strings.Contains(r.Servers[0].Problem, "write to the store: the store is away") {
					t.Errorf("problem: got %q", r.Servers[0].Problem)
				}
				if tt.failed && len(w.written()) > 0 {
					t.Errorf("written without the store: %v", w.written())
				}
			})
		})
	}
}

// The worst moment: the server has done it, and the store does not take it down.
func TestTheStoreIsAwayAfterTheServerHasWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newVirtualWorld(t)
		w.settled()
		w.spec.link("invoices").Label = "Bills"
		w.storeFault = func(reconcile.Fence) error {
			if len(w.web01().writes) > 0 {
				return errors.New("the store is away")
			}
			return nil
		}
		if r := w.run(w.order(reconcile.Policy{})); r.OK() {
			t.Errorf("got %+v, want a failure", r)
		}
		w.wantAllWork(bob, eve)
		w.storeFault = nil
		w.apply(reconcile.Policy{})
		w.wantExact(reconcile.Policy{})
	})
}
