package app

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

// report prints what a run plans and what came of it: text for people, or one
// JSON object a line.
type report struct {
	env    Env
	asJSON bool
	verify bool // differences are what the command is about

	mu      sync.Mutex
	out     *bufio.Writer
	planned int // steps
	groups  int // steps about groups
	show    bool
	plans   []reconcile.Plan // to be shown, in the order of their accounts
}

func newReport(env Env, asJSON bool) *report {
	return &report{env: env, asJSON: asJSON, out: bufio.NewWriter(env.Out)}
}

// start begins to show how far the servers are.
func (r *report) start(servers []string) *progress {
	if r.asJSON {
		return &progress{}
	}
	return newProgress(r.env, servers)
}

// plan is told of an account's plan, in no order. What is really done is counted
// and not printed step by step.
func (r *report) plan(p reconcile.Plan) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.planned += len(p.Steps)
	for _, s := range p.Steps {
		if s.Group != "" {
			r.groups++
		}
	}
	if r.show && (len(p.Steps) > 0 || r.asJSON) {
		r.plans = append(r.plans, p)
	}
}

// printPlans prints what is to be done, account by account.
func (r *report) printPlans() {
	slices.SortFunc(r.plans, func(a, b reconcile.Plan) int {
		return cmp.Or(cmp.Compare(a.Account.Server, b.Account.Server), cmp.Compare(a.Account.User, b.Account.User))
	})
	for _, p := range r.plans {
		if r.asJSON {
			r.encode(map[string]any{"plan": p})
			continue
		}
		whose := ""
		if p.Subscriber != "" {
			whose = " (subscriber " + p.Subscriber + ")"
		}
		fmt.Fprintf(r.out, "%s%s\n", p.Account, whose)
		for _, line := range planLines(p.Steps) {
			fmt.Fprintf(r.out, "  %s\n", line)
		}
	}
}

// maxNames is how many links a line of a plan names; -o json names all.
const maxNames = 4

// planLines joins steps of one kind and reason.
func planLines(steps []reconcile.Step) []string {
	var lines []string
	for len(steps) > 0 {
		first := steps[0]
		n := slices.IndexFunc(steps, func(s reconcile.Step) bool { return s.Kind != first.Kind || s.Why != first.Why })
		if n < 0 {
			n = len(steps)
		}
		var names []string
		for _, s := range steps[:n] {
			names = append(names, s.App+s.Group)
		}
		what := strings.Join(names[:min(len(names), maxNames)], ", ")
		if len(names) > maxNames {
			what += fmt.Sprintf(" and %d more", len(names)-maxNames)
		}
		lines = append(lines, fmt.Sprintf("%-13s %s: %s", first.Kind, what, first.Why))
		steps = steps[n:]
	}
	return lines
}

func (r *report) encode(v any) {
	_ = json.NewEncoder(r.out).Encode(v) // a broken pipe shows when it is flushed
}

// result prints what came of a run.
func (r *report) result(o reconcile.Order, result reconcile.Result) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.printPlans()
	if r.asJSON {
		r.encode(map[string]any{"result": result})
	} else {
		r.text(o, result)
	}
	if err := r.out.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

func (r *report) text(o reconcile.Order, result reconcile.Result) {
	for _, s := range result.Servers {
		switch s.State {
		case reconcile.ServerFailed:
			fmt.Fprintf(r.out, "FAILED  %s: %s\n", s.Server, s.Problem)
		case reconcile.ServerUnsupported:
			fmt.Fprintf(r.out, "%s does not support integration links; nothing was done there\n", s.Server)
		case reconcile.ServerInterrupted:
			fmt.Fprintf(r.out, "%s: stopped after %d of %d accounts\n", s.Server, s.Done, s.Accounts)
		case reconcile.ServerDone:
		}
	}
	for _, w := range result.Warnings {
		fmt.Fprintf(r.out, "Warning: %s\n", entryText(w))
	}
	for _, p := range result.Problems {
		if p.User != "" { // those of servers are told above
			fmt.Fprintf(r.out, "FAILED  %s\n", entryText(p))
		}
	}
	if result.More > 0 {
		fmt.Fprintf(r.out, "FAILED  %d more items: provisioner log --operation %d\n", result.More, result.Operation)
	}
	for _, n := range result.Notices {
		fmt.Fprintf(r.out, "Note: %s\n", entryText(n))
	}
	c := result.Counts
	groups := ""
	if r.groups > 0 {
		groups = fmt.Sprintf(" Groups: %d.", r.groups)
	}
	switch {
	case o.DryRun && r.planned == 0 && result.OK() && len(result.Warnings) == 0:
		fmt.Fprintf(r.out, "Everything is as wanted: %d links.\n", c.Unchanged)
	case o.DryRun:
		fmt.Fprintf(r.out, "To do: create %d, change %d, rotate %d, remove %d. Unchanged: %d.%s\n", c.Created, c.Changed, c.Rotated, c.Removed, c.Unchanged, groups)
	default:
		fmt.Fprintf(r.out, "Created %d, changed %d, rotated %d, removed %d. Unchanged: %d.\n", c.Created, c.Changed, c.Rotated, c.Removed, c.Unchanged)
	}
	if c.Skipped > 0 {
		fmt.Fprintf(r.out, "Without a subscriber, and left as they are: %s.\n", accounts(c.Skipped))
	}
	if c.Missing > 0 {
		fmt.Fprintf(r.out, "With a subscriber, and not on their server: %s.\n", accounts(c.Missing))
	}
	if c.Foreign > 0 {
		fmt.Fprintf(r.out, "Links of other makers, not touched: %d.\n", c.Foreign)
	}
	if c.Failed > 0 {
		fmt.Fprintf(r.out, "Failed: %d.\n", c.Failed)
	}
	if result.Operation > 0 {
		fmt.Fprintf(r.out, "Details: provisioner log --operation %d\n", result.Operation)
	}
}

// entryText is an entry without its time and level.
func entryText(e reconcile.Entry) string {
	where := e.Server
	if e.User != "" {
		where += "/" + e.User
	}
	if e.App != "" {
		where = strings.TrimSpace(where + " " + e.App)
	}
	if where == "" {
		return e.Message
	}
	return where + ": " + e.Message
}
