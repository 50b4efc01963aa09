package app_test

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/latchkey-sso/latchkey/api/cpanelfake"
	"github.com/latchkey-sso/latchkey/api/whm/whmfake"
	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// world is a hosting company: a Redis, servers with accounts, and the files of an
// operator. All that its commands print is searched for secrets in the end.
type world struct {
	t         testing.TB
	dir       string
	config    string // path
	redis     redis.UniversalClient
	store     *store.Store
	gate      *gate
	redisGate *redisGate // where configurations find Redis
	servers   map[string]*panel
	public    string // broker.public_url

	secrets map[string]string // what must not be seen anywhere, and whose it is
	printed []string
}

// panel is one simulated server: what it stores, and its WHM.
type panel struct {
	id    string
	state *cpanelfake.State
	whm   *whmfake.Server
	log   lockedBuffer // access log
}

func whmToken(server string) string { return "CANARY-WHM-API-TOKEN-OF-" + server }

// newWorld starts Redis and the servers, on which there is nothing yet.
func newWorld(t testing.TB, servers ...string) *world {
	t.Helper()
	redis := storetest.StartRedis(t)
	w := &world{
		t: t, dir: t.TempDir(), redis: redis.Client(), gate: &gate{},
		servers: map[string]*panel{}, public: publicURL, secrets: map[string]string{},
	}
	w.config = filepath.Join(w.dir, "latchkey.yaml")
	w.store = store.New(store.Config{Client: w.redis, KeyPrefix: "latchkey:"})
	if err := w.store.LoadScripts(t.Context()); err != nil {
		t.Fatalf("load scripts: %v", err)
	}
	w.redisGate = startRedisGate(t, w.gate, redis.Addr)
	for _, id := range servers {
		w.addServer(id)
	}
	w.subscribers()
	t.Cleanup(w.checkSecrets)
	return w
}

func (w *world) addServer(id string) *panel {
	w.t.Helper()
	p := &panel{id: id, state: &cpanelfake.State{}}
	var err error
	p.whm, err = whmfake.New(whmfake.Config{State: p.state, Token: whmToken(id), Name: id + ".example.com", Log: &p.log})
	if err != nil {
		w.t.Fatalf("start %s: %v", id, err)
	}
	w.t.Cleanup(p.whm.Close)
	p.whm.SetRefusal(w.gate.refusal(id))
	w.servers[id] = p
	w.secrets[whmToken(id)] = "WHM token of " + id
	write(w.t, filepath.Join(w.dir, id+".token"), whmToken(id)+"\n")
	write(w.t, filepath.Join(w.dir, id+".pem"), string(p.whm.CAPEM()))
	return p
}

// ids are those of the servers, sorted.
func (w *world) ids() []string { return slices.Sorted(maps.Keys(w.servers)) }

// account adds accounts "server/user".
func (w *world) account(names ...string) {
	w.t.Helper()
	for _, name := range names {
		server, user, _ := strings.Cut(name, "/")
		if err := w.servers[server].state.AddAccount(cpanelfake.Account{User: user, Domain: user + ".example"}); err != nil {
			w.t.Fatal(err)
		}
	}
}

// subscribers writes the list of customers: rows "web01,bob,1001".
func (w *world) subscribers(rows ...string) {
	w.t.Helper()
	write(w.t, filepath.Join(w.dir, "accounts.csv"), "server,user,subscriber_unique_id\n"+strings.Join(rows, "\n")+"\n")
}

// settings are what differs between the configurations of tests.
type settings struct {
	servers  []string // ids; all of the world when empty
	public   string   // broker.public_url; https://sso.example.com when empty
	broker   string   // further keys of the section broker
	requests int      // provisioner.requests_per_server; 1 when 0
	author   string   // provisioner.author
	group    string   // the key group; left out when empty
	links    string   // the key links; left out when empty
	more     string   // further top-level keys
}

const publicURL = "https://sso.example.com"

// configure writes the configuration file.
func (w *world) configure(s settings) {
	w.t.Helper()
	w.public = cmp.Or(s.public, publicURL)
	var b strings.Builder
	fmt.Fprintf(&b, "store: {addresses: [%q]}\nbroker: {public_url: %q, %s}\n", w.redisGate.addr, w.public, s.broker)
	fmt.Fprintf(&b, "provisioner: {requests_per_second: 0, requests_per_server: %d, author: %q}\n", cmp.Or(s.requests, 1), s.author)
	b.WriteString("portals:\n  - {id: portal, login_url: \"https://portal.example.com/sso\", fallback_url: \"https://portal.example.com/login?next={path}\"}\n")
	b.WriteString("subscribers: {source: file, file: {path: accounts.csv}}\nservers:\n")
	if s.servers == nil {
		s.servers = w.ids()
	}
	for _, id := range s.servers {
		fmt.Fprintf(&b, "  - {id: %s, url: %q, token_file: %[1]s.token, ca_file: %[1]s.pem}\n", id, w.servers[id].whm.URL())
	}
	if s.group != "" {
		fmt.Fprintf(&b, "group: %s\n", s.group)
	}
	if s.links != "" {
		fmt.Fprintf(&b, "links:\n%s\n", strings.Trim(s.links, "\n"))
	}
	b.WriteString(s.more)
	write(w.t, w.config, b.String())
}

// read returns a file of the world.
func (w *world) read(name string) string {
	w.t.Helper()
	content, err := os.ReadFile(filepath.Join(w.dir, name))
	if err != nil {
		w.t.Fatal(err)
	}
	return string(content)
}

// process prepares a command with the world's configuration.
func (w *world) process(args ...string) *process {
	w.t.Helper()
	return newProcess(w.t, "provisioner", w.dir, append(args, "-c", w.config)...)
}

// run runs a command to its end, without anything on standard input.
func (w *world) run(args ...string) result {
	w.t.Helper()
	p := w.process(args...)
	p.start()
	return w.ended(p)
}

// plain runs a command without telling it the configuration.
func (w *world) plain(args ...string) result {
	w.t.Helper()
	p := newProcess(w.t, "provisioner", w.dir, args...)
	p.start()
	return w.ended(p)
}

// answering runs a command with something on standard input.
func (w *world) answering(text string, args ...string) result {
	w.t.Helper()
	p := w.process(args...)
	p.start()
	if _, err := io.WriteString(p.in, text); err != nil {
		w.t.Fatalf("write to %q: %v", p.args, err)
	}
	return w.ended(p)
}

// ended waits for a command.
func (w *world) ended(p *process) result {
	w.t.Helper()
	r := p.wait()
	w.noteTokens()
	w.printed = append(w.printed, "$ provisioner "+strings.Join(p.cmd.Args[1:], " "), r.out, r.err)
	return r
}

// ok runs a command that must do all that it is asked, and returns what it printed.
func (w *world) ok(args ...string) string {
	w.t.Helper()
	r := w.run(args...)
	if r.code != 0 {
		w.t.Fatalf("%q: exit code %d, want 0\n%s%s", args, r.code, r.out, r.err)
	}
	return r.out
}

// noteTokens adds the link tokens that are on servers now to the secrets.
func (w *world) noteTokens() {
	w.eachLink(func(server, user string, l cpanelfake.Link) {
		if len(l.Token.Reveal()) > 20 { // others are not ours
			w.secrets[l.Token.Reveal()] = "link token of " + server + "/" + user + "/" + l.App
		}
	})
}

// checkSecrets looks for secrets in all that was printed, logged and stored.
func (w *world) checkSecrets() {
	places := map[string]string{"Redis": storetest.Dump(w.t, w.redis), "arguments and output": strings.Join(w.printed, "\n")}
	for id, p := range w.servers {
		places["the access log of "+id] = p.log.String()
	}
	for place, text := range places {
		for secret, whose := range w.secrets {
			if strings.Contains(text, secret) {
				w.t.Errorf("%s has the %s", place, whose)
			}
		}
	}
}

// eachLink shows all links of all servers.
func (w *world) eachLink(show func(server, user string, l cpanelfake.Link)) {
	for _, id := range w.ids() {
		for _, a := range w.servers[id].state.Accounts() {
			links, err := w.servers[id].state.Links(a.User)
			if err != nil {
				w.t.Fatal(err)
			}
			for _, l := range links {
				show(id, a.User, l)
			}
		}
	}
}

// ours tells whether a link leads to our brokers.
func (w *world) ours(l cpanelfake.Link) bool {
	return strings.HasPrefix(l.AutologinTokenURL, w.public+"/autologin?")
}

// putForeign gives an account what other makers put there: a link of a name like
// ours, one of another name, and a group.
func (w *world) putForeign(server, user string) {
	w.t.Helper()
	state := w.servers[server].state
	put := func(err error) {
		w.t.Helper()
		if err != nil {
			w.t.Fatal(err)
		}
	}
	put(state.PutGroup(user, cpanelfake.Group{ID: "shop", Label: "Shop", Order: 9}))
	for _, app := range []string{"latchkey_theirs", "othershop"} {
		put(state.PutLink(user, cpanelfake.Link{
			App: app, Implements: "billing", Label: "Shop of " + user, SubscriberUniqueID: "77", Token: cpanelfake.NewToken("theirs"),
			AutologinTokenURL: "https://shop.example.net/autologin?server=" + server, URL: "https://shop.example.net/", GroupID: "shop", Order: 3,
		}))
	}
}

// foreign is everything on the servers that is not ours.
func (w *world) foreign() string {
	var b strings.Builder
	w.eachLink(func(server, user string, l cpanelfake.Link) {
		if !w.ours(l) {
			fmt.Fprintf(&b, "%s/%s %v %s\n", server, user, l.Fields(), l.Token.Reveal())
		}
	})
	for _, id := range w.ids() {
		for _, a := range w.servers[id].state.Accounts() {
			groups, err := w.servers[id].state.Groups(a.User)
			if err != nil {
				w.t.Fatal(err)
			}
			for _, g := range groups {
				if g.ID != "latchkey" {
					fmt.Fprintf(&b, "%s/%s group %v\n", id, a.User, g)
				}
			}
		}
	}
	return b.String()
}

// link finds a link of an account.
func (w *world) link(server, user, app string) cpanelfake.Link {
	w.t.Helper()
	l, err := w.servers[server].state.Link(user, app)
	if err != nil {
		w.t.Fatalf("link %s of %s/%s: %v", app, server, user, err)
	}
	return l
}

// edit changes a link on its server, as somebody else would.
func (w *world) edit(server, user, app string, change func(*cpanelfake.Link)) {
	w.t.Helper()
	l := w.link(server, user, app)
	change(&l)
	if err := w.servers[server].state.PutLink(user, l); err != nil {
		w.t.Fatal(err)
	}
}

// resetJournals forgets what the servers have executed.
func (w *world) resetJournals() {
	for _, p := range w.servers {
		p.whm.Reset()
	}
}

// accounts returns the keys of Redis that hold accounts, with their values.
func (w *world) accounts() string {
	var kept []string
	for line := range strings.Lines(storetest.Dump(w.t, w.redis)) {
		if strings.HasPrefix(line, "latchkey:acct:") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

// accepted says why the store would refuse a click on a link, or nothing. Who is
// clicking follows from the link's own URL, as in a real post.
func (w *world) accepted(l cpanelfake.Link) error {
	w.t.Helper()
	link := linkOf(w.t, l.AutologinTokenURL)
	token, err := broker.NewOneTimeToken(rand.Reader, link.Account)
	if err != nil {
		w.t.Fatal(err)
	}
	secret := broker.LinkToken{Secret: broker.NewSecret(l.Token.Reveal())}
	_, err = w.store.Issue(w.t.Context(), broker.Issue{
		Link: link, LinkToken: secret.Digest(), Subscriber: l.SubscriberUniqueID, CheckOnly: true, Token: token,
	})
	return err
}

// linkOf reads the link out of an autologin_token_url.
func linkOf(t testing.TB, autologin string) broker.Link {
	t.Helper()
	u, err := url.Parse(autologin)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	return broker.Link{Account: broker.Account{Server: q.Get("server"), User: q.Get("user")}, App: q.Get("app")}
}
