package app

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
	"github.com/latchkey-sso/latchkey/cmd/internal/config"
	"github.com/latchkey-sso/latchkey/cmd/internal/setup"
	"github.com/latchkey-sso/latchkey/store"
)

func controlsCommand(env cli.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "controls",
		Short: "Switch sign-on off and on: for a subscriber, an account, an app, a server, everything",
		Long: `controls switches sign-on off at every broker within a second, and on again.

What can be named:

  subscriber 1234      one customer at the portal, whatever the account
  account web01/bob    one cPanel account
  app invoices         one link of all accounts, with or without the prefix
  server web01         all accounts of one server: a quarantine
  everything           all sign-ons

One-time URLs that were handed out before are dead as well, also after the control
has ended: their users click again. Links stay where they are; a click on one leads
to the portal's own login meanwhile. A broker that has not been able to read the
controls for 5 seconds signs nobody on.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(controlsBlockCommand(env), controlsPauseCommand(env), controlsAllowCommand(env), controlsListCommand(env))
	return cmd
}

// controlFlags are those of commands that change controls.
type controlFlags struct {
	env          cli.Env
	source       *cli.Source
	note, author *string
	yes          *bool
}

func newControlFlags(env cli.Env, cmd *cobra.Command) *controlFlags {
	cmd.Args = cobra.RangeArgs(1, 2)
	source := cli.Configured(env, cmd, false)
	cmd.ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		switch {
		case len(args) == 0:
			var scopes []cobra.Completion
			for _, scope := range broker.ControlScopes() {
				scopes = append(scopes, string(scope))
			}
			return scopes, cobra.ShellCompDirectiveNoFileComp
		case len(args) == 1 && args[0] == string(broker.ScopeServer):
			return source.Offer((*config.Config).ServerIDs)
		case len(args) == 1 && args[0] == string(broker.ScopeApp):
			return source.Offer(setup.LinkIDs)
		}
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return &controlFlags{
		env: env, source: source,
		note:   cmd.Flags().String("note", "", "why, for colleagues"),
		author: cmd.Flags().String("author", "", "who does it, as the list names it (default: user@host)"),
		yes:    cmd.Flags().Bool("yes", false, "do not ask"),
	}
}

// control is the control that the arguments and flags ask for.
func (f *controlFlags) control(cfg *config.Config, args []string) (broker.Control, error) {
	target := broker.ControlTarget{Scope: broker.ControlScope(args[0])}
	if len(args) == 2 {
		target.Name = args[1]
	}
	if target.Scope == broker.ScopeApp && !strings.HasPrefix(target.Name, cfg.AppPrefix) {
		target.Name = cfg.AppPrefix + target.Name
	}
	c := broker.Control{Target: target, Author: cmp.Or(*f.author, cli.Author()), Note: *f.note}
	if err := c.Validate(); err != nil {
		if invalid, is := errors.AsType[*broker.Error](err); is {
			return broker.Control{}, cli.Usagef("%s %s\nSee `broker controls --help`.", invalid.Field, invalid.Problem)
		}
		return broker.Control{}, cli.Usagef("%w", err)
	}
	return c, nil
}

// change runs a command that sets one control. finish completes it, knowing what is
// kept there now.
func (f *controlFlags) change(args []string, question string, finish func(c broker.Control, before store.KeptControl, now time.Time) (broker.Control, string, error)) error {
	cfg, err := f.source.Load(config.RoleBroker)
	if err != nil {
		return err
	}
	c, err := f.control(cfg, args)
	if err != nil {
		return err
	}
	if question != "" && c.Target.Scope == broker.ScopeEverything && !*f.yes && !cli.Confirmed(f.env, question) {
		if f.env.Signals.Err() != nil {
			return &cli.InterruptedError{State: "nothing was changed"}
		}
		return cli.Usagef("nothing was changed; answer y, or use --yes")
	}
	return inStore(f.source, cfg, func(ctx context.Context, cfg *config.Config, s *store.Store) error {
		before, err := s.KeptControl(ctx, c.Target)
		if err != nil {
			return storeError(cfg, err)
		}
		// Not by the clock of this machine: the store's is one for everybody.
		status, err := s.Status(ctx)
		if err != nil {
			return storeError(cfg, err)
		}
		c, said, err := finish(c, before, status.Now)
		if err != nil {
			return err
		}
		over := &before
		if c.Until.IsZero() {
			over = nil // a block comes in place of whatever is there
		}
		switch err := s.SetControl(ctx, c, status.Now, over); {
		case errors.Is(err, store.ErrControlChanged):
			return fmt.Errorf("%s: %w: look at `broker controls list` and try again", c.Target, err)
		case errors.Is(err, store.ErrTooManyControls):
			return fmt.Errorf("%w, with those that ended within the last hour, which keep their places: "+
				"end some with `broker controls allow` and try again in an hour, or now block a server, an app or everything, for which room is kept", err)
		case broker.ReasonOf(err) == broker.ReasonInvalidRequest:
			return fmt.Errorf("%s: %w: give it with the command", c.Target, err)
		case err != nil:
			return storeError(cfg, err)
		}
		fmt.Fprintln(f.env.Out, said)
		if c.InForce(status.Now) {
			if doubt := doubtOf(ctx, cfg, s, c.Target); doubt != "" {
				fmt.Fprintln(f.env.Err, "Note: "+doubt)
			}
		}
		return nil
	})
}

// doubtOf is about a name that nobody knows, or empty: a typing error would switch
// off nothing. The control is in force all the same, also for what comes later. What
// the store does not tell is no doubt.
func doubtOf(ctx context.Context, cfg *config.Config, s *store.Store, t broker.ControlTarget) string {
	server, user, _ := strings.Cut(t.Name, "/")
	if t.Scope == broker.ScopeServer || t.Scope == broker.ScopeAccount {
		if _, known := cfg.Server(server); !known {
			return fmt.Sprintf("server %q is not in the configuration; it cannot sign anybody on anyway.", server)
		}
	}
	switch t.Scope {
	case broker.ScopeAccount:
		records, err := s.Load(ctx, []broker.Account{{Server: server, User: user}})
		if err == nil && len(records[0].Links) == 0 {
			return fmt.Sprintf("the store knows no link of account %s; is the name right? (`broker links list --server %s` shows them)", t.Name, server)
		}
	case broker.ScopeApp:
		catalogue, err := inForce(ctx, cfg, s)
		if err != nil {
			return ""
		}
		if _, known := catalogue.Lookup(t.Name); !known {
			return fmt.Sprintf("app %q is not in the catalogue; there are: %s", t.Name, strings.Join(appNames(catalogue), ", "))
		}
	}
	return ""
}

// inForce is the catalogue of the store's revision, or the configuration's while
// there is none.
func inForce(ctx context.Context, cfg *config.Config, s *store.Store) (*broker.Catalogue, error) {
	r, err := s.Revision(ctx, 0)
	if errors.Is(err, store.ErrNoRevision) {
		return setup.NewCatalogue(cfg)
	}
	if err != nil {
		return nil, err
	}
	catalogue, _, err := setup.RevisionCatalogue(cfg, r)
	return catalogue, err
}

func controlsBlockCommand(env cli.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "block subscriber|account|app|server|everything [NAME]",
		Short: "Switch sign-on off until it is allowed again",
		Example: "  broker controls block -c latchkey.yaml subscriber 1234 --note 'chargeback, see ticket 77'\n" +
			"  broker controls block -c latchkey.yaml server web01",
	}
	f := newControlFlags(env, cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		return f.change(args, "Switch off all sign-ons, of all customers?", func(c broker.Control, _ store.KeptControl, now time.Time) (broker.Control, string, error) {
			c.At = now
			return c, fmt.Sprintf("Sign-on is blocked for %s, at every broker within a second.", c.Target), nil
		})
	}
	return cmd
}

// maxPause is the longest pause: whoever wants more wants a block.
const maxPause = 366 * 24 * time.Hour

func controlsPauseCommand(env cli.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "pause subscriber|account|app|server|everything [NAME] --for 24h",
		Short:   "Switch sign-on off for a while",
		Example: "  broker controls pause -c latchkey.yaml subscriber 1234 --for 24h\n  broker controls pause -c latchkey.yaml everything --for 30m --yes",
	}
	f := newControlFlags(env, cmd)
	long := cli.DurationFlag(cmd, "for", 0, "how long: 90s, 30m, 24h, 2d; up to a year")
	_ = cmd.MarkFlagRequired("for")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if *long < time.Second || *long > maxPause {
			return cli.Usagef("--for %s: give 1s to 366d; whoever wants more wants `broker controls block`", *long)
		}
		return f.change(args, "Switch off all sign-ons, of all customers?", func(c broker.Control, before store.KeptControl, now time.Time) (broker.Control, string, error) {
			c.At, c.Until = now, now.Add(*long)
			if former := before.Control; former.Target == c.Target && former.Until.IsZero() {
				return c, "", fmt.Errorf("sign-on is blocked for %s, by %s since %s: a pause would end that; use `broker controls allow` first",
					c.Target, former.Author, cli.Moment(former.At))
			}
			if before.Damaged > 0 {
				return c, "", fmt.Errorf("sign-on is blocked for %s, by damaged records (%d): a pause would end that; use `broker controls allow` first",
					c.Target, before.Damaged)
			}
			return c, fmt.Sprintf("Sign-on is paused for %s until %s, at every broker within a second.", c.Target, cli.Moment(c.Until)), nil
		})
	}
	return cmd
}

func controlsAllowCommand(env cli.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "allow subscriber|account|app|server|everything [NAME]",
		Short:   "End a block or a pause",
		Example: "  broker controls allow -c latchkey.yaml subscriber 1234",
	}
	f := newControlFlags(env, cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		return f.change(args, "", func(c broker.Control, before store.KeptControl, now time.Time) (broker.Control, string, error) {
			former := before.Control
			there := former.Target == c.Target
			if before.Damaged == 0 && (!there || !former.InForce(now)) {
				return c, "", fmt.Errorf("there is no control of %s (`broker controls list` shows them)", c.Target)
			}
			c.At, c.Until = now, now
			if there {
				c.At, c.Note = former.At, cmp.Or(c.Note, former.Note)
			}
			said := fmt.Sprintf("The control of %s has ended, at every broker within a second.", c.Target)
			if before.Damaged > 0 {
				said += fmt.Sprintf(" Damaged records that were removed: %d.", before.Damaged)
			}
			return c, said, nil
		})
	}
	return cmd
}

// controlRow is one control as `controls list` shows it.
type controlRow struct {
	Scope  broker.ControlScope `json:"scope"`
	Name   string              `json:"name,omitempty"`
	State  string              `json:"state"`
	At     time.Time           `json:"at,omitzero"`
	Until  time.Time           `json:"until,omitzero"`
	Author string              `json:"author"`
	Note   string              `json:"note,omitempty"`
}

func newControlRow(c broker.Control, now time.Time) controlRow {
	row := controlRow{c.Target.Scope, c.Target.Name, "blocked", c.At.UTC(), c.Until.UTC(), c.Author, c.Note}
	switch {
	case !c.InForce(now):
		row.State = "ended"
	case !c.Until.IsZero():
		row.State = "paused"
	}
	return row
}

func controlsListCommand(env cli.Env) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List what sign-on is switched off for", Args: cobra.NoArgs}
	source := cli.Configured(env, cmd, false)
	ended := cmd.Flags().Bool("ended", false, "also those that ended within the last hour")
	output := cli.OutputFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		asJSON, err := output()
		if err != nil {
			return err
		}
		return withStore(source, func(ctx context.Context, cfg *config.Config, s *store.Store) error {
			all, damaged, err := s.ListControls(ctx)
			if err != nil {
				return storeError(cfg, err)
			}
			status, err := s.Status(ctx)
			if err != nil {
				return storeError(cfg, err)
			}
			rows := []controlRow{}
			for _, c := range all.List() {
				switch recent := status.Now.Sub(c.Until) <= broker.ControlMemory; {
				case c.InForce(status.Now), *ended && recent:
					rows = append(rows, newControlRow(c, status.Now))
				}
			}
			for _, c := range damaged {
				rows = append(rows, newControlRow(c, status.Now))
			}
			return printControls(env, rows, asJSON)
		})
	}
	return cmd
}

func printControls(env cli.Env, rows []controlRow, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(env.Out).Encode(rows)
	}
	if len(rows) == 0 {
		fmt.Fprintln(env.Err, "There are no controls: everybody may sign on.")
		return nil
	}
	out := bufio.NewWriter(env.Out)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SCOPE\tNAME\tSTATE\tSINCE\tUNTIL\tBY\tNOTE")
	for _, r := range rows {
		since, until := "unknown", "allowed again"
		if !r.At.IsZero() {
			since = cli.Moment(r.At)
		}
		if !r.Until.IsZero() {
			until = cli.Moment(r.Until)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Scope, r.Name, r.State, since, until, r.Author, r.Note)
	}
	return errors.Join(table.Flush(), out.Flush())
}
