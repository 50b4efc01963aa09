package app_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/latchkey-sso/latchkey/cmd/broker/app"
	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// run runs one command as main does and returns what a shell would see.
func run(t testing.TB, args, environ []string) (code int, out, errs string) {
	t.Helper()
	return runWith(t, strings.NewReader(""), args, environ)
}

// runWith also has somebody at the terminal.
func runWith(t testing.TB, in io.Reader, args, environ []string) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = app.Main(args, cli.Env{In: in, Out: &stdout, Err: &stderr, Environ: environ, Signals: t.Context()})
	return code, stdout.String(), stderr.String()
}

// commandLine splits at spaces; "-c" without a file after it stays so.
func commandLine(text string, more ...string) []string { return append(strings.Fields(text), more...) }

// operatorEnviron is what every command over configFile needs.
var operatorEnviron = []string{"LATCHKEY_PORTALS_SUPPORT_CLIENT_SECRET=" + clientSecret}

// writeConfig puts a configuration and a signing key into a directory of their
// own and returns the configuration's path.
func writeConfig(t testing.TB, redis string, changes ...string) string {
	t.Helper()
	dir := t.TempDir()
	newKey(t, dir)
	text := configFile(dir, redis, "127.0.0.1:18080", "127.0.0.1:18081")
	return writeFile(t, filepath.Join(dir, "latchkey.yaml"), changed(t, text, changes...))
}

// changed replaces in pairs and fails when there is nothing to replace.
func changed(t testing.TB, text string, pairs ...string) string {
	t.Helper()
	for i := 0; i+1 < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("the configuration has no %q to change", pairs[i])
		}
		text = strings.Replace(text, pairs[i], pairs[i+1], 1)
	}
	return text
}

func writeFile(t testing.TB, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// wantRun says of one command what it must exit with and print. A word that
// begins with ! must not be there.
func wantRun(t *testing.T, args []string, code, wantCode int, stream, text string, words ...string) {
	t.Helper()
	if code != wantCode {
		t.Errorf("broker %s: exit code: got %d, want %d", strings.Join(args, " "), code, wantCode)
	}
	for _, word := range words {
		unwanted, not := strings.CutPrefix(word, "!")
		if strings.Contains(text, unwanted) == not {
			t.Errorf("broker %s: %s: got %q, want %q", strings.Join(args, " "), stream, text, word)
		}
	}
}

func TestHelpGoesToStdout(t *testing.T) {
	t.Parallel()
	tests := []struct {
		args string
		want []string
	}{
		{"", []string{"serve", "config", "keys", "links", "Exit codes"}},
		{"--help", []string{"serve", "config", "keys", "links", "Exit codes"}},
		{"help", []string{"serve"}},
		{"--version", []string{"broker version"}},
		{"config", []string{"check", "show"}},
		{"keys", []string{"new", "list"}},
		{"links", []string{"add", "list", "remove"}},
		{"serve --help", []string{"--config", "--broker.listen", "--store.addresses", "SIGTERM"}},
		{"links add --help", []string{"--replace", "--subscriber", "--output", "!--broker.listen"}},
		{"links remove --help", []string{"--yes"}},
		{"keys new --help", []string{"--alg", "--dir", "!--broker.listen"}},
	}
	for _, tt := range tests {
		args := commandLine(tt.args)
		code, out, errs := run(t, args, nil)
		wantRun(t, args, code, cli.ExitDone, "stdout", out, tt.want...)
		if errs != "" {
			t.Errorf("broker %s: stderr: got %q, want nothing", tt.args, errs)
		}
	}
}

// Bad usage is exit code 2, says what is wrong, and changes nothing.
func TestBadUsage(t *testing.T) {
	t.Parallel()
	const link = " --server web01 --user bob --app billing"
	tests := []struct {
		name, args string
		want       []string
	}{
		{"unknown command", "frobnicate", []string{`unknown command "frobnicate"; there are: completion, config, controls, keys, links, serve`, "--help"}},
		{"unknown command below a command", "links frobnicate", []string{`unknown command "frobnicate"; there are: add, list, remove`, "broker links --help"}},
		{"unknown flag", "serve --frobnicate", []string{"unknown flag: --frobnicate", "Usage: broker serve [flags]", "broker serve --help"}},
		{"unknown flag of no command", "--frobnicate", []string{"--frobnicate"}},
		{"unknown short flag", "config check -z", []string{"-z"}},
		{"flag without its value", "config check -c", []string{"--config wants a value", "Usage: broker config check"}},
		{"missing flags of links add", "links add", []string{"missing: --app, --server, --subscriber, --user", "Usage: broker links add --server ID --user NAME"}},
		{"one missing flag of links add", "links add" + link, []string{"missing: --subscriber\n"}},
		{"missing flags of links remove", "links remove --yes", []string{"missing: --app, --server, --user"}},
		{"extra argument of serve", "serve now", []string{"`broker serve` takes no arguments, and got \"now\"\nUsage: broker serve [flags]\nSee `broker serve --help`."}},
		{"extra argument of config check", "config check latchkey.yaml", []string{"latchkey.yaml"}},
		{"extra argument of keys new", "keys new EdDSA", []string{"EdDSA"}},
		{"extra argument of links list", "links list web01", []string{"web01"}},
		{"no such configuration", "serve -c /nowhere/latchkey.yaml", []string{"/nowhere/latchkey.yaml", "no such file"}},
		{"no such configuration for config check", "config check -c /nowhere/latchkey.yaml", []string{"1 problem"}},
		{"no such configuration for config show", "config show -c /nowhere/latchkey.yaml", []string{"/nowhere/latchkey.yaml", "no such file"}},
		{"no such configuration for keys list", "keys list -c /nowhere/latchkey.yaml", []string{"/nowhere/latchkey.yaml", "no such file"}},
		{"no such configuration for links list", "links list -c /nowhere/latchkey.yaml", []string{"/nowhere/latchkey.yaml", "no such file"}},
		{"unknown output of config check", "config check -o xml", []string{"-o", `"xml"`, "json"}},
		{"unknown output of keys list", "keys list -o xml", []string{"-o", `"xml"`, "json"}},
		{"unknown output of links list", "links list -o xml", []string{"-o", `"xml"`, "json"}},
		{"unknown output of links add", "links add --subscriber 1234 -o xml" + link, []string{"-o", `"xml"`, "json"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			args := commandLine(tt.args)
			code, out, errs := run(t, args, operatorEnviron)
			wantRun(t, args, code, cli.ExitUsage, "stderr", errs, tt.want...)
			if !strings.HasPrefix(errs, "broker: ") {
				t.Errorf("stderr: got %q, want it to begin with the command's name", errs)
			}
			if tt.name != "no such configuration for config check" && out != "" {
				t.Errorf("stdout: got %q, want nothing", out)
			}
		})
	}
}

// Every command that needs the configuration lists all of its problems, each
// with file, line and key.
func TestBadConfigurationIsListedWhole(t *testing.T) {
	t.Parallel()
	file := writeConfig(t, "127.0.0.1:6379",
		"drain_delay: 0s", "drain_delay: 7s",
		"{per_address_rate: 0,", "{per_address_rte: 0,",
		"{id: web01}", "{id: WEB01}",
	)
	problems := []string{
		file + ":8: broker.drain_delay: must be from 0s to 5s",
		file + ":9: broker.limits.per_address_rte: ",
		file + ":14: servers[0].id: must be a-z",
	}
	const link = " --server web01 --user bob --app billing"
	for _, command := range []string{
		"serve", "config show", "keys new", "keys list",
		"links list", "links add --subscriber 1234" + link, "links remove --yes" + link,
	} {
		args := commandLine(command, "-c", file)
		code, out, errs := run(t, args, operatorEnviron)
		wantRun(t, args, code, cli.ExitUsage, "stderr", errs, problems...)
		if out != "" {
			t.Errorf("%s: stdout: got %q, want nothing", command, out)
		}
	}
}

// A Redis that is not there is no bad usage; the address that was tried is named.
func TestUnreachableStore(t *testing.T) {
	t.Parallel()
	address := freeAddress(t)
	file := writeConfig(t, address)
	const link = " --server web01 --user bob --app billing"
	for _, command := range []string{"links list", "links add --subscriber 1234" + link, "links remove --yes" + link} {
		args := commandLine(command, "-c", file)
		code, out, errs := run(t, args, operatorEnviron)
		wantRun(t, args, code, cli.ExitFailed, "stderr", errs, "(is Redis running there? store.addresses: "+address+")")
		if out != "" {
			t.Errorf("%s: stdout: got %q, want nothing", command, out)
		}
	}
}

// A Redis that refuses us is running.
func TestStoreThatRefusesUs(t *testing.T) {
	t.Parallel()
	redis := storetest.StartRedis(t)
	if err := redis.Client().Do(t.Context(), "ACL", "SETUSER", "default", "-eval", "-evalsha", "-scan").Err(); err != nil {
		t.Fatal(err)
	}
	file := writeConfig(t, redis.Addr)
	tests := []struct {
		environ []string
		advice  string
	}{
		{operatorEnviron, "(the Redis user lacks a right: compare it with deploy/redis/users.conf. store.addresses: "},
		{append(slices.Clone(operatorEnviron), "LATCHKEY_STORE_USERNAME=default", "LATCHKEY_STORE_PASSWORD=wrong"), "(look at store.username and store.password_file. "},
	}
	for i, tt := range tests {
		if i == 1 {
			if err := redis.Client().Do(t.Context(), "ACL", "SETUSER", "default", "resetpass", ">right").Err(); err != nil {
				t.Fatal(err)
			}
		}
		args := commandLine("links list", "-c", file)
		code, _, errs := run(t, args, tt.environ)
		wantRun(t, args, code, cli.ExitFailed, "stderr", errs, tt.advice)
	}
}

// A mistyped command is named, and not the flag behind it that it would have.
func TestMistypedCommand(t *testing.T) {
	t.Parallel()
	args := []string{"controls", "lsit", "-c", "latchkey.yaml"}
	code, _, errs := run(t, args, operatorEnviron)
	wantRun(t, args, code, cli.ExitUsage, "stderr", errs, `unknown command "lsit"; there are: `, "Usage: broker controls COMMAND")
}
