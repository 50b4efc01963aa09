package app_test

import (
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/cmd/broker/app"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// A broker that was stopped, or that could not start, leaves nothing running.
// Not parallel: other tests' brokers would be counted.
func TestNothingIsLeftRunning(t *testing.T) {
	server := storetest.StartRedis(t)
	tests := []struct {
		name   string
		config func(t *testing.T, dir string) string
	}{
		{"over Redis", func(t *testing.T, dir string) string {
			return configFile(dir, server.Addr, freeAddress(t), freeAddress(t))
		}},
		{"over the embedded store", func(t *testing.T, dir string) string {
			return changed(t, configFile(dir, server.Addr, freeAddress(t), freeAddress(t)), "store: {", "store: {mode: embedded, ")
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			client.CloseIdleConnections()
			before := goleak.IgnoreCurrent()
			dir := t.TempDir()
			newKey(t, dir)
			text := tt.config(t, dir)
			b := start(t, app.Options{Config: loadConfig(t, text)})
			waitReady(t, b.operators)
			link := addLink(t, b.Store(), "latchkey_billing")
			assertionOf(t, autologin(t, b.url, "latchkey_billing", link))
			form := url.Values{"token": {strings.Repeat("x", 43)}, "subscriber_unique_id": {"1234"}}
			if status, _ := postForm(t, broker.AutologinURL(b.url, bobs("latchkey_billing")), form, nil); status != http.StatusUnauthorized {
				t.Errorf("wrong token: got %d, want 401", status)
			}
			if err := b.stop(); err != nil {
				t.Errorf("stop: got %v, want nil", err)
			}
			client.CloseIdleConnections()
			goleak.VerifyNone(t, before)
			wantNoConnections(t, server)
			runtime.KeepAlive(b) // or the garbage collector would close what was forgotten
		})
		t.Run(tt.name+", port in use", func(t *testing.T) {
			client.CloseIdleConnections()
			before := goleak.IgnoreCurrent()
			dir := t.TempDir()
			newKey(t, dir)
			cfg := loadConfig(t, tt.config(t, dir))
			cfg.Broker.OperatorListen = server.Addr
			if _, err := app.New(app.Options{Config: cfg}); err == nil || !strings.Contains(err.Error(), "broker.operator_listen") {
				t.Errorf("got error %v, want one about broker.operator_listen", err)
			}
			goleak.VerifyNone(t, before)
			wantNoConnections(t, server)
		})
	}
}

// wantNoConnections wants Redis to have no client but the one that asks.
func wantNoConnections(t *testing.T, server *storetest.RedisServer) {
	t.Helper()
	asking := redis.NewClient(&redis.Options{Addr: server.Addr, PoolSize: 1})
	defer asking.Close()
	eventually(t, "Redis has no connection left", func() bool {
		list, err := asking.ClientList(t.Context()).Result()
		return err == nil && strings.Count(strings.TrimSpace(list), "\n") == 0
	})
}
