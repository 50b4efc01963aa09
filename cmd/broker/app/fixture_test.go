package app_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/cmd/broker/app"
	"github.com/latchkey-sso/latchkey/cmd/internal/config"
	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

const clientSecret = "a-client-secret-of-the-support-portal"

// configFile is a configuration of two portals over one Redis.
func configFile(dir, redis, listen, operator string) string {
	return fmt.Sprintf(`
store: {addresses: [%q]}
broker:
  listen: %q
  operator_listen: %q
  public_url: "http://%s"
  signing_keys_dir: %q
  drain_delay: 0s
  limits: {per_address_rate: 0, per_account_rate: 0, per_server_rate: 0}
portals:
  - {id: portal, login_url: "https://portal.example.com/sso", fallback_url: "https://portal.example.com/login?next={path}"}
  - {id: support, handoff: exchange, login_url: "https://support.example.com/sso", client_id: support}
servers:
  - {id: web01}
links:
  - {id: billing, label: Billing, implements: billing, portal: portal, path: /billing}
  - {id: tickets, label: Tickets, implements: support, portal: support, path: /tickets}
`, redis, listen, operator, listen, filepath.Join(dir, "keys"))
}

// crowded lets this machine have as many connections as it likes, as a balancer has.
func crowded(t testing.TB, file string) string {
	t.Helper()
	return changed(t, file, "drain_delay", "trusted_proxies: [\"127.0.0.1\"]\n  drain_delay")
}

func freeAddress(t testing.TB) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(storetest.FreePort(t)))
}

// newKey puts a signing key into dir/keys.
func newKey(t testing.TB, dir string) {
	t.Helper()
	keys := filepath.Join(dir, "keys")
	if err := os.MkdirAll(keys, 0o700); err != nil {
		t.Fatal(err)
	}
	key, err := broker.GenerateKey("EdDSA", rand.Reader, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	content, err := key.PEM()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(keys, key.FileName()), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func loadConfig(t testing.TB, text string) *config.Config {
	t.Helper()
	cfg, report := config.Load(config.LoadOptions{
		Path: "latchkey.yaml", Data: []byte(text), Role: config.RoleBroker,
		Environ: []string{"LATCHKEY_PORTALS_SUPPORT_CLIENT_SECRET=" + clientSecret},
	})
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// running is a broker inside the test.
type running struct {
	*app.Broker
	url, operators string
	stop           func() error
}

// start runs a broker in this process until the test ends.
func start(t testing.TB, o app.Options) *running {
	t.Helper()
	b, err := app.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	stop := sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return &running{Broker: b, url: "http://" + b.Addr().String(), operators: "http://" + b.OperatorAddr().String(), stop: stop}
}

// waitReady returns when the broker says that it is ready.
func waitReady(t testing.TB, operators string) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	last := "nobody answered"
	for time.Now().Before(deadline) {
		if response, err := client.Get(operators + "/healthz/ready"); err == nil {
			body, _ := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return
			}
			last = string(body)
		}
		time.Sleep(10 * time.Millisecond) // a real process starts in real time
	}
	t.Fatalf("%s does not get ready: %s", operators, last)
}

func addLink(t testing.TB, s *store.Store, app string) broker.LinkToken {
	t.Helper()
	token, err := broker.NewLinkToken(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	record := store.LinkRecord{Link: bobs(app), Subscriber: "1234", Token: token.Digest(), Created: time.Now()}
	if err := s.PutLink(t.Context(), record, false); err != nil {
		t.Fatal(err)
	}
	return token
}

func bobs(app string) broker.Link {
	return broker.Link{Account: broker.Account{Server: "web01", User: "bob"}, App: app}
}

var navigation = map[string]string{"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}

// client does not follow redirects and keeps connections for many goroutines.
var client = &http.Client{
	Timeout:       30 * time.Second,
	Transport:     &http.Transport{MaxIdleConns: 512, MaxIdleConnsPerHost: 128},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

func get(t testing.TB, target string, header map[string]string) (int, string) {
	r, err := http.NewRequest(http.MethodGet, target, nil)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	return do(t, r, header)
}

func postForm(t testing.TB, target string, form url.Values, header map[string]string) (int, string) {
	r, err := http.NewRequest(http.MethodPost, target, strings.NewReader(form.Encode()))
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return do(t, r, header)
}

// do returns status 0 when nobody answers.
func do(t testing.TB, r *http.Request, header map[string]string) (int, string) {
	status, body, _ := doWithCookies(t, r, header)
	return status, body
}

func doWithCookies(t testing.TB, r *http.Request, header map[string]string) (int, string, []*http.Cookie) {
	for name, value := range header {
		r.Header.Set(name, value)
	}
	response, err := client.Do(r)
	if err != nil {
		t.Logf("%s %s: %v", r.Method, r.URL.Path, err)
		return 0, "", nil
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Logf("%s %s: read answer: %v", r.Method, r.URL.Path, err)
		return 0, "", nil
	}
	return response.StatusCode, string(body), response.Cookies()
}

// autologin posts as a cPanel server does and returns the one-time URL. It asks
// again as long as an overloaded machine makes the broker say "retry".
func autologin(t testing.TB, base, app string, token broker.LinkToken) string {
	t.Helper()
	form := url.Values{"token": {token.Reveal()}, "subscriber_unique_id": {"1234"}, "attempt": {"1"}}
	var status int
	var body string
	for range 50 {
		status, body = postForm(t, broker.AutologinURL(base, bobs(app)), form, nil)
		var answer struct {
			RedirectURL string `json:"redirect_url"`
			Retry       int    `json:"retry"`
		}
		err := json.Unmarshal([]byte(body), &answer)
		if err == nil && status == http.StatusOK && answer.RedirectURL != "" {
			return answer.RedirectURL
		}
		if err != nil || answer.Retry == 0 {
			break
		}
	}
	t.Errorf("autologin: status %d, body %s, want a redirect_url", status, body)
	return ""
}
