package app

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
	"github.com/latchkey-sso/latchkey/cmd/internal/config"
	"github.com/latchkey-sso/latchkey/cmd/internal/setup"
	"github.com/latchkey-sso/latchkey/store"
)

// adminTimeout bounds what an operator waits for.
const adminTimeout = 10 * time.Second

func linksCommand(env cli.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "links",
		Short: "Manage single links by hand",
		Long: `links registers single links by hand. "links add" keeps the link in the store and
prints the lines that register it on the server.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(linksAddCommand(env), linksListCommand(env), linksRemoveCommand(env))
	return cmd
}

// linkFlags name one link.
type linkFlags struct{ server, user, app *string }

func newLinkFlags(source *cli.Source) linkFlags {
	cmd := source.Cmd
	f := linkFlags{
		server: cmd.Flags().String("server", "", "id of the server, as in the configuration"),
		user:   cmd.Flags().String("user", "", "name of the cPanel account"),
		app:    cmd.Flags().String("app", "", "app of the link, with or without its prefix: latchkey_invoices, invoices"),
	}
	for _, name := range []string{"server", "user", "app"} {
		_ = cmd.MarkFlagRequired(name) // fails for unknown flags only
	}
	source.Complete("server", (*config.Config).ServerIDs)
	source.Complete("app", setup.LinkIDs)
	return f
}

// link returns the link that the flags name.
func (f linkFlags) link(cfg *config.Config) (broker.Link, error) {
	app := *f.app
	if !strings.HasPrefix(app, cfg.AppPrefix) {
		app = cfg.AppPrefix + app
	}
	link := broker.Link{Account: broker.Account{Server: *f.server, User: *f.user}, App: app}
	if err := link.Validate(); err != nil {
		return link, flagError(err)
	}
	return link, nil
}

func flagError(err error) error {
	if invalid, ok := errors.AsType[*broker.Error](err); ok {
		return cli.Usagef("--%s %s", strings.TrimSuffix(invalid.Field, "_unique_id"), invalid.Problem)
	}
	return cli.Usagef("%w", err)
}

// withStore loads the configuration and opens the store for a command.
func withStore(source *cli.Source, work func(context.Context, *config.Config, *store.Store) error) error {
	cfg, err := source.Load(config.RoleBroker)
	if err != nil {
		return err
	}
	return inStore(source, cfg, work)
}

// patience is how long a command waits for one answer of Redis: a person is in no such
// hurry as a click.
const patience = 2 * time.Second

// inStore is withStore for a configuration that was loaded.
func inStore(source *cli.Source, cfg *config.Config, work func(context.Context, *config.Config, *store.Store) error) error {
	if cfg.Store.Mode == config.StoreEmbedded {
		return cli.Usagef("store.mode is embedded: such a store lives inside `broker serve` alone; use a Redis to manage links")
	}
	redis.SetLogger(setup.RedisLog{Log: zap.NewNop()}) // what matters comes back as an error
	client, err := setup.OpenRedis(cfg.Store, patience)
	if err != nil {
		return err
	}
	s := store.New(store.Config{Client: client, KeyPrefix: cfg.Store.KeyPrefix})
	defer s.Close()
	ctx, cancel := context.WithTimeout(source.Cmd.Context(), adminTimeout)
	defer cancel()
	return work(ctx, cfg, s)
}

// storeError says where the store was looked for.
func storeError(cfg *config.Config, err error) error {
	return fmt.Errorf("%w (%s store.addresses: %s)", err, adviceOn(err), strings.Join(cfg.Store.Addresses, ", "))
}

// adviceOn is what an operator may look at after an error of the store.
func adviceOn(err error) string {
	switch text := err.Error(); {
	case redis.HasErrorPrefix(err, "NOPERM"), strings.Contains(text, "can't run this command"), strings.Contains(text, "can't access"):
		return "the Redis user lacks a right: compare it with deploy/redis/users.conf."
	case redis.HasErrorPrefix(err, "WRONGPASS"), redis.HasErrorPrefix(err, "NOAUTH"):
		return "look at store.username and store.password_file."
	}
	return "is Redis running there?"
}

func linksAddCommand(env cli.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "add --server ID --user NAME --app APP --subscriber ID",
		Short: "Register a link and print its token once",
		Long: `add keeps the link in the store, as a digest of its new token, and prints the
token and the commands that register the link on the server. Run those there as
root. Nobody can show the token again; to replace it, use --replace.`,
		Example: "  broker links add -c latchkey.yaml --server web01 --user bob --app invoices --subscriber 1234",
	}
	source := cli.Configured(env, cmd, false)
	flags := newLinkFlags(source)
	subscriber := cmd.Flags().String("subscriber", "", "the customer's id at the portal (subscriber_unique_id)")
	_ = cmd.MarkFlagRequired("subscriber")
	replace := cmd.Flags().Bool("replace", false, "give a link that is there a new token; the former one stops working at once")
	output := cli.OutputFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		asJSON, err := output()
		if err != nil {
			return err
		}
		return withStore(source, func(ctx context.Context, cfg *config.Config, s *store.Store) error {
			added, err := addLink(ctx, cfg, s, flags, *subscriber, *replace)
			if err != nil {
				return err
			}
			if !added.Enabled {
				fmt.Fprintf(env.Err, "The link %s is switched off in the configuration: clicks on it are refused until it says `enabled: true`.\n", added.Link.App)
			}
			return added.print(env, asJSON)
		})
	}
	return cmd
}

func addLink(ctx context.Context, cfg *config.Config, s *store.Store, flags linkFlags, subscriber string, replace bool) (*addedLink, error) {
	link, err := flags.link(cfg)
	if err != nil {
		return nil, err
	}
	if err := broker.ValidateSubscriber(subscriber); err != nil {
		return nil, flagError(err)
	}
	if _, ok := cfg.Server(link.Server); !ok {
		return nil, cli.Usagef("--server %q is not in the configuration: add `- id: %s` to servers", link.Server, link.Server)
	}
	catalogue, err := setup.NewCatalogue(cfg)
	if err != nil {
		return nil, err
	}
	destination, ok := catalogue.Lookup(link.App)
	if !ok {
		return nil, cli.Usagef("--app %q is not in the catalogue; there are: %s", *flags.app, strings.Join(appNames(catalogue), ", "))
	}
	token, err := broker.NewLinkToken(rand.Reader)
	if err != nil {
		return nil, err
	}
	record := store.LinkRecord{Link: link, Subscriber: subscriber, Token: token.Digest(), Created: time.Now()}
	switch err := s.PutLink(ctx, record, replace); {
	case errors.Is(err, store.ErrLinkExists):
		return nil, fmt.Errorf("%s: %w: --replace gives it a new token, and the former one stops working at once", link, err)
	case errors.Is(err, store.ErrOtherSubscriber):
		return nil, fmt.Errorf("%s: %w: remove those first (broker links list --server %s)", link.Account, err, link.Server)
	case err != nil:
		return nil, storeError(cfg, err)
	}
	return &addedLink{
		Link: link, Subscriber: subscriber, Token: token.Reveal(), Enabled: destination.Enabled,
		Commands: []string{groupCommand(link, catalogue.Group), linkCommand(cfg, link, subscriber, token, catalogue, destination)},
	}, nil
}

func appNames(c *broker.Catalogue) []string {
	var names []string
	for _, d := range c.Destinations() {
		names = append(names, d.App)
	}
	return names
}

type addedLink struct {
	Link       broker.Link
	Subscriber string
	Token      string
	Enabled    bool
	Commands   []string
}

func (a *addedLink) print(env cli.Env, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(env.Out).Encode(map[string]any{
			"server": a.Link.Server, "user": a.Link.User, "app": a.Link.App,
			"subscriber_unique_id": a.Subscriber, "token": a.Token, "commands": a.Commands,
		})
	}
	_, err := fmt.Fprintf(env.Out, `Added %s for subscriber %s.

Token (shown this once): %s

Run on %s as root:

%s
`, a.Link, a.Subscriber, a.Token, a.Link.Server, strings.Join(a.Commands, "\n\n"))
	return err
}

// shellSafe escapes what the encoding of queries leaves: bash expands a tilde
// behind an equals sign, and whmapi1 may take a plus for a plus.
var shellSafe = strings.NewReplacer("+", "%20", "~", "%7E")

// whmapi1 is a command line for a server's shell. Its values are URI-encoded
// (WHM API 1 documentation, introduction), and need no quotes then.
func whmapi1(function string, fields ...string) string {
	line := "whmapi1 " + function
	for i := 0; i+1 < len(fields); i += 2 {
		if fields[i+1] != "" {
			line += " " + fields[i] + "=" + shellSafe.Replace(url.QueryEscape(fields[i+1]))
		}
	}
	return line
}

func groupCommand(link broker.Link, g broker.Group) string {
	return whmapi1("create_integration_group", "user", link.User, "group_id", g.ID, "label", g.Label, "order", strconv.Itoa(g.Order))
}

func linkCommand(cfg *config.Config, link broker.Link, subscriber string, token broker.LinkToken, c *broker.Catalogue, d *broker.Destination) string {
	return whmapi1("create_integration_link",
		"user", link.User, "app", link.App, "implements", d.Link.Implements, "label", d.Link.Label,
		"subscriber_unique_id", subscriber, "token", token.Reveal(),
		"autologin_token_url", broker.AutologinURL(cfg.Broker.PublicURL, link), "url", d.FallbackURL,
		"group_id", c.Group.ID, "order", strconv.Itoa(d.Link.Order),
		"base64_png_image", base64.StdEncoding.EncodeToString(d.Link.Icon),
	)
}

// linkRow is one link as `links list` shows it.
type linkRow struct {
	Server     string    `json:"server"`
	User       string    `json:"user"`
	App        string    `json:"app"`
	Subscriber string    `json:"subscriber_unique_id"`
	Created    time.Time `json:"token_created"`
	Generation int       `json:"token_generation"`
}

func linksListCommand(env cli.Env) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List links"}
	source := cli.Configured(env, cmd, false)
	server := cmd.Flags().String("server", "", "only the links of this server")
	source.Complete("server", (*config.Config).ServerIDs)
	output := cli.OutputFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		asJSON, err := output()
		if err != nil {
			return err
		}
		return withStore(source, func(ctx context.Context, cfg *config.Config, s *store.Store) error {
			if _, known := cfg.Server(*server); *server != "" && !known {
				return cli.Usagef("--server %q is not in the configuration", *server)
			}
			links, err := s.Links(ctx, *server)
			if err != nil {
				return storeError(cfg, err)
			}
			return printLinks(env, links, asJSON)
		})
	}
	return cmd
}

func printLinks(env cli.Env, links []store.LinkRecord, asJSON bool) error {
	rows := []linkRow{}
	for _, l := range links {
		rows = append(rows, linkRow{l.Link.Server, l.Link.User, l.Link.App, l.Subscriber, l.Created.UTC(), l.Generation})
	}
	if asJSON {
		return json.NewEncoder(env.Out).Encode(rows)
	}
	if len(rows) == 0 {
		fmt.Fprintln(env.Err, "There are no links.")
		return nil
	}
	out := bufio.NewWriter(env.Out)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SERVER\tUSER\tAPP\tSUBSCRIBER\tTOKEN CREATED\tGENERATION")
	for _, r := range rows {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%d\n", r.Server, r.User, r.App, r.Subscriber, cli.Moment(r.Created), r.Generation)
	}
	return errors.Join(table.Flush(), out.Flush())
}

func linksRemoveCommand(env cli.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "remove --server ID --user NAME --app APP",
		Short:   "Forget a link and print how to remove it on the server",
		Example: "  broker links remove -c latchkey.yaml --server web01 --user bob --app invoices",
	}
	source := cli.Configured(env, cmd, false)
	flags := newLinkFlags(source)
	yes := cmd.Flags().Bool("yes", false, "do not ask")
	cmd.RunE = func(*cobra.Command, []string) error {
		cfg, err := source.Load(config.RoleBroker)
		if err != nil {
			return err
		}
		link, err := flags.link(cfg)
		if err != nil {
			return err
		}
		// Asked first: adminTimeout is not for people.
		if !*yes && !cli.Confirmed(env, fmt.Sprintf("Remove %s? Clicks on it stop working at once.", link)) {
			if env.Signals.Err() != nil {
				fmt.Fprintln(env.Err)
				return &cli.InterruptedError{State: "nothing was removed"}
			}
			return cli.Usagef("nothing was removed; answer y, or use --yes")
		}
		return inStore(source, cfg, func(ctx context.Context, cfg *config.Config, s *store.Store) error {
			removed, err := s.RemoveLink(ctx, link)
			if err != nil {
				return storeError(cfg, err)
			}
			if !removed {
				return fmt.Errorf("there is no link %s", link)
			}
			fmt.Fprintf(env.Out, "Removed %s.\n\nRun on %s as root:\n\n%s\n", link, link.Server,
				whmapi1("remove_integration_link", "user", link.User, "app", link.App))
			return nil
		})
	}
	return cmd
}
