package api

import (
	"net"
	"sync"
	"sync/atomic"
)

// MaxConnections is how many connections a broker has open at once. What one can make
// it hold is small (see readForm), and how much it works on at once is bounded in
// package broker.
const MaxConnections = 8192

// LimitConnections returns a listener that closes what comes beyond most open
// connections at once: whoever is behind a balancer goes elsewhere, and nobody
// waits in a queue that does not move.
func LimitConnections(l net.Listener, most int) net.Listener {
	return &limitedListener{Listener: l, most: int64(most)}
}

type limitedListener struct {
	net.Listener
	most int64
	open atomic.Int64
}

func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) <= l.most {
			return &limitedConn{Conn: conn, closed: sync.OnceFunc(func() { l.open.Add(-1) })}, nil
		}
		l.open.Add(-1)
		_ = conn.Close()
	}
}

type limitedConn struct {
	net.Conn
	closed func()
}

func (c *limitedConn) Close() error {
	defer c.closed()
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
