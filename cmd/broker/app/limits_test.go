package app_test

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/cmd/broker/app"
	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

const noLimits = "{per_address_rate: 0, per_account_rate: 0, per_server_rate: 0}"

// limited starts a broker with these limits.
func limited(t *testing.T, redis, limits string, log *zap.Logger) *running {
	t.Helper()
	dir := t.TempDir()
	newKey(t, dir)
	text := changed(t, configFile(dir, redis, freeAddress(t), freeAddress(t)), noLimits, limits)
	b := start(t, app.Options{Config: loadConfig(t, text), Log: log})
	waitReady(t, b.operators)
	return b
}

// linkOf makes a link of another account of web01.
func linkOf(t *testing.T, s *store.Store, user string) (broker.Link, broker.LinkToken) {
	t.Helper()
	token, err := broker.NewLinkToken(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	link := broker.Link{Account: broker.Account{Server: "web01", User: user}, App: "latchkey_billing"}
	if err := s.PutLink(t.Context(), store.LinkRecord{Link: link, Subscriber: "1234", Token: token.Digest(), Created: time.Now()}, false); err != nil {
		t.Fatal(err)
	}
	return link, token
}

// Three brokers keep one limit together, whichever of them is asked: whoever has the
// right link token uses up that of an account and a server, whoever has a wrong one
// that of his address.
func TestLimitsHoldOverAllBrokers(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, limits string
		// accounts click in turn.
		accounts int
		// counted is what a request that counts is answered with.
		counted int
	}{
		{"account", "{per_address_rate: 0, per_account_rate: 0.001, per_account_burst: 40, per_server_rate: 0}", 1, http.StatusOK},
		{"server", "{per_address_rate: 0, per_account_rate: 0, per_server_rate: 0.001, per_server_burst: 40}", 20, http.StatusOK},
		{"address", "{per_address_rate: 0.001, per_address_burst: 40, per_account_rate: 0, per_server_rate: 0}", 20, http.StatusUnauthorized},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			redis := storetest.StartRedis(t)
			var brokers []*running
			for range 3 {
				brokers = append(brokers, limited(t, redis.Addr, tt.limits, nil))
			}
			links, tokens := make([]broker.Link, tt.accounts), make([]broker.LinkToken, tt.accounts)
			for i := range tt.accounts {
				links[i], tokens[i] = linkOf(t, brokers[0].Store(), fmt.Sprintf("user%d", i))
			}
			click := func(n int, token string) int {
				form := url.Values{"token": {token}, "subscriber_unique_id": {"1234"}, "attempt": {"1"}}
				status, body := postForm(t, broker.AutologinURL(brokers[n%3].url, links[n%tt.accounts]), form, nil)
				if status == http.StatusOK && !strings.Contains(body, "redirect_url") {
					return http.StatusAccepted // "retry": the machine is very busy
				}
				return status
			}
			wrong := strings.Repeat("x", 43)
			ask := func(n int, counted bool) int {
				if counted == (tt.counted == http.StatusOK) {
					return click(n, tokens[n%tt.accounts].Reveal())
				}
				return click(n, wrong)
			}
			uncounted := http.StatusOK + http.StatusUnauthorized - tt.counted
			for n := range 150 {
				if got := ask(n, false); got != uncounted && got != http.StatusAccepted {
					t.Fatalf("what does not count: got %d, want %d", got, uncounted)
				}
			}
			statuses := map[int]int{}
			for n := range 150 {
				statuses[ask(n, true)]++
			}
			// A broker may give a quarter of the burst without being counted.
			if got := statuses[tt.counted]; got < 30 || got > 40+3*10 || got+statuses[http.StatusAccepted]+statuses[http.StatusTooManyRequests] != 150 {
				t.Errorf("got %v, want 40 (to 70) times %d, and 429 for the rest: three brokers of their own would let 120 through", statuses, tt.counted)
			}
			if got := ask(0, false); got != uncounted && got != http.StatusAccepted {
				t.Errorf("what does not count, the limit used up: got %d, want %d as before", got, uncounted)
			}
			token := tokens[0].Reveal()
			if tt.counted == http.StatusUnauthorized {
				token = wrong
			}
			status, body, header := limitedAnswer(t, brokers[0].url, links[0], token)
			// A minute, of which a busy machine has spent some.
			wait, err := strconv.Atoi(header.Get("Retry-After"))
			if status != http.StatusTooManyRequests || !strings.Contains(body, `"slow_down"`) || err != nil || wait < 30 || wait > 60 {
				t.Errorf("got %d %s, Retry-After %q; want 429 slow_down and 30 to 60", status, body, header.Get("Retry-After"))
			}
		})
	}
}

func limitedAnswer(t *testing.T, base string, link broker.Link, token string) (status int, body string, header http.Header) {
	t.Helper()
	form := url.Values{"token": {token}, "subscriber_unique_id": {"1234"}, "attempt": {"1"}}
	response, err := client.PostForm(broker.AutologinURL(base, link), form)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var read strings.Builder
	if err := response.Write(&read); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, read.String(), response.Header
}

// Redis being away makes no limit stricter or looser than each broker's own, and
// the log tells it once.
func TestWithoutRedisEachBrokerKeepsTheLimits(t *testing.T) {
	t.Parallel()
	redis := storetest.StartRedis(t)
	core, log := observer.New(zap.InfoLevel)
	b := limited(t, redis.Addr, "{per_address_rate: 0.001, per_address_burst: 60, per_account_rate: 0, per_server_rate: 0}", zap.New(core))
	redis.Kill()
	statuses := map[int]int{}
	for range 100 {
		status, _ := get(t, b.url+"/.well-known/jwks.json", nil)
		statuses[status]++
	}
	if statuses[http.StatusOK] != 60 || statuses[http.StatusTooManyRequests] != 40 {
		t.Errorf("got %v, want 60 times 200 and 40 times 429", statuses)
	}
	if got := log.FilterMessageSnippet("the store does not answer about limits").Len(); got != 1 {
		t.Errorf("told %d times that limits are not shared, want once", got)
	}
}
