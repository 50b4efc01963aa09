package app

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/latchkey-sso/latchkey/broker/reconcile"
	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
	"github.com/latchkey-sso/latchkey/store"
)

func logCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "log",
		Short: "Show operations and what they logged",
		Long: `log lists the latest operations, or with --operation what one of them has logged.

Levels, from the least: debug (start and end of steps), information (a server
without support for integration links), notice (no server supports them; what was
left alone), warning (what WHM or the network answered).`,
		Example: "  provisioner log -c latchkey.yaml\n  provisioner log -c latchkey.yaml --operation 12 --level warning",
	}
	t := newTarget(env, cmd)
	operation := cmd.Flags().Int64("operation", 0, "show the entries of this operation")
	level := cmd.Flags().String("level", string(reconcile.LevelInformation), "least level: debug, information, notice, warning")
	limit := cmd.Flags().Int("limit", 20, "how many operations to list")
	output := cli.OutputFlag(cmd)
	_ = cmd.RegisterFlagCompletionFunc("level", cobra.FixedCompletions(
		[]cobra.Completion{"debug", "information", "notice", "warning"}, cobra.ShellCompDirectiveNoFileComp))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		switch *level { // as other logs call them
		case "info":
			*level = string(reconcile.LevelInformation)
		case "warn":
			*level = string(reconcile.LevelWarning)
		}
		least := slices.Index(reconcile.Levels(), reconcile.Level(*level))
		switch {
		case least < 0:
			return cli.Usagef("--level %q: use debug, information, notice or warning", *level)
		case *limit < 1 || *limit > 1000:
			return cli.Usagef("--limit must be from 1 to 1000")
		case *operation < 0:
			return cli.Usagef("--operation must be a number that `provisioner log` lists")
		}
		asJSON, err := output()
		if err != nil {
			return err
		}
		f, err := t.open(env)
		if err != nil {
			return err
		}
		defer f.close()
		if *operation == 0 {
			return f.listOperations(cmd.Context(), *limit, asJSON)
		}
		keep := func(e reconcile.Entry) bool {
			return slices.Index(reconcile.Levels(), e.Level) >= least &&
				(len(t.servers) == 0 || slices.Contains(t.servers, e.Server)) &&
				(len(t.apps) == 0 || slices.Contains(t.apps, e.App))
		}
		return f.showOperation(cmd.Context(), *operation, keep, asJSON)
	}
	return cmd
}

func (f *fleet) listOperations(ctx context.Context, limit int, asJSON bool) error {
	operations, err := f.store.Operations(ctx, limit)
	if err != nil {
		return f.storeError(err)
	}
	if err := f.markKilled(ctx, operations); err != nil {
		return err
	}
	if asJSON {
		if operations == nil {
			operations = []reconcile.Operation{}
		}
		return json.NewEncoder(f.env.Out).Encode(operations)
	}
	if len(operations) == 0 {
		fmt.Fprintln(f.env.Err, "There are no operations yet.")
		return nil
	}
	out := bufio.NewWriter(f.env.Out)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "OPERATION\tKIND\tSTATE\tSTARTED\tTOOK\tREVISION\tSERVERS\tLINKS\tCREATED\tCHANGED\tROTATED\tREMOVED\tFAILED\tBY")
	for _, o := range operations {
		took := ""
		if !o.Ended.IsZero() {
			took = o.Ended.Sub(o.Started).Round(time.Second).String()
		}
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\t%d\t%s\t%s\t%d\t%d\t%d\t%d\t%s\t%s\n", o.ID, kindOf(o), o.State,
			cli.Moment(o.Started), took, o.Revision, orAll(o.Servers), orAll(o.Apps),
			o.Counts.Created, o.Counts.Changed, o.Counts.Rotated, o.Counts.Removed, failedOf(o.Counts), o.By)
	}
	return errors.Join(table.Flush(), out.Flush())
}

// failedOf also tells of servers that were given up as a whole.
func failedOf(c reconcile.Counts) string {
	switch c.FailedServers {
	case 0:
		return strconv.Itoa(c.Failed)
	case 1:
		return fmt.Sprintf("%d, 1 server", c.Failed)
	}
	return fmt.Sprintf("%d, %d servers", c.Failed, c.FailedServers)
}

// kindOf also tells a run that did not look at the servers.
func kindOf(o reconcile.Operation) string {
	if o.TrustStore {
		return string(o.Kind) + " --trust-store"
	}
	return string(o.Kind)
}

func orAll(names []string) string {
	if len(names) == 0 {
		return "all"
	}
	return strings.Join(names, ",")
}

// stateKilled is shown for an operation whose process has ended without a word.
const stateKilled reconcile.OperationState = "killed"

// killedAfter is how long an operation may take to give its first sign of life.
const killedAfter = 15 * time.Second

// markKilled tells operations that run from those that were killed: who runs gives
// signs of life.
func (f *fleet) markKilled(ctx context.Context, operations []reconcile.Operation) error {
	var running []int64
	for _, o := range operations {
		if o.State == reconcile.StateRunning {
			running = append(running, o.ID)
		}
	}
	alive, err := f.store.Alive(ctx, running)
	if err != nil {
		return f.storeError(err)
	}
	for i, o := range operations {
		if o.State == reconcile.StateRunning && !alive[o.ID] && f.env.Now().Sub(o.Started) > killedAfter {
			operations[i].State = stateKilled
		}
	}
	return nil
}

func (f *fleet) showOperation(ctx context.Context, id int64, keep func(reconcile.Entry) bool, asJSON bool) error {
	o, err := f.store.Operation(ctx, id)
	if errors.Is(err, store.ErrNoOperation) {
		return fmt.Errorf("there is no operation %d (any more): `provisioner log` lists them", id)
	}
	if err != nil {
		return f.storeError(err)
	}
	one := []reconcile.Operation{o}
	if err := f.markKilled(ctx, one); err != nil {
		return err
	}
	o = one[0]
	entries, err := f.store.Entries(ctx, id, 0)
	if err != nil {
		return f.storeError(err)
	}
	entries = slices.DeleteFunc(entries, func(e reconcile.Entry) bool { return !keep(e) })
	if asJSON {
		if entries == nil {
			entries = []reconcile.Entry{}
		}
		return json.NewEncoder(f.env.Out).Encode(map[string]any{"operation": o, "entries": entries})
	}
	out := bufio.NewWriter(f.env.Out)
	fmt.Fprintf(out, "Operation %d: %s, %s, by %s\n", o.ID, kindOf(o), o.State, o.By)
	for _, e := range entries {
		fmt.Fprintf(out, "%s  %-11s  %s\n", cli.Moment(e.At), e.Level, entryText(e))
	}
	if len(entries) == 0 {
		fmt.Fprintln(out, "Nothing of this level was logged; --level debug shows all there is.")
	}
	return out.Flush()
}
