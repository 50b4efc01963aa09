package app_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/cmd/broker/app"
	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/embedded"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// controlsKey is the hash of the controls; beside it is their version.
const controlsKey = "latchkey:{catalogue}controls"

func TestControlsByCommand(t *testing.T) {
	t.Parallel()
	redis := storetest.StartRedis(t)
	file := writeConfig(t, redis.Addr)
	steps := []struct {
		name, line string
		code       int
		// out and errs are parts of what is printed.
		out, errs string
	}{
		{"nothing yet", "controls list", cli.ExitDone, "", "There are no controls: everybody may sign on."},
		{"a block", "controls block subscriber 1234 --author eve --note chargeback", cli.ExitDone, "Sign-on is blocked for subscriber 1234", ""},
		{"an app without its prefix", "controls pause app billing --for 1h", cli.ExitDone, "Sign-on is paused for app latchkey_billing until ", ""},
		{"a server that nobody knows", "controls block server web77", cli.ExitDone, "blocked for server web77", `server "web77" is not in the configuration`},
		{"an app that nobody knows", "controls block app biling", cli.ExitDone, "", "there are: latchkey_billing, latchkey_tickets"},
		{"a list", "controls list", cli.ExitDone, "chargeback", ""},
		{"a pause would end a block", "controls pause subscriber 1234 --for 1h", cli.ExitFailed, "", "blocked for subscriber 1234, by eve since "},
		{"the block ends", "controls allow subscriber 1234", cli.ExitDone, "The control of subscriber 1234 has ended", ""},
		{"it has ended", "controls allow subscriber 1234", cli.ExitFailed, "", "there is no control of subscriber 1234"},
		{"never set", "controls allow account web01/bob", cli.ExitFailed, "", "there is no control of account web01/bob"},
		{"everything, without a yes", "controls block everything", cli.ExitUsage, "", "nothing was changed"},
		{"everything", "controls pause everything --for 2d --yes", cli.ExitDone, "paused for everything until", ""},
		{"everything again", "controls allow everything", cli.ExitDone, "The control of everything has ended", ""},
		{"no scope", "controls block", cli.ExitUsage, "", "`broker controls block` wants an argument\nUsage: broker controls block subscriber|account|app|server|everything [NAME] [flags]\n"},
		{"too many names", "controls block server web01 web02", cli.ExitUsage, "", "does not take these arguments: \"server\" \"web01\" \"web02\"\nUsage: "},
		{"a time of unknown units", "controls pause server web01 --for 2weeks", cli.ExitUsage, "", `--for "2weeks": write a time like 90s, 30m, 24h, 2d or 1d12h` + "\nUsage: broker controls pause "},
		{"wrong scope", "controls block planet earth", cli.ExitUsage, "", "scope must be subscriber, account, app, server or everything"},
		{"no name", "controls block server", cli.ExitUsage, "", "server is missing"},
		{"half an account", "controls block account bob", cli.ExitUsage, "", "must be named server/user"},
		{"no time", "controls pause server web01", cli.ExitUsage, "", "missing: --for\nUsage: broker controls pause "},
		{"too short", "controls pause server web01 --for 1ms", cli.ExitUsage, "", "give 1s to 366d"},
		{"too long", "controls pause server web01 --for 9000h", cli.ExitUsage, "", "give 1s to 366d"},
	}
	for _, s := range steps {
		code, out, errs := run(t, commandLine(s.line, "-c", file), operatorEnviron)
		if code != s.code || !strings.Contains(out, s.out) || !strings.Contains(errs, s.errs) {
			t.Errorf("%s: got exit code %d, %q and %q, want %d, %q and %q", s.name, code, out, errs, s.code, s.out, s.errs)
		}
	}
	if code, _, errs := run(t, []string{"controls", "block", "server", "web01", "--note", "two\nlines", "-c", file}, operatorEnviron); code != cli.ExitUsage || !strings.Contains(errs, "note must be one line") {
		t.Errorf("a note of two lines: got exit code %d, %q", code, errs)
	}

	states := func(line string) string {
		t.Helper()
		_, out, errs := run(t, commandLine(line, "-c", file, "-o", "json"), operatorEnviron)
		var rows []struct{ Scope, Name, State string }
		if err := json.Unmarshal([]byte(out), &rows); err != nil {
			t.Fatalf("%s: %v, %s", line, err, errs)
		}
		var all []string
		for _, r := range rows {
			all = append(all, r.Scope+" "+r.Name+" "+r.State)
		}
		return strings.Join(all, ", ")
	}
	const inForce = "app latchkey_biling blocked, app latchkey_billing paused, server web77 blocked"
	if got := states("controls list"); got != inForce {
		t.Errorf("in force: got %s, want %s", got, inForce)
	}
	const all = "subscriber 1234 ended, " + inForce + ", everything  ended"
	if got := states("controls list --ended"); got != all {
		t.Errorf("with those that ended: got %s, want %s", got, all)
	}
}

// A control of a name that nobody knows is set all the same, with a note; whoever
// knows the name is the store, which may have another catalogue than the file.
func TestControlsOfUnknownNames(t *testing.T) {
	t.Parallel()
	redis := storetest.StartRedis(t)
	file := writeConfig(t, redis.Addr)
	s := store.New(store.Config{Client: redis.Client(), KeyPrefix: "latchkey:"})
	addLink(t, s, "latchkey_billing")
	publishTo(t, s, 0, broker.LinkDefinition{ID: "invoices", Enabled: true, Label: "Invoices", Implements: "billing", Portal: "portal", Path: "/invoices"})
	tests := []struct {
		line string
		note string // all of standard error
	}{
		{"block account web01/bob", ""},
		{"block account web01/nobody", "Note: the store knows no link of account web01/nobody; is the name right? (`broker links list --server web01` shows them)\n"},
		{"allow account web01/nobody", ""},
		{"pause account web77/bob --for 1h", "Note: server \"web77\" is not in the configuration; it cannot sign anybody on anyway.\n"},
		{"block server web01", ""},
		{"block server web77", "Note: server \"web77\" is not in the configuration; it cannot sign anybody on anyway.\n"},
		{"block app invoices", ""},
		{"block app tickets", "Note: app \"latchkey_tickets\" is not in the catalogue; there are: latchkey_invoices\n"},
		{"block subscriber 77", ""},
	}
	for _, tt := range tests {
		if code, _, errs := run(t, commandLine("controls "+tt.line, "-c", file), operatorEnviron); code != cli.ExitDone || errs != tt.note {
			t.Errorf("%s: got exit code %d and %q, want it done and %q", tt.line, code, errs, tt.note)
		}
	}
}

// Records that cannot be read block until they are allowed, whatever their names and
// texts are.
func TestDamagedControlsByCommand(t *testing.T) {
	t.Parallel()
	redis := storetest.StartRedis(t)
	file := writeConfig(t, redis.Addr)
	long := strings.Repeat("x", broker.MaxSubscriber)
	noted := `0|{"target":{"scope":"server","name":"web02"},"at":"2026-01-01T00:00:00Z","note":"` + strings.Repeat("n", broker.MaxControlText+1) + `"}`
	if err := redis.Client().HSet(t.Context(), controlsKey, "planet earth", "0|{}", "planet mars", "?", "server web01", "0|{", "server web02", noted, "subscriber "+long, "").Err(); err != nil {
		t.Fatal(err)
	}
	steps := []struct {
		line      string
		code      int
		out, errs string
	}{
		{"controls list", cli.ExitDone, `the record "planet earth" in the store is damaged: ` + "`broker controls allow everything` removes it", ""},
		{"controls list", cli.ExitDone, `the record "server web01" in the store is damaged: ` + "`broker controls allow server web01` removes it", ""},
		{"controls pause server web01 --for 1h", cli.ExitFailed, "", "blocked for server web01, by damaged records (1)"},
		{"controls pause everything --for 1h --yes", cli.ExitFailed, "", "blocked for everything, by damaged records (2)"},
		{"controls allow server web01", cli.ExitDone, "The control of server web01 has ended, at every broker within a second. Damaged records that were removed: 1.", ""},
		{"controls allow server web01", cli.ExitFailed, "", "there is no control of server web01"},
		{"controls allow subscriber " + long, cli.ExitDone, "Damaged records that were removed: 1.", ""},
		{"controls allow server web02", cli.ExitFailed, "", "server web02: invalid_request: note must be one line of text, of 255 bytes at most: give it with the command\n"},
		{"controls allow server web02 --note short", cli.ExitDone, "The control of server web02 has ended", ""},
		{"controls allow everything", cli.ExitDone, "Damaged records that were removed: 2.", ""},
		{"controls list", cli.ExitDone, "", "There are no controls: everybody may sign on."},
	}
	for _, s := range steps {
		code, out, errs := run(t, commandLine(s.line, "-c", file), operatorEnviron)
		if code != s.code || !strings.Contains(out, s.out) || !strings.Contains(errs, s.errs) || strings.Contains(errs, "is Redis running") {
			t.Errorf("%s: got exit code %d, %q and %q, want %d, %q and %q", s.line, code, out, errs, s.code, s.out, s.errs)
		}
	}
}

// replicas starts brokers that share one store.
func replicas(t *testing.T, n int) ([]*running, *embedded.Redis) {
	t.Helper()
	r, err := embedded.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	dir := t.TempDir()
	newKey(t, dir)
	var all []*running
	for range n {
		text := changed(t, configFile(dir, "127.0.0.1:6379", freeAddress(t), freeAddress(t)), "store: {", "store: {mode: embedded, ")
		b := start(t, app.Options{Config: loadConfig(t, text), Embedded: r})
		waitReady(t, b.operators)
		all = append(all, b)
	}
	return all, r
}

// clickAt posts bob's click and returns its status and body.
func clickAt(t *testing.T, b *running, link broker.LinkToken) (int, string) {
	t.Helper()
	form := url.Values{"token": {link.Reveal()}, "subscriber_unique_id": {"1234"}, "attempt": {"1"}}
	return postForm(t, broker.AutologinURL(b.url, bobs("latchkey_tickets")), form, nil)
}

// A control is in force at every broker within a second, and one-time tokens that
// are outstanding are dead as well, also after it has ended.
func TestAControlIsInForceEverywhereWithinASecond(t *testing.T) {
	t.Parallel()
	brokers, _ := replicas(t, 3)
	link := addLink(t, brokers[0].Store(), "latchkey_tickets")
	targets := []broker.ControlTarget{
		{Scope: broker.ScopeSubscriber, Name: "1234"}, {Scope: broker.ScopeAccount, Name: "web01/bob"},
		{Scope: broker.ScopeApp, Name: "latchkey_tickets"}, {Scope: broker.ScopeServer, Name: "web01"}, {Scope: broker.ScopeEverything},
	}
	for _, target := range targets {
		var outstanding []string
		for range 2 * len(brokers) {
			outstanding = append(outstanding, oneTimeToken(t, brokers[0], link))
		}
		control := broker.Control{Target: target, At: time.Now(), Author: "test"}
		begun := time.Now()
		if err := brokers[0].Store().SetControl(t.Context(), control, begun, nil); err != nil {
			t.Fatal(err)
		}
		for i, b := range brokers {
			eventually(t, "the control is in force", func() bool { status, _ := clickAt(t, b, link); return status == http.StatusForbidden })
			if status, body := exchangeAt(t, b, outstanding[i]); status != http.StatusBadRequest || strings.Contains(body, "assertion") {
				t.Errorf("%s, outstanding token at broker %d: got %d %s, want a refusal", target, i, status, body)
			}
		}
		took := time.Since(begun)
		t.Logf("%s: in force at %d brokers after %v", target, len(brokers), took.Round(time.Millisecond))
		if took > 5*time.Second { // the promise is a second; a busy machine is not its breach
			t.Errorf("%s: in force after %v, want 1 s", target, took)
		}
		control.Until = time.Now()
		if err := brokers[1].Store().SetControl(t.Context(), control, control.Until, nil); err != nil {
			t.Fatal(err)
		}
		for i, b := range brokers {
			eventually(t, "sign-on is back", func() bool { status, _ := clickAt(t, b, link); return status == http.StatusOK })
			if status, body := exchangeAt(t, b, outstanding[len(brokers)+i]); status != http.StatusBadRequest || strings.Contains(body, "assertion") {
				t.Errorf("%s, token from before at broker %d: got %d %s, want a refusal", target, i, status, body)
			}
		}
	}
}

// A broker that cannot read the controls signs nobody on after five seconds, while
// all else in the store works.
func TestABrokerWithStaleControlsSignsNobodyOn(t *testing.T) {
	t.Parallel()
	brokers, r := replicas(t, 1)
	b := brokers[0]
	link := addLink(t, b.Store(), "latchkey_tickets")
	token := oneTimeToken(t, b, link)
	redis := r.Client()
	const version = "latchkey:{catalogue}controls:version"
	if err := redis.RPush(t.Context(), version, "x").Err(); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	eventually(t, "the broker asks to come again", func() bool {
		status, body := clickAt(t, b, link)
		return status == http.StatusOK && strings.Contains(body, "retry")
	})
	if took := time.Since(begun); took < broker.MaxControlsAge-2*time.Second {
		t.Errorf("the controls were stale after %v, want %v", took, broker.MaxControlsAge)
	}
	if status, body := exchangeAt(t, b, token); status != http.StatusServiceUnavailable {
		t.Errorf("exchange: got %d %s, want 503", status, body)
	}
	if err := redis.Del(t.Context(), version).Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the broker signs on", func() bool {
		_, body := clickAt(t, b, link)
		return strings.Contains(body, "redirect_url")
	})
	if status, body := exchangeAt(t, b, token); status != http.StatusOK {
		t.Errorf("exchange of the token from before: got %d %s, want it not consumed", status, body)
	}
}

// oneTimeToken clicks bob's ticket link and returns the one-time token.
func oneTimeToken(t *testing.T, b *running, link broker.LinkToken) string {
	t.Helper()
	u, err := url.Parse(autologin(t, b.url, "latchkey_tickets", link))
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get("one_time_token")
}

// exchangeAt redeems a one-time token as the portal's back end does.
func exchangeAt(t *testing.T, b *running, token string) (int, string) {
	t.Helper()
	return postForm(t, b.url+"/exchange", url.Values{"one_time_token": {token}, "client_id": {"support"}, "client_secret": {clientSecret}}, nil)
}
