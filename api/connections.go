package api

import (
	"container/list"
	"net"
	"net/netip"
	"sync"
)

const (
	// MaxConnections is how many connections a broker has open at once. What one can
	// make it hold is small (see readForm), and how much it works on at once is bounded
	// in package broker.
	MaxConnections = 8192
	// MaxConnectionsOfOne is how many of them one address has (of IPv6: one /64): more
	// than the cPanel server of thousands of accounts needs, and a sixteenth, so that
	// nobody holds them all.
	MaxConnectionsOfOne = MaxConnections / 16
)

// ConnectionLimits are how many connections may be open at once.
type ConnectionLimits struct {
	// Most is of all, OfOne of one address (of IPv6: one /64).
	Most, OfOne int
	// TrustedProxies bring the connections of many: OfOne is not for them.
	TrustedProxies []netip.Prefix
}

// LimitConnections returns a listener that keeps to the limits. What comes beyond Most
// is closed at once: whoever is behind a balancer goes elsewhere, and nobody waits in a
// queue that does not move. What comes beyond OfOne closes the connection that its
// address has had for longest: a click is over in milliseconds, and gets in beside a
// neighbour on its server who holds connections to do nothing with them.
func LimitConnections(l net.Listener, limits ConnectionLimits) net.Listener {
	return &limitedListener{Listener: l, limits: limits, proxies: limits.TrustedProxies, peers: make(map[string]*list.List)}
}

type limitedListener struct {
	net.Listener
	limits  ConnectionLimits
	proxies proxies

	mu   sync.Mutex
	open int
	// peers has the open connections of each address that is no proxy, oldest first.
	peers map[string]*list.List
}

func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		admitted, oldest := l.admit(conn)
		if oldest != nil {
			_ = oldest.Close()
		}
		if admitted != nil {
			return admitted, nil
		}
		_ = conn.Close()
	}
}

// admit returns nil where there are too many of all, and the connection that has to
// go, if there is one.
func (l *limitedListener) admit(conn net.Conn) (admitted net.Conn, oldest *limitedConn) {
	c := &limitedConn{Conn: conn, listener: l, peer: l.peer(conn)}
	l.mu.Lock()
	defer l.mu.Unlock()
	if others := l.peers[c.peer]; others != nil && others.Len() >= l.limits.OfOne {
		oldest = others.Front().Value.(*limitedConn)
		l.drop(oldest)
	}
	if l.open >= l.limits.Most {
		return nil, oldest
	}
	l.open++
	c.counted = true
	if c.peer != "" {
		if l.peers[c.peer] == nil {
			l.peers[c.peer] = list.New()
		}
		c.place = l.peers[c.peer].PushBack(c)
	}
	return c, oldest
}

// peer is whose share a connection is of, or empty when it is of none.
func (l *limitedListener) peer(conn net.Conn) string {
	peer, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil || l.proxies.contain(peer.Addr()) {
		return ""
	}
	return limiterKey(peer.Addr().String())
}

// drop gives back what a connection had, once. The lock is held.
func (l *limitedListener) drop(c *limitedConn) {
	if !c.counted {
		return
	}
	c.counted = false
	l.open--
	if c.place == nil {
		return
	}
	others := l.peers[c.peer]
	others.Remove(c.place)
	if others.Len() == 0 {
		delete(l.peers, c.peer)
	}
}

type limitedConn struct {
	net.Conn
	listener *limitedListener
	peer     string
	place    *list.Element // among its peers; nil where it is of none
	counted  bool          // guarded by the listener, as place is
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
