package app_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
	brokerapp "github.com/latchkey-sso/latchkey/cmd/broker/app"
	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
	"github.com/latchkey-sso/latchkey/cmd/internal/config"
	"github.com/latchkey-sso/latchkey/cmd/loadgen/app"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// world is a broker over a real Redis, and its configuration.
type world struct {
	redis *storetest.RedisServer
	file  string
	url   string
}

func newWorld(t *testing.T) world {
	t.Helper()
	dir := t.TempDir()
	keys := filepath.Join(dir, "keys")
	if err := os.Mkdir(keys, 0o700); err != nil {
		t.Fatal(err)
	}
	key, err := broker.GenerateKey("EdDSA", rand.Reader, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pem, err := key.PEM()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(keys, key.FileName()), pem, 0o600); err != nil {
		t.Fatal(err)
	}
	w := world{redis: storetest.StartRedis(t), file: filepath.Join(dir, "latchkey.yaml")}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	operators, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.url = "http://" + listener.Addr().String()
	text := fmt.Sprintf(`
store: {addresses: [%q]}
broker:
  public_url: %q
  signing_keys_dir: keys
  drain_delay: 0s
  limits: {per_address_rate: 0, per_server_rate: 0}
portals:
  - {id: portal, login_url: "https://portal.example.com/sso", fallback_url: "https://portal.example.com/login"}
servers: [{id: web01}]
links:
  - {id: billing, label: Billing, implements: billing, portal: portal, path: /billing}
`, w.redis.Addr, w.url)
	if err := os.WriteFile(w.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, report := config.Load(config.LoadOptions{Path: w.file, Role: config.RoleBroker})
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	b, err := brokerapp.New(brokerapp.Options{Config: cfg, Listener: listener, OperatorListener: operators})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return w
}

func run(t *testing.T, ctx context.Context, args ...string) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = app.Main(args, cli.Env{In: strings.NewReader(""), Out: &stdout, Err: &stderr, Signals: ctx})
	return code, stdout.String(), stderr.String()
}

func TestClicksAreMeasuredAndNothingIsLeftBehind(t *testing.T) {
	w := newWorld(t)
	code, out, errs := run(t, t.Context(), "-c", w.file, "--rate", "50", "--for", "1s", "--accounts", "20", "-o", "json")
	var got struct {
		Outcomes []struct {
			Outcome string
			Count   int
			Latency struct {
				P50 float64 `json:"p50_ms"`
			}
		}
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != cli.ExitDone {
		t.Fatalf("got exit code %d, %s (%v)\n%s", code, out, err, errs)
	}
	total := 0
	for _, o := range got.Outcomes {
		total += o.Count
	}
	if first := got.Outcomes[0]; total != 50 || first.Outcome != "signed on" || first.Latency.P50 <= 0 {
		t.Errorf("got %s, want 50 clicks, most of them signed on, with their latency", out)
	}
	if dump := storetest.Dump(t, w.redis.Client()); strings.Contains(dump, "acct:") {
		t.Errorf("links are left in the store:\n%s", dump)
	}
	if code, out, _ := run(t, t.Context(), "-c", w.file, "--rate", "20", "--for", "1s"); code != cli.ExitDone || !strings.Contains(out, "signed on") || !strings.Contains(out, "p99 ms") {
		t.Errorf("text: got exit code %d, %s; want a table", code, out)
	}
}

func TestExitCodes(t *testing.T) {
	w := newWorld(t)
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "out of order", http.StatusInternalServerError)
	}))
	defer broken.Close()
	tests := []struct {
		name string
		args []string
		code int
		says string
	}{
		{"nobody there", []string{"--url", "http://127.0.0.1:1", "--for", "1s"}, cli.ExitFailed, "loadgen: nobody answers at http://127.0.0.1:1: 100 clicks: no answer: dial: connect: connection refused\n"},
		{"one click", []string{"--url", broken.URL, "--rate", "1", "--for", "1s"}, cli.ExitFailed, "loadgen: 1 click: attempt 1: 500 out of order"},
		{"answers that nobody may get", []string{"--url", broken.URL, "--for", "1s"}, cli.ExitFailed, "100 clicks: attempt 1: 500 out of order"},
		{"no rate", []string{"--rate", "0"}, cli.ExitUsage, "--rate 0: give 0.1 to 100000"},
		{"too short", []string{"--for", "1ms"}, cli.ExitUsage, "--for 1ms: give 1s to 24h"},
		{"no accounts", []string{"--accounts", "0"}, cli.ExitUsage, "--accounts 0: give 1 to 99999"},
		{"unknown server", []string{"--server", "web09"}, cli.ExitUsage, `--server "web09": the configuration has no such server`},
		{"unknown app", []string{"--app", "latchkey_nothing"}, cli.ExitUsage, `--app "latchkey_nothing": `},
		{"no URL", []string{"--url", "elsewhere"}, cli.ExitUsage, `--url "elsewhere": give a URL`},
		{"no such flag", []string{"--fast"}, cli.ExitUsage, "--fast"},
		{"interrupted while nobody answers", []string{"--url", "http://127.0.0.1:1", "--for", "1h"}, cli.ExitInterrupted, "interrupted; the report is of the clicks that had begun"},
		{"interrupted", []string{"--for", "1h"}, cli.ExitInterrupted, "interrupted; the report is of the clicks that had begun"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if tt.code == cli.ExitInterrupted {
				defer time.AfterFunc(time.Second, cancel).Stop()
			}
			code, out, errs := run(t, ctx, append([]string{"-c", w.file, "--accounts", "5"}, tt.args...)...)
			if code != tt.code || !strings.Contains(errs, tt.says) {
				t.Errorf("got exit code %d, %s; want %d and %q", code, errs, tt.code, tt.says)
			}
			if tt.name == "nobody there" && (out != "" || errs != tt.says) {
				t.Errorf("got %q and %q, want that line alone", out, errs)
			}
		})
	}
	if dump := storetest.Dump(t, w.redis.Client()); strings.Contains(dump, "acct:") {
		t.Errorf("links are left in the store:\n%s", dump)
	}
}
