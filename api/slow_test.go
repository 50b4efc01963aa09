package api_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/latchkey-sso/latchkey/api"
)

// pipes is a listener in memory, whose connections keep to the clock of synctest.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

var _ net.Listener = (*pipes)(nil)

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

func (p *pipes) dial() net.Conn {
	client, server := net.Pipe()
	p.conns <- server
	return client
}

// slowClient is one that keeps a connection as long as it can.
type slowClient struct {
	name string
	keep func(net.Conn)
	// within is when the time-outs of HTTPServer end it.
	within time.Duration
}

const (
	slowHead = "POST /autologin?" + linkQuery + " HTTP/1.1\r\nHost: sso.example.com\r\nContent-Type: " + formType + "\r\nContent-Length: 1000000\r\n\r\n"
	pageHead = "GET " + loginPath + " HTTP/1.1\r\nHost: sso.example.com\r\n\r\n"
)

// drip writes each second until the connection ends, and reads what it is told.
func drip(char string) func(net.Conn) {
	return func(c net.Conn) {
		var reading sync.WaitGroup
		defer reading.Wait()
		reading.Go(func() { wait(c) })
		for {
			if _, err := io.WriteString(c, char); err != nil {
				return
			}
			time.Sleep(time.Second) // of the clock of synctest
		}
	}
}

func then(first string, next func(net.Conn)) func(net.Conn) {
	return func(c net.Conn) {
		if _, err := io.WriteString(c, first); err == nil {
			next(c)
		}
	}
}

func wait(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

func slowClients() []slowClient {
	return []slowClient{
		{"says nothing", wait, 5 * time.Second},
		{"begins a request", then("POST /auto", wait), 5 * time.Second},
		{"drips its request line", drip("G"), 5 * time.Second},
		{"drips its headers", then("GET /login HTTP/1.1\r\nHost: x\r\nX-Drip: ", drip("x")), 5 * time.Second},
		{"sends no body", then(slowHead, wait), 15 * time.Second},
		{"drips its body", then(slowHead, drip("x")), 15 * time.Second},
		{"asks for a go-ahead and sends no body", then(slowHead[:len(slowHead)-2]+"Expect: 100-continue\r\n\r\n", wait), 15 * time.Second},
		{"drips its body in chunks", then("POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: "+formType+"\r\nTransfer-Encoding: chunked\r\n\r\n", drip("1\r\nx\r\n")), 15 * time.Second},
		{"reads nothing", then(pageHead, func(net.Conn) {}), 30 * time.Second},
		{"makes one request and stays", then(pageHead, wait), 75 * time.Second},
	}
}

// kept is how long a server keeps a client that does not end the connection
// itself: at most an hour.
func kept(t *testing.T, change func(*http.Server), client slowClient) (took time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, closed := context.WithTimeout(context.Background(), time.Hour)
		defer closed()
		s := api.HTTPServer(newServer(t, &domain{}), nil, zap.NewNop())
		s.ConnState = func(_ net.Conn, state http.ConnState) {
			if state == http.StateClosed {
				closed()
			}
		}
		change(s)
		listener := newPipes()
		var group sync.WaitGroup
		group.Go(func() {
			serve := s.Serve
			if s.TLSConfig != nil {
				serve = func(l net.Listener) error { return s.ServeTLS(l, "", "") }
			}
			if err := serve(listener); !errors.Is(err, http.ErrServerClosed) {
				t.Errorf("serve: %v", err)
			}
		})
		start := time.Now()
		conn := listener.dial()
		group.Go(func() { client.keep(conn) })
		<-ctx.Done()
		took = time.Since(start)
		_ = conn.Close()
		_ = s.Close()
		group.Wait()
	})
	return took
}

// Every way of being slow ends when the time-outs say so.
func TestSlowClientsAreCut(t *testing.T) {
	for _, client := range slowClients() {
		t.Run(client.name, func(t *testing.T) {
			got := kept(t, func(*http.Server) {}, client)
			if got < client.within || got > client.within+time.Second {
				t.Errorf("it was kept for %v, want it cut after %v", got, client.within)
			}
		})
	}
	t.Run("begins no TLS", func(t *testing.T) {
		got := kept(t, func(s *http.Server) { s.TLSConfig = anyTLS() }, slowClient{keep: wait})
		if got > 6*time.Second {
			t.Errorf("it was kept for %v, want it cut after 5s", got)
		}
	})
}

func anyTLS() *tls.Config {
	return &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return nil, errors.New("no certificate is needed for a client that says nothing")
	}}
}

// The twin: without time-outs the same clients stay, so that the test above can
// fail.
func TestSlowClientsStayWithoutTimeouts(t *testing.T) {
	for _, client := range slowClients() {
		t.Run(client.name, func(t *testing.T) {
			without := func(s *http.Server) { s.ReadHeaderTimeout, s.ReadTimeout, s.WriteTimeout, s.IdleTimeout = 0, 0, 0, 0 }
			if got := kept(t, without, client); got < 4*client.within && got < time.Hour {
				t.Errorf("it was kept for %v, want much more than %v: it may not be slow at all", got, client.within)
			}
		})
	}
}

// What a body costs while it is on its way does not depend on its length.
func TestUnfinishedBodiesCostLittle(t *testing.T) {
	const (
		clients = 8
		size    = 1<<20 - 1
		most    = 96 << 10
	)
	formStart, objectStart := linkBody+"&base64_png_image=", `{"token":"x","base64_png_image":"`
	tests := []struct{ name, contentType, body string }{
		{"a form", formType, padded(formStart, size, "")},
		{"a form with a long name", formType, padded("", size, "")},
		{"JSON", jsonType, padded(objectStart, size, "")},
		{"JSON, a number", jsonType, `{"x":` + strings.Repeat("1", size-5)},
		{"JSON, a field of ours", jsonType, padded(`{"token":"`, size, "")},
		{"JSON, white space", jsonType, `{"x":` + strings.Repeat(" ", size-5)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			live, arrived := bodies(t, len(test.body))
			before := heap()
			for range clients {
				conn, err := net.Dial("tcp", live)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				head := "POST /autologin?%s HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
				_, _ = fmt.Fprintf(conn, head, linkQuery, test.contentType, size+1)
				_, _ = io.WriteString(conn, test.body)
			}
			for range clients {
				select {
				case <-arrived:
				case <-time.After(time.Minute):
					t.Fatal("the bodies do not arrive")
				}
			}
			each := (int64(heap()) - int64(before)) / clients
			t.Logf("a body of 1 MiB that does not end costs %d KiB", each>>10)
			if each > most {
				t.Errorf("a body that does not end costs %d KiB, want at most %d", each>>10, most>>10)
			}
		})
	}
}
