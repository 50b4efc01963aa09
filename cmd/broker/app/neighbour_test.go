package app_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/latchkey-sso/latchkey/api"
	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/cmd/broker/app"
	"github.com/latchkey-sso/latchkey/cmd/loadgen/clicks"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// flood is what a neighbour of bob does on the same server: wrong tokens for bob's
// link, from many connections, as fast as they are answered. The returned function
// ends it and tells the outcomes.
func flood(t *testing.T, url string, connections int) (end func() map[string]int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var crowd sync.WaitGroup
	var mu sync.Mutex
	outcomes := map[string]int{}
	client := clicks.NewClient()
	for range connections {
		crowd.Go(func() {
			for ctx.Err() == nil {
				wrong, err := broker.NewLinkToken(rand.Reader)
				if err != nil {
					t.Error(err)
					return
				}
				p := clicks.Person{URL: url, Client: client, Link: bobs("latchkey_billing"), Token: wrong, Subscriber: "1234"}
				_, outcome := p.Autologin(ctx, 1)
				if ctx.Err() != nil {
					return
				}
				mu.Lock()
				outcomes[outcome]++
				mu.Unlock()
			}
		})
	}
	return func() map[string]int {
		cancel()
		crowd.Wait()
		client.CloseIdleConnections()
		return outcomes
	}
}

// click is one click of a server that comes again as it is told to, without the wait.
func click(t *testing.T, p clicks.Person) (outcome string) {
	for attempt := 1; attempt <= broker.MaxAttempts; attempt++ {
		if _, outcome = p.Autologin(t.Context(), attempt); outcome != clicks.Retry {
			break
		}
	}
	return outcome
}

func keySet(t *testing.T, b *running) (status int) {
	status, _ = get(t, b.url+"/.well-known/jwks.json", nil)
	return status
}

// A tenant who floods us from the address of a server takes no click from the other
// tenants of that server, over two brokers and a real Redis.
func TestAFloodFromAServerTakesNoClicks(t *testing.T) {
	t.Parallel()
	redis := storetest.StartRedis(t)
	const limits = "{per_address_rate: 1, per_address_burst: 100, per_account_rate: 0, per_server_rate: 0}"
	brokers := []*running{limited(t, redis.Addr, limits, nil), limited(t, redis.Addr, limits, nil)}
	bob := bobAt(t, "", addLink(t, brokers[0].Store(), "latchkey_billing"))
	var ends []func() map[string]int
	for _, b := range brokers {
		ends = append(ends, flood(t, b.url, 8))
	}
	for _, b := range brokers { // until the address is over its limit
		eventually(t, "the key set is refused", func() bool { return keySet(t, b) == http.StatusTooManyRequests })
	}
	lost := 0
	for i := range 200 {
		b := brokers[i%2]
		bob.URL = b.url
		if got := click(t, bob); got != clicks.SignedOn {
			t.Errorf("click %d amid the flood: got %s, want %s", i+1, got, clicks.SignedOn)
		}
		if keySet(t, b) != http.StatusOK {
			lost++
		}
	}
	// The twin: of what counts whether it fails or not, hardly anything gets through.
	if lost < 100 {
		t.Errorf("the key set was refused %d times of 200: the address is not over its limit, and this test shows nothing", lost)
	}
	total := map[string]int{}
	for _, end := range ends {
		for outcome, n := range end() {
			total[outcome] += n
			if !clicks.Sound(outcome) {
				t.Errorf("the flood: %d times %s", n, outcome)
			}
		}
	}
	t.Logf("the flood: %v", total)
	if denied, slowed := total[clicks.Denied], total[clicks.SlowDown]; slowed < 5*denied || slowed < 1000 || total[clicks.SignedOn] > 0 {
		t.Errorf("the flood: got %v, want most of it told to slow down, and nobody let in", total)
	}
}

// One address has its share of a broker's connections, and a balancer any number.
func TestABalancerMayHaveMoreConnectionsThanOthers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	newKey(t, dir)
	text := changed(t, configFile(dir, "127.0.0.1:6379", freeAddress(t), freeAddress(t)), "store: {", "store: {mode: embedded, ")
	b := start(t, app.Options{Config: loadConfig(t, crowded(t, text))})
	for address, all := range map[string]bool{"127.0.0.1": true, "127.0.0.2": false} {
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
		var first net.Conn
		for i := range api.MaxConnectionsOfOne + 1 {
			conn, err := dialer.Dial("tcp", b.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if i == 0 {
				first = conn
			}
			if !answers(conn) { // so it has been let in, and may be idle for a while
				t.Fatalf("%s: connection %d was closed", address, i+1)
			}
		}
		if got := answers(first); got != all {
			t.Errorf("%s: the first connection is open: %v, want %v", address, got, all)
		}
	}
}

// answers makes a request over a connection.
func answers(conn net.Conn) bool {
	if _, err := io.WriteString(conn, "GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
		return false
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, response.Body)
	return err == nil
}
