package app

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/latchkey-sso/latchkey/api"
	"github.com/latchkey-sso/latchkey/api/cpanelfake"
	"github.com/latchkey-sso/latchkey/api/whm/whmfake"
	"github.com/latchkey-sso/latchkey/broker"
	brokerapp "github.com/latchkey-sso/latchkey/cmd/broker/app"
	"github.com/latchkey-sso/latchkey/cmd/demo/portal"
	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
	"github.com/latchkey-sso/latchkey/cmd/internal/config"
	provisionerapp "github.com/latchkey-sso/latchkey/cmd/provisioner/app"
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

// Panel is one simulated server: what its customers see, and its WHM.
type Panel struct {
	ID     string
	URL    string
	Server *cpanelfake.Server
	WHM    *whmfake.Server
}

// Demo is everything on one machine.
type Demo struct {
	BrokerURL   string
	OperatorURL string
	PortalURL   string
	Panels      []Panel
	// ConfigFile is what broker and provisioner work with; other commands can, too,
	// while the demo runs.
	ConfigFile string
	// Applied is what `provisioner apply` has printed.
	Applied string
	// OtherPorts says that a fixed port was taken by another program.
	OtherPorts bool

	store   *embedded.Redis
	broker  *brokerapp.Broker
	dir     string
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

func partWHM(server string) string { return "WHM of " + server }

func preferredPorts() map[string]int {
	return map[string]int{
		partBroker: 8480, partOperator: 8481, "web01": 8482, "web02": 8483, partPortal: 8484,
		partWHM("web01"): 8485, partWHM("web02"): 8486,
	}
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
	if d.store, err = embedded.Start(); err != nil {
		return nil, err
	}
	if err := d.startPanels(o); err != nil {
		return nil, err
	}
	cfg, err := d.configure(o)
	if err != nil {
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
	return d, d.provision(ctx)
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

const demoConfig = `# Made by the demo, and gone when it stops.
store: {mode: standalone, addresses: [%q]}
broker:
  public_url: %q
  signing_keys_dir: keys
  confirm: %s
  drain_delay: 0s
  limits: {per_address_rate: 0, per_account_rate: 0, per_server_rate: 0}
provisioner: {requests_per_second: 0}
portals:
  - {id: portal, login_url: "%[4]s/sso/latchkey", fallback_url: "%[4]s/login?next={path}"}
  - {id: support, handoff: exchange, login_url: "%[4]s/sso/exchange", fallback_url: "%[4]s/login?next={path}", client_id: support, client_secret_file: support.secret}
subscribers: {source: file, file: {path: accounts.csv}}
servers:
`

const demoServer = `  - {id: %s, url: %q, token_file: %[1]s.token, ca_file: %[1]s.pem, source_ips: ["127.0.0.1"]}
`

const demoLink = `  - {id: %s, label: %q, implements: %s, order: %d, portal: %s, path: %s}
`

// configure writes the files that an operator would write: configuration, signing
// key, tokens, the list of customers. Support links go by the exchange, all others
// by form_post, so that both can be seen.
func (d *Demo) configure(o Options) (*config.Config, error) {
	var err error
	if d.dir, err = os.MkdirTemp("", "latchkey-demo-"); err != nil {
		return nil, fmt.Errorf("make directory for the configuration: %w", err)
	}
	d.ConfigFile = filepath.Join(d.dir, "latchkey.yaml")
	text := fmt.Sprintf(demoConfig, d.store.Addr(), d.BrokerURL, cmp.Or(o.Confirm, config.ConfirmAuto), d.PortalURL)
	files := map[string][]byte{"accounts.csv": []byte(accountsFile())}
	for _, p := range d.Panels {
		text += fmt.Sprintf(demoServer, p.ID, p.WHM.URL())
		files[p.ID+".token"], files[p.ID+".pem"] = []byte(whmToken), p.WHM.CAPEM()
	}
	text += "links:\n"
	for _, l := range broker.DefaultLinks("portal") {
		if l.Implements == "support" {
			l.Portal = "support"
		}
		text += fmt.Sprintf(demoLink, l.ID, l.Label, l.Implements, l.Order, l.Portal, l.Path)
	}
	files["latchkey.yaml"] = []byte(text)
	secret, err := broker.NewLinkToken(rand.Reader)
	if err != nil {
		return nil, err
	}
	files["support.secret"] = []byte(secret.Reveal())
	key, err := broker.GenerateKey("EdDSA", rand.Reader, time.Now())
	if err != nil {
		return nil, err
	}
	if files[filepath.Join("keys", key.FileName())], err = key.PEM(); err != nil {
		return nil, err
	}
	if err := os.Mkdir(filepath.Join(d.dir, "keys"), 0o700); err != nil {
		return nil, fmt.Errorf("write configuration: %w", err)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(d.dir, name), content, 0o600); err != nil {
			return nil, fmt.Errorf("write configuration: %w", err)
		}
	}
	cfg, report := config.Load(config.LoadOptions{
		Path: d.ConfigFile, Role: config.RoleBroker, Environ: []string{"LATCHKEY_STORE_MODE=" + config.StoreEmbedded},
	})
	if err := report.Err(); err != nil {
		return nil, fmt.Errorf("configuration of the demo: %w", err)
	}
	return cfg, nil
}

// whmToken is the API token of the simulated servers; it guards nothing.
const whmToken = "THE-API-TOKEN-OF-THE-DEMO"

func accountsFile() string {
	text := "server,user,subscriber_unique_id\n"
	for _, a := range Accounts() {
		text += a.Server + "," + a.User + "," + a.Subscriber + "\n"
	}
	return text
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

// startPanels makes the simulated servers with their accounts, and no link yet.
func (d *Demo) startPanels(o Options) error {
	for _, id := range []string{"web01", "web02"} {
		trace := func(hop cpanelfake.Hop) {
			if o.Trace != nil {
				o.Trace(id, hop)
			}
		}
		state := &cpanelfake.State{}
		for _, a := range Accounts() {
			if a.Server != id {
				continue
			}
			if err := state.AddAccount(cpanelfake.Account{User: a.User, Domain: a.Domain}); err != nil {
				return err
			}
		}
		panel, err := cpanelfake.New(cpanelfake.Config{Name: id + ".example.com", State: state, Variant: o.Variant, Trace: trace})
		if err != nil {
			return err
		}
		whm, err := whmfake.New(whmfake.Config{
			State: state, Token: whmToken, Name: id + ".example.com", Listener: d.ports[partWHM(id)],
			PerRequest: 30 * time.Millisecond, PerCommand: 2 * time.Millisecond,
		})
		if err != nil {
			return err
		}
		d.Panels = append(d.Panels, Panel{ID: id, URL: d.url(id), Server: panel, WHM: whm})
		d.servers[id] = panel.Handler()
	}
	return nil
}

// provision puts the links onto the servers, as an operator would.
func (d *Demo) provision(ctx context.Context) error {
	var out, problems strings.Builder
	code := provisionerapp.Main([]string{"apply", "-c", d.ConfigFile}, provisionerapp.Env{
		Env: cli.Env{In: strings.NewReader(""), Out: &out, Err: &problems, Signals: ctx},
	})
	if code != cli.ExitDone {
		return fmt.Errorf("provisioner apply: exit code %d: %s%s", code, out.String(), problems.String())
	}
	d.Applied = problems.String() + out.String()
	return nil
}

// Run serves until ctx ends, then stops everything.
func (d *Demo) Run(ctx context.Context) error {
	defer d.close()
	group, running := errgroup.WithContext(ctx)
	group.Go(func() error { return d.broker.Run(running) })
	group.Go(func() error { return d.daemon(running) })
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

// daemon keeps the servers right while the demo runs.
func (d *Demo) daemon(ctx context.Context) error {
	code := provisionerapp.Main([]string{"run", "-c", d.ConfigFile}, provisionerapp.Env{
		Env: cli.Env{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard, Signals: ctx},
	})
	if code != cli.ExitDone {
		return fmt.Errorf("provisioner run: exit code %d", code)
	}
	return nil
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
	for _, p := range d.Panels {
		p.WHM.Close()
	}
	if d.dir != "" {
		_ = os.RemoveAll(d.dir)
	}
}
