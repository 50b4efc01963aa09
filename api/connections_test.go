package api_test

import (
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"

	"github.com/latchkey-sso/latchkey/api"
)

// caller opens connections from addresses of this machine to a server behind limits.
type caller struct {
	t  *testing.T
	to string
}

func limitedServer(t *testing.T, limits api.ConnectionLimits) caller {
	t.Helper()
	server := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	return caller{t, serveOn(t, server, func(l net.Listener) net.Listener { return api.LimitConnections(l, limits) })}
}

// dial opens a connection from an address of the network 127.0.0.0/8.
func (c caller) dial(from string) net.Conn {
	c.t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	conn, err := dialer.Dial("tcp", c.to)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

const served, closed = "HTTP/1.1 200 OK", "closed"

// ask makes a request over a connection.
func (c caller) ask(conn net.Conn) string {
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
		return closed
	}
	answer := make([]byte, len(served))
	if _, err := io.ReadFull(conn, answer); err != nil {
		return closed
	}
	_, _ = conn.Read(make([]byte, 1000)) // the rest
	return string(answer)
}

// want asks over connections in turn.
func (c caller) want(what, want string, conns ...net.Conn) {
	c.t.Helper()
	for i, conn := range conns {
		if got := c.ask(conn); got != want {
			c.t.Errorf("%s, connection %d: got %q, want %q", what, i+1, got, want)
		}
	}
}

// opened opens connections, each once the server has the one before.
func (c caller) opened(n int, from string) (conns []net.Conn) {
	c.t.Helper()
	for range n {
		conn := c.dial(from)
		c.ask(conn)
		conns = append(conns, conn)
	}
	return conns
}

func TestConnectionsBeyondTheMostAreClosedAtOnce(t *testing.T) {
	c := limitedServer(t, api.ConnectionLimits{Most: 2, OfOne: 3})
	conns := c.opened(2, "127.0.0.1")
	c.want("within", served, conns...)
	c.want("third", closed, c.dial("127.0.0.1"))
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
	first := c.opened(50, crowd)
	// Who holds a share and opens more loses the oldest.
	c.want("the crowd's older ones", closed, first[:47]...)
	c.want("the crowd's last", served, first[47:]...)
	c.want("another address", served, c.opened(3, other)...)
	proxied := c.opened(6, proxy)
	c.want("a trusted proxy", served, proxied...)
	c.want("the thirteenth", closed, c.dial(proxy))
	c.want("the crowd's next, for its oldest", served, c.dial(crowd))
	c.want("the crowd's oldest", closed, first[47])
}

// The twin: one address that may have all leaves nothing to another.
func TestWithoutSharesOneAddressHoldsAllConnections(t *testing.T) {
	c := limitedServer(t, api.ConnectionLimits{Most: 12, OfOne: 12})
	c.opened(12, "127.0.0.2")
	c.want("another address", closed, c.dial("127.0.0.3"))
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
		{"another /64", "[2001:db8:1:2::1]:1", "[2001:db8:1:3::1]:2", false},
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
