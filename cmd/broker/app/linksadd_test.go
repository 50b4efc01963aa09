package app_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"image/png"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/cmd/broker/app"
	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// bobsBilling names the link that most tests add.
const bobsBilling = " --server web01 --user bob --app billing"

// add adds a link and returns its token and the two commands.
func add(t testing.TB, file, flags string) (token string, commands []string, out string) {
	t.Helper()
	code, out, errs := run(t, commandLine("links add"+flags, "-c", file), operatorEnviron)
	if code != cli.ExitDone || errs != "" {
		t.Fatalf("links add%s: exit code %d, %s", flags, code, errs)
	}
	for line := range strings.Lines(out) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "whmapi1 ") {
			commands = append(commands, line)
		}
		if text, ok := strings.CutPrefix(line, "Token (shown this once): "); ok {
			token = text
		}
	}
	if token == "" || len(commands) != 2 {
		t.Fatalf("links add%s: got %q, want a token and two commands", flags, out)
	}
	return token, commands, out
}

var harmless = regexp.MustCompile(`^[A-Za-z0-9%._-]+$`)

// parseCommand reads a line as a shell and whmapi1 do, which undo the encoding
// of values (WHM API 1 documentation, introduction).
func parseCommand(t testing.TB, line string) (function string, fields map[string]string) {
	t.Helper()
	words := strings.Split(line, " ")
	if len(words) < 3 || words[0] != "whmapi1" {
		t.Fatalf("got %q, want whmapi1 with a function and fields", line)
	}
	fields = map[string]string{}
	for _, word := range words[2:] {
		name, value, ok := strings.Cut(word, "=")
		if !ok || !harmless.MatchString(value) {
			t.Errorf("%s: got the word %q, want name=value without anything that a shell reads", words[1], word)
		}
		decoded, err := url.PathUnescape(value)
		if err != nil {
			t.Errorf("%s: %s: %v", words[1], name, err)
		}
		if _, double := fields[name]; double {
			t.Errorf("%s: %s is there twice", words[1], name)
		}
		fields[name] = decoded
	}
	return words[1], fields
}

// shellWords returns what a shell hands to whmapi1.
func shellWords(t testing.TB, shell, line string) []string {
	t.Helper()
	cmd := exec.Command(shell, "-c", `whmapi1() { for word; do printf '%s\n' "$word"; done; }; `+line)
	cmd.Dir = t.TempDir()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", shell, err, out)
	}
	return append([]string{"whmapi1"}, strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")...)
}

func TestAddedLinkIsRegisteredAsTheCatalogueSays(t *testing.T) {
	t.Parallel()
	redis := storetest.StartRedis(t)
	icon, err := base64.StdEncoding.DecodeString("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
	if err != nil {
		t.Fatal(err)
	}
	file := writeConfig(t, redis.Addr,
		"links:", `group: {id: our_group, label: "Rechnung & Hilfe; $(reboot)", order: 7}`+"\nlinks:",
		"label: Billing,", "label: \"Invoices: 50% `off` & \\\"more\\\"\", icon_file: icon.png, order: 30,",
		"path: /billing}", `path: "/billing?a=1&b=x%20y+z&c='d;e"}`,
	)
	writeFile(t, filepath.Join(filepath.Dir(file), "icon.png"), string(icon))
	const subscriber = `1234;$(reboot)&"ü"|\`
	code, out, errs := run(t, commandLine("links add --user bob --server web01 --app billing -o json", "-c", file, "--subscriber", subscriber), operatorEnviron)
	if code != cli.ExitDone || errs != "" {
		t.Fatalf("exit code %d, %s", code, errs)
	}
	var added struct {
		Server, User, App, Token string
		Subscriber               string `json:"subscriber_unique_id"`
		Commands                 []string
	}
	if err := json.Unmarshal([]byte(out), &added); err != nil || len(added.Commands) != 2 {
		t.Fatalf("got %s (%v), want JSON with two commands", out, err)
	}
	if added.Server != "web01" || added.User != "bob" || added.App != "latchkey_billing" || added.Subscriber != subscriber {
		t.Errorf("got %+v, want bob's billing on web01", added)
	}

	function, group := parseCommand(t, added.Commands[0])
	wantFields(t, function, "create_integration_group", group, map[string]string{
		"user": "bob", "group_id": "our_group", "label": "Rechnung & Hilfe; $(reboot)", "order": "7",
	})
	function, fields := parseCommand(t, added.Commands[1])
	wantFields(t, function, "create_integration_link", fields, map[string]string{
		"user": "bob", "app": "latchkey_billing", "implements": "billing", "label": "Invoices: 50% `off` & \"more\"",
		"subscriber_unique_id": subscriber, "token": added.Token,
		"autologin_token_url": broker.AutologinURL("http://127.0.0.1:18080", bobs("latchkey_billing")),
		"url":                 "https://portal.example.com/login?next=%2Fbilling%3Fa%3D1%26b%3Dx%2520y%2Bz%26c%3D%27d%3Be",
		"group_id":            "our_group", "order": "30",
		"base64_png_image": base64.StdEncoding.EncodeToString(icon),
	})
	for _, shell := range []string{"sh", "bash"} {
		if _, err := exec.LookPath(shell); err != nil {
			continue
		}
		for _, line := range added.Commands {
			if got := strings.Join(shellWords(t, shell, line), " "); got != line {
				t.Errorf("%s makes of the line\n%s\nthis:\n%s", shell, line, got)
			}
		}
	}
}

func wantFields(t *testing.T, function, wantFunction string, got, want map[string]string) {
	t.Helper()
	if function != wantFunction {
		t.Errorf("got the function %s, want %s", function, wantFunction)
	}
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s: %s: got %q, want %q", function, name, got[name], value)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s: got the field %s, want none of this name", function, name)
		}
	}
}

// Every link of the default catalogue can be added, and its icon is a PNG.
func TestEveryDefaultLinkCanBeAdded(t *testing.T) {
	t.Parallel()
	redis := storetest.StartRedis(t)
	file := writeConfig(t, redis.Addr)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, _, _ := strings.Cut(string(text), "links:")
	writeFile(t, file, before)
	for _, d := range broker.DefaultLinks("portal") {
		_, commands, _ := add(t, file, " --server web01 --user bob --subscriber 1234 --app "+d.ID)
		_, fields := parseCommand(t, commands[1])
		image, err := base64.StdEncoding.DecodeString(fields["base64_png_image"])
		if err != nil {
			t.Errorf("%s: icon: %v", d.ID, err)
		}
		if _, err := png.Decode(bytes.NewReader(image)); err != nil || !bytes.Equal(image, d.Icon) {
			t.Errorf("%s: the icon is not the catalogue's PNG (%v)", d.ID, err)
		}
		if fields["label"] != d.Label || fields["implements"] != d.Implements || fields["order"] != strconv.Itoa(d.Order) {
			t.Errorf("%s: got %q, %q, order %q, want %q, %q, %d", d.ID, fields["label"], fields["implements"], fields["order"], d.Label, d.Implements, d.Order)
		}
	}
	links, err := store.New(store.Config{Client: redis.Client(), KeyPrefix: "latchkey:"}).Links(t.Context(), "web01")
	if err != nil || len(links) != 14 {
		t.Errorf("got %d links (%v), want 14", len(links), err)
	}
}

// The token is printed once and kept nowhere, and it opens the portal.
func TestAddedTokenSignsOn(t *testing.T) {
	t.Parallel()
	redis := storetest.StartRedis(t)
	file := writeConfig(t, redis.Addr)
	for name, flag := range map[string]string{"without prefix": "billing", "with prefix": "latchkey_tickets"} {
		token, _, out := add(t, file, " --server web01 --user bob --subscriber 1234 --app "+flag)
		if n := strings.Count(out, token); n != 2 {
			t.Errorf("%s: the token was printed %d times, want once as such and once in the command", name, n)
		}
		dump := storetest.Dump(t, redis.Client())
		if strings.Contains(dump, token) || strings.Contains(dump, token[3:]) {
			t.Errorf("%s: the link token is in Redis:\n%s", name, dump)
		}
		if !strings.Contains(dump, "1234") {
			t.Errorf("%s: the dump has no link, so it shows nothing: %s", name, dump)
		}
		b := start(t, app.Options{Config: loadConfig(t, configFile(filepath.Dir(file), redis.Addr, freeAddress(t), freeAddress(t)))})
		waitReady(t, b.operators)
		link := broker.LinkToken{Secret: broker.NewSecret(token)}
		if target := autologin(t, b.url, "latchkey_"+strings.TrimPrefix(flag, "latchkey_"), link); !strings.Contains(target, "one_time_token=") {
			t.Errorf("%s: got %q, want a one-time URL", name, target)
		}
	}
}

func TestAddALinkThatIsThere(t *testing.T) {
	t.Parallel()
	redis := storetest.StartRedis(t)
	file := writeConfig(t, redis.Addr)
	b := start(t, app.Options{Config: loadConfig(t, configFile(filepath.Dir(file), redis.Addr, freeAddress(t), freeAddress(t)))})
	waitReady(t, b.operators)
	wantClick := func(what, token string, want int) {
		t.Helper()
		got, body := postForm(t, broker.AutologinURL(b.url, bobs("latchkey_billing")),
			url.Values{"token": {token}, "subscriber_unique_id": {"1234"}}, nil)
		if got != want {
			t.Errorf("%s: click with the token: got %d, want %d: %s", what, got, want, body)
		}
	}
	first, _, _ := add(t, file, bobsBilling+" --subscriber 1234")
	wantClick("first", first, http.StatusOK)

	before := storetest.Dump(t, redis.Client())
	refused := func(flags string, want ...string) {
		t.Helper()
		args := commandLine("links add"+flags, "-c", file)
		code, out, errs := run(t, args, operatorEnviron)
		wantRun(t, args, code, cli.ExitFailed, "stderr", errs, want...)
		if out != "" {
			t.Errorf("links add%s: stdout: got %q, want no token", flags, out)
		}
		if after := storetest.Dump(t, redis.Client()); after != before {
			t.Errorf("links add%s changed the store:\nbefore %s\nafter  %s", flags, before, after)
		}
	}
	refused(bobsBilling+" --subscriber 1234", "web01/bob/latchkey_billing", "is there already", "--replace")
	refused(bobsBilling+" --subscriber 4321", "web01/bob", "another subscriber")
	refused(bobsBilling+" --subscriber 4321 --replace", "web01/bob", "another subscriber", "broker links list --server web01")
	refused(" --server web01 --user bob --app tickets --subscriber 4321", "web01/bob", "another subscriber")
	wantClick("after what was refused", first, http.StatusOK)

	second, _, _ := add(t, file, bobsBilling+" --subscriber 1234 --replace")
	wantClick("replaced", first, http.StatusUnauthorized)
	wantClick("second", second, http.StatusOK)
}

func TestLinksThatCannotBeAdded(t *testing.T) {
	t.Parallel()
	redis := storetest.StartRedis(t)
	file := writeConfig(t, redis.Addr)
	embedded := writeConfig(t, redis.Addr, "store: {", "store: {mode: embedded, ")
	long := func(n int) string { return strings.Repeat("x", n) }
	tests := []struct {
		name, file                    string
		server, user, app, subscriber string
		want                          []string
	}{
		{"unknown server", file, "web09", "bob", "billing", "1234", []string{"--server", `"web09"`, "`- id: web09`"}},
		{"unknown app", file, "web01", "bob", "invoices", "1234", []string{"--app", `"invoices"`, "latchkey_billing, latchkey_tickets"}},
		{"embedded store", embedded, "web01", "bob", "billing", "1234", []string{"embedded", "broker serve"}},
		{"empty server", file, "", "bob", "billing", "1234", []string{"--server is missing"}},
		{"empty user", file, "web01", "", "billing", "1234", []string{"--user is missing"}},
		{"empty app", file, "web01", "bob", "", "1234", []string{"--app"}},
		{"empty subscriber", file, "web01", "bob", "billing", "", []string{"--subscriber is missing"}},
		{"command in the server", file, "web01;reboot", "bob", "billing", "1234", []string{"--server has a character"}},
		{"path in the server", file, "../web01", "bob", "billing", "1234", []string{"--server has a character"}},
		{"brace in the server", file, "{web01}", "bob", "billing", "1234", []string{"--server has a character"}},
		{"command in the user", file, "web01", "$(reboot)", "billing", "1234", []string{"--user has a character"}},
		{"slash in the user", file, "web01", "bob/latchkey_billing", "billing", "1234", []string{"--user has a character"}},
		{"escape sequence in the user", file, "web01", "\x1b[2Jbob", "billing", "1234", []string{"--user has a control character"}},
		{"no UTF-8 in the user", file, "web01", "b\xffb", "billing", "1234", []string{"--user is not valid UTF-8"}},
		{"long user", file, "web01", long(65), "billing", "1234", []string{"--user is too long"}},
		{"command in the app", file, "web01", "bob", "billing`reboot`", "1234", []string{"--app has a character"}},
		{"the field of the store in the app", file, "web01", "bob", "/subscriber", "1234", []string{"--app has a character"}},
		{"long app", file, "web01", "bob", long(200), "1234", []string{"--app is too long"}},
		{"newline in the subscriber", file, "web01", "bob", "billing", "12\n34", []string{"--subscriber has a control character"}},
		{"escape sequence in the subscriber", file, "web01", "bob", "billing", "\x1b[2J", []string{"--subscriber has a control character"}},
		{"no UTF-8 in the subscriber", file, "web01", "bob", "billing", "\xff", []string{"--subscriber is not valid UTF-8"}},
		{"long subscriber", file, "web01", "bob", "billing", long(256), []string{"--subscriber is too long"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			args := []string{
				"links", "add", "-c", tt.file,
				"--server", tt.server, "--user", tt.user, "--app", tt.app, "--subscriber", tt.subscriber,
			}
			code, out, errs := run(t, args, operatorEnviron)
			wantRun(t, []string{tt.name}, code, cli.ExitUsage, "stderr", errs, tt.want...)
			if out != "" {
				t.Errorf("stdout: got %q, want no token", out)
			}
			if strings.Contains(errs, "\x1b") || !utf8.ValidString(errs) {
				t.Errorf("stderr: got %q, want nothing that a terminal obeys", errs)
			}
		})
	}
	if dump := storetest.Dump(t, redis.Client()); dump != "" {
		t.Errorf("something was kept:\n%s", dump)
	}
}

func TestNoShellExpandsATilde(t *testing.T) {
	t.Parallel()
	redis := storetest.StartRedis(t)
	file := writeConfig(t, redis.Addr)
	_, commands, _ := add(t, file, bobsBilling+" --subscriber ~root")
	if _, fields := parseCommand(t, commands[1]); fields["subscriber_unique_id"] != "~root" {
		t.Errorf("got %q, want ~root", fields["subscriber_unique_id"])
	}
	if got := strings.Join(shellWords(t, "bash", commands[1]), " "); got != commands[1] {
		t.Errorf("bash makes of the line\n%s\nthis:\n%s", commands[1], got)
	}
}
