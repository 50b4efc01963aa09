package app_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/latchkey-sso/latchkey/broker/reconcile"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// A second run writes nothing, and asks no more than one question an account.
func TestSecondApplyOnlyLooks(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		args  []string
		reads func(accounts int) map[string]int // of one server
	}{
		{"apply", []string{"apply"}, func(accounts int) map[string]int {
			return map[string]int{"applist": 1, "listaccts": 1, "list_integration_links": accounts}
		}},
		{"plan", []string{"plan"}, func(accounts int) map[string]int {
			return map[string]int{"applist": 1, "listaccts": 1, "list_integration_links": accounts}
		}},
		{"apply that trusts the store", []string{"apply", "--trust-store"}, func(int) map[string]int {
			return map[string]int{"listaccts": 1}
		}},
		{"plan that trusts the store", []string{"plan", "--trust-store"}, func(int) map[string]int {
			return map[string]int{"listaccts": 1}
		}},
	}
	w := newWorld(t, "web01", "web02")
	var rows []string
	accounts := map[string]int{"web01": 5, "web02": 2}
	for server, n := range accounts {
		for i := range n {
			w.account(fmt.Sprintf("%s/user%d", server, i))
			rows = append(rows, fmt.Sprintf("%s,user%d,10%d", server, i, i))
		}
	}
	w.subscribers(rows...)
	w.configure(settings{requests: 4}) // the default catalogue, of fourteen links
	w.ok("apply")
	stored := w.accounts()
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w.resetJournals()
			w.ok(test.args...)
			for id, p := range w.servers {
				if got := p.whm.Writes(); len(got) > 0 {
					t.Errorf("%s: got the writes %v, want none", id, got)
				}
				if got, want := p.whm.Reads(), test.reads(accounts[id]); !maps.Equal(got, want) {
					t.Errorf("%s: got the reads %v, want %v", id, got, want)
				}
			}
			if got := w.accounts(); got != stored {
				t.Errorf("the store has changed to\n%s\nfrom\n%s", got, stored)
			}
		})
	}
}

// What the store has never seen it cannot be trusted about: others may have been
// there first.
func TestTrustStoreOfAStranger(t *testing.T) {
	w := newWorld(t, "web01", "web02")
	threeAccounts(w)
	w.configure(settings{links: threeLinks})
	theirs := w.link("web01", "bob", "latchkey_theirs")
	theirs.App = "latchkey_tickets"
	ok(w, w.servers["web01"].state.PutLink("alice", theirs))
	foreign := w.foreign()
	w.run("apply", "--trust-store")
	w.same("apply --trust-store", foreign)
}

// step is one write on a server.
type step struct{ server, user, function, what string }

func (s step) String() string { return s.server + "/" + s.user + " " + s.function + " " + s.what }

// functions are the writes that steps of a plan lead to; steps that change the store
// alone lead to none.
var functions = map[reconcile.StepKind]string{
	reconcile.StepCreateGroup: "create_integration_group", reconcile.StepRemoveGroup: "remove_integration_group",
	reconcile.StepCreate: "create_integration_link", reconcile.StepChange: "create_integration_link",
	reconcile.StepRotate: "update_integration_link_token", reconcile.StepRemove: "remove_integration_link",
}

// planned reads what `plan -o json` printed.
func planned(t *testing.T, out string) []step {
	t.Helper()
	var steps []step
	for _, line := range jsonLines(t, out) {
		var object struct{ Plan *reconcile.Plan }
		if err := json.Unmarshal(line, &object); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if object.Plan == nil {
			continue
		}
		for _, s := range object.Plan.Steps {
			if f := functions[s.Kind]; f != "" {
				steps = append(steps, step{object.Plan.Account.Server, object.Plan.Account.User, f, s.App + s.Group})
			}
		}
	}
	return steps
}

// jsonLines holds standard output against the rule that -o json prints one JSON
// object a line and nothing else.
func jsonLines(t *testing.T, out string) [][]byte {
	t.Helper()
	var lines [][]byte
	for line := range strings.Lines(out) {
		line := []byte(strings.TrimSuffix(line, "\n"))
		var compact bytes.Buffer
		if err := json.Compact(&compact, line); err != nil || len(line) == 0 {
			t.Errorf("standard output has the line %q, want JSON alone: %v", line, err)
			continue
		}
		lines = append(lines, line)
	}
	return lines
}

// written are the writes of the servers.
func (w *world) written() []step {
	var steps []step
	for _, id := range w.ids() {
		for _, c := range w.servers[id].whm.Journal() {
			if !c.Write {
				continue
			}
			what := c.App
			if what == "" {
				what = c.Group
			}
			steps = append(steps, step{id, c.User, c.Function, what})
		}
	}
	return steps
}

// byAccount puts steps into the order of their accounts, and leaves those of an
// account in theirs.
func byAccount(steps []step) []step {
	slices.SortStableFunc(steps, func(a, b step) int {
		return strings.Compare(a.server+"/"+a.user, b.server+"/"+b.user)
	})
	return steps
}

func TestPlanIsWhatApplyDoes(t *testing.T) {
	for _, c := range crashes() {
		if c.args[0] != "apply" {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "web01", "web02")
			c.prepare(w)
			before := w.stored()
			w.resetJournals()
			plan := byAccount(planned(t, w.ok("plan", "-o", "json")))
			if got := w.written(); len(got) > 0 {
				t.Fatalf("plan wrote %v", got)
			}
			if got := w.stored(); got != before {
				t.Errorf("plan has changed the store to\n%s\nfrom\n%s", got, before)
			}
			if len(plan) == 0 {
				t.Fatal("the plan is empty")
			}
			w.resetJournals()
			w.ok("apply")
			if done := byAccount(w.written()); !slices.Equal(done, plan) {
				t.Errorf("apply did\n%v\nplanned was\n%v", done, plan)
			}
		})
	}
}

// stored is all that is in Redis, but for the probe of each command, which lives a
// second.
func (w *world) stored() string {
	w.t.Helper()
	var all strings.Builder
	for line := range strings.Lines(storetest.Dump(w.t, w.redis)) {
		if !strings.Contains(line, "{probe} = ") {
			all.WriteString(line)
		}
	}
	return all.String()
}

// Two processes on one fleet at once do no harm.
func TestTwoAtOnce(t *testing.T) {
	tests := []struct {
		name          string
		prepare       func(*world) desired
		first, second []string
	}{
		{"two first applies", firstApply(4), []string{"apply"}, []string{"apply"}},
		{"two applies of a change", catalogueChanged, []string{"apply"}, []string{"apply"}},
		{"apply and rotate", catalogueChanged, []string{"apply"}, []string{"rotate", "--all"}},
		{"apply and rotate of one account", subscriberChanged, []string{"apply"}, []string{"rotate", "--account", "web01/alice"}},
		{"two rotates", applied, []string{"rotate", "--all"}, []string{"rotate", "--all"}},
		{"repair and apply", drifted, []string{"verify", "--repair"}, []string{"apply"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "web01", "web02")
			want := test.prepare(w)
			before, foreign := w.snapshot(), w.foreign()
			for range 3 {
				w.restore(before)
				w.resetJournals()
				first, second := w.process(test.first...), w.process(test.second...)
				first.start()
				second.start()
				for _, p := range []*process{first, second} {
					if r := w.ended(p); r.code != 0 {
						t.Errorf("%s: exit code %d, want 0\n%s%s", p.args, r.code, r.out, r.err)
					}
				}
				w.ok("apply") // a rotation that came first has kept the former catalogue
				if err := want.reached(w); err != nil {
					t.Error(err)
				}
				w.same("both at once", foreign)
			}
		})
	}
}
