package api_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/latchkey-sso/latchkey/api"
)

func TestConnectionsBeyondTheMostAreClosedAtOnce(t *testing.T) {
	c := limitedServer(t, api.ConnectionLimits{Most: 2, OfOne: 3})
	conns := c.opened(2, "127.0.0.1")
	c.want("within", served, conns...)
	for _, conn := range conns {
		c.hold(conn)
	}
	c.want("the third, while both are worked on", closed, c.dial("127.0.0.1"), c.dial("127.0.0.2"))
	c.end(conns...)
	_ = conns[0].Close()
	for range 1000 { // the server sees the end of the first some time
		if c.ask(c.dial("127.0.0.1")) == served {
			return
		}
	}
	t.Error("after the first has gone nobody new is let in")
}

func TestAnAddressHoldsItsShareOfTheConnections(t *testing.T) {
	const crowd, other, proxy = "127.0.0.2", "127.0.0.3", "127.0.0.9"
	c := limitedServer(t, api.ConnectionLimits{Most: 12, OfOne: 3, TrustedProxies: []netip.Prefix{netip.MustParsePrefix(proxy + "/32")}})
	// Who holds a share and opens more loses the oldest, or one that is idle before it.
	first := c.left(c.opened(50, crowd))
	if len(first) != 3 {
		t.Fatalf("the crowd has %d connections, want its share of 3", len(first))
	}
	c.want("another address", served, c.opened(2, other)...)
	c.want("a trusted proxy", served, c.opened(7, proxy)...)
	// All twelve are taken. Whoever comes now takes the place of one of the crowd's.
	c.want("the thirteenth", served, c.dial(proxy))
	if got := len(c.left(first)); got != 2 {
		t.Errorf("the crowd has %d connections left, want 2", got)
	}
}

// The twin: without shares one address has all connections, but keeps nobody out.
func TestAtTheMostTheLargestCrowdGivesWay(t *testing.T) {
	const crowd, small, other = "127.0.0.2", "127.0.0.3", "127.0.0.4"
	c := limitedServer(t, api.ConnectionLimits{Most: 12, OfOne: 12})
	few := c.opened(2, small)
	many := c.opened(10, crowd)
	others := c.opened(8, other)
	c.want("the small", served, few...)
	// Both crowds are as large now as they can be beside each other, give or take one.
	one, two := len(c.left(many)), len(c.left(others))
	if one+two != 10 || one < 4 || one > 6 {
		t.Errorf("got %d and %d of the crowds' connections left, want 5 and 5", one, two)
	}
}

// Whoever opens connections cuts off no answer that others at his address wait for, be
// it over plain HTTP, TLS or HTTP/2.
func TestARequestInProgressOutlivesTheChurnOfItsAddress(t *testing.T) {
	const address, n = "127.0.0.2", 2000
	limits := api.ConnectionLimits{Most: 100, OfOne: 8}
	t.Run("HTTP", func(t *testing.T) {
		c := limitedServer(t, limits)
		conn := c.dial(address)
		c.hold(conn)
		idle := c.opened(1, address)[0]
		c.churn(n, address)
		c.waitClosed("the twin, which is idle", idle)
		c.end(conn)
	})
	for _, protocol := range []string{"http/1.1", "h2"} {
		t.Run("TLS, "+protocol, func(t *testing.T) {
			settings := secured(t)
			settings.NextProtos = []string{protocol}
			c := limitedServer(t, limits, func(l net.Listener) net.Listener { return tls.NewListener(l, settings) })
			dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
			transport := &http.Transport{
				DialContext: dialer.DialContext, ForceAttemptHTTP2: protocol == "h2",
				TLSClientConfig: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol}},
			}
			defer transport.CloseIdleConnections()
			got := make(chan string, 1)
			go func() {
				response, err := (&http.Client{Transport: transport}).Post("https://"+c.to+heldPath, formType, strings.NewReader(linkBody))
				if err != nil {
					got <- err.Error()
					return
				}
				_ = response.Body.Close()
				got <- response.Proto + " " + response.Status
			}()
			<-c.held
			c.churn(n, address)
			close(c.release)
			want := map[string]string{"http/1.1": "HTTP/1.1 200 OK", "h2": "HTTP/2.0 200 OK"}[protocol]
			if got := <-got; got != want {
				t.Errorf("the request: got %s, want %s", got, want)
			}
		})
	}
}

// What is idle goes before what owes the rest of a request, and that before what is
// worked on, whichever is older.
func TestTheIdleGoFirst(t *testing.T) {
	const address = "127.0.0.2"
	c := limitedServer(t, api.ConnectionLimits{Most: 100, OfOne: 4})
	worked := c.dial(address)
	c.hold(worked)
	owing := c.dial(address)
	if _, err := io.WriteString(owing, half); err != nil {
		t.Fatal(err)
	}
	idle := c.opened(2, address)
	for i, conn := range idle {
		c.hold(c.dial(address))
		c.waitClosed(fmt.Sprintf("idle %d", i+1), conn)
	}
	last := c.dial(address)
	c.hold(last)
	c.waitClosed("the one that owes", owing)
	c.want("one more, while all are worked on", closed, c.dial(address))
	c.end(worked, last)
	c.want("one more, when none is", served, c.dial(address))
}

// What was closed on either side leaves its place to others, and nothing twice.
func TestAClosedConnectionGivesItsPlaceBack(t *testing.T) {
	l, dial := acceptor(t, api.ConnectionLimits{Most: 3, OfOne: 2})
	one, two := dial("192.0.2.1:1"), dial("192.0.2.1:2")
	_ = one.Close()
	_ = one.Close()
	three := dial("192.0.2.1:3")
	if l.closed[2] {
		t.Error("the second was closed, though the first had left its place")
	}
	dial("192.0.2.1:4")
	if !l.closed[2] {
		t.Error("the second of four was not closed, though two are open beside it")
	}
	_ = two.Close()
	dial("192.0.2.1:5")
	if !l.closed[3] {
		t.Error("the third was not closed: the second gave its place back twice")
	}
	_ = three.Close()
}

func TestNeighboursShareConnections(t *testing.T) {
	tests := []struct {
		name, first, second string
		shared              bool
	}{
		{"the same IPv4 address", "192.0.2.1:1", "192.0.2.1:2", true},
		{"IPv4 neighbours", "192.0.2.1:1", "192.0.2.2:2", false},
		{"the same address, mapped", "192.0.2.1:1", "[::ffff:192.0.2.1]:2", true},
		{"the same /64", "[2001:db8:1:2::1]:1", "[2001:db8:1:2:ffff::1]:2", true},
		{"the same /56", "[2001:db8:1:200::1]:1", "[2001:db8:1:2ff::1]:2", true},
		{"another /56", "[2001:db8:1:200::1]:1", "[2001:db8:1:300::1]:2", false},
		{"no addresses", "@", "@", false},
		{"a proxy", "10.1.1.1:1", "10.1.1.1:2", false},
		{"a proxy, mapped", "[::ffff:10.1.1.1]:1", "10.1.1.1:2", false},
	}
	for _, tt := range tests {
		l, dial := acceptor(t, api.ConnectionLimits{Most: 9, OfOne: 1, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
		dial(tt.first)
		dial(tt.second)
		if l.closed[1] != tt.shared {
			t.Errorf("%s: the first was closed for the second: got %v, want %v", tt.name, l.closed[1], tt.shared)
		}
	}
}

// said is a listener of connections that come from where the test says, and keeps
// which of them were closed, counted from 1.
type said struct {
	net.Listener
	from   string
	n      int
	closed map[int]bool
}

type saidConn struct {
	net.Conn
	from string
	end  func()
}

type saidAddr string

func (saidAddr) Network() string  { return "tcp" }
func (a saidAddr) String() string { return string(a) }

func (c saidConn) RemoteAddr() net.Addr { return saidAddr(c.from) }
func (c saidConn) Close() error         { c.end(); return nil }

func (l *said) Accept() (net.Conn, error) {
	l.n++
	n := l.n
	return saidConn{from: l.from, end: func() { l.closed[n] = true }}, nil
}

// acceptor returns a listener behind limits, and what connects to it from an address.
func acceptor(t *testing.T, limits api.ConnectionLimits) (*said, func(from string) net.Conn) {
	inner := &said{closed: map[int]bool{}}
	l := api.LimitConnections(inner, limits)
	return inner, func(from string) net.Conn {
		t.Helper()
		inner.from = from
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
}

// net/http closes half of a connection to answer before it has read all of a body.
func TestALimitedConnectionCanBeClosedHalf(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	in, err := api.LimitConnections(l, api.ConnectionLimits{Most: 1, OfOne: 1}).Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	half, can := in.(interface{ CloseWrite() error })
	if !can {
		t.Fatal("it has no CloseWrite")
	}
	if err := half.CloseWrite(); err != nil {
		t.Error(err)
	}
	if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("the other end reads %d bytes (%v), want the end", n, err)
	}
}
