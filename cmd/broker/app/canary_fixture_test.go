package app_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/latchkey-sso/latchkey/api/cpanelfake"
	"github.com/latchkey-sso/latchkey/api/whm/whmfake"
	"github.com/latchkey-sso/latchkey/cmd/broker/app"
	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
	provisioner "github.com/latchkey-sso/latchkey/cmd/provisioner/app"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// canary is a secret that must not come out.
type canary struct{ name, secret string }

// forms are the ways in which a secret may be written, by name. Of base64 those
// characters are left out that depend on what stands before and after.
func (c canary) forms() map[string]string {
	raw := []byte(c.secret)
	forms := map[string]string{
		"as it is":    c.secret,
		"its begin":   c.secret[:len(c.secret)*2/3],
		"its end":     c.secret[len(c.secret)/3:],
		"URL-encoded": url.QueryEscape(c.secret),
		"in hex":      hex.EncodeToString(raw),
		"in HEX":      strings.ToUpper(hex.EncodeToString(raw)),
		"quoted":      strings.Trim(fmt.Sprintf("%q", c.secret), `"`),
		"as bytes":    strings.Trim(fmt.Sprint(raw), "[]"),
	}
	for shift := range 3 {
		padded := append(make([]byte, shift), raw...)
		skip, size := (shift*8+5)/6, (shift+len(raw))*8/6
		forms[fmt.Sprintf("in base64, shifted by %d", shift)] = base64.StdEncoding.EncodeToString(padded)[skip:size]
		forms[fmt.Sprintf("in base64 of URLs, shifted by %d", shift)] = base64.RawURLEncoding.EncodeToString(padded)[skip:size]
	}
	return forms
}

// output is something that the system has written.
type output struct {
	name, text string
	// may are the secrets that it exists to carry.
	may []string
}

// leaks names every secret that is in an output where it must not be.
func leaks(outputs []output, canaries []canary) (found []string) {
	for _, c := range canaries {
		for form, text := range c.forms() {
			for _, o := range outputs {
				if strings.Contains(o.text, text) && !slices.Contains(o.may, c.name) {
					found = append(found, fmt.Sprintf("%s has the %s, %s", o.name, c.name, form))
				}
			}
		}
	}
	slices.Sort(found)
	return found
}

// system is everything that runs at an operator's, with canaries for secrets.
type system struct {
	t        *testing.T
	dir      string
	file     string
	redis    redis.UniversalClient
	panel    *cpanelfake.Server
	whm      *whmfake.Server
	url      string // of the broker
	hooks    string // of the daemon
	outputs  []output
	canaries []canary
	ends     []func()               // stop what runs and keep its log
	said     func(what string) bool // by the daemon
}

const canaryConfig = `
store: {addresses: [%q], password_file: redis.secret}
broker: {listen: %q, operator_listen: %q, public_url: "http://%[2]s", signing_keys_dir: keys, drain_delay: 0s, log_level: debug}
provisioner: {listen: %[4]q, requests_per_second: 0, log_level: debug}
portals:
  - {id: portal, login_url: "https://portal.example.com/sso", fallback_url: "https://portal.example.com/login?next={path}"}
  - {id: support, handoff: exchange, login_url: "https://support.example.com/sso", client_id: support, client_secret_file: client.secret}
servers:
  - {id: web01, url: %[5]q, token_file: whm.secret, ca_file: web01.pem, hook_secret_file: hook.secret}
subscribers: {source: http, http: {url: %[6]q, bearer_file: bearer.secret}}
links:
  - {id: billing, label: Billing, implements: billing, portal: portal, path: /billing}
  - {id: tickets, label: Tickets, implements: support, portal: support, path: /tickets}
`

// newSystem starts Redis with a password, a simulated server and a list of
// subscribers; broker and daemon are started by the test.
func newSystem(t *testing.T) *system {
	t.Helper()
	s := &system{t: t, dir: t.TempDir()}
	s.file = filepath.Join(s.dir, "latchkey.yaml")
	secret := func(file, name string) string {
		text := "CANARY~" + strings.ReplaceAll(name, " ", "-") + "~0123456789"
		writeFile(t, filepath.Join(s.dir, file), text+"\n")
		s.guard(name, text)
		return text
	}
	server := storetest.StartRedis(t)
	s.redis = server.Client()
	password := secret("redis.secret", "Redis password")
	if err := s.redis.ConfigSet(t.Context(), "requirepass", password).Err(); err != nil {
		t.Fatal(err)
	}
	s.redis = redis.NewClient(&redis.Options{Addr: server.Addr, Password: password})
	t.Cleanup(func() { _ = s.redis.Close() })
	secret("client.secret", "client secret")
	secret("hook.secret", "hook secret")

	state := &cpanelfake.State{}
	if err := state.AddAccount(cpanelfake.Account{User: "bob", Domain: "bob.example"}); err != nil {
		t.Fatal(err)
	}
	var err error
	if s.panel, err = cpanelfake.New(cpanelfake.Config{Name: "web01.example.com", State: state}); err != nil {
		t.Fatal(err)
	}
	if s.whm, err = whmfake.New(whmfake.Config{State: state, Token: secret("whm.secret", "WHM token")}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.whm.Close)
	writeFile(t, filepath.Join(s.dir, "web01.pem"), string(s.whm.CAPEM()))

	bearer := "Bearer " + secret("bearer.secret", "bearer of the subscribers")
	subscribers := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != bearer {
			http.Error(w, "not allowed: "+r.Header.Get("Authorization"), http.StatusForbidden)
			return
		}
		_, _ = io.WriteString(w, "server,user,subscriber_unique_id\nweb01,bob,1234\n")
	}))
	t.Cleanup(subscribers.Close)
	newKey(t, s.dir)
	s.guardKeys()
	listen, operators := freeAddress(t), freeAddress(t)
	s.url, s.hooks = "http://"+listen, freeAddress(t)
	writeFile(t, s.file, fmt.Sprintf(canaryConfig, server.Addr, listen, operators, s.hooks, s.whm.URL(), subscribers.URL))
	s.startBroker("http://" + operators)
	return s
}

// guard adds a secret.
func (s *system) guard(name, secret string) {
	s.t.Helper()
	if len(secret) < 16 {
		s.t.Fatalf("%s: got %q, want a secret", name, secret)
	}
	s.canaries = append(s.canaries, canary{name, secret})
}

func (s *system) guardKeys() {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(s.dir, "keys", "*"))
	if err != nil || len(files) == 0 {
		s.t.Fatalf("no signing keys: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			s.t.Fatal(err)
		}
		_, key, _ := strings.Cut(string(text), "PRIVATE KEY-----\n")
		key, _, _ = strings.Cut(key, "\n-----END")
		s.guard("signing key", strings.TrimSpace(key))
	}
}

// keep adds something that was written.
func (s *system) keep(name, text string, may ...string) {
	s.outputs = append(s.outputs, output{name, text, may})
}

// startBroker runs the broker as a process, until the end.
func (s *system) startBroker(operators string) {
	s.t.Helper()
	binary, err := buildBroker()
	if err != nil {
		s.t.Fatal(err)
	}
	log := &lockedBuffer{}
	cmd := exec.Command(binary, "serve", "-c", s.file)
	cmd.Stdout, cmd.Stderr = log, log
	storetest.DieWithTest(cmd)
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.t.Logf("log of the broker begins:\n%.4000s", log)
		}
	})
	waitReady(s.t, operators)
	s.ends = append(s.ends, func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		s.keep("the broker's log", log.String())
	})
}

// startDaemon runs `provisioner run` until the end.
func (s *system) startDaemon() {
	ctx, cancel := context.WithCancel(context.Background())
	log, done := &lockedBuffer{}, make(chan struct{})
	go func() {
		defer close(done)
		provisioner.Main([]string{"run", "-c", s.file}, provisioner.Env{Env: cli.Env{In: strings.NewReader(""), Out: log, Err: log, Signals: ctx}})
	}()
	stop := func() { cancel(); <-done }
	s.t.Cleanup(func() {
		stop()
		if s.t.Failed() {
			s.t.Logf("log of the daemon begins:\n%s", log)
		}
	})
	s.said = func(what string) bool { return strings.Contains(log.String(), what) }
	eventually(s.t, "the daemon is at work", func() bool { return s.said(`"msg":"working"`) })
	s.ends = append(s.ends, func() { stop(); s.keep("the daemon's log", log.String()) })
}

// end stops what runs, and dumps the store.
func (s *system) end() {
	for _, end := range s.ends {
		end()
	}
	s.keep("the store", storetest.Dump(s.t, s.redis))
}

// command runs a command of the broker or the provisioner.
func (s *system) command(line string, environ ...string) (out string) {
	s.t.Helper()
	name, rest, _ := strings.Cut(line, " ")
	args := append(strings.Fields(rest), "-c", s.file)
	var text bytes.Buffer
	env := cli.Env{In: strings.NewReader(""), Out: &text, Err: &text, Environ: environ, Signals: s.t.Context()}
	var code int
	switch name {
	case "broker":
		code = app.Main(args, env)
	case "provisioner":
		code = provisioner.Main(args, provisioner.Env{Env: env, Wait: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }})
	}
	if text.Len() == 0 || code != cli.ExitDone && code != cli.ExitFailed {
		s.t.Errorf("%s: got exit code %d, %q; want something done or failed", line, code, text.String())
	}
	s.keep(line, text.String())
	return text.String()
}

// request sends one to the broker and returns the body.
func (s *system) request(method, target string, form url.Values, header map[string]string, may ...string) string {
	s.t.Helper()
	r, err := http.NewRequest(method, target, strings.NewReader(form.Encode()))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for name, value := range header {
		r.Header.Set(name, value)
	}
	response, err := client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	s.keep(fmt.Sprintf("the answer %d to %s %s", response.StatusCode, method, r.URL.Path), fmt.Sprintf("%v\n%s", response.Header, body), may...)
	return string(body)
}
