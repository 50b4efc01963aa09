package config_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/cmd/internal/config"
)

func TestDefaults(t *testing.T) {
	cfg := config.Default()
	for _, c := range []struct {
		key       string
		got, want any
	}{
		{"store.mode", cfg.Store.Mode, config.StoreStandalone},
		{"store.addresses", strings.Join(cfg.Store.Addresses, " "), "127.0.0.1:6379"},
		{"store.key_prefix", cfg.Store.KeyPrefix, "latchkey:"},
		{"broker.listen", cfg.Broker.Listen, ":8080"},
		{"broker.operator_listen", cfg.Broker.OperatorListen, "127.0.0.1:8081"},
		{"broker.public_url", cfg.Broker.PublicURL, ""},
		{"broker.one_time_token_ttl", cfg.Broker.OneTimeTokenTTL, 120 * time.Second},
		{"broker.link_token_max_age", cfg.Broker.LinkTokenMaxAge, 2160 * time.Hour},
		{"broker.signing_keys_dir", cfg.Broker.SigningKeysDir, "/etc/latchkey/keys"},
		{"broker.confirm", cfg.Broker.Confirm, config.ConfirmAuto},
		{"broker.durability", cfg.Broker.Durability, config.DurabilityLocal},
		{"broker.limits", cfg.Broker.Limits, config.Limits{PerAddressRate: 50, PerAddressBurst: 200, PerAccountRate: 1, PerAccountBurst: 30, PerServerRate: 20, PerServerBurst: 400}},
		{"broker.drain_delay", cfg.Broker.DrainDelay, 2 * time.Second},
		{"broker.log_level", cfg.Broker.LogLevel, "info"},
		{"provisioner", cfg.Provisioner, config.Provisioner{
			Interval: time.Hour, RequestsPerServer: 4, CommandsPerRequest: 48, RequestsPerSecond: 20,
			RequestTimeout: 30 * time.Second, LogLevel: "info",
		}},
		{"subscribers.source", cfg.Subscribers.Source, config.SubscribersFile},
		{"subscribers.file.path", cfg.Subscribers.File.Path, "accounts.csv"},
		{"subscribers.sql.driver", cfg.Subscribers.SQL.Driver, config.DriverPostgres},
		{"group", cfg.Group, config.Group{ID: "latchkey", Label: "Billing & Support", Order: 1}},
		{"app_prefix", cfg.AppPrefix, "latchkey_"},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %v, want %v", c.key, c.got, c.want)
		}
	}
}

func TestDefaultsInLists(t *testing.T) {
	cfg := mustLoad(t, "", `
portals:
  - {id: portal, login_url: "https://Portal.example.com:443/sso"}
  - {id: local, login_url: "http://localhost:8090/sso", audience: "urn:local"}
servers:
  - {id: web01, url: "https://web01.example.com:2087/"}
links:
  - {id: a, label: A, implements: billing, portal: portal, path: /}
  - {id: b, label: B, implements: billing, portal: portal, path: /, enabled: false}
broker: {public_url: "https://sso.example.com/base//"}
`, config.LoadOptions{})
	p := cfg.Portals[0]
	if p.Handoff != config.HandoffFormPost || p.Audience != "https://portal.example.com" || p.FallbackURL != "https://portal.example.com/" {
		t.Errorf("portal: got %+v, want form_post and the origin of its login URL", p)
	}
	if l := cfg.Portals[1]; l.Audience != "urn:local" || l.FallbackURL != "http://localhost:8090/" {
		t.Errorf("portal with an audience: got %+v", l)
	}
	if s := cfg.Servers[0]; s.Product != config.ProductCPanel || s.User != "root" || s.URL != "https://web01.example.com:2087" {
		t.Errorf("server: got %+v, want cpanel, root and no slash at the end", s)
	}
	if !cfg.Links[0].Enabled || cfg.Links[1].Enabled {
		t.Errorf("links: got %+v, want the first enabled only", cfg.Links)
	}
	if want := "https://sso.example.com/base"; cfg.Broker.PublicURL != want {
		t.Errorf("public URL: got %s, want %s", cfg.Broker.PublicURL, want)
	}
	if got := cfg.App(cfg.Links[0]); got != "latchkey_a" {
		t.Errorf("app: got %s, want latchkey_a", got)
	}
	if _, ok := cfg.Portal("local"); !ok {
		t.Error("portal local: not found")
	}
	if _, ok := cfg.Server("web02"); ok {
		t.Error("server web02: found")
	}
}

// TestServerURLWithoutPort holds that what is left out is WHM's port, and that
// what is given stays.
func TestServerURLWithoutPort(t *testing.T) {
	for _, c := range []struct{ name, url, want string }{
		{"no port", "https://web01.example.com", "https://web01.example.com:2087"},
		{"no port and a slash", "https://web01.example.com/", "https://web01.example.com:2087"},
		{"no port and an address", "https://203.0.113.10", "https://203.0.113.10:2087"},
		{"no port and an IPv6 address", "https://[2001:db8::1]", "https://[2001:db8::1]:2087"},
		{"WHM's port", "https://web01.example.com:2087", "https://web01.example.com:2087"},
		{"that of https, for a service subdomain", "https://whm.example.com:443", "https://whm.example.com:443"},
		{"another port", "https://[2001:db8::1]:8443/", "https://[2001:db8::1]:8443"},
		{"no URL", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := mustLoad(t, "", "servers:\n  - {id: web01, url: \""+c.url+"\"}\n", config.LoadOptions{})
			if got := cfg.Servers[0].URL; got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestAbsentLinksAreNotEmptyLinks(t *testing.T) {
	absent := mustLoad(t, "", "", config.LoadOptions{})
	if absent.Links != nil || !absent.DefaultCatalogue() {
		t.Errorf("absent: got %#v, want nil and the default catalogue", absent.Links)
	}
	empty := mustLoad(t, "", "links: []", config.LoadOptions{})
	if empty.Links == nil || len(empty.Links) != 0 || empty.DefaultCatalogue() {
		t.Errorf("empty: got %#v, want an empty list", empty.Links)
	}
}

func TestPin(t *testing.T) {
	hex := "00112233445566778899AABBCCDDEEFF00112233445566778899aabbccddeeff"
	want, ok := config.Server{PinSHA256: hex}.Pin()
	if !ok || want[1] != 0x11 || want[31] != 0xff {
		t.Fatalf("hex: got %x %v", want, ok)
	}
	for _, text := range []string{"ABEiM0RVZneImaq7zN3u/wARIjNEVWZ3iJmqu8zd7v8=", "ABEiM0RVZneImaq7zN3u/wARIjNEVWZ3iJmqu8zd7v8"} {
		if got, ok := (config.Server{PinSHA256: text}).Pin(); !ok || got != want {
			t.Errorf("%s: got %x %v, want %x", text, got, ok, want)
		}
	}
	if _, ok := (config.Server{}).Pin(); ok {
		t.Error("no pin: got one")
	}
}

func TestEffectiveLoadsAgain(t *testing.T) {
	dir := fixture(t)
	for name, text := range map[string]string{
		"links":      replace(t, valid, "label: Billing", `label: "yes"`),
		"no links":   valid[:strings.Index(valid, "links:")] + "links: []",
		"no choice":  valid[:strings.Index(valid, "links:")],
		"no port":    replace(t, valid, "web01.example.com:2087", "web01.example.com"),
		"small rate": replace(t, valid, "requests_per_second: 20", "requests_per_second: 0.000001"),
	} {
		t.Run(name, func(t *testing.T) {
			first := mustLoad(t, dir, text, config.LoadOptions{Role: both})
			second := mustLoad(t, dir, first.Effective(), config.LoadOptions{Role: both})
			if !reflect.DeepEqual(first, second) {
				t.Errorf("got\n%+v\nwant\n%+v", second, first)
			}
		})
	}
}

func TestEffectiveNamesSources(t *testing.T) {
	cfg := mustLoad(t, "", "", config.LoadOptions{
		Environ: []string{"LATCHKEY_STORE_ADDRESSES=a:1", "LATCHKEY_BROKER_DRAIN_DELAY=1000ms"},
		Flags:   parsedFlags(t, "--broker.listen=:1"),
	})
	for _, want := range []string{
		"\n  addresses: [\"a:1\"] # environment LATCHKEY_STORE_ADDRESSES\n",
		"\n  listen: \":1\" # flag --broker.listen\n",
		"\n  drain_delay: 1s # environment LATCHKEY_BROKER_DRAIN_DELAY\n",
		"\n# links: not set, so the default catalogue holds\n",
	} {
		if !strings.Contains(cfg.Effective(), want) {
			t.Errorf("got\n%s\nwant in it %q", cfg.Effective(), want)
		}
	}
}

func TestEffectiveHidesSecretsOfURLs(t *testing.T) {
	cfg, report := load("", "subscribers: {http: {url: \"https://a.example/x?Token=hunter2&page=1\"}}", config.LoadOptions{})
	if cfg == nil {
		t.Fatalf("got\n%s", report)
	}
	if got := cfg.Effective(); strings.Contains(got, "hunter2") || !strings.Contains(got, "page=1") {
		t.Errorf("got\n%s\nwant page=1 and no token", got)
	}
}

// TestExample holds that the example is valid as it stands, but for the places
// of its files.
func TestExample(t *testing.T) {
	dir := fixture(t)
	text := config.Example
	text = replace(t, text, `"/etc/latchkey/keys"`, "DIR/keys")
	cfg := mustLoad(t, dir, text, config.LoadOptions{Role: config.RoleBroker})
	if len(cfg.Portals) != 1 || len(cfg.Servers) != 1 || !cfg.DefaultCatalogue() {
		t.Errorf("got %+v, want a portal, a server and the default catalogue", cfg)
	}
	provisioner := replace(t, config.Example, "/run/secrets/web01-token", "DIR/token")
	provisioner = replace(t, provisioner, "/etc/latchkey/accounts.csv", "DIR/accounts.csv")
	cfg = mustLoad(t, dir, provisioner, config.LoadOptions{Role: config.RoleProvisioner})
	if got, want := cfg.Provisioner, config.Default().Provisioner; got != want {
		t.Errorf("provisioner: got %+v, want the defaults", got)
	}

	var all []string
	for line := range strings.SplitSeq(text, "\n") {
		if rest, ok := strings.CutPrefix(strings.TrimLeft(line, " "), "# "); ok {
			if indent := len(line) - len(rest) - 2; strings.Contains(strings.SplitN(rest, "#", 2)[0], ": ") && indent > 0 {
				line = line[:indent] + rest // a key that is commented out
			}
		}
		all = append(all, line)
	}
	_, report := load(dir, strings.Join(all, "\n"), config.LoadOptions{})
	for _, p := range report.Errors() {
		t.Errorf("with its comments taken off: %s", p)
	}
}

// TestExampleShowsEveryKey keeps the promise of the example's first line: that
// each key stands in its section, be it in a comment.
func TestExampleShowsEveryKey(t *testing.T) {
	begin := regexp.MustCompile(`(?m)^(# )?[a-z_]+:`)
	sections := map[string]string{}
	places := begin.FindAllStringIndex(config.Example, -1)
	for i, place := range places {
		end := len(config.Example)
		if i+1 < len(places) {
			end = places[i+1][0]
		}
		name := strings.Trim(config.Example[place[0]:place[1]], "# :")
		sections[name] = config.Example[place[0]:end]
	}
	for _, path := range paths(reflect.TypeFor[config.Config](), "") {
		section, _, _ := strings.Cut(path, ".")
		name := path[strings.LastIndex(path, ".")+1:]
		if !regexp.MustCompile(`\b` + name + `:`).MatchString(sections[section]) {
			t.Errorf("%s: got no such key in the section %q", path, sections[section])
		}
	}
}

// paths are all keys of the file, those of lists too.
func paths(t reflect.Type, parent string) []string {
	var all []string
	for f := range t.Fields() {
		name := f.Tag.Get("koanf")
		if name == "" || name == "-" {
			continue
		}
		path, of := strings.TrimPrefix(parent+"."+name, "."), f.Type
		if of.Kind() == reflect.Slice {
			of = of.Elem()
		}
		all = append(all, path)
		if of.Kind() == reflect.Struct {
			all = append(all, paths(of, path)...)
		}
	}
	return all
}

// TestWholeReport breaks many things at once, in every source.
func TestWholeReport(t *testing.T) {
	const path, golden = "testdata/broken.yaml", "testdata/broken.golden"
	_, report := config.Load(config.LoadOptions{
		Path: path, Role: both,
		Environ: []string{"LATCHKEY_BROKER_LOGLEVEL=debug", "LATCHKEY_BROKER_DRAIN_DELAY=3", "LATCHKEY_SERVERS_WEB02_TOKEN=WHMTOKEN", "LATCHKEY_STORE_KEY_PREFIX=a b"},
		Flags:   parsedFlags(t, "--store.tls.enabled=maybe", "--group.order=-1"),
	})
	got := report.String()
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if filepath.ToSlash(got) != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestReport(t *testing.T) {
	cfg, report := load("", "store: {mode: embedded}\nbroker: {confirm: 1}\n", config.LoadOptions{})
	if cfg != nil || report.OK() || len(report.Errors()) != 1 || len(report.Warnings()) != 1 {
		t.Fatalf("got config %v and\n%swant an error, a warning and no config", cfg != nil, report)
	}
	want := "the configuration has 1 problem:\n" + `latchkey.yaml:2: broker.confirm: must be one of auto, always, never, not "1"`
	var invalid *config.InvalidError
	if err := report.Err(); err == nil || err.Error() != want || !errors.As(err, &invalid) {
		t.Errorf("got error %v, want %s", err, want)
	}
	if got := report.Warnings()[0].String(); !strings.HasPrefix(got, "latchkey.yaml:1: store.mode: warning: embedded") {
		t.Errorf("got warning %s", got)
	}
	data, err := json.Marshal(report)
	if want := `{"problems":[{"source":"latchkey.yaml:1","key":"store.mode","message":"embedded`; err != nil || !strings.HasPrefix(string(data), want) {
		t.Errorf("got JSON %s %v, want %s", data, err, want)
	}

	cfg, report = load("", "store: {mode: embedded}\n", config.LoadOptions{})
	if cfg == nil || !report.OK() || report.Err() != nil {
		t.Errorf("a warning alone: got config %v and %v, want a config and no error", cfg != nil, report.Err())
	}
}
