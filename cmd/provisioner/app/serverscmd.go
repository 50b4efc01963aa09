package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/latchkey-sso/latchkey/broker/reconcile"
	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
	"github.com/latchkey-sso/latchkey/cmd/internal/config"
)

func serversCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "servers",
		Short: "Look at the servers of the configuration",
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(serversCheckCommand(env))
	return cmd
}

// rights are the WHM functions that we call. An API token with the privileges
// cpanel-integration, list-accts, acct-summary and basic-whm-functions has them.
var rights = []string{
	"applist", "version", "gethostname", "listaccts", "batch",
	string(reconcile.ListLinks), string(reconcile.ListGroups), string(reconcile.GetLink),
	string(reconcile.CreateLink), string(reconcile.UpdateToken), string(reconcile.RemoveLink),
	string(reconcile.CreateGroup), string(reconcile.RemoveGroup),
}

// checked is what is known of one server.
type checked struct {
	Server   string `json:"server"`
	OK       bool   `json:"ok"`
	Hostname string `json:"hostname,omitempty"`
	Version  string `json:"version,omitempty"`
	// Links: the server supports integration links.
	Links    bool `json:"links"`
	Accounts int  `json:"accounts"`
	// Missing are functions that the token may not use.
	Missing []string `json:"missing,omitempty"`
	Problem string   `json:"problem,omitempty"`
}

// checkTimeout bounds the check of one server.
const checkTimeout = 30 * time.Second

func serversCheckCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Ask every server for its version and what the token may do",
		Long: `check connects to every server and shows whether it can be reached and trusted, its
version, whether it supports integration links, and whether the API token has the
rights that are needed: the privileges cpanel-integration, list-accts, acct-summary
and basic-whm-functions. It changes nothing.

Exit code 1 when a server cannot be worked with.`,
		Example: "  provisioner servers check -c latchkey.yaml",
	}
	t := &target{source: cli.Configured(env.Env, cmd, false)}
	cmd.Flags().StringSliceVar(&t.servers, "server", nil, "only these servers (may be given several times)")
	t.source.Complete("server", (*config.Config).ServerIDs)
	output := cli.OutputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		asJSON, err := output()
		if err != nil {
			return err
		}
		f, err := t.open(env)
		if err != nil {
			return err
		}
		defer f.close()
		ids := f.serversOf(reconcile.Order{Servers: t.servers})
		results := make([]checked, len(ids))
		var checking sync.WaitGroup
		for i, id := range ids {
			checking.Go(func() { results[i] = f.check(cmd.Context(), id) })
		}
		checking.Wait()
		if err := cmd.Context().Err(); err != nil {
			return &cli.InterruptedError{State: "not every server was checked"}
		}
		if err := printChecked(env, results, asJSON); err != nil {
			return err
		}
		if slices.ContainsFunc(results, func(c checked) bool { return !c.OK }) {
			return cli.ErrSaid
		}
		return nil
	}
	return cmd
}

// check asks one server. The first failure ends it: a wrong token shall not be
// tried twice.
func (f *fleet) check(ctx context.Context, id string) checked {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	c := checked{Server: id}
	client := f.clients[id]
	functions, err := client.Functions(ctx)
	if err == nil {
		for _, right := range rights {
			if !slices.Contains(functions, right) {
				c.Missing = append(c.Missing, right)
			}
		}
		c.Links = slices.Contains(functions, string(reconcile.CreateLink))
		if slices.Contains(functions, "version") {
			c.Version, err = client.Version(ctx)
		}
	}
	if err == nil && slices.Contains(functions, "gethostname") {
		c.Hostname, err = client.Hostname(ctx)
	}
	if err == nil && slices.Contains(functions, "listaccts") {
		var users []string
		users, err = client.Users(ctx)
		c.Accounts = len(users)
	}
	switch {
	case err != nil:
		c.Problem = err.Error()
		if errors.Is(err, context.DeadlineExceeded) {
			c.Problem = fmt.Sprintf("no answer within %s", checkTimeout)
		}
	case !c.Links:
		server, _ := f.cfg.Server(id)
		c.OK = server.Product == config.ProductWPSquared // it is not documented whether it has them
		c.Problem = "no integration links: the server does not support them, or the token lacks the privilege cpanel-integration"
	case len(c.Missing) > 0:
		c.Problem = "the token may not use " + strings.Join(c.Missing, ", ")
	default:
		c.OK = true
	}
	return c
}

func printChecked(env Env, results []checked, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(env.Out).Encode(results)
	}
	table := tabwriter.NewWriter(env.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SERVER\tHOST\tVERSION\tLINKS\tACCOUNTS\tRESULT")
	for _, c := range results {
		links := map[bool]string{true: "yes", false: "no"}[c.Links]
		result := "ok"
		if c.Problem != "" {
			result = c.Problem
		}
		if c.Version == "" && c.Problem != "" {
			fmt.Fprintf(table, "%s\t\t\t\t\t%s\n", c.Server, result)
			continue
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%s\n", c.Server, c.Hostname, c.Version, links, c.Accounts, result)
	}
	return table.Flush()
}
