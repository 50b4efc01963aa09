package config_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/latchkey-sso/latchkey/cmd/internal/config"
)

// field is a settable key found by walking the structs.
type field struct {
	path string
	kind reflect.Type
	tag  reflect.StructTag
}

// settable finds every scalar and string-list key outside of lists of sections.
func settable(t reflect.Type, parent string) []field {
	var fields []field
	for f := range t.Fields() {
		name := f.Tag.Get("koanf")
		if name == "" || name == "-" {
			continue
		}
		path := strings.TrimPrefix(parent+"."+name, ".")
		switch {
		case f.Type.Kind() == reflect.Struct:
			fields = append(fields, settable(f.Type, path)...)
		case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct && f.Type.Elem() != reflect.TypeFor[netip.Prefix]():
		default:
			fields = append(fields, field{path, f.Type, f.Tag})
		}
	}
	return fields
}

// at reads the value of a key.
func at(cfg *config.Config, path string) any {
	v := reflect.ValueOf(*cfg)
	for name := range strings.SplitSeq(path, ".") {
		for f, value := range v.Fields() {
			if f.Tag.Get("koanf") == name {
				v = value
				break
			}
		}
	}
	return v.Interface()
}

// sample is a text for a key that is not its default, and the value it stands for.
func sample(f field) (text string, value any) {
	if choices := f.tag.Get("choices"); choices != "" {
		first, rest, _ := strings.Cut(choices, ",")
		second, _, _ := strings.Cut(rest, ",")
		switch f.path {
		case "store.mode": // sentinel needs more
			return config.StoreCluster, config.StoreCluster
		}
		if f.tag.Get("default") == first {
			return second, second
		}
		return first, first
	}
	switch f.kind {
	case reflect.TypeFor[bool]():
		return "true", true
	case reflect.TypeFor[int]():
		return "7", 7
	case reflect.TypeFor[float64]():
		return "7.5", 7.5
	case reflect.TypeFor[time.Duration]():
		if f.path == "broker.drain_delay" {
			return "3s", 3 * time.Second
		}
		if f.path == "broker.link_token_max_age" || f.path == "provisioner.interval" {
			return "48h", 48 * time.Hour
		}
		return "45s", 45 * time.Second
	case reflect.TypeFor[[]string]():
		return "a:1, b:2", []string{"a:1", "b:2"}
	case reflect.TypeFor[[]netip.Prefix]():
		return "10.0.0.1,fd00::/8", []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32"), netip.MustParsePrefix("fd00::/8")}
	}
	switch f.path {
	case "broker.public_url", "subscribers.http.url":
		return "https://set.example.com", "https://set.example.com"
	case "broker.listen", "broker.operator_listen", "provisioner.listen":
		return "127.0.0.9:9000", "127.0.0.9:9000"
	case "broker.tls.cert_file", "broker.tls.key_file", "provisioner.tls.cert_file", "provisioner.tls.key_file":
		return "", "" // one without the other is refused; an empty one is a value too
	}
	return "set", "set"
}

func TestEveryKeyHasAVariableAndAFlag(t *testing.T) {
	fields := settable(reflect.TypeFor[config.Config](), "")
	if len(fields) < 30 {
		t.Fatalf("found %d keys, want at least 30", len(fields))
	}
	for _, f := range fields {
		t.Run(f.path, func(t *testing.T) {
			text, want := sample(f)
			variable := "LATCHKEY_" + strings.ToUpper(strings.ReplaceAll(f.path, ".", "_"))
			for source, o := range map[string]config.LoadOptions{
				"environment": {Environ: []string{variable + "=" + text}},
				"flag":        {Flags: parsedFlags(t, "--"+f.path+"="+text)},
			} {
				cfg, report := config.Load(o)
				if cfg == nil {
					t.Fatalf("%s: got\n%s", source, report)
				}
				if got := at(cfg, f.path); !reflect.DeepEqual(got, want) {
					t.Errorf("%s: got %v, want %v", source, got, want)
				}
			}
			flag := parsedFlags(t).Lookup(f.path)
			if flag.Usage == "" || strings.TrimSpace(f.tag.Get("help")) == "" {
				t.Error("got no help text")
			}
			if flag.DefValue != f.tag.Get("default") {
				t.Errorf("got default %q in the help, want %q", flag.DefValue, f.tag.Get("default"))
			}
		})
	}
}

func TestRegisterFlagsAddsNothingElse(t *testing.T) {
	n := 0
	parsedFlags(t).VisitAll(func(*pflag.Flag) { n++ })
	if want := len(settable(reflect.TypeFor[config.Config](), "")) + 1; n != want {
		t.Errorf("got %d flags, want %d", n, want)
	}
}

func TestFlagForms(t *testing.T) {
	cfg, report := config.Load(config.LoadOptions{Flags: parsedFlags(t,
		"--store.tls.enabled", "--store.addresses", "a:1,b:2", "--store.addresses=c:3")})
	if cfg == nil {
		t.Fatalf("got\n%s", report)
	}
	if !cfg.Store.TLS.Enabled {
		t.Error("a switch without a value: got false, want true")
	}
	if got, want := strings.Join(cfg.Store.Addresses, " "), "a:1 b:2 c:3"; got != want {
		t.Errorf("a repeated list: got %s, want %s", got, want)
	}
}

func TestPrecedence(t *testing.T) {
	dir := fixture(t)
	file := replace(t, valid, `listen: ":8080"`+"\n", `listen: ":8001"`+"\n")
	environ := []string{"LATCHKEY_BROKER_LISTEN=:8002", "LATCHKEY_STORE_ADDRESSES=e:1,f:2", "LATCHKEY_STORE_USERNAME="}
	fs := parsedFlags(t, "--broker.listen=:8003")

	for _, c := range []struct {
		name, text        string
		environ           []string
		flags             *pflag.FlagSet
		listen, addresses string
	}{
		{name: "defaults", text: "", listen: ":8080", addresses: "127.0.0.1:6379"},
		{name: "file over defaults", text: file, listen: ":8001", addresses: "127.0.0.1:6379"},
		{name: "environment over file", text: file, environ: environ, listen: ":8002", addresses: "e:1 f:2"},
		{name: "flags over environment", text: file, environ: environ, flags: fs, listen: ":8003", addresses: "e:1 f:2"},
		{name: "flags that are not given", text: file, environ: environ, flags: parsedFlags(t), listen: ":8002", addresses: "e:1 f:2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := mustLoad(t, dir, c.text, config.LoadOptions{Environ: c.environ, Flags: c.flags})
			if got := cfg.Broker.Listen; got != c.listen {
				t.Errorf("listen: got %s, want %s", got, c.listen)
			}
			if got := strings.Join(cfg.Store.Addresses, " "); got != c.addresses {
				t.Errorf("addresses: got %s, want %s", got, c.addresses)
			}
		})
	}
}

// TestProblemsNameTheirSource holds that a rule blames whoever set the value.
func TestProblemsNameTheirSource(t *testing.T) {
	dir := fixture(t)
	for _, c := range []struct {
		name    string
		environ []string
		args    []string
		want    string
	}{
		{"variable of a wrong type", []string{"LATCHKEY_BROKER_DRAIN_DELAY=1"}, nil, "environment LATCHKEY_BROKER_DRAIN_DELAY: broker.drain_delay: must be a duration"},
		{"variable against a rule", []string{"LATCHKEY_BROKER_DRAIN_DELAY=9s"}, nil, "environment LATCHKEY_BROKER_DRAIN_DELAY: broker.drain_delay: must be from 0s to 5s"},
		{"entry of a variable against a rule", []string{"LATCHKEY_STORE_ADDRESSES=a:1,b"}, nil, "environment LATCHKEY_STORE_ADDRESSES: store.addresses[1]: must be host:port"},
		{"entry of a variable of a wrong type", []string{"LATCHKEY_BROKER_TRUSTED_PROXIES=a"}, nil, "environment LATCHKEY_BROKER_TRUSTED_PROXIES: broker.trusted_proxies: each entry must be an IP address"},
		{"flag of a wrong type", nil, []string{"--store.tls.enabled=1"}, "flag --store.tls.enabled: store.tls.enabled: must be true or false"},
		{"flag against a rule", []string{"LATCHKEY_BROKER_DRAIN_DELAY=1s"}, []string{"--broker.drain_delay=9s"}, "flag --broker.drain_delay: broker.drain_delay: must be from 0s to 5s"},
		{"unknown variable", []string{"LATCHKEY_BROKER_LISTN=a"}, nil, "environment LATCHKEY_BROKER_LISTN: is unknown; did you mean LATCHKEY_BROKER_LISTEN?"},
		{"unknown variable like nothing", []string{"LATCHKEY_X=a"}, nil, "environment LATCHKEY_X: is unknown: remove it"},
		{"secret of an unknown server", []string{"LATCHKEY_SERVERS_EDGE99_TOKEN=a"}, nil, "environment LATCHKEY_SERVERS_EDGE99_TOKEN: is unknown: no portal or server of the file has this id"},
		{"misspelt secret", []string{"LATCHKEY_SERVERS_WEB1_TOKEN=a"}, nil, "environment LATCHKEY_SERVERS_WEB1_TOKEN: is unknown; did you mean LATCHKEY_SERVERS_WEB01_TOKEN?"},
		{"misspelt hook secret", []string{"LATCHKEY_SERVERS_WEB1_HOOK_SECRET=a"}, nil, "environment LATCHKEY_SERVERS_WEB1_HOOK_SECRET: is unknown; did you mean LATCHKEY_SERVERS_WEB01_HOOK_SECRET?"},
		{"hook secret too short", []string{"LATCHKEY_SERVERS_WEB01_HOOK_SECRET=short"}, nil, "environment LATCHKEY_SERVERS_WEB01_HOOK_SECRET: servers[0].hook_secret_file: the secret has 5 characters and needs 16"},
		{"variable of the provisioner against a rule", []string{"LATCHKEY_PROVISIONER_INTERVAL=1s"}, nil, "environment LATCHKEY_PROVISIONER_INTERVAL: provisioner.interval: must be from 1m to 168h, not 1s"},
		{"flag of the provisioner against a rule", nil, []string{"--provisioner.requests_per_server=0"}, "flag --provisioner.requests_per_server: provisioner.requests_per_server: must be from 1 to 32, not 0"},
		{"secret too short", []string{"LATCHKEY_PORTALS_OTHER_CLIENT_SECRET=short"}, nil, "environment LATCHKEY_PORTALS_OTHER_CLIENT_SECRET: portals[1].client_secret_file: the secret has 5 characters"},
		{"empty variable is not set", []string{"LATCHKEY_BROKER_DRAIN_DELAY="}, nil, ""},
		{"others' variables", []string{"latchkey_x=a", "LATCHKEYX=a", "LATCHKEY=b", "=C:=C:\\"}, nil, ""},
		{"own variables", []string{"LATCHKEY_CONFIG=latchkey.yaml"}, nil, ""},
		{"variables of Kubernetes services", []string{
			"LATCHKEY_SERVICE_HOST=10.0.0.1", "LATCHKEY_SERVICE_PORT=80", "LATCHKEY_SERVICE_PORT_HTTP=80", "LATCHKEY_PORT=tcp://10.0.0.1:80",
			"LATCHKEY_PORT_80_TCP=tcp://10.0.0.1:80", "LATCHKEY_PORT_80_TCP_ADDR=10.0.0.1",
			"LATCHKEY_BROKER_SERVICE_HOST=10.0.0.2", "LATCHKEY_BROKER_PORT=tcp://10.0.0.2:80",
		}, nil, ""},
		{"a port without a service", []string{"LATCHKEY_BROKER_PORT=80"}, nil, "environment LATCHKEY_BROKER_PORT: is unknown"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, report := load(dir, valid, config.LoadOptions{
				Role: both, Environ: c.environ, OwnVariables: []string{"LATCHKEY_CONFIG"}, Flags: parsedFlags(t, c.args...),
			})
			if c.want == "" && len(report.Problems) == 0 {
				return
			}
			if len(report.Problems) != 1 || !strings.HasPrefix(report.String(), c.want) || c.want == "" {
				t.Errorf("got\n%swant one problem %q", report, c.want)
			}
		})
	}
}

func TestUnreadableFileLeavesSecretsVariablesUnjudged(t *testing.T) {
	_, report := config.Load(config.LoadOptions{Path: "f.yaml", Data: []byte("{"), Environ: []string{
		"LATCHKEY_SERVERS_WEB01_TOKEN=a", "LATCHKEY_BROKER_CONFIRM=b", "LATCHKEY_C=d"}})
	var sources []string
	for _, p := range report.Problems {
		sources = append(sources, p.Source)
	}
	want := "f.yaml:1, environment LATCHKEY_BROKER_CONFIRM, environment LATCHKEY_C"
	if got := strings.Join(sources, ", "); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestRelativePaths(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "latchkey.yaml")
	if err := os.WriteFile(file, []byte("broker:\n  signing_keys_dir: keys\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, report := config.Load(config.LoadOptions{Path: file, Environ: []string{"LATCHKEY_STORE_PASSWORD_FILE=pw"}})
	if cfg == nil {
		t.Fatalf("got\n%s", report)
	}
	for _, c := range []struct{ name, got, want string }{
		{"of the file", cfg.Broker.SigningKeysDir, filepath.Join(dir, "keys")},
		{"of a default", cfg.Subscribers.File.Path, filepath.Join(dir, "accounts.csv")},
		{"of the environment", cfg.Store.PasswordFile, "pw"},
		{"that is empty", cfg.Subscribers.SQL.DSNFile, ""},
	} {
		if c.got != c.want {
			t.Errorf("path %s: got %s, want %s", c.name, c.got, c.want)
		}
	}
}
