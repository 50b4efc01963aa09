package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/latchkey-sso/latchkey/cmd/internal/config"
)

// TestFileForm covers what the file may look like, before any rule.
func TestFileForm(t *testing.T) {
	const address, public = `addresses: ["127.0.0.1:6379"]`, "public_url: https://sso.example.com"
	const confirm, order, id = "confirm: auto", "order: 10", "- id: invoices"
	checkRules(t, []rule{
		{name: "unknown section", old: "app_prefix: latchkey_", new: "app_prefix: latchkey_\nmetrics: {} #<", key: "metrics", says: "the keys here are store, broker"},
		{name: "misspelt section", old: "portals:", new: "portal: #<", key: "portal", says: "did you mean portals?"},
		{name: "misspelt key", old: confirm, new: "comfirm: auto #<", key: "broker.comfirm", says: "did you mean confirm?"},
		{name: "misspelt required key", old: public, new: "publik_url: https://sso.example.com #<", key: "broker.publik_url", says: "did you mean public_url?"},
		{name: "misspelt key in a list", old: "login_url: https://other.example.com/sso", new: "login-url: https://other.example.com/sso #<", key: "portals[1].login-url", says: "did you mean login_url?"},
		{name: "key of another section", old: "app_prefix: latchkey_", new: "app_prefix: latchkey_\npublic_url: https://a.example #<", key: "public_url", says: "did you mean broker.public_url?"},
		{name: "secret in the file", old: "key_prefix", new: "password: hunter2 #<\n  key_prefix", key: "store.password", says: "name that in password_file"},
		{name: "key with odd characters", old: confirm, new: confirm + "\n  \"a\\nb c d e\": 1 #<", key: `broker."a\nb c d e"`, says: "is no known key"},
		{name: "duplicate key", old: confirm, new: confirm + "\n  confirm: never #<", key: "broker.confirm", says: "is there twice (first in line 12)"},
		{name: "duplicate section", old: "app_prefix: latchkey_", new: "app_prefix: latchkey_\nbroker: {} #<", key: "broker", says: "is there twice (first in line 5)"},
		{name: "duplicate key in a list", old: order, new: "order: 10\n    order: 11 #<", key: "links[0].order", says: "is there twice"},
		{name: "text for a list", old: address, new: "addresses: a:1 #<", key: "store.addresses", says: `must be a list, not the value "a:1": write ["a:1"]`},
		{name: "section for a list", old: address, new: "addresses: {a: 1} #<", key: "store.addresses", says: "must be a list such as"},
		{name: "list for text", old: confirm, new: "confirm: [auto] #<", key: "broker.confirm", says: "must be text, not a list"},
		{name: "text for a section", old: "group: {id: latchkey, label: Billing, order: 1}", new: "group: latchkey #<", key: "group", says: "must be a section with keys"},
		{name: "text for an entry", old: "links:\n", new: "links:\n  - invoices #<\n", key: "links[0]", says: "must be a section with keys, e.g. `- id: ...`"},
		{name: "entry of a list empty", old: address, new: "addresses: [a:1, ~] #<", key: "store.addresses[1]", says: "is empty"},
		{name: "entry of a list empty text", old: address, new: `addresses: [a:1, ""] #<`, key: "store.addresses[1]", says: "must not be empty"},
		{name: "entry of a list a list", old: address, new: "addresses: [[a:1]] #<", key: "store.addresses[0]", says: "must be text, not a list"},
		{name: "duration without unit", old: "120s", new: "120 #<", key: "broker.one_time_token_ttl", says: "add a unit, e.g. 120s"},
		{name: "duration in days", old: "2160h", new: "90d #<", key: "broker.link_token_max_age", says: "90 days are 2160h"},
		{name: "duration of words", old: "120s", new: "two minutes #<", key: "broker.one_time_token_ttl", says: `must be a duration such as "90s"`},
		{name: "switch of words", old: order, new: "enabled: yes #<", key: "links[0].enabled", says: "must be true or false"},
		{name: "number of words", old: order, new: "order: first #<", key: "links[0].order", says: "must be a whole number"},
		{name: "fraction for a whole number", old: order, new: "order: 1.5 #<", key: "links[0].order", says: "must be a whole number"},
		{name: "infinite number", old: confirm, new: confirm + "\n  limits: {per_address_rate: .inf} #<", key: "broker.limits.per_address_rate", says: "must be a number"},
		{name: "switch for text", old: id, new: "- id: true #<", key: "links[0].id", says: "put it in quotes"},
		{name: "YAML tag", old: confirm, new: "confirm: !secret auto #<", key: "broker.confirm", says: `has the YAML tag "!secret"`},
		{name: "key that is a list", old: confirm, new: confirm + "\n  ? [a] #<\n  : b", key: "broker", says: "has a key that is not plain text"},
		{name: "merge of no section", old: confirm, new: confirm + "\n  <<: a #<", key: "broker", says: "merges (<<) something that is no section"},
	})
}

// TestWholeFileProblems covers files of which nothing can be read: one problem.
func TestWholeFileProblems(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct{ name, data, want string }{
		{"unclosed quote", "store:\n  mode: 'standalone\nbroker:\n  listen: a\n", "f.yaml:2: is not valid YAML"},
		{"tab", "store:\n\tmode: standalone\n", "f.yaml:2: is not valid YAML: found character that cannot start any token (indent with spaces"},
		{"bad indentation", "store:\n  mode: standalone\n  tls:\n    enabled: true\n username: a\nbroker: {}\n", "f.yaml:5: is not valid YAML: did not find expected key (check the indentation"},
		{"unknown anchor", "store:\n  mode: *mode\n", "f.yaml:2: is not valid YAML: unknown anchor"},
		{"control character", "store:\n\n  mode: a\x01b\n", "f.yaml:3: is not valid YAML: control characters"},
		{"not UTF-8", "store: {}\ngroup: \xff\n", "f.yaml:2: is not valid YAML"},
		{"two documents", "store: {}\n---\nbroker: {}\n", "f.yaml:2: has a second YAML document"},
		{"a list", "# comment\n- store\n", "f.yaml:2: must have the sections"},
		{"a word", "hello", "f.yaml:1: must have the sections"},
		{"too large", "#" + strings.Repeat("#", 1<<20), "f.yaml: is over 1 MiB"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, report := config.Load(config.LoadOptions{Path: "f.yaml", Data: []byte(c.data), Role: both})
			if cfg != nil || len(report.Problems) != 1 || !strings.HasPrefix(report.String(), c.want) {
				t.Errorf("got config %v and\n%swant one problem %q", cfg != nil, report, c.want)
			}
			file := filepath.Join(dir, "f.yaml")
			if err := os.WriteFile(file, []byte(c.data), 0o600); err != nil {
				t.Fatal(err)
			}
			_, fromDisk := config.Load(config.LoadOptions{Path: file, Role: both})
			if got := strings.ReplaceAll(fromDisk.String(), dir+string(filepath.Separator), ""); got != report.String() {
				t.Errorf("from disk got\n%swant\n%s", got, report)
			}
		})
	}
	t.Run("missing", func(t *testing.T) {
		file := filepath.Join(dir, "none.yaml")
		_, report := config.Load(config.LoadOptions{Path: file, Role: both})
		if want := file + ": there is no such file"; len(report.Problems) != 1 || !strings.HasPrefix(report.String(), want) {
			t.Errorf("got\n%swant one problem %q", report, want)
		}
	})
	t.Run("a directory", func(t *testing.T) {
		_, report := config.Load(config.LoadOptions{Path: dir, Role: both})
		if want := dir + ": cannot be read: it is a directory\n"; report.String() != want {
			t.Errorf("got\n%swant\n%s", report, want)
		}
	})
}

func TestEmptyFileSaysWhatIsRequired(t *testing.T) {
	dir := t.TempDir()
	for name, data := range map[string]string{"no bytes": "", "comments": "# nothing\n", "null": "---\n~\n", "no keys": "{}"} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, "f.yaml")
			_, report := config.Load(config.LoadOptions{
				Path: path, Data: []byte(data), Role: config.RoleBroker, Environ: []string{"LATCHKEY_BROKER_SIGNING_KEYS_DIR=" + dir},
			})
			var keys []string
			for _, p := range report.Problems {
				keys = append(keys, strings.TrimPrefix(p.Source, path)+" "+p.Key)
			}
			if got, want := strings.Join(keys, ", "), ":1 broker.public_url, :1 portals, :1 servers"; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func TestAnchorsAndAliases(t *testing.T) {
	dir := fixture(t)
	text := replace(t, valid, "mode: standalone", "mode: &mode standalone")
	text = replace(t, text, "  - id: invoices", "  - &link\n    id: invoices")
	text = replace(t, text, "app_prefix:", "  - {<<: *link, id: orders, order: 20}\n  - {<<: [{enabled: false}, *link], id: *mode}\napp_prefix:")
	cfg := mustLoad(t, dir, text, config.LoadOptions{Role: both})
	if len(cfg.Links) != 3 {
		t.Fatalf("got %d links, want 3", len(cfg.Links))
	}
	want := []string{
		`{invoices true View Invoices billing 10  portal /invoices}`,
		`{orders true View Invoices billing 20  portal /invoices}`,
		`{standalone false View Invoices billing 10  portal /invoices}`,
	}
	for i, l := range cfg.Links {
		if got := fmt.Sprint(l); got != want[i] {
			t.Errorf("link %d: got %s, want %s", i, got, want[i])
		}
	}

	t.Run("problem behind an alias has the line of the alias", func(t *testing.T) {
		text := replace(t, valid, "mode: standalone", "mode: &mode standalone")
		text = replace(t, text, "confirm: auto", "confirm: *mode #<")
		_, report := load(dir, text, config.LoadOptions{Role: both})
		if want := marked(t, text) + ": broker.confirm: must be one of"; !strings.HasPrefix(report.String(), want) {
			t.Errorf("got\n%swant %s", report, want)
		}
	})
	t.Run("merge into itself", func(t *testing.T) {
		_, report := config.Load(config.LoadOptions{Path: "f.yaml", Data: []byte("store: &a\n  <<: *a\n")})
		if want := "f.yaml:2: store: merges (<<) into itself"; !strings.HasPrefix(report.String(), want) {
			t.Errorf("got\n%swant %s", report, want)
		}
	})
	t.Run("aliases that unfold to too much", func(t *testing.T) {
		many := strings.Repeat("*ip,", 1000)
		bomb := "servers:\n  - &s {id: a, source_ips: [&ip 10.0.0.1," + many + "]}\n" + strings.Repeat("  - *s\n", 1000)
		_, report := config.Load(config.LoadOptions{Path: "f.yaml", Data: []byte(bomb)})
		if want := "f.yaml:1: unfolds to too many values"; !strings.Contains(report.String(), want) {
			t.Errorf("got %d problems without %s", len(report.Problems), want)
		}
	})
}

func TestNumbersAreTakenForText(t *testing.T) {
	dir := fixture(t)
	text := replace(t, valid, "- id: invoices", "- id: 1")
	text = replace(t, text, "label: View Invoices", "label: 2026-01-02")
	cfg := mustLoad(t, dir, text, config.LoadOptions{Role: both})
	if cfg.Links[0].ID != "1" || cfg.Links[0].Label != "2026-01-02" {
		t.Errorf("got %+v, want id 1 and label 2026-01-02", cfg.Links[0])
	}
}
