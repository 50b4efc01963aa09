package app_test

import (
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/api/cpanelfake"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// One operator, one server, from the first look to the last link removed; customers
// click in between.
func TestUserStory(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "web01")
	w.account("web01/alice", "web01/bob")
	w.subscribers("web01,alice,1001", "web01,bob,1002")
	w.putForeign("web01", "bob")
	foreign := w.foreign()
	port, operators := strconv.Itoa(storetest.FreePort(t)), strconv.Itoa(storetest.FreePort(t))
	w.configure(settings{
		links: threeLinks, public: "http://127.0.0.1:" + port,
		broker: `listen: "127.0.0.1:` + port + `", operator_listen: "127.0.0.1:` + operators + `", signing_keys_dir: keys, drain_delay: 0s`,
	})
	want := desired{accounts: map[string]string{"web01/alice": "1001", "web01/bob": "1002"}, links: threeDesired, group: defaultGroup}
	keys := newProcess(t, "broker", w.dir, "keys", "new", "-c", w.config)
	keys.start()
	if r := w.ended(keys); r.code != 0 {
		t.Fatalf("keys new: exit code %d\n%s%s", r.code, r.out, r.err)
	}
	broker := newProcess(t, "broker", w.dir, "serve", "-c", w.config)
	broker.start()
	broker.until("it is ready", func() bool {
		response, err := browser.Get("http://127.0.0.1:" + operators + "/healthz/ready")
		if err == nil {
			_ = response.Body.Close()
		}
		return err == nil && response.StatusCode == http.StatusOK
	})

	if out := w.ok("servers", "check"); !strings.Contains(out, "web01   web01.example.com  11.136.0.13  yes    2         ok") {
		t.Errorf("servers check says\n%s", out)
	}
	if out := w.ok("plan"); !strings.Contains(out, "To do: create 6, change 0, rotate 0, remove 0. Unchanged: 0.") {
		t.Errorf("plan says\n%s", out)
	}
	if out := w.ok("apply"); !strings.Contains(out, "Created 6, changed 0, rotated 0, removed 0. Unchanged: 0.") {
		t.Errorf("apply says\n%s", out)
	}
	if err := want.reached(w); err != nil {
		t.Error(err)
	}
	w.clickAll(want)
	w.ok("rotate", "--account", "web01/bob")
	w.clickAll(want)

	w.ok("remove", "--all", "--yes")
	if got := w.standing(); got != "" {
		t.Errorf("after removing all the server has\n%s", got)
	}
	if got := w.accounts(); got != "" {
		t.Errorf("after removing all the store has\n%s", got)
	}
	w.same("after removing all", foreign)
	if _, err := w.panel("web01").Click(t.Context(), "alice", "latchkey_invoices"); !errors.Is(err, cpanelfake.ErrUnknownLink) {
		t.Errorf("a click after removing all: %v, want %v", err, cpanelfake.ErrUnknownLink)
	}

	w.ok("apply")
	w.clickAll(want)
	broker.interrupt()
	if r := w.ended(broker); r.code != 0 {
		t.Errorf("broker: exit code %d, want 0\n%s", r.code, r.err)
	}
}

// browser goes where it is sent, one step at a time.
var browser = &http.Client{
	Timeout:       20 * time.Second,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// panel is what customers of a server see.
func (w *world) panel(server string) *cpanelfake.Server {
	w.t.Helper()
	p, err := cpanelfake.New(cpanelfake.Config{Name: server + ".example.com", State: w.servers[server].state, Client: browser})
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// clickAll clicks every link of every account in the simulated cPanel and follows it
// to the page that hands the browser over to the portal.
func (w *world) clickAll(want desired) {
	w.t.Helper()
	for account := range want.accounts {
		server, user, _ := strings.Cut(account, "/")
		for _, l := range want.links {
			outcome, err := w.panel(server).Click(w.t.Context(), user, "latchkey_"+l.id)
			if err != nil || outcome.Kind != cpanelfake.SignedOn || !strings.HasPrefix(outcome.Location, w.public+"/login?one_time_token=") {
				w.t.Errorf("click on %s of %s: %v, %v, want signed on at the broker", l.id, account, outcome, err)
				continue
			}
			r, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, outcome.Location, nil)
			if err != nil {
				w.t.Fatal(err)
			}
			r.Header.Set("Sec-Fetch-Mode", "navigate")
			r.Header.Set("Sec-Fetch-Dest", "document")
			response, err := browser.Do(r)
			if err != nil {
				w.t.Fatal(err)
			}
			page, err := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if err != nil || response.StatusCode != http.StatusOK || !strings.Contains(string(page), `action="https://portal.example.com/sso"`) {
				w.t.Errorf("one-time URL of %s of %s: status %d (%v), want a form for the portal\n%s", l.id, account, response.StatusCode, err, page)
			}
		}
	}
}

// What is printed, logged and stored holds no secret also where everything goes
// wrong: newWorld looks for secrets in all of it when the test ends.
func TestNoSecretInFailures(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "web01", "web02")
	threeAccounts(w)
	w.configure(settings{links: threeLinks})
	w.ok("apply")
	w.servers["web01"].whm.SetToken("another")
	for _, args := range []string{"servers check", "apply", "rotate --server web01", "verify", "apply -o json", "log --operation 2 --level debug"} {
		w.run(strings.Fields(args)...)
	}
	write(t, filepath.Join(w.dir, "web02.token"), whmToken("web02")+"\nand more\n")
	if r := w.run("apply"); r.code != 2 && r.code != 1 {
		t.Errorf("a token with a line break: exit code %d, want a failure\n%s", r.code, r.err)
	}
	write(t, filepath.Join(w.dir, "web02.token"), whmToken("web02"))
	if err := w.redis.Set(t.Context(), "latchkey:{catalogue}", "not a hash", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if r := w.run("apply"); r.code != 1 {
		t.Errorf("a damaged store: exit code %d, want 1\n%s", r.code, r.err)
	}
}
