package api_test

import (
	"io"
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/latchkey-sso/latchkey/api"
)

func TestConnectionsBeyondTheMostAreClosedAtOnce(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(api.LimitConnections(inner, 2)) })
	defer serving.Wait()
	defer server.Close()

	ask := func(c net.Conn) string {
		t.Helper()
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
			return "closed"
		}
		answer := make([]byte, 15)
		if _, err := io.ReadFull(c, answer); err != nil {
			return "closed"
		}
		return string(answer)
	}
	dial := func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	const served = "HTTP/1.1 200 OK"
	one, two := dial(), dial()
	for name, c := range map[string]net.Conn{"first": one, "second": two} {
		if got := ask(c); got != served {
			t.Errorf("%s: got %q, want %q", name, got, served)
		}
	}
	if got := ask(dial()); got != "closed" {
		t.Errorf("third: got %q, want it to be closed", got)
	}
	_ = one.Close()
	for range 1000 { // the server sees the end of the first some time
		if ask(dial()) == served {
			return
		}
	}
	t.Error("after the first has gone nobody new is let in")
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
	in, err := api.LimitConnections(l, 1).Accept()
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
