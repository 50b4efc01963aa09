package reconcile_test

import (
	"slices"
	"testing"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

// An account that moved away and came back, or was restored from its twin, has a
// record that matches, while its links work by the records of where they come from.
// Those are forgotten last, and not while a click needs them.
func TestAnAccountThatCameBackLosesNoClick(t *testing.T) {
	twin := broker.Account{Server: "web02", User: "bob"}
	const repaired = "debug web01 latchkey_invoices: end: change, 1 done"
	kept := []string{"web01/bob", "web01/eve", "web02/bob", "web02/carol"}
	keptNotice := "notice web02 bob: the account is gone; its links are kept, because those of its namesake on web01 may work by them and could not be written anew"
	for _, tt := range []struct {
		name   string
		change func(*world)
		want   []string // accounts in the store
		log    string
		failed bool
	}{
		{"it is written anew first", nil, everyone(), repaired, false},
		{"it cannot be written", func(w *world) {
			w.web01().fault = func(_ int, r request) fault {
				f := fault{refuse: map[int]error{}}
				for i, c := range r.commands {
					if c.Function.Writes() {
						f.refuse[i] = refused("the disk is full")
					}
				}
				return f
			}
		}, kept, keptNotice, true},
		{"it cannot be looked at", func(w *world) {
			w.web01().fault = func(_ int, r request) fault {
				f := fault{refuse: map[int]error{}}
				for i, c := range r.commands {
					if c.Function == reconcile.GetLink {
						f.refuse[i] = refused("Perl is broken")
					}
				}
				return f
			}
		}, kept, keptNotice, true},
		{"its server fails", func(w *world) {
			w.web01().fault = func(_ int, r request) fault {
				if slices.ContainsFunc(r.commands, func(c reconcile.Command) bool { return c.Function == reconcile.GetLink }) {
					return fault{err: forbidden()}
				}
				return fault{}
			}
		}, kept, keptNotice, true},
		{"it has no subscriber", func(w *world) { delete(w.subscribers, bob) }, kept, keptNotice, false},
		{"it is gone as well", func(w *world) {
			delete(w.web01().accounts, "bob")
			clear(w.worked)
		}, []string{"web01/eve", "web02/carol"}, "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.web02().add("bob")
			w.subscribers[twin] = "1001"
			w.settled()
			w.web02().copyTo("bob", w.web01(), "bob")
			delete(w.web02().accounts, "bob")
			w.mu.Lock()
			delete(w.subscribers, twin)
			w.forgetPlaces("web02", "bob")
			w.check(bob)
			if !w.worked[place{bob, invoices}] {
				t.Error("a click on the copy does not work to begin with")
			}
			w.mu.Unlock()
			if tt.change != nil {
				tt.change(w)
			}
			plans, dry := w.plans(w.order(reconcile.Policy{}))
			r := w.run(w.order(reconcile.Policy{}))
			if r.OK() == tt.failed {
				t.Errorf("got %+v, want failed %v", r, tt.failed)
			}
			wantLines(t, "accounts in the store", w.accounts(), tt.want)
			if lines := w.journal.lines(r.Operation, reconcile.LevelDebug); tt.log != "" && !contains(lines, tt.log) {
				t.Errorf("log:\ngot  %q\nwant %q in it", lines, tt.log)
			}
			if tt.failed {
				return
			}
			if problem := matches(plans, w.written()); problem != "" {
				t.Error(problem)
			}
			wantCounts(t, "counts of the dry run", dry.Counts, r.Counts)
			if tt.log == repaired {
				w.wantAllWork(bob)
				if c := r.Counts; c.Changed != 2 || c.Unchanged != 4 {
					t.Errorf("counts: got %+v, want 2 changed and 4 unchanged", c)
				}
				w.wantDone(reconcile.Policy{})
			}
		})
	}
}
