package config_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"flag"
	"fmt"
	"image"
	"image/png"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/latchkey-sso/latchkey/cmd/internal/config"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const both = config.RoleBroker | config.RoleProvisioner

// valid is a configuration without a problem for both roles. DIR stands for the
// directory that fixture makes.
const valid = `store:
  mode: standalone
  addresses: ["127.0.0.1:6379"]
  key_prefix: "latchkey:"
broker:
  listen: ":8080"
  operator_listen: "127.0.0.1:8081"
  public_url: https://sso.example.com
  one_time_token_ttl: 120s
  link_token_max_age: 2160h
  signing_keys_dir: DIR/keys
  confirm: auto
  durability: local
provisioner:
  listen: "127.0.0.1:8082"
  interval: 1h
  requests_per_server: 4
  commands_per_request: 48
  requests_per_second: 20
  request_timeout: 30s
portals:
  - id: portal
    handoff: form_post
    login_url: https://portal.example.com/sso
    fallback_url: https://portal.example.com/login?next={path}
  - id: other
    handoff: exchange
    login_url: https://other.example.com/sso
    client_id: other
    client_secret_file: DIR/secret
servers:
  - id: web01
    product: cpanel
    url: https://web01.example.com:2087
    user: root
    token_file: DIR/token
    hook_secret_file: DIR/hook
    source_ips: ["203.0.113.10"]
subscribers:
  source: file
  file: {path: DIR/accounts.csv}
group: {id: latchkey, label: Billing, order: 1}
links:
  - id: invoices
    label: View Invoices
    implements: billing
    order: 10
    portal: portal
    path: /invoices
app_prefix: latchkey_
`

// fixture makes the files that configurations of these tests speak of.
func fixture(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	write := func(name, content string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mode := func(name string, mode os.FileMode) { // the umask does not count for chmod
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"keys", "openkeys"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	mode("openkeys", 0o777)
	write("secret", "0123456789abcdef\n")
	write("short", "0123456789abcde\n")
	write("token", "WHMTOKEN\n")
	write("usertoken", "root:WHMTOKEN\n")
	write("hook", "0123456789abcde~\n")
	write("spaced", "0123456789 abcdef\n")
	write("umlaut", "0123456789abcdefä\n")
	write("empty", "\n")
	write("lines", "one\ntwo\n")
	write("big", strings.Repeat("x", 64<<10+1))
	write("open", "0123456789abcdef\n")
	mode("open", 0o644)
	write("accounts.csv", "server,user,subscriber_unique_id\n")
	write("plus", "0123456789+/=abc\n")
	write("icon.png", picture(t, 48))
	write("cut.png", picture(t, 48)[:60])
	write("wide.png", picture(t, 1025))
	write("big.png", picture(t, 48)+strings.Repeat("x", 200<<10))
	for _, name := range []string{"a", "b", "open"} {
		cert, key := keyPair(t)
		write(name+".crt", cert)
		write(name+".key", key)
	}
	mode("open.key", 0o644)
	return dir
}

func picture(t *testing.T, side int) string {
	var b strings.Builder
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, side, side))); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func keyPair(t *testing.T) (certPEM, keyPEM string) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
}

// load loads a text in which DIR stands for dir.
func load(dir, text string, o config.LoadOptions) (*config.Config, *config.Report) {
	o.Path = "latchkey.yaml"
	o.Data = []byte(strings.ReplaceAll(text, "DIR", dir))
	return config.Load(o)
}

// mustLoad loads what must have no problem, warnings included.
func mustLoad(t *testing.T, dir, text string, o config.LoadOptions) *config.Config {
	t.Helper()
	cfg, report := load(dir, text, o)
	if len(report.Problems) > 0 {
		t.Fatalf("got problems:\n%s", report)
	}
	return cfg
}

func parsedFlags(t *testing.T, args ...string) *pflag.FlagSet {
	t.Helper()
	fs := pflag.NewFlagSet("broker", pflag.ContinueOnError)
	fs.String("output", "text", "a flag of the command's own")
	config.RegisterFlags(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return fs
}

// marked is the source of the line that ends in the marker #<.
func marked(t *testing.T, text string) string {
	t.Helper()
	for i, line := range strings.Split(text, "\n") {
		if strings.HasSuffix(line, "#<") {
			return fmt.Sprintf("latchkey.yaml:%d", i+1)
		}
	}
	t.Fatal("the case marks no line with #<")
	return ""
}

// replace is strings.Replace that insists on finding what it replaces.
func replace(t *testing.T, text, old, with string) string {
	t.Helper()
	if strings.Count(text, old) != 1 {
		t.Fatalf("%q is there %d times, want once", old, strings.Count(text, old))
	}
	return strings.Replace(text, old, with, 1)
}
