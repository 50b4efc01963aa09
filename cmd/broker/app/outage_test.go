package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/cmd/broker/app"
	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/embedded"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// A broker may start before its Redis: it is not ready, tells servers to come
// again, and serves once Redis is there.
func TestStartWithoutRedis(t *testing.T) {
	t.Parallel()
	redis := storetest.StartRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	token := addLink(t, store.New(store.Config{Client: redis.Client(), KeyPrefix: "latchkey:"}), "latchkey_billing")
	redis.Kill()

	dir := t.TempDir()
	newKey(t, dir)
	b := start(t, app.Options{Config: loadConfig(t, configFile(dir, redis.Addr, freeAddress(t), freeAddress(t)))})
	wantHealth(t, b.operators, http.StatusServiceUnavailable, "starting: the store")
	if status, _ := get(t, b.operators+"/healthz/live", nil); status != http.StatusOK {
		t.Errorf("live: got %d, want 200: waiting for Redis is no reason to be restarted", status)
	}
	if status, body := get(t, b.url+"/.well-known/jwks.json", nil); status != http.StatusOK {
		t.Errorf("key set: got %d %s, want 200: it needs no Redis", status, body)
	}

	target := broker.AutologinURL(b.url, bobs("latchkey_billing"))
	for _, said := range []bool{true, false} { // does the server say which attempt it makes?
		for attempt := 1; attempt <= broker.MaxAttempts; attempt++ {
			form := url.Values{"token": {token.Reveal()}, "subscriber_unique_id": {"1234"}}
			if said {
				form.Set("attempt", strconv.Itoa(attempt))
			}
			status, body := postForm(t, target, form, nil)
			wantNotNow(t, attempt, status, body)
		}
	}
	if status, body := get(t, b.url+"/login?one_time_token="+strings.Repeat("x", 46), navigation); status != http.StatusServiceUnavailable {
		t.Errorf("login: got %d %s, want 503", status, body)
	}

	redis.Start()
	waitReady(t, b.operators)
	wantHealth(t, b.operators, http.StatusOK, `"ok"`)
	oneTime := autologin(t, b.url, "latchkey_billing", token)
	if status, body := get(t, oneTime, navigation); status != http.StatusOK || !strings.Contains(body, `name="assertion"`) {
		t.Errorf("login: got %d %s, want the hand-over page", status, body)
	}
}

func wantNotNow(t *testing.T, attempt, status int, body string) {
	t.Helper()
	if attempt == broker.MaxAttempts {
		if status != http.StatusServiceUnavailable || !strings.Contains(body, `"temporarily_unavailable"`) || strings.Contains(body, `"retry"`) {
			t.Errorf("attempt %d: got %d %s, want 503 temporarily_unavailable", attempt, status, body)
		}
		return
	}
	var answer struct{ Retry, Attempt int }
	if err := json.Unmarshal([]byte(body), &answer); err != nil || status != http.StatusOK || answer.Attempt != attempt || answer.Retry < 1 || answer.Retry > 5 {
		t.Errorf("attempt %d: got %d %s, want 200 and a retry of 1 to 5 seconds with this attempt", attempt, status, body)
	}
}

func wantHealth(t *testing.T, operators string, status int, word string) {
	t.Helper()
	if got, body := get(t, operators+"/healthz/ready", nil); got != status || !strings.Contains(body, word) {
		t.Errorf("ready: got %d %s, want %d with %q", got, body, status, word)
	}
}

// Redis going away and coming back empty of scripts needs no restart either.
func TestRedisIsRestarted(t *testing.T) {
	t.Parallel()
	redis := storetest.StartRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	dir := t.TempDir()
	newKey(t, dir)
	b := start(t, app.Options{Config: loadConfig(t, configFile(dir, redis.Addr, freeAddress(t), freeAddress(t)))})
	waitReady(t, b.operators)
	token := addLink(t, b.Store(), "latchkey_billing")
	autologin(t, b.url, "latchkey_billing", token)

	redis.Kill()
	wantHealth(t, b.operators, http.StatusServiceUnavailable, "store")
	form := url.Values{"token": {token.Reveal()}, "subscriber_unique_id": {"1234"}}
	status, body := postForm(t, broker.AutologinURL(b.url, bobs("latchkey_billing")), form, nil)
	wantNotNow(t, 1, status, body)

	redis.Start()
	waitReady(t, b.operators)
	// The pool may hold broken connections for a call or two.
	deadline := time.Now().Add(20 * time.Second)
	for status, body = 0, ""; !strings.Contains(body, "redirect_url") && time.Now().Before(deadline); {
		form.Set("attempt", "1")
		status, body = postForm(t, broker.AutologinURL(b.url, bobs("latchkey_billing")), form, nil)
	}
	if status != http.StatusOK || !strings.Contains(body, "redirect_url") {
		t.Errorf("after the restart: got %d %s, want a redirect_url", status, body)
	}
}

// A Redis that answers is not enough: one that takes no writes, or a user that
// may not do what the scripts do, serves no click.
func TestARedisThatCannotBeUsedIsNotReady(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, says string
		spoil      func(*testing.T, redis.UniversalClient) error
	}{
		{"replica", "READONLY", func(t *testing.T, c redis.UniversalClient) error {
			return c.SlaveOf(t.Context(), "127.0.0.1", "1").Err()
		}},
		{"full", "OOM", func(t *testing.T, c redis.UniversalClient) error {
			return c.ConfigSet(t.Context(), "maxmemory", "1").Err()
		}},
		{"no right to INFO", "NOPERM", func(t *testing.T, c redis.UniversalClient) error {
			return c.Do(t.Context(), "ACL", "SETUSER", "default", "-info").Err()
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := storetest.StartRedis(t)
			dir := t.TempDir()
			newKey(t, dir)
			b := start(t, app.Options{Config: loadConfig(t, configFile(dir, server.Addr, freeAddress(t), freeAddress(t)))})
			waitReady(t, b.operators)
			if err := tt.spoil(t, server.Client()); err != nil {
				t.Fatal(err)
			}
			status, body := get(t, b.operators+"/healthz/ready", nil)
			if status != http.StatusServiceUnavailable || !strings.Contains(body, tt.says) && !strings.Contains(body, "can't run this command") {
				t.Errorf("got %d %s, want 503 and why (%s)", status, body, tt.says)
			}
		})
	}
}

// The log tells once that the store is lost and once that it is back.
func TestAnOutageIsToldOnce(t *testing.T) {
	t.Parallel()
	core, seen := observer.New(zap.InfoLevel)
	in, err := embedded.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close() })
	dir := t.TempDir()
	newKey(t, dir)
	text := changed(t, configFile(dir, "127.0.0.1:6379", freeAddress(t), freeAddress(t)), "store: {", "store: {mode: embedded, ")
	b := start(t, app.Options{Config: loadConfig(t, text), Log: zap.New(core), Embedded: in})
	waitReady(t, b.operators)
	link, tickets := addLink(t, b.Store(), "latchkey_billing"), addLink(t, b.Store(), "latchkey_tickets")
	click := func() {
		t.Helper()
		form := url.Values{"token": {link.Reveal()}, "subscriber_unique_id": {"1234"}, "attempt": {"1"}}
		if status, body := postForm(t, broker.AutologinURL(b.url, bobs("latchkey_billing")), form, nil); status != http.StatusOK {
			t.Errorf("click: got %d %s, want 200", status, body)
		}
	}
	told := func(message string) int { return seen.FilterMessageSnippet(message).Len() }
	for range 2 {
		click()
	}
	in.SetError("LOADING Redis is loading the dataset in memory")
	for range 30 {
		click()
	}
	if lost, back := told("the store does not answer"), told("the store answers again"); lost != 1 || back != 0 {
		t.Errorf("in the outage: told %d times that it is lost and %d times that it is back, want 1 and 0", lost, back)
	}
	in.SetError("")
	eventually(t, "the store is used again", func() bool { _, body := clickAt(t, b, tickets); return strings.Contains(body, "redirect_url") })
	click()
	if lost, back := told("the store does not answer"), told("the store answers again"); lost != 1 || back != 1 {
		t.Errorf("after it: told %d times that it is lost and %d times that it is back, want 1 and 1", lost, back)
	}
}

// Records that cannot be read shut out their own people and nobody else, however many
// of them are asked for in a row.
func TestDamagedRecordsAreNoOutage(t *testing.T) {
	t.Parallel()
	core, seen := observer.New(zap.InfoLevel)
	in, err := embedded.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close() })
	dir := t.TempDir()
	newKey(t, dir)
	text := changed(t, configFile(dir, "127.0.0.1:6379", freeAddress(t), freeAddress(t)), "store: {", "store: {mode: embedded, ")
	b := start(t, app.Options{Config: loadConfig(t, text), Log: zap.New(core), Embedded: in})
	waitReady(t, b.operators)
	token := addLink(t, b.Store(), "latchkey_billing")
	for i := range 30 {
		link := broker.Link{Account: broker.Account{Server: "web01", User: fmt.Sprint("user", i)}, App: "latchkey_billing"}
		key := "latchkey:acct:{" + link.Tag() + "}" + link.Account.String()
		if err := in.Client().Set(t.Context(), key, "not a hash", 0).Err(); err != nil {
			t.Fatal(err)
		}
		form := url.Values{"token": {token.Reveal()}, "subscriber_unique_id": {"1234"}, "attempt": {"3"}}
		if status, body := postForm(t, broker.AutologinURL(b.url, link), form, nil); status != http.StatusServiceUnavailable {
			t.Errorf("damaged record: got %d %s, want 503", status, body)
		}
	}
	autologin(t, b.url, "latchkey_billing", token)
	if lost := seen.FilterMessageSnippet("the store does not answer").Len(); lost != 0 {
		t.Errorf("told %d times that the store is lost, want never: it answered", lost)
	}
}
