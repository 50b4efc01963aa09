package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/latchkey-sso/latchkey/api/whm"
	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
	"github.com/latchkey-sso/latchkey/cmd/internal/config"
	"github.com/latchkey-sso/latchkey/cmd/internal/setup"
	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/subscribers"
)

// storeTimeout is longer than the brokers': nobody waits in a browser.
const storeTimeout = 5 * time.Second

// fleet is everything that a command works with.
type fleet struct {
	env     Env
	cfg     *config.Config
	store   *store.Store
	clients map[string]*whm.Client
}

// openFleet assembles the parts. Close gives them back.
func openFleet(env Env, cfg *config.Config) (*fleet, error) {
	f := &fleet{env: env, cfg: cfg, clients: map[string]*whm.Client{}}
	for _, s := range cfg.Servers {
		client, err := newClient(cfg, s)
		if err != nil {
			return nil, fmt.Errorf("server %s: %w", s.ID, err)
		}
		f.clients[s.ID] = client
	}
	redis.SetLogger(setup.RedisLog{Log: zap.NewNop()}) // what matters comes back as an error
	client, err := setup.OpenRedis(cfg.Store, storeTimeout)
	if err != nil {
		return nil, err
	}
	f.store = store.New(store.Config{Client: client, KeyPrefix: cfg.Store.KeyPrefix})
	return f, nil
}

func newClient(cfg *config.Config, s config.Server) (*whm.Client, error) {
	c := whm.Config{
		URL: s.URL, User: s.User, Token: s.Token,
		Timeout: cfg.Provisioner.RequestTimeout, RequestsPerSecond: cfg.Provisioner.RequestsPerSecond,
		// One more for what is asked on request, beside a run.
		MaxConnections: cfg.Provisioner.RequestsPerServer + 1,
		UserAgent:      "latchkey-provisioner",
	}
	if pin, ok := s.Pin(); ok {
		c.Pin = &pin
	}
	if s.CAFile != "" {
		pem, err := os.ReadFile(s.CAFile)
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		c.CA = pem
	}
	return whm.New(c)
}

func (f *fleet) close() {
	for _, c := range f.clients {
		c.Close()
	}
	_ = f.store.Close()
}

// reconciler assembles the domain. command names the work to those who wait.
func (f *fleet) reconciler(command string, observe func(reconcile.Event)) *reconcile.Reconciler {
	return f.reconcilerWith(command, observe, f.store)
}

func (f *fleet) reconcilerWith(command string, observe func(reconcile.Event), journal reconcile.Journal) *reconcile.Reconciler {
	hosts := map[string]reconcile.Host{}
	for id, c := range f.clients {
		hosts[id] = c
	}
	c := reconcile.Config{
		Hosts: hosts, Records: f.store, Leases: f.store, Requests: f.store, Journal: journal,
		Holder:            holder(command),
		RequestsPerServer: f.cfg.Provisioner.RequestsPerServer, CommandsPerRequest: f.cfg.Provisioner.CommandsPerRequest,
		Wanted:    f.wantedInForce,
		Directory: f.directory,
		Observe:   observe, Now: f.env.Now, Wait: f.env.Wait, Random: rand.Reader,
	}
	return reconcile.New(c)
}

// directory reads the subscribers.
func (f *fleet) directory(ctx context.Context) (*reconcile.Directory, error) {
	servers := f.cfg.ServerIDs()
	source, err := f.source()
	if err != nil {
		return nil, fmt.Errorf("subscribers: %w", err)
	}
	reading := reconcile.Reading{Servers: servers, At: f.env.Now()}
	if reading.Epochs, err = f.store.Epochs(ctx, servers); err != nil {
		return nil, f.storeError(err)
	}
	return reconcile.ReadDirectory(ctx, source, reading)
}

func (f *fleet) source() (reconcile.Subscriptions, error) {
	switch c := f.cfg.Subscribers; c.Source {
	case config.SubscribersSQL:
		return subscribers.NewSQL(subscribers.SQLConfig{Driver: subscribers.Driver(c.SQL.Driver), DSN: c.SQL.DSN, Query: c.SQL.Query})
	case config.SubscribersHTTP:
		return subscribers.NewHTTP(subscribers.HTTPConfig{URL: c.HTTP.URL, Bearer: c.HTTP.Bearer})
	default:
		return subscribers.NewFile(c.File.Path), nil
	}
}

// wantedInForce is what the revision in force asks for.
func (f *fleet) wantedInForce(ctx context.Context) (*reconcile.Wanted, error) {
	r, err := f.revisionInForce(ctx)
	if err != nil {
		return nil, err
	}
	return f.wanted(r)
}

// revisionInForce is the store's revision of the catalogue, or the configuration's
// links while there is none.
func (f *fleet) revisionInForce(ctx context.Context) (broker.Revision, error) {
	r, err := f.store.Revision(ctx, 0)
	if errors.Is(err, store.ErrNoRevision) {
		return setup.FileRevision(f.cfg)
	}
	if err != nil {
		return r, f.storeError(err)
	}
	return r, nil
}

func (f *fleet) wanted(r broker.Revision) (*reconcile.Wanted, error) {
	catalogue, left, err := setup.ProvisioningCatalogue(f.cfg, r)
	if err != nil {
		return nil, err
	}
	if len(left) > 0 {
		return nil, fmt.Errorf("revision %d of the catalogue: %s: add the portal to `portals`", r.Number, strings.Join(left, "; "))
	}
	return reconcile.NewWanted(catalogue, f.cfg.Broker.PublicURL, r.Number)
}

// storeError says where the store was looked for.
func (f *fleet) storeError(err error) error {
	return fmt.Errorf("%w (is Redis running there? store.addresses: %s)", err, strings.Join(f.cfg.Store.Addresses, ", "))
}

// target is where a command works: flags of several commands.
type target struct {
	source  *cli.Source
	servers []string
	apps    []string
}

func newTarget(env Env, cmd *cobra.Command) *target {
	t := &target{source: cli.Configured(env.Env, cmd, false)}
	cmd.Flags().StringSliceVar(&t.servers, "server", nil, "only these servers (may be given several times)")
	cmd.Flags().StringSliceVar(&t.apps, "app", nil, "only these links, with or without the prefix: latchkey_invoices, invoices")
	t.source.Complete("server", (*config.Config).ServerIDs)
	t.source.Complete("app", setup.LinkIDs)
	return t
}

// open loads the configuration, checks the names that flags gave, and assembles
// the fleet.
func (t *target) open(env Env) (*fleet, error) {
	cfg, err := t.source.Load(config.RoleProvisioner)
	if err != nil {
		return nil, err
	}
	for _, id := range t.servers {
		if !slices.Contains(cfg.ServerIDs(), id) {
			return nil, cli.Usagef("--server %q is not in the configuration; there are: %s", id, strings.Join(cfg.ServerIDs(), ", "))
		}
	}
	for i, app := range t.apps {
		if !strings.HasPrefix(app, cfg.AppPrefix) {
			t.apps[i] = cfg.AppPrefix + app
		}
		if err := (broker.Link{Account: broker.Account{Server: "x", User: "x"}, App: t.apps[i]}).Validate(); err != nil {
			return nil, cli.Usagef("--app %q is no name of a link: write it like %sinvoices, or invoices", app, cfg.AppPrefix)
		}
	}
	return openFleet(env, cfg)
}
