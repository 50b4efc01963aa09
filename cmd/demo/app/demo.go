package app

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/latchkey-sso/latchkey/api"
	"github.com/latchkey-sso/latchkey/api/cpanelfake"
	"github.com/latchkey-sso/latchkey/broker"
	brokerapp "github.com/latchkey-sso/latchkey/cmd/broker/app"
	"github.com/latchkey-sso/latchkey/cmd/demo/portal"
	"github.com/latchkey-sso/latchkey/cmd/internal/config"
	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/embedded"
)

// Options are what a Demo is made of. The zero value will do.
type Options struct {
	// Log is the log of the broker; nil logs nothing.
	Log *zap.Logger
	// Now is the clock of broker and portal; nil means time.Now. It does not
	// move the store: see Demo.Advance.
	Now func() time.Time
	// FixedPorts tries ports that stay the same from run to run first.
	FixedPorts bool
	// Variant is how the simulated servers post.
	Variant cpanelfake.Variant
	// Trace is told what the simulated servers do.
	Trace func(server string, hop cpanelfake.Hop)
	// SignedIn and Refused are told what the portal sees.
	SignedIn func(portal.SignIn)
	Refused  func(error)
	// Confirm is broker.confirm; empty means auto.
	Confirm string
}

// Account is one simulated cPanel account and whose it is.
type Account struct {
	Server, User, Domain, Subscriber, Name string
}

// Accounts are those of the demo.
func Accounts() []Account {
	return []Account{
		{"web01", "alice", "alice.example", "1001", "Alice Martin"},
		{"web01", "bob", "bobs-bikes.example", "1002", "Bob's Bikes Ltd"},
		{"web02", "carol", "carol.example", "1003", "Carol Nowak"},
		{"web02", "dave", "dave.example", "1004", "Dave Öztürk"},
	}
}

// Panel is one simulated cPanel server.
type Panel struct {
	ID     string
	URL    string
	Server *cpanelfake.Server
}

// Demo is everything on one machine.
type Demo struct {
	BrokerURL   string
	OperatorURL string
	PortalURL   string
	Panels      []Panel
	// OtherPorts says that a fixed port was taken by another program.
	OtherPorts bool

	store   *embedded.Redis
	broker  *brokerapp.Broker
	keys    string
	ports   map[string]net.Listener
	servers map[string]http.Handler
	portal  *portal.Portal
	cancel  context.CancelFunc
	log     *zap.Logger
}

// The parts of the demo with the ports that they like to have.
const (
	partBroker   = "broker"
	partOperator = "operator"
	partPortal   = "portal"
)

func preferredPorts() map[string]int {
	return map[string]int{partBroker: 8480, partOperator: 8481, "web01": 8482, "web02": 8483, partPortal: 8484}
}

// New starts listening and registers all links. After an error nothing is left
// behind.
func New(ctx context.Context, o Options) (_ *Demo, err error) {
	ctx, cancel := context.WithCancel(ctx)
	d := &Demo{ports: map[string]net.Listener{}, servers: map[string]http.Handler{}, cancel: cancel, log: o.Log}
	if d.log == nil {
		d.log = zap.NewNop()
	}
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	if err := d.listen(o.FixedPorts); err != nil {
		return nil, err
	}
	cfg, err := d.configure(o)
	if err != nil {
		return nil, err
	}
	if d.store, err = embedded.Start(); err != nil {
		return nil, err
	}
	if d.broker, err = brokerapp.New(brokerapp.Options{
		Config: cfg, Log: o.Log, Now: o.Now, Embedded: d.store,
		Listener: d.ports[partBroker], OperatorListener: d.ports[partOperator],
	}); err != nil {
		return nil, err
	}
	if err := d.addPortal(ctx, cfg, o); err != nil {
		return nil, fmt.Errorf("sample portal: %w", err)
	}
	return d, d.addPanels(ctx, cfg, o)
}

func (d *Demo) listen(fixed bool) error {
	for part, port := range preferredPorts() {
		if !fixed {
			port = 0
		}
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil && fixed {
			d.OtherPorts = true
			l, err = net.Listen("tcp", "127.0.0.1:0")
		}
		if err != nil {
			return fmt.Errorf("listen for the %s: %w", part, err)
		}
		d.ports[part] = l
	}
	d.BrokerURL, d.OperatorURL, d.PortalURL = d.url(partBroker), d.url(partOperator), d.url(partPortal)
	return nil
}

func (d *Demo) url(part string) string { return "http://" + d.ports[part].Addr().String() }

const demoConfig = `
store: {mode: embedded}
broker:
  public_url: %q
  signing_keys_dir: %q
  confirm: %s
  drain_delay: 0s
  limits: {per_address_rate: 0}
portals:
  - {id: portal, login_url: "%[4]s/sso/latchkey", fallback_url: "%[4]s/login?next={path}"}
  - {id: support, handoff: exchange, login_url: "%[4]s/sso/exchange", fallback_url: "%[4]s/login?next={path}", client_id: support}
servers:
  - {id: web01, source_ips: ["127.0.0.1"]}
  - {id: web02, source_ips: ["127.0.0.1"]}
`

// configure makes the configuration as an operator would write it, with a
// signing key of its own. Support links go by the exchange, all others by
// form_post, so that both can be seen.
func (d *Demo) configure(o Options) (*config.Config, error) {
	var err error
	if d.keys, err = os.MkdirTemp("", "latchkey-demo-"); err != nil {
		return nil, fmt.Errorf("make directory for the signing key: %w", err)
	}
	key, err := broker.GenerateKey("EdDSA", rand.Reader, time.Now())
	if err != nil {
		return nil, err
	}
	content, err := key.PEM()
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(d.keys, key.FileName()), content, 0o600); err != nil {
		return nil, fmt.Errorf("write signing key: %w", err)
	}
	confirm := o.Confirm
	if confirm == "" {
		confirm = config.ConfirmAuto
	}
	secret, err := broker.NewLinkToken(rand.Reader)
	if err != nil {
		return nil, err
	}
	cfg, report := config.Load(config.LoadOptions{
		Path: "demo.yaml", Data: fmt.Appendf(nil, demoConfig, d.BrokerURL, d.keys, confirm, d.PortalURL),
		Role:    config.RoleBroker,
		Environ: []string{"LATCHKEY_PORTALS_SUPPORT_CLIENT_SECRET=" + secret.Reveal()},
	})
	if err := report.Err(); err != nil {
		return nil, fmt.Errorf("configuration of the demo: %w", err)
	}
	for _, l := range broker.DefaultLinks("portal") {
		if l.Implements == "support" {
			l.Portal = "support"
		}
		cfg.Links = append(cfg.Links, config.Link{
			ID: l.ID, Enabled: true, Label: l.Label, Implements: l.Implements, Order: l.Order, Portal: l.Portal, Path: l.Path,
		})
	}
	return cfg, nil
}

func (d *Demo) addPortal(ctx context.Context, cfg *config.Config, o Options) error {
	support, _ := cfg.Portal("support")
	customers := map[string]string{}
	for _, a := range Accounts() {
		customers[a.Subscriber] = a.Name
	}
	p, err := portal.New(ctx, portal.Config{
		PublicURL: d.PortalURL, Company: "Example Hosting", Customers: customers, PanelURL: d.url("web01"),
		Issuer: d.BrokerURL, JWKSURL: d.BrokerURL + "/.well-known/jwks.json", Audience: d.PortalURL,
		ExchangeURL: d.BrokerURL + "/exchange", ClientID: support.ClientID,
		ClientSecret: portal.NewSecret(support.ClientSecret.Reveal()),
		HTTPClient:   &http.Client{Timeout: 10 * time.Second},
		Now:          o.Now, SignedIn: o.SignedIn, Refused: o.Refused,
	})
	if err != nil {
		return err
	}
	d.portal = p
	d.servers[partPortal] = p
	return nil
}

// addPanels makes the simulated servers and registers every link of the
// catalogue for every account, in the store and on its server.
func (d *Demo) addPanels(ctx context.Context, cfg *config.Config, o Options) error {
	catalogue, err := brokerapp.NewCatalogue(cfg)
	if err != nil {
		return fmt.Errorf("catalogue: %w", err)
	}
	for _, s := range cfg.Servers {
		trace := func(hop cpanelfake.Hop) {
			if o.Trace != nil {
				o.Trace(s.ID, hop)
			}
		}
		state := &cpanelfake.State{}
		panel, err := cpanelfake.New(cpanelfake.Config{
			Name: s.ID + ".example.com", State: state, Variant: o.Variant, Trace: trace,
		})
		if err != nil {
			return err
		}
		for _, a := range Accounts() {
			if a.Server != s.ID {
				continue
			}
			if err := d.register(ctx, cfg, catalogue, state, a); err != nil {
				return fmt.Errorf("register links of %s/%s: %w", a.Server, a.User, err)
			}
		}
		d.Panels = append(d.Panels, Panel{ID: s.ID, URL: d.url(s.ID), Server: panel})
		d.servers[s.ID] = panel.Handler()
	}
	return nil
}

func (d *Demo) register(ctx context.Context, cfg *config.Config, catalogue *broker.Catalogue, state *cpanelfake.State, a Account) error {
	if err := state.AddAccount(cpanelfake.Account{User: a.User, Domain: a.Domain}); err != nil {
		return err
	}
	group := cpanelfake.Group{ID: catalogue.Group.ID, Label: catalogue.Group.Label, Order: catalogue.Group.Order}
	if err := state.PutGroup(a.User, group); err != nil {
		return err
	}
	for _, destination := range catalogue.Destinations() {
		link := broker.Link{Account: broker.Account{Server: a.Server, User: a.User}, App: destination.App}
		token, err := broker.NewLinkToken(rand.Reader)
		if err != nil {
			return err
		}
		record := store.LinkRecord{Link: link, Subscriber: a.Subscriber, Token: token.Digest(), Created: time.Now()}
		if err := d.broker.Store().PutLink(ctx, record, false); err != nil {
			return err
		}
		if err := state.PutLink(a.User, cpanelfake.Link{
			App: link.App, Implements: destination.Link.Implements, Label: destination.Link.Label,
			SubscriberUniqueID: a.Subscriber, Token: cpanelfake.NewToken(token.Reveal()),
			AutologinTokenURL: broker.AutologinURL(cfg.Broker.PublicURL, link), URL: destination.FallbackURL,
			Base64PNGImage: base64.StdEncoding.EncodeToString(destination.Link.Icon),
			GroupID:        group.ID, Order: destination.Link.Order,
		}); err != nil {
			return err
		}
	}
	return nil
}

// Run serves until ctx ends, then stops everything.
func (d *Demo) Run(ctx context.Context) error {
	defer d.close()
	group, running := errgroup.WithContext(ctx)
	group.Go(func() error { return d.broker.Run(running) })
	for part, handler := range d.servers {
		server := api.HTTPServer(handler, nil, d.log.Named(part))
		// A simulated server answers a click after three attempts at the latest.
		server.WriteTimeout = 4 * time.Minute
		group.Go(func() error {
			if err := server.Serve(d.ports[part]); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serve the %s: %w", part, err)
			}
			return nil
		})
		group.Go(func() error {
			<-running.Done()
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			defer cancel()
			if err := server.Shutdown(ctx); err != nil {
				_ = server.Close()
			}
			return nil
		})
	}
	return group.Wait()
}

// Advance lets time pass for the one-time tokens.
func (d *Demo) Advance(by time.Duration) { d.store.Advance(by) }

// FailStore makes every command of the store fail until it is called with "".
func (d *Demo) FailStore(message string) { d.store.SetError(message) }

func (d *Demo) close() {
	d.cancel()
	for _, l := range d.ports {
		_ = l.Close()
	}
	if d.store != nil {
		_ = d.store.Close()
	}
	if d.keys != "" {
		_ = os.RemoveAll(d.keys)
	}
}
