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

// steal gives a lease to somebody else, as when it had run out.
func (m *memory) steal(server, holder string) reconcile.Lease {
	m.mu.Lock()
	delete(m.leases, server)
	m.mu.Unlock()
	lease, _ := m.Acquire(context.Background(), server, holder, time.Hour)
	return lease
}

func (m *memory) holder(server string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if l := m.leases[server]; time.Now().Before(l.until) {
		return l.lease.Holder
	}
	return ""
}

// longWorld has work on web01 for about four minutes.
func longWorld(t *testing.T) (*world, *memory) {
	w := newVirtualWorld(t)
	alone(w)
	delete(w.servers, "web02")
	crowd(w, 40)
	w.web01().takes = 10 * time.Second
	return w, w.book.(*memory)
}

func TestALeaseIsKeptWhileWorkLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, m := longWorld(t)
		ctx, cancel := context.WithCancel(t.Context())
		var watching sync.WaitGroup
		watching.Go(func() {
			for wait(ctx, time.Second) == nil {
				if got := m.holder("web01"); got != "a run" {
					t.Errorf("the lease: got %q, want it held by the run", got)
				}
			}
		})
		began := time.Now()
		w.edit = func(c *reconcile.Config) {
			c.Observe = func(e reconcile.Event) {
				if e.Kind == reconcile.EventEnded {
					cancel()
				}
			}
		}
		w.apply(reconcile.Policy{})
		cancel()
		watching.Wait()
		if took := time.Since(began); took < time.Minute {
			t.Fatalf("the run took %v, want it to outlast its lease", took)
		}
		if got := m.holder("web01"); got != "" {
			t.Errorf("the lease after the run: got it held by %q, want it given back", got)
		}
	})
}

func TestALeaseThatWasLostEndsTheWork(t *testing.T) {
	for _, tt := range []struct {
		name string
		lose func(*memory) // the lease, or in the other case nothing but the records
		// within is how long the work may go on.
		within time.Duration
	}{
		{"seen when it is renewed", func(m *memory) { m.steal("web01", "the other") }, 5 * time.Second},
		{"seen when the store is written", func(m *memory) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.fences["web01"] += 10
			for _, l := range m.accounts {
				l.fence = m.fences["web01"]
			}
		}, 31 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, m := longWorld(t)
				w.settled()
				w.spec.link("invoices").Label = "Bills"
				w.superseding = true
				var lost time.Time
				time.AfterFunc(45*time.Second, func() {
					lost = time.Now()
					tt.lose(m)
				})
				r := w.run(w.order(reconcile.Policy{}))
				if took := time.Since(lost); took > tt.within {
					t.Errorf("the work went on for %v, want %v at most", took, tt.within)
				}
				if got := r.Servers[0]; got.State != reconcile.ServerFailed || !strings.Contains(got.Problem, reconcile.ErrFenced.Error()) {
					t.Errorf("got %+v, want it failed because another worker has taken over", got)
				}
				if got := m.holder("web01"); got == "" {
					t.Error("the lease was given back, want it left to whoever has it")
				}
				// Whoever has it now finishes.
				r = ok(w.reconciler("the other").Run(t.Context(), w.order(reconcile.Policy{})))(t)
				if !r.OK() {
					t.Errorf("the other: got %+v, want it done", r)
				}
				w.wantExact(reconcile.Policy{})
			})
		})
	}
}

// deafLeases do not answer to renewals from a time on.
type deafLeases struct {
	reconcile.Leases
	from time.Time
}

func (l deafLeases) Renew(ctx context.Context, lease reconcile.Lease, ttl time.Duration) error {
	if time.Now().Before(l.from) {
		return l.Leases.Renew(ctx, lease, ttl)
	}
	<-ctx.Done()
	return ctx.Err()
}

func TestWorkEndsBeforeALeaseThatCannotBeRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, m := longWorld(t)
		w.web01().takes = 25 * time.Second
		w.edit = func(c *reconcile.Config) { c.Leases = deafLeases{c.Leases, time.Now().Add(42 * time.Second)} }
		r := w.run(w.order(reconcile.Policy{}))
		m.mu.Lock()
		left := time.Until(m.leases["web01"].until)
		m.mu.Unlock()
		if left < 5*time.Second {
			t.Errorf("the lease lasted %v after the work, want 5 s at least", left)
		}
		if got := r.Servers[0]; got.State != reconcile.ServerFailed || !strings.Contains(got.Problem, "the lease of web01 could not be renewed") {
			t.Errorf("got %+v, want it failed because of the lease", got)
		}
	})
}

// A store that fails over for a while costs nothing.
func TestALeaseSurvivesAFailover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := longWorld(t)
		began := time.Now()
		w.edit = func(c *reconcile.Config) {
			c.Leases = failingLeases{c.Leases, func() error {
				if since := time.Since(began); since > 12*time.Second && since < 24*time.Second {
					return errors.New("the store is failing over")
				}
				return nil
			}}
		}
		w.apply(reconcile.Policy{})
	})
}

type failingLeases struct {
	reconcile.Leases
	fail func() error
}

func (l failingLeases) Renew(ctx context.Context, lease reconcile.Lease, ttl time.Duration) error {
	if err := l.fail(); err != nil {
		return err
	}
	return l.Leases.Renew(ctx, lease, ttl)
}

func TestALeaseOfSomebodyElseIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newVirtualWorld(t)
		lease := ok(w.book.Acquire(t.Context(), "web01", "provisioner run on host2", time.Hour))(t)
		began := time.Now()
		time.AfterFunc(5500*time.Millisecond, func() { _ = w.book.Release(t.Context(), lease) })
		w.apply(reconcile.Policy{})
		if took := time.Since(began); took != 6*time.Second {
			t.Errorf("the run took %v, want it to begin within a second after the lease was free", took)
		}
		waiting := slices.ContainsFunc(w.events, func(e reconcile.Event) bool {
			return e.Kind == reconcile.EventWaiting && e.Server == "web01" && e.Text == "provisioner run on host2"
		})
		if !waiting {
			t.Errorf("events: got %+v, want one that names who is waited for", w.events)
		}
	})
}

func TestWaitingForALeaseCanBeStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newVirtualWorld(t)
		_ = ok(w.book.Acquire(t.Context(), "web01", "the other", time.Hour))(t)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		r := ok(w.reconciler("a run").Run(ctx, w.order(reconcile.Policy{})))(t)
		if !r.Interrupted || r.Servers[0].State != reconcile.ServerInterrupted || r.Servers[1].State != reconcile.ServerDone {
			t.Errorf("got %+v, want web01 interrupted and web02 done", r)
		}
	})
}

// P4: two at once do no harm.
func TestTwoAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newVirtualWorld(t)
		crowd(w, 60)
		for _, s := range w.servers {
			s.takes = time.Second
		}
		var running sync.WaitGroup
		for _, holder := range []string{"the first", "the second"} {
			running.Go(func() {
				if r := ok(w.reconciler(holder).Run(t.Context(), w.order(reconcile.Policy{})))(t); !r.OK() {
					t.Errorf("%s: got %+v, want it done", holder, r)
				}
			})
		}
		running.Wait()
		if n, want := len(w.written()), 63*3; n != want {
			t.Errorf("%d commands were written, want each of %d once", n, want)
		}
		w.wantExact(reconcile.Policy{})
	})
}

// Two runs of one process share its seat, and still write an account one after the
// other.
func TestTwoAtOnceInOneProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newVirtualWorld(t)
		crowd(w, 60)
		for _, s := range w.servers {
			s.takes = time.Second
		}
		reconciler := w.reconciler("the daemon")
		var running sync.WaitGroup
		for range 2 {
			running.Go(func() {
				if r := ok(reconciler.Run(t.Context(), w.order(reconcile.Policy{})))(t); !r.OK() {
					t.Errorf("got %+v, want it done", r)
				}
			})
		}
		running.Wait()
		w.wantExact(reconcile.Policy{})
		if got := w.book.(*memory).holder("web01"); got != "" {
			t.Errorf("the lease: got it held by %q, want it given back", got)
		}
	})
}

// slowHost takes its time for the n-th time that it is asked with a function.
type slowHost struct {
	reconcile.Host
	function reconcile.Function
	n        int
	takes    time.Duration
	mu       sync.Mutex
	asked    int
}

func (h *slowHost) Run(ctx context.Context, commands []reconcile.Command) ([]reconcile.Reply, error) {
	if commands[0].Function == h.function {
		h.mu.Lock()
		h.asked++
		slow := h.asked == h.n
		h.mu.Unlock()
		if slow {
			if err := wait(ctx, h.takes); err != nil {
				return nil, err
			}
		}
	}
	return h.Host.Run(ctx, commands)
}

// A run that read the store before another one made the group, and looked at the
// server after that, does not take it for somebody else's.
func TestAGroupThatAnotherRunHasJustMadeIsOurs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newVirtualWorld(t)
		alone(w)
		w.edit = func(c *reconcile.Config) {
			c.Hosts["web01"] = &slowHost{Host: w.web01(), function: reconcile.ListLinks, n: 2, takes: 2 * time.Second}
		}
		w.web01().takes = time.Second
		// One by one the first run makes the group after 5 s, and the links 1 s and 2 s
		// later; the second run looks after 5.5 s.
		w.web01().fault = func(_ int, r request) fault {
			if len(r.commands) > 1 && r.reads() == 0 {
				return fault{err: refused("one of these is forbidden")}
			}
			return fault{}
		}
		reconciler := w.reconciler("the daemon")
		var running sync.WaitGroup
		for i := range 2 {
			running.Go(func() {
				time.Sleep(time.Duration(i) * 500 * time.Millisecond)
				ok(reconciler.Run(t.Context(), w.order(reconcile.Policy{})))(t)
			})
		}
		running.Wait()
		w.wantExact(reconcile.Policy{})
	})
}

// A rotation that looked at an account before its subscriber changed, and would write
// after that, does not put the former subscriber's links back.
func TestARotationDoesNotUndoAChangeOfSubscriber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newVirtualWorld(t)
		w.settled()
		time.Sleep(time.Hour)
		// Restored from another account's backup, the link is written anew as a whole.
		w.web01().edit("bob", invoices, func(f *reconcile.Fields) { f.Subscriber = "999" })
		delete(w.worked, place{bob, invoices})
		w.edit = func(c *reconcile.Config) {
			c.Hosts["web01"] = &slowHost{Host: w.web01(), function: reconcile.GetLink, n: 1, takes: 5 * time.Second}
		}
		r := w.reconciler("the daemon")
		rotation := w.order(reconcile.Policy{Rotate: true, RotateBefore: w.now()})
		rotation.Accounts = []broker.Account{bob}
		var running sync.WaitGroup
		running.Go(func() { ok(r.Run(t.Context(), rotation))(t) })
		time.Sleep(time.Second)
		w.subscribers[bob] = "2001"
		began := time.Now()
		if got := ok(r.Run(t.Context(), w.order(reconcile.Policy{})))(t); !got.OK() || time.Since(began) > time.Second {
			t.Errorf("the run beside the rotation: got %+v after %v, want it done at once", got, time.Since(began))
		}
		w.wantExact(reconcile.Policy{})
		running.Wait()
		w.wantExact(reconcile.Policy{})
		w.wantAllWork(bob)
	})
}

func TestAnAccountThatIsNamedTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newVirtualWorld(t)
		w.settled()
		w.later = time.Hour
		o := w.order(reconcile.Policy{Rotate: true, RotateBefore: w.now()})
		for range 20 {
			o.Accounts = append(o.Accounts, bob)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		r := ok(w.reconciler("a run").Run(ctx, o))(t)
		if !r.OK() || r.Counts.Rotated != 2 {
			t.Errorf("got %+v, want the two links rotated once", r)
		}
	})
}
