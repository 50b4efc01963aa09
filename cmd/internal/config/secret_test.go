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
	broker := replace(t, valid, "    url: https://web01.example.com:2087\n    user: root\n    token_file: DIR/token\n", "    ca_file: /none\n")
	broker = replace(t, broker, "DIR/accounts.csv", "/none")
	cfg := mustLoad(t, fixture(t), broker, config.LoadOptions{Role: config.RoleBroker})
	if cfg.Portals[1].ClientSecret.IsZero() {
		t.Error("broker: got no client secret")
	}

	provisioner := replace(t, valid, "client_secret_file: DIR/secret", "client_secret_file: /none")
	provisioner = replace(t, provisioner, "DIR/keys", "/none\n  tls: {cert_file: /none, key_file: /none}")
	cfg = mustLoad(t, fixture(t), provisioner, config.LoadOptions{Role: config.RoleProvisioner})
	if cfg.Servers[0].Token.IsZero() {
		t.Error("provisioner: got no token")
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
