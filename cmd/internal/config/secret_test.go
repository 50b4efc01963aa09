package config_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.yaml.in/yaml/v3"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/cmd/internal/config"
)

const hunter = "hunter2hunter2hunter2"

// withSecrets sets every secret by its variable.
func withSecrets(t *testing.T, text string) *config.Config {
	t.Helper()
	return mustLoad(t, fixture(t), text, config.LoadOptions{Role: both, Environ: []string{
		"LATCHKEY_STORE_PASSWORD=" + hunter + "1",
		"LATCHKEY_PORTALS_OTHER_CLIENT_SECRET=" + hunter + "2",
		"LATCHKEY_SERVERS_WEB01_TOKEN=" + hunter + "3\n",
		"LATCHKEY_SERVERS_WEB01_HOOK_SECRET=" + hunter + "6\n",
		"LATCHKEY_SUBSCRIBERS_SQL_DSN=" + hunter + "4",
		"LATCHKEY_SUBSCRIBERS_HTTP_BEARER=" + hunter + "5",
	}})
}

func TestSecretsFromVariables(t *testing.T) {
	cfg := withSecrets(t, valid)
	sql := withSecrets(t, replace(t, valid, "source: file", "source: sql"))
	http := withSecrets(t, replace(t, valid, "source: file", "source: http\n  http: {url: \"https://a.example\"}"))
	for _, c := range []struct {
		name string
		got  broker.Secret
		want string
	}{
		{"store", cfg.Store.Password, hunter + "1"},
		{"portal, over its file", cfg.Portals[1].ClientSecret, hunter + "2"},
		{"server, over its file", cfg.Servers[0].Token, hunter + "3"},
		{"server's hooks, over their file", cfg.Servers[0].HookSecret, hunter + "6"},
		{"SQL", sql.Subscribers.SQL.DSN, hunter + "4"},
		{"SQL when it is not the source", cfg.Subscribers.SQL.DSN, ""},
		{"HTTP", http.Subscribers.HTTP.Bearer, hunter + "5"},
		{"HTTP when it is not the source", cfg.Subscribers.HTTP.Bearer, ""},
	} {
		if c.got.Reveal() != c.want || c.got.IsZero() != (c.want == "") {
			t.Errorf("%s: got %q, want %q", c.name, c.got.Reveal(), c.want)
		}
	}
}

func TestSecretsFromFiles(t *testing.T) {
	dir := fixture(t)
	text := replace(t, valid, "mode: standalone", "mode: standalone\n  password_file: DIR/token")
	cfg := mustLoad(t, dir, text, config.LoadOptions{Role: both})
	if got := cfg.Store.Password.Reveal(); got != "WHMTOKEN" {
		t.Errorf("store: got %q, want the file without its newline", got)
	}
	if got := cfg.Portals[1].ClientSecret.Reveal(); got != "0123456789abcdef" {
		t.Errorf("portal: got %q, want the file without its newline", got)
	}
	if got := cfg.Servers[0].HookSecret.Reveal(); got != "0123456789abcde~" {
		t.Errorf("hooks: got %q, want the file without its newline", got)
	}
}

// TestServersVariablesStayApart holds that no id makes one server's variable from
// another server's, though ids may look like the ends of variables.
func TestServersVariablesStayApart(t *testing.T) {
	ids := []string{"a", "a-hook", "a-hook-secret", "a-token", "a-hook-secret-token"}
	var list strings.Builder
	var environ []string
	for _, id := range ids {
		fmt.Fprintf(&list, "  - {id: %s, url: \"https://a.example\"}\n", id)
		name := "LATCHKEY_SERVERS_" + strings.ToUpper(strings.ReplaceAll(id, "-", "_"))
		environ = append(environ, name+"_TOKEN=token-of-"+id, name+"_HOOK_SECRET=hook-secret-of-"+id)
	}
	begin, end := strings.Index(valid, "  - id: web01"), strings.Index(valid, "subscribers:")
	text := valid[:begin] + list.String() + valid[end:]
	cfg := mustLoad(t, fixture(t), text, config.LoadOptions{Role: both, Environ: environ})
	for i, id := range ids {
		s := cfg.Servers[i]
		if got, want := s.Token.Reveal()+" "+s.HookSecret.Reveal(), "token-of-"+id+" hook-secret-of-"+id; got != want {
			t.Errorf("%s: got %s, want %s", id, got, want)
		}
	}
}

// TestVariableSparesTheFile holds that a file which a variable replaces is not
// even opened.
func TestVariableSparesTheFile(t *testing.T) {
	text := replace(t, valid, "DIR/secret", "DIR/none")
	mustLoad(t, fixture(t), text, config.LoadOptions{Role: both, Environ: []string{"LATCHKEY_PORTALS_OTHER_CLIENT_SECRET=" + hunter}})
}

// TestRolesDoNotNeedEachOthersFiles holds that neither command opens or requires
// what only the other one uses.
func TestRolesDoNotNeedEachOthersFiles(t *testing.T) {
	broker := replace(t, valid, "    url: https://web01.example.com:2087\n    user: root\n    token_file: DIR/token\n    hook_secret_file: DIR/hook\n", "    ca_file: /none\n    hook_secret_file: /none\n")
	broker = replace(t, broker, "DIR/accounts.csv", "/none")
	// Another machine's listener: neither its port nor its TLS matters here.
	broker = replace(t, broker, `"127.0.0.1:8082"`, "\":8080\"\n  tls: {cert_file: /none, key_file: /none}")
	cfg := mustLoad(t, fixture(t), broker, config.LoadOptions{Role: config.RoleBroker})
	if cfg.Portals[1].ClientSecret.IsZero() {
		t.Error("broker: got no client secret")
	}
	if !cfg.Servers[0].HookSecret.IsZero() {
		t.Error("broker: got a hook secret")
	}
	// Nor does the broker warn of what another process listens on.
	mustLoad(t, fixture(t), replace(t, valid, `"127.0.0.1:8082"`, `":8082"`), config.LoadOptions{Role: config.RoleBroker})

	provisioner := replace(t, valid, "client_secret_file: DIR/secret", "client_secret_file: /none")
	provisioner = replace(t, provisioner, "DIR/keys", "/none\n  tls: {cert_file: /none, key_file: /none}")
	provisioner = replace(t, provisioner, "127.0.0.1:8082", "127.0.0.1:8080")
	cfg = mustLoad(t, fixture(t), provisioner, config.LoadOptions{Role: config.RoleProvisioner})
	if cfg.Servers[0].Token.IsZero() {
		t.Error("provisioner: got no token")
	}
	if !cfg.Portals[1].ClientSecret.IsZero() {
		t.Error("provisioner: got a client secret")
	}

	mustLoad(t, "", "", config.LoadOptions{})
}

func TestSecretsDoNotPrint(t *testing.T) {
	cfg := withSecrets(t, replace(t, valid, "source: file", "source: sql"))
	hidden := struct{ secret broker.Secret }{cfg.Store.Password}
	var structured bytes.Buffer
	slog.New(slog.NewJSONHandler(&structured, nil)).Info("loaded", "config", cfg, "password", cfg.Store.Password)
	slog.New(slog.NewTextHandler(&structured, nil)).Info("loaded", "config", cfg, "password", cfg.Store.Password)
	core := zapcore.NewCore(zapcore.NewJSONEncoder(zapcore.EncoderConfig{}), zapcore.AddSync(&structured), zapcore.DebugLevel)
	zap.New(core).Info("loaded", zap.Any("config", cfg), zap.Any("password", cfg.Store.Password),
		zap.Reflect("again", cfg.Servers), zap.Any("hidden", hidden), zap.Stringer("text", cfg.Store.Password))
	inJSON, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	inYAML, err := yaml.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{
		"structured logs": structured.String(), "JSON": string(inJSON), "YAML": string(inYAML), "Effective": cfg.Effective(),
		"map": fmt.Sprint(map[string]broker.Secret{"password": cfg.Store.Password}),
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for name, v := range map[string]any{"config": cfg, "value": *cfg, "secret": cfg.Store.Password, "pointer": &cfg.Store.Password, "hidden field": hidden} {
			texts[verb+" of "+name] = fmt.Sprintf(verb, v)
		}
	}
	for name, text := range texts {
		if strings.Contains(text, hunter) || strings.Contains(text, fmt.Sprintf("%x", hunter)) {
			t.Errorf("%s shows a secret: %s", name, text)
		}
	}
	for _, name := range []string{"structured logs", "JSON", "YAML", "%v of config", "%#v of secret", "%x of secret"} {
		if !strings.Contains(texts[name], "[redacted]") {
			t.Errorf("%s: got no [redacted]: %s", name, texts[name])
		}
	}
}

func TestProblemsDoNotShowPasswordsOfURLs(t *testing.T) {
	text := replace(t, valid, "https://sso.example.com", "https://u:"+hunter+"@sso.example.com:bad")
	text = replace(t, text, "https://portal.example.com/sso", "ftp://u:"+hunter+"@portal.example.com")
	_, report := load(fixture(t), text, config.LoadOptions{Role: both})
	if strings.Contains(report.String(), hunter) || len(report.Problems) != 2 {
		t.Errorf("got\n%swant two problems without the password", report)
	}
}
