package app_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
	"github.com/latchkey-sso/latchkey/cmd/internal/config"
)

func TestConfigCheck(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		changes []string // of the file, in pairs
		args    string
		environ []string
		code    int
		// want are the lines of stdout, FILE standing for the path; a line may
		// go on after what is here.
		want []string
		errs string
	}{
		{name: "fine", want: []string{"FILE is fine"}},
		{
			name: "one problem", changes: []string{"drain_delay: 0s", "drain_delay: 7s"}, code: cli.ExitUsage,
			want: []string{"FILE:8: broker.drain_delay: must be from 0s to 5s"}, errs: "broker: 1 problem in the configuration\n",
		},
		{
			name: "several problems at once, in the order of the file", code: cli.ExitUsage,
			changes: []string{
				"portal: support, path: /tickets", "portal: suport, path: tickets",
				"{per_address_rate: 0,", "{per_address_rte: 0,",
				"handoff: exchange", "handoff: exchang",
			},
			want: []string{
				`FILE:9: broker.limits.per_address_rte: is no known key; did you mean per_address_rate?`,
				`FILE:12: portals[1].handoff: must be one of form_post, exchange, whmcs, not "exchang"`,
				`FILE:17: links[1].portal: "suport" is not listed in portals`,
				`FILE:17: links[1].path: must begin with /`,
			},
			errs: "broker: 4 problems in the configuration\n",
		},
		{
			name: "a file that is no YAML", changes: []string{"broker:\n", "broker: [\n"}, code: cli.ExitUsage,
			want: []string{"FILE:"}, errs: "broker: 1 problem in the configuration\n",
		},
		{
			name: "the secret is missing", environ: []string{}, code: cli.ExitUsage,
			want: []string{"FILE:12: portals[1].client_secret_file: is required"}, errs: "broker: 1 problem in the configuration\n",
		},
		{
			name: "warnings alone", changes: []string{"drain_delay: 0s", "trusted_proxies: [0.0.0.0/0]", "store: {", "store: {mode: embedded, "},
			want: []string{
				"FILE:2: store.mode: warning: embedded keeps nothing",
				"FILE:8: broker.trusted_proxies[0]: warning: trusts every address",
				"FILE is fine",
			},
		},
		{
			name: "a warning beside a problem", code: cli.ExitUsage,
			changes: []string{"store: {", "store: {mode: embedded, ", "drain_delay: 0s", "drain_delay: 7s"},
			want:    []string{"FILE:2: store.mode: warning: embedded keeps nothing", "FILE:8: broker.drain_delay: must be"},
			errs:    "broker: 1 problem in the configuration\n",
		},
		{
			name: "environment and flags are checked, after the file", code: cli.ExitUsage,
			changes: []string{"drain_delay: 0s", "drain_delay: 7s"},
			args:    "--broker.confirm sometimes --broker.link_token_max_age 7m",
			environ: []string{"LATCHKEY_BROKER_LOG_LEVEL=loud", "LATCHKEY_BROKER_LISTN=:1"},
			want: []string{
				"FILE:8: broker.drain_delay: must be",
				`environment LATCHKEY_BROKER_LOG_LEVEL: broker.log_level: must be one of`,
				"environment LATCHKEY_BROKER_LISTN: is unknown; did you mean LATCHKEY_BROKER_LISTEN?",
				"flag --broker.confirm: broker.confirm: must be one of",
				"flag --broker.link_token_max_age: broker.link_token_max_age: must be 0 (never) or at least 1h",
			},
			errs: "broker: 5 problems in the configuration\n",
		},
		{
			name: "a flag overrides the environment, which overrides the file", changes: []string{"drain_delay: 0s", "drain_delay: 7s"},
			args: "--broker.drain_delay 1s", environ: []string{"LATCHKEY_BROKER_DRAIN_DELAY=8s"},
			want: []string{"FILE is fine"},
		},
		{
			name: "the environment overrides the file", changes: []string{"drain_delay: 0s", "drain_delay: 7s"},
			environ: []string{"LATCHKEY_BROKER_DRAIN_DELAY=2s"}, want: []string{"FILE is fine"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := writeConfig(t, "127.0.0.1:6379", tt.changes...)
			environ := operatorEnviron
			if tt.environ != nil {
				environ = tt.environ
				if len(tt.environ) > 0 {
					environ = slices.Concat(operatorEnviron, tt.environ)
				}
			}
			args := append([]string{"config", "check", "-c", file}, strings.Fields(tt.args)...)
			code, out, errs := run(t, args, environ)
			wantRun(t, args, code, tt.code, "stderr", errs)
			if errs != tt.errs {
				t.Errorf("stderr: got %q, want %q", errs, tt.errs)
			}
			lines := strings.Split(strings.TrimSpace(out), "\n")
			if len(lines) != len(tt.want) {
				t.Fatalf("got %d lines, want %d:\n%s", len(lines), len(tt.want), out)
			}
			for i, want := range tt.want {
				if want = strings.Replace(want, "FILE", file, 1); !strings.HasPrefix(lines[i], want) {
					t.Errorf("line %d: got %q, want %q", i+1, lines[i], want)
				}
			}
		})
	}
}

func TestConfigCheckAsJSON(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		changes []string
		code    int
		want    []config.Problem // Message is its beginning, Source without the directory
	}{
		{name: "fine"},
		{
			name: "problems and warnings", code: cli.ExitUsage,
			changes: []string{"store: {", "store: {mode: embedded, ", "drain_delay: 0s", "drain_delay: 7s"},
			want: []config.Problem{
				{Source: "latchkey.yaml:2", Key: "store.mode", Message: "embedded keeps nothing", Warning: true},
				{Source: "latchkey.yaml:8", Key: "broker.drain_delay", Message: "must be from 0s to 5s"},
			},
		},
	}
	for _, tt := range tests {
		file := writeConfig(t, "127.0.0.1:6379", tt.changes...)
		code, out, _ := run(t, []string{"config", "check", "-o", "json", "-c", file}, operatorEnviron)
		if code != tt.code {
			t.Errorf("%s: exit code: got %d, want %d", tt.name, code, tt.code)
		}
		var got config.Report
		if err := json.Unmarshal([]byte(out), &got); err != nil {
			t.Errorf("%s: got %q, want JSON: %v", tt.name, out, err)
		}
		if len(got.Problems) != len(tt.want) {
			t.Errorf("%s: got %s, want %d problems", tt.name, out, len(tt.want))
			continue
		}
		for i, want := range tt.want {
			p := got.Problems[i]
			if filepath.Base(p.Source) != want.Source || p.Key != want.Key || p.Warning != want.Warning || !strings.HasPrefix(p.Message, want.Message) {
				t.Errorf("%s: got %+v, want %+v", tt.name, p, want)
			}
		}
	}
}

// Without -c the file is latchkey.yaml here, and that is how problems name it.
func TestConfigCheckTakesTheFileOfTheWorkingDirectory(t *testing.T) {
	file := writeConfig(t, "127.0.0.1:6379", "drain_delay: 0s", "drain_delay: 7s")
	t.Chdir(filepath.Dir(file))
	args := []string{"config", "check"}
	code, out, _ := run(t, args, operatorEnviron)
	wantRun(t, args, code, cli.ExitUsage, "stdout", out)
	if want := "latchkey.yaml:8: broker.drain_delay: must be "; !strings.HasPrefix(out, want) {
		t.Errorf("got %q, want %q", out, want)
	}
}

// What is shown can be loaded again, names the source of each override, and has
// no secret of any source.
func TestConfigShow(t *testing.T) {
	t.Parallel()
	const canary = "canary-0123456789abcdef"
	file := writeConfig(t, "127.0.0.1:6379",
		"handoff: exchange", "handoff: exchange, client_secret_file: secret.txt",
		"{id: web01}", "{id: web01, token_file: secret.txt}",
		"links:", "subscribers: {source: http, http: {url: \"https://crm.example.com/list?api_key="+canary+"\", bearer_file: secret.txt}}\nlinks:",
	)
	writeFile(t, filepath.Join(filepath.Dir(file), "secret.txt"), canary)
	environ := []string{
		"LATCHKEY_STORE_PASSWORD=" + canary, "LATCHKEY_PORTALS_SUPPORT_CLIENT_SECRET=" + canary,
		"LATCHKEY_SERVERS_WEB01_TOKEN=" + canary, "LATCHKEY_SUBSCRIBERS_HTTP_BEARER=" + canary,
		"LATCHKEY_SUBSCRIBERS_SQL_DSN=" + canary, "LATCHKEY_BROKER_LOG_LEVEL=warn",
	}
	args := []string{"config", "show", "-c", file, "--broker.one_time_token_ttl", "99s"}
	code, out, errs := run(t, args, environ)
	wantRun(t, args, code, cli.ExitDone, "stdout", out,
		"one_time_token_ttl: 1m39s # flag --broker.one_time_token_ttl",
		`log_level: "warn" # environment LATCHKEY_BROKER_LOG_LEVEL`,
		`audience: "https://portal.example.com"`, `key_prefix: "latchkey:"`, "secret.txt",
		"!"+canary, "!"+clientSecret,
	)
	if strings.Contains(errs, canary) {
		t.Errorf("stderr: got %q, want no secret", errs)
	}

	again := writeFile(t, filepath.Join(filepath.Dir(file), "again.yaml"), out)
	code, shown, errs := run(t, []string{"config", "show", "-c", again}, nil)
	if code != cli.ExitDone {
		t.Fatalf("load what was shown: exit code %d, %s", code, errs)
	}
	if strings.Contains(shown, "#") || !strings.Contains(shown, "one_time_token_ttl: 1m39s\n") {
		t.Errorf("shown again: got %s, want the same values, now from the file", shown)
	}
}

// check answers as serve would: it reads secrets and keys, and nobody else's.
func TestConfigCheckReadsWhatServeReads(t *testing.T) {
	t.Parallel()
	file := writeConfig(t, "127.0.0.1:6379",
		"handoff: exchange", "handoff: exchange, client_secret_file: no-such-secret",
		"{id: web01}", "{id: web01, token_file: no-such-token}", // the provisioner's
	)
	if err := os.RemoveAll(filepath.Join(filepath.Dir(file), "keys")); err != nil {
		t.Fatal(err)
	}
	args := []string{"config", "check", "-c", file}
	code, out, _ := run(t, args, nil)
	wantRun(t, args, code, cli.ExitUsage, "stdout", out,
		"portals[1].client_secret_file: ", "no-such-secret", "broker.signing_keys_dir: ", "broker keys new", "!no-such-token")
}

func TestProblemsAreAnnouncedOnce(t *testing.T) {
	t.Parallel()
	file := writeConfig(t, "127.0.0.1:6379", "drain_delay: 0s", "drain_delay: 7s")
	_, _, errs := run(t, []string{"config", "show", "-c", file}, nil)
	if n := strings.Count(errs, "the configuration has"); n != 1 {
		t.Errorf("got %q, want it to begin once", errs)
	}
}

// What serve would refuse at its start is a problem of the check, too.
func TestCheckReadsTheSigningKeys(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(keys string) error{
		"no key": func(keys string) error {
			files, err := filepath.Glob(filepath.Join(keys, "*.pem"))
			return errors.Join(err, os.Remove(files[0]))
		},
		"a broken key": func(keys string) error { return os.WriteFile(filepath.Join(keys, "x.pem"), []byte("no"), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := writeConfig(t, "127.0.0.1:6379")
			if err := spoil(filepath.Join(filepath.Dir(file), "keys")); err != nil {
				t.Fatal(err)
			}
			code, out, errs := run(t, []string{"config", "check", "-c", file}, operatorEnviron)
			if code != cli.ExitUsage || !strings.Contains(out, "broker.signing_keys_dir: ") {
				t.Errorf("got exit code %d, %s%s, want 2 and the key named", code, out, errs)
			}
		})
	}
}

// The printed catalogue is the default one, ready to be changed.
func TestExampleLinksAreTheDefaultCatalogue(t *testing.T) {
	t.Parallel()
	code, out, errs := run(t, []string{"config", "example", "--links"}, nil)
	if code != cli.ExitDone {
		t.Fatalf("got exit code %d: %s", code, errs)
	}
	base := configFile(t.TempDir(), "127.0.0.1:6379", "127.0.0.1:8080", "127.0.0.1:8081")
	base, _, _ = strings.Cut(base, "links:")
	cfg, report := config.Load(config.LoadOptions{Path: "latchkey.yaml", Data: []byte(base + out)})
	if cfg == nil {
		t.Fatalf("the printed links are no configuration:\n%s\n%s", report, out)
	}
	want := broker.DefaultLinks("portal")
	if len(cfg.Links) != len(want) {
		t.Fatalf("got %d links, want %d", len(cfg.Links), len(want))
	}
	for i, l := range cfg.Links {
		w := want[i]
		got := broker.LinkDefinition{ID: l.ID, Enabled: l.Enabled, Label: l.Label, Implements: l.Implements, Order: l.Order, Icon: w.Icon, Portal: l.Portal, Path: l.Path}
		if fmt.Sprint(got) != fmt.Sprint(w) {
			t.Errorf("link %d: got %v, want %v", i, got, w)
		}
	}
}

// A key that everybody can read is told before the start, not after it.
func TestCheckWarnsOfReadableKeys(t *testing.T) {
	t.Parallel()
	file := writeConfig(t, "127.0.0.1:6379")
	keys, err := filepath.Glob(filepath.Join(filepath.Dir(file), "keys", "*.pem"))
	if err != nil || len(keys) != 1 {
		t.Fatalf("got the keys %v (%v), want one", keys, err)
	}
	for mode, want := range map[os.FileMode]bool{0o600: false, 0o644: true} {
		if err := os.Chmod(keys[0], mode); err != nil {
			t.Fatal(err)
		}
		code, out, _ := run(t, []string{"config", "check", "-c", file}, operatorEnviron)
		if code != cli.ExitDone || strings.Contains(out, keys[0]+" can be read by everyone") != want {
			t.Errorf("mode %o: got exit code %d, %s, want 0 and a warning: %v", mode, code, out, want)
		}
	}
}
