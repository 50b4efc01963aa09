package reconcile_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
	"github.com/latchkey-sso/latchkey/store"
)

func TestAnOperationAndItsLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newVirtualWorld(t)
		w.web01().takes = time.Second
		delete(w.subscribers, eve)
		w.web01().foreign("bob", invoices, theirs)
		began := time.Now()
		o := w.order(reconcile.Policy{})
		o.Servers = []string{"web01"}
		r := w.run(o)
		want := reconcile.Operation{
			ID: 1, Kind: reconcile.OperationApply, State: reconcile.StateFailed, By: "a run", Started: began, Ended: time.Now(),
			Servers: []string{"web01"}, Revision: 1, Counts: reconcile.Counts{Created: 1, Failed: 1, Skipped: 1, Foreign: 1},
		}
		if got := w.journal.operation(1); !reflect.DeepEqual(got, want) {
			t.Errorf("operation:\ngot  %+v\nwant %+v", got, want)
		}
		wantCounts(t, "counts of the result", r.Counts, want.Counts)
		lines := w.journal.lines(1, reconcile.LevelDebug)
		slices.Sort(lines)
		wantLines(t, "log", lines, []string{
			"debug web01 bob: done: create group 1, create 1",
			"debug web01 latchkey_tickets: end: create, 1 done",
			"debug web01 latchkey_tickets: start: create",
			"debug web01: end: create group, 1 done",
			"debug web01: end: list accounts, 2 found",
			"debug web01: start: create group",
			"debug web01: start: list accounts",
			"notice web01 eve: the account has no subscriber; its links are left as they are",
			"warning web01 bob latchkey_invoices: cannot be made: a link of this name leads to https://billing.example.net/autologin and is not ours; if nobody needs it, remove it there with `whmapi1 remove_integration_link user=bob app=latchkey_invoices`, else give ours another id",
		})
		for _, e := range w.journal.entries[1] {
			if e.At.Before(began) || e.At.After(time.Now()) {
				t.Errorf("entry %+v: its time is not that of the run", e)
			}
		}
	})
}

func TestStepsAreLoggedOnceForALinkAndServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newVirtualWorld(t)
		crowd(w, 30)
		r := w.apply(reconcile.Policy{})
		var starts, ends []string
		for _, line := range w.journal.lines(r.Operation, reconcile.LevelDebug) {
			switch {
			case strings.Contains(line, "web01 "+invoices+": start:"):
				starts = append(starts, line)
			case strings.Contains(line, "web01 "+invoices+": end:"):
				ends = append(ends, line)
			}
		}
		wantLines(t, "starts", starts, []string{"debug web01 latchkey_invoices: start: create"})
		wantLines(t, "ends", ends, []string{"debug web01 latchkey_invoices: end: create, 32 done"})
	})
}

func TestTheLogIsWrittenAgainAfterTheJournalHasFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newVirtualWorld(t)
		crowd(w, 30)
		w.web01().takes = time.Second
		w.web01().fault = func(_ int, r request) fault {
			f := fault{refuse: map[int]error{}}
			for i, c := range r.commands {
				if strings.HasPrefix(c.User, "u") {
					f.refuse[i] = refused("Perl is broken")
				}
			}
			return f
		}
		calls := 0
		w.journal.fail = func(call string) error {
			if call == "log" {
				if calls++; calls < 4 {
					return errors.New("the journal is away")
				}
			}
			return nil
		}
		r := w.run(w.order(reconcile.Policy{}))
		if calls < 5 {
			t.Fatalf("%d calls of the journal, want some that fail and some that do not", calls)
		}
		lines := w.journal.lines(r.Operation, reconcile.LevelDebug)
		if !slices.Contains(lines, "debug web01: start: list accounts") {
			t.Errorf("log: got %q, want its beginning", lines)
		}
		failed := map[string]int{}
		for _, line := range lines {
			if strings.Contains(line, "cannot be looked at") {
				failed[line]++
			}
		}
		if len(failed) != 30 {
			t.Errorf("%d accounts are logged as failed, want 30", len(failed))
		}
		for line, n := range failed {
			if n != 1 {
				t.Errorf("%q is there %d times, want once", line, n)
			}
		}
	})
}

// What is the same for many accounts of a server is one notice; plans name them all.
func TestNoticesThatAreAlikeAreOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newVirtualWorld(t)
		crowd(w, 30)
		delete(w.subscribers, carol)
		for i := range 25 {
			user := fmt.Sprintf("u%03d", i)
			delete(w.subscribers, broker.Account{Server: "web01", User: user})
		}
		for i := 25; i < 28; i++ {
			w.web01().foreignGroup(fmt.Sprintf("u%03d", i), groupID)
		}
		plans, dry := w.plans(w.order(reconcile.Policy{}))
		named := 0
		for _, p := range plans {
			if p.Skipped && len(p.Left) == 1 {
				named++
			}
		}
		if named != 26 {
			t.Errorf("the plans name %d accounts without a subscriber, want all 26", named)
		}
		r := w.apply(reconcile.Policy{})
		const group = "3 accounts: a group \"latchkey\" is there and nothing shows that it is ours; our links are shown in it, and it is left as it is (u025, u026, u027)"
		lines := w.journal.lines(r.Operation, reconcile.LevelNotice)
		slices.Sort(lines)
		if len(lines) != 3 || lines[1] != "notice web01: "+group || lines[2] != "notice web02 carol: the account has no subscriber; its links are left as they are" ||
			!strings.HasPrefix(lines[0], "notice web01: 25 accounts: the account has no subscriber; its links are left as they are (e.g. u0") || strings.Count(lines[0], "u0") != 10 {
			t.Errorf("log: got %q, want one notice for the group, one for web01 with ten names, one for carol", lines)
		}
		for _, r := range []reconcile.Result{dry, r} {
			if len(r.Notices) != 1 || r.Notices[0].Message != group {
				t.Errorf("notices of the result: got %+v, want that of the groups", r.Notices)
			}
		}
	})
}

func TestAJournalThatFails(t *testing.T) {
	away := errors.New("the journal is away")
	for _, tt := range []struct {
		call, want string
		done       bool
	}{
		{"begin", "begin operation: the journal is away", false},
		{"log", "write the log of operation 1: the journal is away", true},
		{"end", "write the log of operation 1: the journal is away", true},
	} {
		t.Run(tt.call, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newVirtualWorld(t)
				w.journal.fail = func(call string) error {
					if call == tt.call {
						return away
					}
					return nil
				}
				r, err := w.reconciler("a run").Run(t.Context(), w.order(reconcile.Policy{}))
				if !errors.Is(err, away) || err.Error() != tt.want {
					t.Errorf("got %v, want %q", err, tt.want)
				}
				if done := len(w.written()) > 0; done != tt.done || done != (r.Counts.Created == 6) {
					t.Errorf("done: got %v, %+v, want %v", done, r.Counts, tt.done)
				}
			})
		})
	}
}

func TestProblemsAreCapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newVirtualWorld(t)
		crowd(w, 1005)
		w.web01().fault = func(_ int, r request) fault {
			f := fault{refuse: map[int]error{}}
			for i := range r.commands {
				f.refuse[i] = refused("Perl is broken")
			}
			return f
		}
		r := w.run(w.order(reconcile.Policy{}))
		if len(r.Problems) != 1000 || r.More != 7 || r.Counts.Failed != 1007 {
			t.Errorf("got %d problems, %d more and %+v, want 1000, 7 and 1007 failed", len(r.Problems), r.More, r.Counts)
		}
		if got := len(w.journal.lines(r.Operation, reconcile.LevelWarning)); got != 1007 {
			t.Errorf("the log has %d warnings, want all 1007", got)
		}
		if most := slices.Max(w.journal.bundles); most > 500 {
			t.Errorf("%d entries were written at once, want 500 at most", most)
		}
	})
}

func TestADryRunIsNotLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newVirtualWorld(t)
		w.web01().takes = 2 * time.Second
		delete(w.subscribers, eve)
		_, r := w.plans(w.order(reconcile.Policy{}))
		if len(w.journal.operations)+len(w.journal.entries) > 0 {
			t.Errorf("journal: got %+v, want nothing", w.journal.operations)
		}
		if r.Counts.Created != 4 || r.Counts.Skipped != 1 {
			t.Errorf("counts: got %+v, want what would be done", r.Counts)
		}
		// It needs no lease: nobody is kept from working.
		if got := w.book.(*memory).fences["web01"]; got != 0 {
			t.Errorf("the lease was taken %d times", got)
		}
	})
}

// The store's own journal takes what a run writes.
func TestTheLogInTheStore(t *testing.T) {
	w := newWorld(t)
	s := w.book.(redisBook).Store
	w.edit = func(c *reconcile.Config) { c.Journal = s }
	delete(w.subscribers, eve)
	r := w.apply(reconcile.Policy{})
	o := ok(s.Operation(t.Context(), r.Operation))(t)
	if o.State != reconcile.StateDone || o.Counts != r.Counts {
		t.Errorf("operation: got %+v, want it done with %+v", o, r.Counts)
	}
	entries := ok(s.Entries(t.Context(), r.Operation, 0))(t)
	if !slices.ContainsFunc(entries, func(e reconcile.Entry) bool {
		return e.Level == reconcile.LevelNotice && e.Server == "web01" && e.User == "eve"
	}) {
		t.Errorf("log: got %+v, want it to name eve", entries)
	}
	if _, err := s.Operation(t.Context(), r.Operation+1); !errors.Is(err, store.ErrNoOperation) {
		t.Errorf("the next operation: got %v, want none", err)
	}
}

// What a server says of itself neither fills the store nor moves a cursor.
func TestLongWordsOfServersAreCut(t *testing.T) {
	w := newWorld(t)
	alone(w)
	w.web01().foreign("bob", invoices, "https://other.example/"+strings.Repeat("a", 1<<20)+"\x1b[2J")
	r := w.run(w.order(reconcile.Policy{}))
	for _, line := range w.journal.lines(r.Operation, reconcile.LevelDebug) {
		if len(line) > 1200 || strings.Contains(line, "\x1b") {
			t.Errorf("got a line of %d bytes: %.80q", len(line), line)
		}
	}
	for _, p := range r.Problems {
		if len(p.Message) > 1100 {
			t.Errorf("got a problem of %d bytes", len(p.Message))
		}
	}
}

// Whoever looks sees that a run goes on, also while it waits for a server and while
// the journal fails now and then.
func TestARunGivesSignsOfLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newVirtualWorld(t)
		w.web01().takes = time.Second
		lease := ok(w.book.Acquire(t.Context(), "web01", "another process", time.Hour))(t)
		pulses := 0
		w.journal.fail = func(call string) error {
			if call == "pulse" {
				pulses++
			}
			if call == "pulse" && pulses%3 != 1 {
				return errors.New("the store is away")
			}
			return nil
		}
		var running sync.WaitGroup
		running.Go(func() { w.apply(reconcile.Policy{}) })
		for range 600 {
			time.Sleep(100 * time.Millisecond)
			if !w.journal.alive(1) {
				t.Errorf("the run seems to be dead after %v", time.Since(w.journal.operation(1).Started))
				break
			}
		}
		if err := w.book.Release(t.Context(), lease); err != nil {
			t.Fatal(err)
		}
		running.Wait()
		time.Sleep(time.Minute)
		if w.journal.alive(1) {
			t.Error("the run seems to go on a minute after it has ended")
		}
	})
}
