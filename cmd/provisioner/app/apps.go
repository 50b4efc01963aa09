package app

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
)

// knownApps refuses an --app that the catalogue has not.
func (t *target) knownApps(w *reconcile.Wanted) error {
	for _, app := range t.apps {
		if !w.Knows(app) {
			return cli.Usagef("--app %q is not in the catalogue; there are: %s", app, strings.Join(w.Apps(), ", "))
		}
	}
	return nil
}

// leaveOutUnknown takes an --app off the command that is nowhere: not in the
// catalogue, not in the store, and not on a server that the command is for. That is no
// mistake of the caller's: who repeats a command finds what it has removed gone. Only
// for the last are servers asked, by a run that changes nothing; what cannot be asked
// is left to the real run.
func (f *fleet) leaveOutUnknown(ctx context.Context, t *target, w *reconcile.Wanted, out *report) error {
	unknown := slices.DeleteFunc(slices.Clone(t.apps), w.Knows)
	if len(unknown) == 0 {
		return nil
	}
	recorded := map[string]bool{}
	if err := f.eachLink(ctx, f.cfg.ServerIDs(), func(l broker.Link) { recorded[l.App] = true }); err != nil {
		return f.storeError(fmt.Errorf("look for the link in the store: %w", err))
	}
	if unknown = slices.DeleteFunc(unknown, func(app string) bool { return recorded[app] }); len(unknown) == 0 {
		return nil
	}
	fmt.Fprintf(f.env.Err, "Neither the catalogue nor the store knows %s: looking on the servers.\n", strings.Join(unknown, ", "))
	var mu sync.Mutex
	found := map[string]bool{}
	order := reconcile.Order{
		Kind: reconcile.OperationRemove, Wanted: w, Servers: t.servers, DryRun: true,
		Policy: reconcile.Policy{Remove: true, Apps: unknown},
		OnPlan: func(p reconcile.Plan) {
			mu.Lock()
			defer mu.Unlock()
			for _, s := range p.Steps {
				found[s.App] = true
			}
			for _, e := range p.Left {
				found[e.App] = true
			}
		},
	}
	result, err := f.reconciler("remove", nil).Run(ctx, order)
	switch {
	case err != nil:
		return f.storeError(err)
	case result.Interrupted:
		return &cli.InterruptedError{State: "nothing was removed"}
	case !result.OK():
		return nil
	}
	for _, app := range unknown {
		if !found[app] {
			fmt.Fprintf(f.env.Err, "Note: --app %q is not in the catalogue, not in the store and on no server, so there is nothing to remove; there are: %s\n", app, strings.Join(allApps(w, recorded), ", "))
			t.apps = slices.DeleteFunc(t.apps, func(a string) bool { return a == app })
		}
	}
	if len(t.apps) == 0 && out.asJSON {
		return out.result(order, result)
	}
	return nil
}

// allApps are those of the catalogue, and behind them those that only the store has.
func allApps(w *reconcile.Wanted, recorded map[string]bool) []string {
	apps := slices.Clone(w.Apps())
	for _, app := range slices.Sorted(maps.Keys(recorded)) {
		if !slices.Contains(apps, app) {
			apps = append(apps, app)
		}
	}
	return apps
}
