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
	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
	"github.com/latchkey-sso/latchkey/cmd/internal/config"
	"github.com/latchkey-sso/latchkey/cmd/internal/setup"
	"github.com/latchkey-sso/latchkey/store"
)

const (
	// countTimeout is how long links are counted before a question; then as many as
	// were found are told.
	countTimeout = 3 * time.Second
	countPage    = 500
	// completeTimeout is how long a shell waits for names out of the store.
	completeTimeout = time.Second
	maxCompleted    = 200
)

// recorded says how many links the store knows where a command is to work:
// "12 links on 2 servers".
func (f *fleet) recorded(ctx context.Context, t *target) (string, error) {
	counting, cancel := context.WithTimeout(ctx, countTimeout)
	defer cancel()
	servers := f.cfg.ServerIDs()
	if len(t.servers) > 0 {
		servers = t.servers
	}
	links, on := 0, map[string]bool{}
	err := f.eachLink(counting, servers, func(l broker.Link) {
		if len(t.apps) == 0 || slices.Contains(t.apps, l.App) {
			links++
			on[l.Server] = true
		}
	})
	known := fmt.Sprintf("%s on %s", cli.Plural(links, "link"), cli.Plural(len(on), "server"))
	switch {
	case err == nil:
		return known, nil
	case ctx.Err() != nil:
		return "", ctx.Err()
	case errors.Is(counting.Err(), context.DeadlineExceeded):
		return "at least " + known, nil
	}
	return "", f.storeError(fmt.Errorf("count the links in the store: %w", err))
}

// eachLink walks through the links that the store has of some servers.
func (f *fleet) eachLink(ctx context.Context, servers []string, visit func(broker.Link)) error {
	only := ""
	if len(servers) == 1 {
		only = servers[0]
	}
	visitAll := func(page []broker.Account) error {
		records, err := f.store.Load(ctx, page)
		for _, r := range records {
			for app := range r.Links {
				visit(broker.Link{Account: r.Account, App: app})
			}
		}
		return err
	}
	var page []broker.Account
	for a, err := range f.store.Accounts(ctx, only) {
		if err != nil {
			return err
		}
		if slices.Contains(servers, a.Server) {
			page = append(page, a)
		}
		if len(page) == countPage {
			if err := visitAll(page); err != nil {
				return err
			}
			page = page[:0]
		}
	}
	return visitAll(page)
}

// completeAccount offers servers, and after the slash the accounts that the store
// knows there.
func (t *target) completeAccount(cmd *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	cfg, _, err := t.source.Read(config.RoleProvisioner)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	server, _, whole := strings.Cut(typed, "/")
	if !whole {
		var servers []string
		for _, id := range cfg.ServerIDs() {
			servers = append(servers, id+"/")
		}
		return servers, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
	client, err := setup.OpenRedis(cfg.Store, completeTimeout)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	s := store.New(store.Config{Client: client, KeyPrefix: cfg.Store.KeyPrefix})
	defer func() { _ = s.Close() }()
	ctx, cancel := context.WithTimeout(cmd.Context(), completeTimeout)
	defer cancel()
	var names []string
	for a, err := range s.Accounts(ctx, server) {
		if err != nil || len(names) == maxCompleted {
			break // as many as there was time for
		}
		if strings.HasPrefix(a.String(), typed) {
			names = append(names, a.String())
		}
	}
	slices.Sort(names)
	return slices.Compact(names), cobra.ShellCompDirectiveNoFileComp
}
