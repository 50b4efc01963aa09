package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
)

const trustHelp = "believe the store about what stands on the servers: one request a server instead of one an account"

func planCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Show what apply would do",
		Long: `plan compares what is wanted with what the servers have and prints the difference.
It changes nothing: no server, no record, no revision of the catalogue.

With -o json it prints one JSON object a line: an object "plan" for each account
that needs something, or where something is left alone, and an object "result" at
the end.`,
		Example: "  provisioner plan -c latchkey.yaml --server web01",
	}
	t := newTarget(env, cmd)
	p := newPublishing(cmd)
	trust := cmd.Flags().Bool("trust-store", false, trustHelp)
	output := cli.OutputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return t.run(env, output, func(ctx context.Context, f *fleet, out *report) error {
			n, err := p.next(ctx, f)
			if err != nil {
				return asUsage(err)
			}
			n.say(f, true)
			o, err := f.order(ctx, reconcile.OperationApply, n.revision, t)
			if err != nil {
				return err
			}
			o.DryRun, o.Policy.TrustStore = true, *trust
			return f.do(ctx, "plan", o, out)
		})
	}
	return cmd
}

func applyCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "apply",
		Short: "Bring the servers to what is wanted",
		Long: `apply publishes the file's links as a new revision of the catalogue when they have
changed, and brings every server to it: it creates, changes and removes links and
replaces link tokens that are past broker.link_token_max_age.

Stopped with Ctrl-C, or killed, it has lost nothing: run it again to go on.`,
		Example: "  provisioner apply -c latchkey.yaml\n  provisioner apply -c latchkey.yaml --server web01 --app invoices",
	}
	t := newTarget(env, cmd)
	p := newPublishing(cmd)
	trust := cmd.Flags().Bool("trust-store", false, trustHelp)
	forget := cmd.Flags().Bool("forget", false, "forget accounts that are gone also where most of a server's are")
	output := cli.OutputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return t.run(env, output, func(ctx context.Context, f *fleet, out *report) error {
			n, err := p.next(ctx, f)
			if err != nil {
				return asUsage(err)
			}
			// The subscribers are read first: nothing is published when they are wrong.
			o, err := f.order(ctx, reconcile.OperationApply, n.revision, t)
			if err != nil {
				return err
			}
			if err := n.put(ctx, f); err != nil {
				return err
			}
			n.say(f, false)
			if len(o.Wanted.Apps()) == 0 {
				fmt.Fprintln(env.Err, "The catalogue has no link that is switched on: all links of ours are removed.")
			}
			o.Wanted.Revision = n.revision.Number
			o.Policy.TrustStore, o.ForgetMany = *trust, *forget
			return f.do(ctx, "apply", o, out)
		})
	}
	return cmd
}

func removeCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "remove",
		Short: "Remove links from the servers",
		Long: `remove takes links of ours away, from the servers and from the store. Links and groups
of other makers stay. What the catalogue still wants, the next apply creates again.
To remove what is gone already is no error: a command may be repeated.`,
		Example: "  provisioner remove -c latchkey.yaml --app invoices\n  provisioner remove -c latchkey.yaml --all --yes",
	}
	t := newTarget(env, cmd)
	all := cmd.Flags().Bool("all", false, "remove all links, and the group")
	yes := cmd.Flags().Bool("yes", false, "do not ask")
	output := cli.OutputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *all == (len(t.apps) > 0) {
			return cli.Usagef("say what to remove: --app NAME, or --all")
		}
		return t.run(env, output, func(ctx context.Context, f *fleet, out *report) error {
			w, err := f.wantedInForce(ctx)
			if err != nil {
				return err
			}
			if err := f.leaveOutUnknown(ctx, t, w, out); err != nil {
				return err
			}
			if !*all && len(t.apps) == 0 {
				return nil // and no empty list to the order, which would mean all
			}
			what, where := "all links of ours", "every server"
			if !*all {
				what = strings.Join(t.apps, ", ")
			}
			if len(t.servers) > 0 {
				where = strings.Join(t.servers, ", ")
			}
			if !*yes {
				known, err := f.recorded(ctx, t)
				if err != nil {
					return err
				}
				if !cli.Confirmed(env.Env, fmt.Sprintf("Remove %s from %s? The store knows %s. Customers lose them at once.", what, where, known)) {
					if env.Signals.Err() != nil {
						return &cli.InterruptedError{State: "nothing was removed"}
					}
					return cli.Usagef("nothing was removed; answer y, or use --yes")
				}
			}
			o := reconcile.Order{
				Kind: reconcile.OperationRemove, Wanted: w, Servers: t.servers,
				Policy: reconcile.Policy{Remove: true, Apps: t.apps},
			}
			if err := f.do(ctx, "remove", o, out); err != nil {
				return err
			}
			if slices.ContainsFunc(w.Apps(), func(app string) bool { return *all || slices.Contains(t.apps, app) }) {
				fmt.Fprintln(env.Err, "The catalogue still has them: the next apply, or the daemon, creates them again. Switch them off there (enabled: false) to keep them away.")
			}
			return nil
		})
	}
	return cmd
}

func rotateCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Give links new tokens",
		Long: `rotate replaces the link tokens of accounts. No click is lost: the former token is
accepted until the server has the new one.`,
		Example: "  provisioner rotate -c latchkey.yaml --account web01/bob\n  provisioner rotate -c latchkey.yaml --server web01",
	}
	t := newTarget(env, cmd)
	accounts := cmd.Flags().StringSlice("account", nil, "only these accounts: web01/bob (may be given several times)")
	_ = cmd.RegisterFlagCompletionFunc("account", t.completeAccount)
	all := cmd.Flags().Bool("all", false, "all accounts of all servers")
	output := cli.OutputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		given := 0
		for _, is := range []bool{len(t.servers) > 0, len(*accounts) > 0, *all} {
			if is {
				given++
			}
		}
		if given != 1 {
			return cli.Usagef("say what to rotate: one of --server, --account, --all")
		}
		return t.run(env, output, func(ctx context.Context, f *fleet, out *report) error {
			w, err := f.wantedInForce(ctx)
			if err != nil {
				return err
			}
			o := reconcile.Order{
				Kind: reconcile.OperationRotate, Wanted: w, Servers: t.servers,
				// Tokens are dated to the second: those of this one as well.
				Policy: reconcile.Policy{Rotate: true, RotateBefore: env.Now().Add(time.Second), Apps: t.apps},
			}
			if o.Accounts, err = parseAccounts(*accounts, f); err != nil {
				return err
			}
			if err := t.knownApps(w); err != nil {
				return err
			}
			for _, a := range o.Accounts {
				if !slices.Contains(o.Servers, a.Server) {
					o.Servers = append(o.Servers, a.Server)
				}
			}
			return f.do(ctx, "rotate", o, out)
		})
	}
	return cmd
}

func parseAccounts(names []string, f *fleet) ([]broker.Account, error) {
	var accounts []broker.Account
	for _, name := range names {
		server, user, ok := strings.Cut(name, "/")
		a := broker.Account{Server: server, User: user}
		if err := (broker.Link{Account: a, App: "x"}).Validate(); !ok || err != nil {
			return nil, cli.Usagef("--account %q: write it as server/user, like web01/bob", name)
		}
		if _, known := f.cfg.Server(server); !known {
			return nil, cli.Usagef("--account %q: the server is not in the configuration; there are: %s", name, strings.Join(f.cfg.ServerIDs(), ", "))
		}
		accounts = append(accounts, a)
	}
	return accounts, nil
}

func verifyCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Compare every link with the servers, field by field",
		Long: `verify reads every link of ours from the servers and compares it with what is wanted:
changed labels, URLs, icons, links that are missing, copied or left over. That is
one command a link: it takes longer than plan. --repair mends what it finds.

WHM does not tell the token of a link. After a server or the Redis was restored from
a backup, tokens may be older than the store's: use rotate then.

Without --repair, exit code 1 says that something differs.`,
		Example: "  provisioner verify -c latchkey.yaml\n  provisioner verify -c latchkey.yaml --repair",
	}
	t := newTarget(env, cmd)
	repair := cmd.Flags().Bool("repair", false, "mend what differs")
	output := cli.OutputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return t.run(env, output, func(ctx context.Context, f *fleet, out *report) error {
			r, err := f.revisionInForce(ctx)
			if err != nil {
				return err
			}
			o, err := f.order(ctx, reconcile.OperationRepair, r, t)
			if err != nil {
				return err
			}
			o.Policy.Deep, o.DryRun = true, !*repair
			o.Policy.RotateBefore = time.Time{} // the age of a token is no drift
			out.verify = !*repair
			return f.do(ctx, "verify", o, out)
		})
	}
	return cmd
}

// run opens the fleet, does the work and closes it.
func (t *target) run(env Env, output func() (bool, error), work func(context.Context, *fleet, *report) error) error {
	asJSON, err := output()
	if err != nil {
		return err
	}
	f, err := t.open(env)
	if err != nil {
		return err
	}
	defer f.close()
	ctx := t.source.Cmd.Context()
	err = work(ctx, f, newReport(env, asJSON))
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return errInterrupted // the store was asked when the stop came
	}
	return err
}

var errInterrupted = &cli.InterruptedError{State: "nothing is lost: run the same command again to go on"}

// order is what plan, apply and verify have in common.
func (f *fleet) order(ctx context.Context, kind reconcile.OperationKind, r broker.Revision, t *target) (reconcile.Order, error) {
	o := reconcile.Order{Kind: kind, Servers: t.servers, Policy: reconcile.Policy{Apps: t.apps}}
	var err error
	if o.Wanted, err = f.wanted(r); err != nil {
		return o, err
	}
	if err := t.knownApps(o.Wanted); err != nil {
		return o, err
	}
	if o.Directory, err = f.directory(ctx); err != nil {
		if wrong, is := errors.AsType[*reconcile.SourceError](err); is {
			return o, cli.Usagef("%w\nNothing was done.", wrong)
		}
		return o, err
	}
	if age := f.cfg.Broker.LinkTokenMaxAge; age > 0 {
		o.Policy.RotateBefore = f.env.Now().Add(-age)
	}
	return o, nil
}

// do runs an order, shows how far it is, and prints what came of it.
func (f *fleet) do(ctx context.Context, command string, o reconcile.Order, out *report) error {
	o.OnPlan, out.show = out.plan, o.DryRun
	progress := out.start(f.serversOf(o))
	heard := context.AfterFunc(ctx, progress.stopping)
	result, err := f.reconciler(command, progress.observe).Run(ctx, o)
	heard()
	progress.stop()
	if err != nil {
		return f.storeError(err)
	}
	if err := out.result(o, result); err != nil {
		return err
	}
	switch {
	case result.Interrupted:
		return errInterrupted
	case !result.OK(), out.verify && out.planned > 0:
		return cli.ErrSaid
	}
	return nil
}

func (f *fleet) serversOf(o reconcile.Order) []string {
	if len(o.Servers) > 0 {
		return o.Servers
	}
	return f.cfg.ServerIDs()
}
