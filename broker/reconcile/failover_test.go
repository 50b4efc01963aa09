package reconcile_test

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

// forgetfulRecords fail over each time that a token is prepared, to a replica that
// has not got it.
type forgetfulRecords struct {
	reconcile.Records
	failover func(broker.Account)
}

func (r forgetfulRecords) Write(ctx context.Context, fence reconcile.Fence, changes []reconcile.AccountChanges) []error {
	errs := r.Records.Write(ctx, fence, changes)
	for _, c := range changes {
		if slices.ContainsFunc(c.Changes, func(c reconcile.Change) bool { return c.Kind == reconcile.ChangePrepare }) {
			r.failover(c.Account)
		}
	}
	return errs
}

// replica copies what is there.
func (m *memory) replica() map[broker.Account]*ledger {
	m.mu.Lock()
	defer m.mu.Unlock()
	accounts := map[broker.Account]*ledger{}
	for a, l := range m.accounts {
		same := *l
		same.links = map[string]*ledgerLink{}
		for app, link := range l.links {
			copied := *link
			same.links[app] = &copied
		}
		accounts[a] = &same
	}
	return accounts
}

func TestAFailoverThatLosesTokens(t *testing.T) {
	rename := func(w *world) { w.spec.link("invoices").Label, w.spec.link("tickets").Label = "Bills", "Questions" }
	later := func(w *world) { w.later = 24 * time.Hour }
	behind := func(m *memory, replica map[broker.Account]*ledger, a broker.Account) { m.accounts[a] = replica[a] }
	empty := func(m *memory, _ map[broker.Account]*ledger, _ broker.Account) { clear(m.accounts) }
	for _, tt := range []struct {
		name   string
		past   func(*world)
		rotate bool
		// failover is to a replica as it was before the run.
		failover func(m *memory, replica map[broker.Account]*ledger, a broker.Account)
		failed   int // links of this run
	}{
		{"changed links", rename, false, behind, 0},
		{"rotated links", later, true, behind, 0},
		{"changed links, and the replica is empty", rename, false, empty, 4},
		{"rotated links, and the replica is empty", later, true, empty, 2}, // the other account is not known any more,
		{"links of another subscriber", func(w *world) { w.subscribers[bob] = "2002" }, false, behind, 2},
		{"rotated links, and the account is another's on the replica", later, true, func(m *memory, replica map[broker.Account]*ledger, a broker.Account) {
			behind(m, replica, a)
			if a == bob {
				m.accounts[bob].subscriber = "2002"
			}
		}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newVirtualWorld(t)
				delete(w.web02().accounts, "carol")
				delete(w.subscribers, carol)
				w.settled()
				tt.past(w)
				m := w.book.(*memory)
				w.edit = func(c *reconcile.Config) {
					replica := m.replica()
					c.Records, c.RequestsPerServer = forgetfulRecords{c.Records, func(a broker.Account) {
						m.mu.Lock()
						defer m.mu.Unlock()
						tt.failover(m, replica, a)
					}}, 1
				}
				o := w.order(reconcile.Policy{Rotate: tt.rotate, RotateBefore: w.now().Add(-time.Hour)})
				w.losing = true
				r := w.run(o)
				w.losing = false
				clear(w.worked)
				if r.Counts.Failed != tt.failed || len(r.Problems) != tt.failed {
					t.Errorf("got %+v, want %d failed links", r, tt.failed)
				}
				for _, problem := range r.Problems {
					if !strings.HasSuffix(problem.Message, ": "+reconcile.ErrLost.Error()) {
						t.Errorf("problem: got %q, want it to say that the store lost a token", problem.Message)
					}
				}
				w.edit = nil
				if tt.failed == 0 {
					w.wantAllWork(bob, eve)
				}
				w.apply(reconcile.Policy{})
				w.wantAllWork(bob, eve)
				w.wantDone(reconcile.Policy{})
			})
		})
	}
}

// away is a store that does not answer for a while.
type away struct {
	reconcile.Records
	reconcile.Leases
	reconcile.Journal
	call  string // the one that is not answered
	until time.Time
	calls *int
}

func (a away) fails(call string) error {
	if call != a.call {
		return nil
	}
	*a.calls++
	if time.Now().Before(a.until) {
		return errors.New("the store is failing over")
	}
	return nil
}

func (a away) Acquire(ctx context.Context, server, holder string, ttl time.Duration) (reconcile.Lease, error) {
	if err := a.fails("acquire"); err != nil {
		return reconcile.Lease{}, err
	}
	return a.Leases.Acquire(ctx, server, holder, ttl)
}

// Accounts ends in the middle.
func (a away) Accounts(ctx context.Context, server string) iter.Seq2[broker.Account, error] {
	return func(yield func(broker.Account, error) bool) {
		failure := a.fails("accounts")
		for account, err := range a.Records.Accounts(ctx, server) {
			if !yield(account, err) {
				return
			}
			if failure != nil {
				yield(broker.Account{}, failure)
				return
			}
		}
	}
}

func (a away) Begin(ctx context.Context, o reconcile.Operation) (int64, error) {
	if err := a.fails("begin"); err != nil {
		return 0, err
	}
	return a.Journal.Begin(ctx, o)
}

func TestARunThatBeginsDuringAFailover(t *testing.T) {
	for _, call := range []string{"acquire", "accounts", "begin"} {
		for _, tt := range []struct {
			name  string
			away  time.Duration
			stop  time.Duration // when the run is stopped; 0 for never
			fails bool
			takes time.Duration
		}{
			{"of five seconds", 5 * time.Second, 0, false, 7700 * time.Millisecond},
			{"that does not end", time.Hour, 0, true, 7700 * time.Millisecond},
			{"and is stopped", time.Hour, 2 * time.Second, true, 2 * time.Second},
		} {
			t.Run(call+" "+tt.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newVirtualWorld(t)
					w.settled()
					delete(w.servers, "web02") // one lease is acquired
					delete(w.subscribers, carol)
					o := w.order(reconcile.Policy{})
					calls, began := 0, time.Now()
					w.edit = func(c *reconcile.Config) {
						a := away{c.Records, c.Leases, c.Journal, call, began.Add(tt.away), &calls}
						c.Records, c.Leases, c.Journal = a, a, a
					}
					ctx := t.Context()
					if tt.stop > 0 {
						limited, cancel := context.WithTimeout(ctx, tt.stop)
						defer cancel()
						ctx = limited
					}
					r, err := w.reconciler("a run").Run(ctx, o)
					if failed := err != nil || !r.OK(); failed != tt.fails {
						t.Errorf("got %+v and error %v, want failed: %v", r, err, tt.fails)
					}
					if took := time.Since(began); took != tt.takes || calls > 6 {
						t.Errorf("it took %v and %d calls, want %v and 6 calls at most", took, calls, tt.takes)
					}
				})
			})
		}
	}
}
