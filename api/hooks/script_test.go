package hooks_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

const scriptPath = "../../deploy/whm-hooks/latchkey-hook"

// installed returns the path of a program. Without it a test is skipped, saying
// so; where CI is set it fails.
func installed(t testing.TB, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	switch {
	case err == nil:
		return path
	case os.Getenv("CI") != "":
		t.Fatalf("%s is missing, and CI must not skip this test: apt-get install %[1]s", program)
	}
	t.Skipf("NOT TESTED: %s is missing (apt-get install %[1]s)", program)
	return ""
}

// provisioner is the real handler over TLS. It records what arrives.
type provisioner struct {
	*receiver
	url, caFile string
	server      *httptest.Server

	mu   sync.Mutex
	sent []string
}

func newProvisioner(t testing.TB) *provisioner {
	t.Helper()
	p := &provisioner{receiver: newReceiver()}
	p.server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("read what the script sends: %v", err)
		}
		p.mu.Lock()
		p.sent = append(p.sent, string(body))
		p.mu.Unlock()
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		p.ServeHTTP(w, r)
	}))
	t.Cleanup(p.server.Close)
	p.url = p.server.URL + "/hooks/whm"
	p.caFile = filepath.Join(t.TempDir(), "ca.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.server.Certificate().Raw})
	must(t, os.WriteFile(p.caFile, certificate, 0o644))
	return p
}

// bodies are what the script has sent.
func (p *provisioner) bodies() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.sent)
}

// config writes the script's configuration file; each change replaces a text in it.
func (p *provisioner) config(t testing.TB, changes ...string) string {
	t.Helper()
	text := "# latchkey\n\nurl = " + p.url + "\nserver = web01\n  secret=" + secret + "  \nca_file = " + p.caFile + "\n"
	path := filepath.Join(t.TempDir(), "latchkey-hook.conf")
	must(t, os.WriteFile(path, []byte(strings.NewReplacer(changes...).Replace(text)), 0o600))
	return path
}

// ran is what a run of the script left behind.
type ran struct {
	stdout, stderr string
	exit           int
}

// script runs the script as WHM does.
func script(t testing.TB, stdin string, env []string, args ...string) ran {
	t.Helper()
	perl := installed(t, "perl")
	installed(t, "curl")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c := exec.CommandContext(ctx, perl, append([]string{ok(filepath.Abs(scriptPath))(t)}, args...)...)
	var stdout, stderr strings.Builder
	c.Stdin, c.Stdout, c.Stderr = strings.NewReader(stdin), &stdout, &stderr
	c.Env = append([]string{"PATH=" + os.Getenv("PATH"), "no_proxy=*"}, env...)
	if err := c.Run(); err != nil && c.ProcessState == nil {
		t.Fatalf("run the script: %v", err)
	}
	return ran{stdout.String(), stderr.String(), c.ProcessState.ExitCode()}
}

// event is what WHM writes to a hook's stdin.
func event(category, name, data string) string {
	return `{"hook":{"id":"e0H1Wk1FCTwblcQgdpXZZMhy","exectype":"script","stage":"post","weight":100,"escalateprivs":0,` +
		`"hook":"/usr/local/cpanel/3rdparty/bin/latchkey-hook"},` +
		`"context":{"category":"` + category + `","event":"` + name + `","stage":"post","point":"main"},"data":` + data + `}`
}

// created is the event of a new account.
func created() string {
	return event("Whostmgr", "Accounts::Create", `{"user":"bob","domain":"bob.example.com","plan":"gold \"plus\" \\ caf\u00e9","pass":"`+password+`",`+
		`"contactemail":"bob@example.org","homedir":"/home/bob","uid":"","useip":"n","quota":"unlimited","mailbox_format":null,"hasshell":"y","owner":"root"}`)
}

// checkNoSecrets looks for what must not be seen.
func checkNoSecrets(t testing.TB, where, text string) {
	t.Helper()
	for _, canary := range []string{"CANARY", "canary-secret", "bob@example.org", "Nonpayment"} {
		if strings.Contains(text, canary) {
			t.Errorf("%s: got %s, want no %q in it", where, text, canary)
		}
	}
}

func TestTheScriptTellsOfEachEvent(t *testing.T) {
	const extra = `"pass":"` + password + `","reason":"Nonpayment","rawout":"x"`
	tests := []struct {
		name, stdin, sent string
		want              []reconcile.Request
	}{
		{
			"created", created(),
			`{"domain":"bob.example.com","event":"Accounts::Create","plan":"gold \"plus\" \\ caf\u00e9","server":"web01","user":"bob"}`,
			[]reconcile.Request{reconciled("bob")},
		},
		{
			"created, the name as in createacct", event("Whostmgr", "Accounts::Create", `{"username":"bob",`+extra+`}`),
			`{"event":"Accounts::Create","server":"web01","user":"bob"}`, []reconcile.Request{reconciled("bob")},
		},
		{
			"renamed", event("Whostmgr", "Accounts::Modify", `{"user":"bob","newuser":"robert",`+extra+`}`),
			`{"event":"Accounts::Modify","new_user":"robert","server":"web01","user":"bob"}`,
			[]reconcile.Request{reconciled("bob"), reconciled("robert")},
		},
		{
			"modified", event("Whostmgr", "Accounts::Modify", `{"user":"bob","newuser":"bob","domain":"bob.example.com",`+extra+`}`),
			`{"domain":"bob.example.com","event":"Accounts::Modify","server":"web01","user":"bob"}`, []reconcile.Request{reconciled("bob")},
		},
		{
			"removed", event("Whostmgr", "Accounts::Remove", `{"killdns":1,"keep_remote_databases":0,"user":"bob",`+extra+`}`),
			`{"event":"Accounts::Remove","server":"web01","user":"bob"}`, []reconcile.Request{reconciled("bob")},
		},
		{
			"suspended", event("Whostmgr", "Accounts::suspendacct", `{"user":"bob","disallowun":1,`+extra+`}`),
			`{"event":"Accounts::suspendacct","server":"web01","user":"bob"}`, []reconcile.Request{reconciled("bob")},
		},
		{
			"unsuspended", event("Whostmgr", "Accounts::unsuspendacct", `{"user":"bob",`+extra+`}`),
			`{"event":"Accounts::unsuspendacct","server":"web01","user":"bob"}`, []reconcile.Request{reconciled("bob")},
		},
		{
			"package changed", event("Whostmgr", "Accounts::change_package", `{"user":"bob","cur_pkg":"silver","new_pkg":"gold",`+extra+`}`),
			`{"event":"Accounts::change_package","plan":"gold","server":"web01","user":"bob"}`, []reconcile.Request{reconciled("bob")},
		},
		{
			"restored", event("PkgAcct", "Restore", `{"user":"bob","old_user":"robert","user_homedir":"/home/bob","domain":"bob.example.com",`+extra+`}`),
			`{"domain":"bob.example.com","event":"PkgAcct::Restore","server":"web01","user":"bob"}`,
			[]reconcile.Request{reconciled("bob"), rotated("bob")},
		},
		{
			"restored from a file", event("PkgAcct", "Restore", `{"user":"/home/cpmove-bob.tar.gz","old_user":"bob",`+extra+`}`),
			`{"event":"PkgAcct::Restore","server":"web01","user":"bob"}`, []reconcile.Request{reconciled("bob"), rotated("bob")},
		},
		{
			"texts that are none", event("Whostmgr", "Accounts::Create", `{"user":"bob","domain":{"x":"`+password+`"},"plan":["`+password+`"]}`),
			`{"event":"Accounts::Create","server":"web01","user":"bob"}`, []reconcile.Request{reconciled("bob")},
		},
		{
			"a plan that is no UTF-8", event("Whostmgr", "Accounts::Create", "{\"user\":\"bob\",\"plan\":\"caf\xe9\","+extra+"}"),
			`{"event":"Accounts::Create","plan":"caf\u00e9","server":"web01","user":"bob"}`, []reconcile.Request{reconciled("bob")},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newProvisioner(t)
			r := script(t, test.stdin, nil, "--config", p.config(t))
			if want := (ran{stdout: "1 ok\n"}); r != want {
				t.Errorf("got %+v, want %+v", r, want)
			}
			if got, want := p.bodies(), []string{test.sent}; !slices.Equal(got, want) {
				t.Errorf("sent %q, want %q", got, want)
			}
			checkNoSecrets(t, "request", fmt.Sprint(p.bodies()))
			checkNoSecrets(t, "log", p.log.String())
			if got := p.queue.take(); !slices.Equal(got, test.want) {
				t.Errorf("queued: got %v, want %v", got, test.want)
			}
		})
	}
}

// TestTheScriptNeverStandsInTheWay: whatever goes wrong, WHM gets its answer.
func TestTheScriptNeverStandsInTheWay(t *testing.T) {
	closed := newProvisioner(t)
	closed.server.Close()
	down := newProvisioner(t)
	down.queue.fail = func(context.Context) error { return errDown }
	p := newProvisioner(t)
	readable := p.config(t)
	must(t, os.Chmod(readable, 0o640))
	tests := []struct{ name, stdin, config, why string }{
		{"empty stdin", "", p.config(t), "stdin was not an event of WHM"},
		{"broken JSON", created()[:300] + password, p.config(t), "stdin was not an event of WHM"},
		{"a text", `"` + password + `"`, p.config(t), "stdin was not an event of WHM"},
		{"no context", `{"data":{"user":"bob","pass":"` + password + `"}}`, p.config(t), "stdin was not an event of WHM"},
		{"another event", event("Passwd", "ChangePasswd", `{"user":"bob","newpass":"`+password+`"}`), p.config(t), "this event is not one that Latchkey wants to know"},
		{"another category", event("Cpanel", "Accounts::Create", `{"user":"bob"}`), p.config(t), "this event is not one that Latchkey wants to know"},
		{"before the event", strings.ReplaceAll(created(), `"post"`, `"pre"`), p.config(t), `it must be registered for the stage "post"`},
		{"no account", event("Whostmgr", "Accounts::Remove", `{"pass":"`+password+`"}`), p.config(t), "the event Accounts::Remove names no account"},
		{"no data", event("Whostmgr", "Accounts::Remove", `null`), p.config(t), "the event Accounts::Remove names no account"},
		{"an account that is none", event("Whostmgr", "Accounts::Create", `{"user":"`+password+`"}`), p.config(t), "the event Accounts::Create names no account"},
		{"no configuration", created(), filepath.Join(p.caFile, "none"), "none could not be read: Not a directory"},
		{"a configuration that others may read", created(), readable, "must belong to the user who runs this and nobody else may read it: chown root:root and chmod 600 it"},
		{"a line without a value", created(), p.config(t, "server = web01", password), "line 4: write key = value"},
		{"an unknown key", created(), p.config(t, "server =", "password ="), "line 4: the keys are url, server, secret and ca_file"},
		{"no secret", created(), p.config(t, secret, ""), "secret is missing"},
		{"no server", created(), p.config(t, "server = web01", ""), "server is missing"},
		{"a secret of two lines", created(), p.config(t, secret, "canary-secret of"), "secret must have no spaces and no letters beyond ASCII"},
		{"not HTTPS", created(), p.config(t, "https:", "http:"), "url must begin with https://"},
		{"no CA file", created(), p.config(t, p.caFile, "/nonexistent.pem"), "ca_file names a file that cannot be read"},
		{"a CA file without a certificate", created(), p.config(t, p.caFile, readable), "ca_file holds no certificate"},
		{"a certificate of nobody we trust", created(), p.config(t, "ca_file = "+p.caFile, ""), "the certificate is not trusted: name its authority in ca_file"},
		{"the provisioner is down", created(), closed.config(t), "the provisioner could not be reached: is it running, and does the firewall let this server through?"},
		{"its queue is down", created(), down.config(t), "the provisioner could not queue the report (503): its log says why"},
		{"wrong secret", created(), p.config(t, secret, "canary-secret-that-is-wrong"), "the provisioner does not accept this server (401): compare server and secret with its configuration"},
		{"another server's name", created(), p.config(t, "web01", "web02"), "the provisioner does not accept this server (401): compare server and secret with its configuration"},
		{"wrong address", created(), p.config(t, "/hooks/whm", "/hooks"), "the url leads elsewhere (404): it ends in /hooks/whm"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := script(t, test.stdin, nil, "--config", test.config)
			if r.exit != 0 {
				t.Errorf("exit: got %d, want 0", r.exit)
			}
			for name, got := range map[string]string{"1 latchkey: not told: ": r.stdout, "latchkey-hook: not told: ": r.stderr} {
				if !strings.HasPrefix(got, name) || !strings.HasSuffix(got, test.why+"\n") || strings.Count(got, "\n") != 1 {
					t.Errorf("got %q, want one line: %q ... %q", got, name, test.why)
				}
			}
			checkNoSecrets(t, "output", r.stdout+r.stderr)
		})
	}
	checkNoSecrets(t, "requests", fmt.Sprint(p.bodies()))
	if got := p.queue.take(); len(got) > 0 {
		t.Errorf("queued: got %v, want nothing", got)
	}
}

// fakeCurl puts a program of the name curl in front of the real one, and returns
// the environment to run the script in.
func fakeCurl(t testing.TB, commands string) []string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "curl"), []byte("#!/bin/sh\n"+commands), 0o755))
	return []string{"PATH=" + dir + string(os.PathListSeparator) + os.Getenv("PATH")}
}

func TestTheScriptGivesCurlItsSecretsThroughAPipe(t *testing.T) {
	dir := t.TempDir()
	env := fakeCurl(t, `printf '%s\n' "$@" >"`+dir+`/argv"; env >"`+dir+`/env"; cat >"`+dir+`/stdin"; echo noise >&2; printf 202`)
	p := newProvisioner(t)
	if got, want := script(t, created(), env, "--config", p.config(t)), (ran{stdout: "1 ok\n"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	read := func(name string) string { return string(ok(os.ReadFile(filepath.Join(dir, name)))(t)) }
	if got, want := read("argv"), "-q\n--config\n-\n"; got != want {
		t.Errorf("arguments: got %q, want %q", got, want)
	}
	checkNoSecrets(t, "environment", read("env"))
	stdin := read("stdin")
	for _, want := range []string{`header = "Authorization: Bearer canary-secret\"of\\web01"`, `max-time = "5"`, `proto = "=https"`, `cacert = "` + p.caFile + `"`} {
		if !slices.Contains(strings.Split(stdin, "\n"), want) {
			t.Errorf("options: got %s, want the line %s", stdin, want)
		}
	}
	if strings.Contains(stdin, "CANARY") {
		t.Errorf("options: got %s, want no password", stdin)
	}
}

func TestTheScriptEndsACurlThatHangs(t *testing.T) {
	t.Parallel()
	env := fakeCurl(t, "exec tail -f /dev/null\n")
	start := time.Now()
	r := script(t, created(), env, "--config", newProvisioner(t).config(t))
	if want := "1 latchkey: not told: nothing was heard within 8 seconds\n"; r.stdout != want || r.exit != 0 {
		t.Errorf("got %+v, want %q and exit 0", r, want)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("took %v, want some 8s", took)
	}
}

func TestTheScriptNeedsCurl(t *testing.T) {
	perl := installed(t, "perl")
	dir := t.TempDir()
	must(t, os.Symlink(perl, filepath.Join(dir, "perl")))
	r := script(t, created(), []string{"PATH=" + dir}, "--config", newProvisioner(t).config(t))
	if want := "1 latchkey: not told: curl could not be started: is it installed?\n"; r.stdout != want || r.exit != 0 {
		t.Errorf("got %+v, want %q and exit 0", r, want)
	}
}

// TestTheScriptPassesNoMessageOfPerlOn: such a message may quote what Perl was
// working on.
func TestTheScriptPassesNoMessageOfPerlOn(t *testing.T) {
	lib := t.TempDir()
	must(t, os.Mkdir(filepath.Join(lib, "JSON"), 0o755))
	must(t, os.WriteFile(filepath.Join(lib, "JSON", "PP.pm"), []byte("package JSON::PP; warn 'CANARY'; die 'CANARY';"), 0o644))
	r := script(t, created(), []string{"PERL5LIB=" + lib}, "--config", newProvisioner(t).config(t))
	if want := "1 latchkey: not told: unexpected error in line "; !strings.HasPrefix(r.stdout, want) || r.exit != 0 {
		t.Errorf("got %+v, want %q and exit 0", r, want)
	}
	checkNoSecrets(t, "output", r.stdout+r.stderr)
}

func TestTheScriptDescribesItselfToManageHooks(t *testing.T) {
	var got []struct{ Category, Event, Stage, Exectype, Hook string }
	r := script(t, "", nil, "--describe")
	must(t, json.Unmarshal([]byte(r.stdout), &got))
	path := ok(filepath.Abs(scriptPath))(t)
	var events []string
	for _, d := range got {
		events = append(events, d.Category+" "+d.Event)
		if d.Stage != "post" || d.Exectype != "script" || d.Hook != path {
			t.Errorf("got %+v, want the script %s at the stage post", d, path)
		}
	}
	want := []string{
		"Whostmgr Accounts::Create", "Whostmgr Accounts::Modify", "Whostmgr Accounts::Remove", "Whostmgr Accounts::suspendacct",
		"Whostmgr Accounts::unsuspendacct", "Whostmgr Accounts::change_package", "PkgAcct Restore",
	}
	if !slices.Equal(events, want) {
		t.Errorf("got %q, want %q", events, want)
	}
}

func TestAnOperatorCanTryTheScript(t *testing.T) {
	p := newProvisioner(t)
	tests := []struct {
		name string
		args []string
		exit int
		want string
	}{
		{"all is well", []string{"--config", p.config(t), "--test", "bob"}, 0, "The provisioner at " + p.url + " accepted a report of web01 about bob.\n"},
		{"the secret is wrong", []string{"--test", "bob", "--config", p.config(t, secret, "canary-secret-that-is-wrong")}, 1, "Not told: the provisioner does not accept this server (401)"},
		{"no name of an account", []string{"--config", p.config(t), "--test", "../bob"}, 1, "Not told: '--test' needs the name of an account\n"},
		{"no account", []string{"--test"}, 2, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := script(t, "", nil, test.args...)
			if r.exit != test.exit || !strings.HasPrefix(r.stdout, test.want) {
				t.Errorf("got %+v, want %q and exit %d", r, test.want, test.exit)
			}
			checkNoSecrets(t, "output", r.stdout+r.stderr)
		})
	}
	if got, want := p.queue.take(), []reconcile.Request{reconciled("bob")}; !slices.Equal(got, want) {
		t.Errorf("queued: got %v, want %v", got, want)
	}
}
