package storetest

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// Link is a stretch of network between two processes that can be made slow, silent
// or cut.
type Link struct {
	// Addr is where to connect to.
	Addr string

	t      testing.TB
	target string

	mu    sync.Mutex
	proxy *toxiproxy.Proxy
}

// StartLink starts a link to an address. It ends with the test.
func StartLink(t testing.TB, target string) *Link {
	t.Helper()
	l := &Link{Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(FreePort(t))), t: t, target: target}
	l.Restore()
	t.Cleanup(l.Cut)
	return l
}

// Delay holds everything that comes from the target back for d, whole milliseconds;
// 0 does nothing. What is on its way when the link is cut is lost.
func (l *Link) Delay(d time.Duration) {
	l.t.Helper()
	if d == 0 {
		return
	}
	l.add("latency", "downstream", fmt.Sprintf(`{"latency": %d}`, d.Milliseconds()))
}

// Slow lets this many kilobytes a second pass, each way.
func (l *Link) Slow(kilobytes int) {
	l.t.Helper()
	for _, stream := range []string{"downstream", "upstream"} {
		l.add("bandwidth", stream, fmt.Sprintf(`{"rate": %d}`, kilobytes))
	}
}

// BlackHole swallows everything, both ways: connections stay, and new ones are
// taken, but nobody hears anything.
func (l *Link) BlackHole() {
	l.t.Helper()
	for _, stream := range []string{"downstream", "upstream"} {
		l.add("timeout", stream, `{"timeout": 0}`)
	}
}

func (l *Link) add(kind, stream, attributes string) {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	toxic := fmt.Sprintf(`{"type": %q, "stream": %q, "attributes": %s}`, kind, stream, attributes)
	if _, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
		l.t.Fatalf("add %s to the link to %s: %v", kind, l.target, err)
	}
}

// Cut closes every connection and refuses new ones.
func (l *Link) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.proxy.Stop()
}

// Restore lets everything pass again. Connections that were there are closed.
func (l *Link) Restore() {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.proxy != nil {
		l.proxy.Stop()
	}
	// A new one, because taking a fault from a connection that just ends can take
	// the proxy seconds.
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	l.proxy = toxiproxy.NewProxy(server, l.target, l.Addr, l.target)
	if err := l.proxy.Start(); err != nil {
		l.t.Fatalf("start the link to %s: %v", l.target, err)
	}
}
