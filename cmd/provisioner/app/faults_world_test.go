package app_test

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/latchkey-sso/latchkey/api/cpanelfake"
	"github.com/latchkey-sso/latchkey/api/whm/whmfake"
	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
	"github.com/latchkey-sso/latchkey/cmd/provisioner/app"
	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/embedded"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// faultWorld is a small fleet whose commands run inside the test, over the
// embedded store. It is cheap enough to be made hundreds of times.
type faultWorld struct {
	t       testing.TB
	dir     string
	config  string // path
	address string // of the store
	redis   redis.UniversalClient
	store   *store.Store
	servers map[string]*faultServer
	// wait replaces the pauses of commands; hurried unless a test needs real time.
	wait func(context.Context, time.Duration) error
	now  func() time.Time
	// timeout is provisioner.request_timeout.
	timeout time.Duration
	// hooks is where a daemon takes the reports of hooks.
	hooks string
	// large: the fleet has so many links that nobody looks for each token.
	large bool

	mu      sync.Mutex
	printed []string
	secrets map[string]string // what must not be seen, and whose it is
}

// faultServer is one simulated server.
type faultServer struct {
	id    string
	state *cpanelfake.State
	whm   *whmfake.Server
	log   lockedBuffer // access log
}

// faultResult is what a command left behind.
type faultResult struct {
	args     string
	code     int
	out, err string
}

func (r faultResult) String() string {
	return fmt.Sprintf("%q: exit code %d\n%s%s", r.args, r.code, r.out, r.err)
}

func faultToken(server string) string { return "CANARY-OF-THE-WHM-OF-" + strings.ToUpper(server) }

// hurried makes long pauses fifty times shorter, so that the order of things stays.
func hurried(ctx context.Context, d time.Duration) error {
	if d >= time.Second {
		d /= 50
	}
	return waitFor(ctx, d)
}

// waitFor passes real time.
func waitFor(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// newFaultWorld starts servers without accounts, and an empty store.
func newFaultWorld(t testing.TB, servers ...string) *faultWorld {
	t.Helper()
	r, err := embedded.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	w := newFaultWorldOn(t, r.Addr(), r.Client())
	for _, id := range servers {
		w.addServer(id, whmfake.Config{})
	}
	return w
}

// newFaultWorldOn is for a store that somebody else has started.
func newFaultWorldOn(t testing.TB, address string, client redis.UniversalClient) *faultWorld {
	t.Helper()
	dir := t.TempDir()
	w := &faultWorld{
		t: t, dir: dir, config: filepath.Join(dir, "latchkey.yaml"), address: address, redis: client,
		store:   store.New(store.Config{Client: client, KeyPrefix: "latchkey:"}),
		servers: map[string]*faultServer{}, wait: hurried, timeout: 10 * time.Second, secrets: map[string]string{},
	}
	if err := w.store.LoadScripts(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.subscribers()
	t.Cleanup(w.checkSecrets)
	return w
}

// addServer starts a server; State, Token, Name and Log of cfg are filled in.
func (w *faultWorld) addServer(id string, cfg whmfake.Config) *faultServer {
	w.t.Helper()
	s := &faultServer{id: id, state: &cpanelfake.State{}}
	cfg.State, cfg.Token, cfg.Name, cfg.Log = s.state, faultToken(id), id+".example.com", &s.log
	var err error
	if s.whm, err = whmfake.New(cfg); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(s.whm.Close)
	w.servers[id] = s
	w.secrets[faultToken(id)] = "WHM token of " + id
	write(w.t, filepath.Join(w.dir, id+".token"), faultToken(id)+"\n")
	write(w.t, filepath.Join(w.dir, id+".pem"), string(s.whm.CAPEM()))
	return s
}

func (w *faultWorld) ids() []string { return slices.Sorted(maps.Keys(w.servers)) }

// account adds accounts "server/user".
func (w *faultWorld) account(names ...string) {
	w.t.Helper()
	for _, name := range names {
		server, user, _ := strings.Cut(name, "/")
		w.must(w.servers[server].state.AddAccount(cpanelfake.Account{User: user, Domain: user + ".example"}))
	}
}

// subscribers writes the list of customers: rows "web01,bob,1001".
func (w *faultWorld) subscribers(rows ...string) {
	w.t.Helper()
	write(w.t, filepath.Join(w.dir, "accounts.csv"), "server,user,subscriber_unique_id\n"+strings.Join(rows, "\n")+"\n")
}

// faultSettings are what differs between configurations.
type faultSettings struct {
	public      string // broker.public_url
	broker      string // more keys of broker, ", key: value"
	provisioner string // more keys of provisioner, ", key: value"
	requests    int    // provisioner.requests_per_server; 1 when 0
	subscribers string // the whole key; a file when empty
	links       string // two links when empty
	defaults    bool   // the fourteen default links instead
	server      string // more keys of each server
	untrusted   bool   // servers have no ca_file
}

const faultLinks = `
  - {id: invoices, label: Invoices, implements: billing, order: 10, portal: portal, path: /invoices}
  - {id: tickets, label: Tickets, implements: support, order: 20, portal: portal, path: /tickets}
`

const faultPublicURL = "https://sso.example.com"

func (w *faultWorld) configure(s faultSettings) {
	w.t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "store: {addresses: [%q]}\n", w.address)
	fmt.Fprintf(&b, "broker: {public_url: %q%s}\n", cmp.Or(s.public, faultPublicURL), s.broker)
	fmt.Fprintf(&b, "provisioner: {requests_per_second: 0, request_timeout: %s, requests_per_server: %d%s}\n", w.timeout, cmp.Or(s.requests, 1), s.provisioner)
	b.WriteString("portals:\n  - {id: portal, login_url: \"https://portal.example.com/sso\", fallback_url: \"https://portal.example.com/login?next={path}\"}\n")
	fmt.Fprintf(&b, "subscribers: %s\n", cmp.Or(s.subscribers, "{source: file, file: {path: accounts.csv}}"))
	if !s.defaults {
		fmt.Fprintf(&b, "links:\n%s\n", strings.Trim(cmp.Or(s.links, faultLinks), "\n"))
	}
	b.WriteString("servers:\n")
	for _, id := range w.ids() {
		trust := ", ca_file: " + id + ".pem"
		if s.untrusted {
			trust = ""
		}
		fmt.Fprintf(&b, "  - {id: %s, url: %q, token_file: %s.token%s%s}\n", id, w.servers[id].whm.URL(), id, trust, s.server)
	}
	write(w.t, w.config, b.String())
}

// run runs a command to its end.
func (w *faultWorld) run(args ...string) faultResult { return w.runUntil(w.t.Context(), args...) }

// runUntil runs a command until it ends or is interrupted by the end of ctx.
func (w *faultWorld) runUntil(ctx context.Context, args ...string) faultResult {
	var out, problems lockedBuffer
	r := faultResult{args: strings.Join(args, " ")}
	r.code = app.Main(append(args, "-c", w.config), app.Env{
		Env: cli.Env{In: strings.NewReader(""), Out: &out, Err: &problems, Signals: ctx}, Wait: w.wait, Now: w.now,
	})
	r.out, r.err = out.String(), problems.String()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.printed = append(w.printed, r.String())
	return r
}

// ok runs a command that must do all that it is asked.
func (w *faultWorld) ok(args ...string) faultResult {
	w.t.Helper()
	r := w.run(args...)
	if r.code != cli.ExitDone {
		w.t.Fatalf("%vwant exit code 0", r)
	}
	return r
}

func (w *faultWorld) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// writes counts the writing commands of all servers since the last reset.
func (w *faultWorld) writes() int {
	n := 0
	for _, s := range w.servers {
		for _, count := range s.whm.Writes() {
			n += count
		}
	}
	return n
}

func (w *faultWorld) resetJournals() {
	for _, s := range w.servers {
		s.whm.Reset()
	}
}

// checkSecrets looks for secrets in what was printed, logged and stored.
func (w *faultWorld) checkSecrets() {
	if w.large {
		return
	}
	w.eachLink(func(a broker.Account, l cpanelfake.Link) {
		if strings.Contains(l.AutologinTokenURL, "/autologin?") {
			w.secrets[l.Token.Reveal()] = "link token of " + a.String() + " " + l.App
		}
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	places := map[string]string{"the store": storetest.Dump(w.t, w.redis), "what was printed": strings.Join(w.printed, "\n")}
	for id, s := range w.servers {
		places["the access log of "+id] = s.log.String()
	}
	for place, text := range places {
		for secret, whose := range w.secrets {
			if strings.Contains(text, secret) {
				w.t.Errorf("%s has the %s", place, whose)
			}
		}
	}
}

// read returns the configuration.
func (w *faultWorld) read() string { return w.file("latchkey.yaml") }

// file returns a file of the world.
func (w *faultWorld) file(name string) string {
	w.t.Helper()
	content, err := os.ReadFile(filepath.Join(w.dir, name))
	w.must(err)
	return string(content)
}

// buildProvisioner makes the program itself, as the image does, without the tests
// around it.
func buildProvisioner(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "provisioner")
	build := exec.Command("go", "build", "-trimpath", "-o", path, "github.com/latchkey-sso/latchkey/cmd/provisioner")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the provisioner: %v\n%s", err, out)
	}
	return path
}

// start starts a command in a process of its own, in real time. It is killed with
// the test.
func (w *faultWorld) start(program string, args ...string) (cmd *exec.Cmd, out *lockedBuffer) {
	w.t.Helper()
	out = &lockedBuffer{}
	cmd = exec.Command(program, append(args, "-c", w.config)...)
	cmd.Env = []string{"HOME=" + w.dir, "USER=tester"}
	cmd.Stdout, cmd.Stderr = out, out
	storetest.DieWithTest(cmd)
	w.must(cmd.Start())
	w.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // an error when the test has waited already
		w.mu.Lock()
		defer w.mu.Unlock()
		w.printed = append(w.printed, out.String())
	})
	return cmd, out
}

// eventually waits for what other goroutines and processes bring about in real
// time, and returns how long it took.
func eventually(t testing.TB, most time.Duration, what string, happened func() bool) time.Duration {
	t.Helper()
	begun := time.Now()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !happened() {
		if time.Since(begun) > most {
			t.Fatalf("still waiting after %s until %s", most, what)
		}
		<-tick.C
	}
	return time.Since(begun)
}
