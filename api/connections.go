package api

import (
	"container/heap"
	"container/list"
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync"
)

const (
	// MaxConnections is how many connections a broker has open at once. What one can
	// make it hold is small (see readForm), and how much it works on at once is bounded
	// in package broker.
	MaxConnections = 8192
	// MaxConnectionsOfOne is how many of them one address has (of IPv6: one /56): more
	// than the cPanel server of thousands of accounts needs, and a sixteenth. Sixteen
	// addresses can hold them all; whoever comes then takes the place of one of those
	// (see LimitConnections).
	MaxConnectionsOfOne = MaxConnections / 16
)

// shareBits of an IPv6 address say whose share a connection is of. A home or an office
// gets a /56 or a /48. By /64 a /48 would be 65,536 addresses of one connection each,
// and nobody would have more than others; by /56 it is 256, which stand out once they
// hold many. Neighbours in a /56 lose no more than those behind one IPv4 address.
const shareBits = 56

// ConnectionLimits are how many connections may be open at once.
type ConnectionLimits struct {
	// Most is of all, OfOne of one address (of IPv6: one /56).
	Most, OfOne int
	// TrustedProxies bring the connections of many: OfOne is not for them, and theirs
	// are not closed for others.
	TrustedProxies []netip.Prefix
}

// LimitConnections returns a listener that keeps to the limits, for a server of
// HTTPServer, which tells it what its connections are doing. What comes beyond OfOne
// takes the place of another connection of its address, what comes beyond Most that of
// the address with the most to close. The first to go is the one that has been idle for
// longest, then the one that has owed the rest of a request for longest: whoever holds
// connections to do nothing with them keeps no click out. One whose request the broker
// is working on stays, so that nobody who opens connections cuts off an answer that
// Redis has given. Where there is nothing to close, the new one is closed.
func LimitConnections(l net.Listener, limits ConnectionLimits) net.Listener {
	return &limitedListener{Listener: l, limits: limits, proxies: limits.TrustedProxies, shares: make(map[string]*share)}
}

type limitedListener struct {
	net.Listener
	limits  ConnectionLimits
	proxies proxies

	mu   sync.Mutex
	open int
	// shares are of the addresses that have connections and are no proxies.
	shares map[string]*share
	crowd  crowd // all shares
}

// share is what one address has open.
type share struct {
	address string
	open    int
	// idle and reading have the connections that may be closed, by how long they have
	// been so, the longest first. reading are those that owe us a request or its rest,
	// and those that are being answered.
	idle, reading list.List
	place         int // in crowd
}

func (s *share) closable() int { return s.idle.Len() + s.reading.Len() }

// first returns the connection to close first, or nil.
func (s *share) first() *limitedConn {
	for _, conns := range []*list.List{&s.idle, &s.reading} {
		if e := conns.Front(); e != nil {
			return e.Value.(*limitedConn)
		}
	}
	return nil
}

// crowd is a heap: the share with the most to close comes first.
type crowd []*share

func (c crowd) Len() int           { return len(c) }
func (c crowd) Less(i, j int) bool { return c[i].closable() > c[j].closable() }
func (c crowd) Swap(i, j int) {
	c[i], c[j] = c[j], c[i]
	c[i].place, c[j].place = i, j
}

func (c *crowd) Push(x any) {
	s := x.(*share)
	s.place = len(*c)
	*c = append(*c, s)
}

func (c *crowd) Pop() any {
	last := len(*c) - 1
	s := (*c)[last]
	(*c)[last] = nil
	*c = (*c)[:last]
	return s
}

func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		admitted, other := l.admit(conn)
		if other != nil {
			_ = other.Conn.Close()
		}
		if admitted != nil {
			return admitted, nil
		}
		_ = conn.Close()
	}
}

// admit returns nil where there is no place to have, and the connection whose place
// was taken, if there is one.
func (l *limitedListener) admit(conn net.Conn) (admitted net.Conn, other *limitedConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	address := l.address(conn)
	from := l.shares[address]
	switch {
	case from != nil && from.open >= l.limits.OfOne:
		other = from.first()
	case l.open < l.limits.Most:
	case len(l.crowd) > 0:
		other = l.crowd[0].first()
	}
	if other != nil {
		l.drop(other)
		from = l.shares[address] // it may have been its last
	}
	if l.open >= l.limits.Most || from != nil && from.open >= l.limits.OfOne {
		return nil, other
	}
	if from == nil && address != "" {
		from = &share{address: address}
		l.shares[address] = from
		heap.Push(&l.crowd, from)
	}
	c := &limitedConn{Conn: conn, listener: l, share: from, counted: true}
	l.open++
	if from != nil {
		from.open++
		l.line(c)
	}
	return c, other
}

// address is whose share a connection is of, or empty when it is of none.
func (l *limitedListener) address(conn net.Conn) string {
	peer, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil || l.proxies.contain(peer.Addr()) {
		return ""
	}
	return network(peer.Addr().String(), shareBits)
}

// line puts a connection at the end of the line where it belongs now. The lock is
// held.
func (l *limitedListener) line(c *limitedConn) {
	if c.share == nil || !c.counted {
		return
	}
	l.unline(c)
	switch {
	case c.working > 0:
	case c.idle:
		c.lined, c.place = &c.share.idle, c.share.idle.PushBack(c)
	default:
		c.lined, c.place = &c.share.reading, c.share.reading.PushBack(c)
	}
	heap.Fix(&l.crowd, c.share.place)
}

func (l *limitedListener) unline(c *limitedConn) {
	if c.lined != nil {
		c.lined.Remove(c.place)
	}
	c.lined, c.place = nil, nil
}

// drop gives back what a connection had, once. The lock is held.
func (l *limitedListener) drop(c *limitedConn) {
	if !c.counted {
		return
	}
	c.counted = false
	l.open--
	if c.share == nil {
		return
	}
	l.unline(c)
	c.share.open--
	if c.share.open > 0 {
		heap.Fix(&l.crowd, c.share.place)
		return
	}
	heap.Remove(&l.crowd, c.share.place)
	delete(l.shares, c.share.address)
}

// limitedConn is guarded by its listener.
type limitedConn struct {
	net.Conn
	listener *limitedListener
	share    *share // nil for a proxy
	counted  bool
	idle     bool // between two requests
	working  int  // requests that the broker works on; over HTTP/2 there may be several

	lined *list.List // where it stands in line to be closed, if it does
	place *list.Element
}

// change changes c and has it stand where it belongs then.
func (c *limitedConn) change(how func(*limitedConn)) {
	c.listener.mu.Lock()
	defer c.listener.mu.Unlock()
	how(c)
	c.listener.line(c)
}

func (c *limitedConn) Close() error {
	c.listener.mu.Lock()
	c.listener.drop(c)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}

// CloseWrite lets net/http end an answer before the client has sent all of its body:
// without it the client may see a reset instead of the answer.
func (c *limitedConn) CloseWrite() error {
	if half, is := c.Conn.(interface{ CloseWrite() error }); is {
		return half.CloseWrite()
	}
	return nil
}

// limited returns the connection that conn is, or is TLS over; nil when its listener
// has no limits.
func limited(conn net.Conn) *limitedConn {
	if secure, is := conn.(interface{ NetConn() net.Conn }); is {
		conn = secure.NetConn()
	}
	c, _ := conn.(*limitedConn)
	return c
}

// noteState is the ConnState of a server.
func noteState(conn net.Conn, state http.ConnState) {
	if state != http.StateActive && state != http.StateIdle {
		return
	}
	if c := limited(conn); c != nil {
		c.change(func(c *limitedConn) { c.idle = state == http.StateIdle })
	}
}

type connKey struct{}

// withConn is the ConnContext of a server.
func withConn(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, limited(conn))
}

// working keeps the connection of a request open until done is called. A handler calls
// it once it has read the whole request: what comes then is over soon, whatever the
// client does. The answer leaves just after done: until then the connection has the end
// of the line before it, which is as many new ones as it is long.
func working(ctx context.Context) (done func()) {
	c, _ := ctx.Value(connKey{}).(*limitedConn)
	if c == nil {
		return func() {}
	}
	c.change(func(c *limitedConn) { c.working++ })
	return func() { c.change(func(c *limitedConn) { c.working-- }) }
}
