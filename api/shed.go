package api

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"

	"github.com/labstack/echo/v4"

	"github.com/latchkey-sso/latchkey/broker"
)

// What a crowd can make a broker hold is bounded here, and how much it works on at
// once in package broker. A connection costs about 20 kB and may send smallBody
// more; the few that send a large body at once, a megabyte each and twice that while
// it is read.
const (
	// MaxConnections is how many connections a broker has open at once.
	MaxConnections = 8192
	// smallBody holds every field of a click but the link's image.
	smallBody      = 16 << 10
	maxLargeBodies = 64
)

var errLargeBodies = errors.New("too many requests with large bodies at once")

// largeBodies counts the requests that have sent more than smallBody and are not
// answered yet.
type largeBodies chan struct{}

// bound ends the reading of a body with ReasonUnavailable, where it gets large and
// too many others are.
func (l largeBodies) bound(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		body := &countedBody{ReadCloser: r.Body, large: l}
		defer body.release()
		r.Body = body
		return next(c)
	}
}

type countedBody struct {
	io.ReadCloser
	large largeBodies
	read  int
	held  bool
}

func (b *countedBody) Read(p []byte) (int, error) {
	if b.read >= smallBody && !b.held {
		select {
		case b.large <- struct{}{}:
			b.held = true
		default:
			return 0, &broker.Error{Reason: broker.ReasonUnavailable, Err: errLargeBodies}
		}
	}
	if !b.held {
		p = p[:min(len(p), smallBody-b.read)]
	}
	n, err := b.ReadCloser.Read(p)
	b.read += n
	return n, err
}

func (b *countedBody) release() {
	if b.held {
		<-b.large
	}
}

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
