package api_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/latchkey-sso/latchkey/api"
	"github.com/latchkey-sso/latchkey/broker"
)

// caller opens connections from addresses of this machine to a server behind limits.
type caller struct {
	t  *testing.T
	to string
	// held has an entry for each click of the user "held" that has reached the domain.
	// They end when release is closed.
	held, release chan struct{}
	// idled has an entry for each time that a connection became idle.
	idled chan struct{}
}

func limitedServer(t *testing.T, limits api.ConnectionLimits, over ...func(net.Listener) net.Listener) caller {
	t.Helper()
	c := caller{t: t, held: make(chan struct{}, 100), release: make(chan struct{}), idled: make(chan struct{}, 1000)}
	d := &domain{autologin: func(r broker.AutologinRequest) (broker.Answer, error) {
		if r.Link.User == "held" {
			c.held <- struct{}{}
			<-c.release
		}
		return broker.Answer{RedirectURL: broker.NewSecret(redirectURL)}, nil
	}}
	server := api.HTTPServer(newServer(t, d), nil, zap.NewNop())
	server.ReadTimeout, server.WriteTimeout = 0, 0 // a slow machine ends nothing that is held
	noteState := server.ConnState
	server.ConnState = func(conn net.Conn, state http.ConnState) {
		noteState(conn, state)
		if state == http.StateIdle {
			c.idled <- struct{}{}
		}
	}
	c.to = serveOn(t, server, func(l net.Listener) net.Listener {
		l = api.LimitConnections(l, limits)
		for _, wrap := range over {
			l = wrap(l)
		}
		return l
	})
	return c
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

const (
	served, closed = "HTTP/1.1 200 OK", "closed"

	heldPath = "/autologin?server=web01&user=held&app=latchkey_billing"
	// half of a request: the rest of its body is owed.
	half = "POST " + heldPath + " HTTP/1.1\r\nHost: h\r\nContent-Type: " + formType + "\r\nContent-Length: 100\r\n\r\ntoken="
)

// ask makes a request over a connection.
func (c caller) ask(conn net.Conn) string {
	return c.answer(conn, "GET /.well-known/jwks.json HTTP/1.1\r\nHost: h\r\n\r\n")
}

// answer reads how the server answers.
func (c caller) answer(conn net.Conn, request string) string {
	if _, err := io.WriteString(conn, request); err != nil {
		return closed
	}
	answer := make([]byte, len(served))
	if _, err := io.ReadFull(conn, answer); err != nil {
		return closed
	}
	_, _ = conn.Read(make([]byte, 5000)) // the rest
	return string(answer)
}

// hold makes a request that is worked on until release is closed.
func (c caller) hold(conn net.Conn) {
	c.t.Helper()
	if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: h\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", heldPath, formType, len(linkBody), linkBody); err != nil {
		c.t.Fatal(err)
	}
	<-c.held
}

// end ends the requests that are held, and wants them answered.
func (c caller) end(conns ...net.Conn) {
	c.t.Helper()
	close(c.release)
	for i, conn := range conns {
		if got := c.answer(conn, ""); got != served {
			c.t.Errorf("held request %d: got %q, want %q", i+1, got, served)
		}
	}
}

// churn opens n connections from an address, and says nothing over them.
func (c caller) churn(n int, from string) {
	c.t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	for range n {
		conn, err := dialer.Dial("tcp", c.to)
		if err != nil {
			c.t.Fatal(err)
		}
		_ = conn.(*net.TCPConn).SetLinger(0) // else its port is not free for a minute
		_ = conn.Close()
	}
	c.ask(c.dial(from)) // once it is answered, all of them have been let in or not
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

// left returns those of some connections that are served.
func (c caller) left(conns []net.Conn) (left []net.Conn) {
	for _, conn := range conns {
		if c.ask(conn) == served {
			left = append(left, conn)
		}
	}
	return left
}

// opened opens connections, each once the one before has been used and is idle.
func (c caller) opened(n int, from string) (conns []net.Conn) {
	c.t.Helper()
	for range n {
		conn := c.dial(from)
		if c.ask(conn) == served {
			<-c.idled
		}
		conns = append(conns, conn)
	}
	return conns
}

// waitClosed waits until the server has closed a connection.
func (c caller) waitClosed(what string, conn net.Conn) {
	c.t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, err := conn.Read(make([]byte, 1)); n > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Errorf("%s: got %d bytes (%v), want it closed", what, n, err)
	}
}
