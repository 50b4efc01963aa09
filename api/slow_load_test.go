package api_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/latchkey-sso/latchkey/api"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// heap is how many bytes are in use.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// bodies serves on a port and tells of each body that has arrived so far.
func bodies(t *testing.T, length int) (address string, arrived <-chan struct{}) {
	t.Helper()
	s, full := newServer(t, &domain{}), make(chan struct{})
	s.https = false
	counted := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = &countedBody{ReadCloser: r.Body, left: length, full: full}
		s.ServeHTTP(w, r)
	})
	server := api.HTTPServer(counted, nil, zap.NewNop())
	server.ReadTimeout, server.WriteTimeout = time.Minute, 2*time.Minute
	return serveOn(t, server, nil), full
}

// countedBody tells when so many bytes have been read.
type countedBody struct {
	io.ReadCloser
	left int
	full chan struct{}
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.left -= n
	if b.left == 0 && n > 0 {
		b.full <- struct{}{}
	}
	return n, err
}

// serveOn serves on a port of 127.0.0.1 until the test ends.
func serveOn(t *testing.T, server *http.Server, wrap func(net.Listener) net.Listener) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if wrap != nil {
		l = wrap(l)
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serve: %v", err)
		}
	})
	return l.Addr().String()
}

// smallBuffers leaves the system little room for what a client does not read.
type smallBuffers struct{ net.Listener }

func (l smallBuffers) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if tcp, is := c.(*net.TCPConn); is {
		_ = tcp.SetWriteBuffer(4 << 10)
	}
	return c, err
}

// hold keeps a connection in one of six slow ways, until it ends or stop is closed.
func hold(address string, kind int, stop <-chan struct{}) error {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	tcp := c.(*net.TCPConn)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	write := func(text string) bool { _, err := io.WriteString(c, text); return err == nil }
	dripped := func(char string) error {
		for write(char) {
			select {
			case <-tick.C:
			case <-stop:
				return errors.New("still there")
			}
		}
		return nil
	}
	switch kind {
	case 0: // drips its headers
		write("GET /login HTTP/1.1\r\nHost: x\r\nX-Drip: ")
		return dripped("x")
	case 1: // drips its body
		write(slowHead)
		return dripped("x")
	case 2: // closes its half in the middle
		write(slowHead + "token=")
		_ = tcp.CloseWrite()
	case 3: // never says a word
	case 4: // reads nothing
		_ = tcp.SetReadBuffer(4 << 10)
		write(strings.Repeat(pageHead, 12)) // more answers than fit on their way
		return dripped("G")
	case 5: // makes one request and stays
		write(pageHead)
	}
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
		return errors.New("still there")
	}
	return nil
}

// Many slow clients of each kind at once are all cut, and nobody else feels them.
// That each kind is cut by its own time-out, and is not without, is shown above in
// virtual time; here the time-outs are short, and the sockets real.
func TestSlowClientsDisturbNobody(t *testing.T) {
	const kinds = 6
	server := api.HTTPServer(newServer(t, &domain{}), nil, zap.NewNop())
	server.ReadHeaderTimeout, server.ReadTimeout, server.WriteTimeout, server.IdleTimeout = 2*time.Second, 3*time.Second, 4*time.Second, 2*time.Second
	address := serveOn(t, server, func(l net.Listener) net.Listener { return smallBuffers{l} })
	before := heap()

	var slow, good sync.WaitGroup
	var held atomic.Int64
	stop, cut := make(chan struct{}), make(chan struct{})
	for range storetest.Amount(t, "TEST_SLOW_CLIENTS", 200, 1000) {
		for kind := range kinds {
			held.Add(1)
			slow.Go(func() {
				defer held.Add(-1)
				if err := hold(address, kind, stop); err != nil {
					t.Errorf("slow client %d: %v", kind, err)
				}
			})
		}
	}
	var mu sync.Mutex
	var took []time.Duration
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for range 2 {
		good.Go(func() {
			for held.Load() > 0 {
				start := time.Now()
				err := goodRequest(client, address)
				mu.Lock()
				took = append(took, time.Since(start))
				mu.Unlock()
				if err != nil {
					t.Errorf("a good request beside %d slow clients: %v", held.Load(), err)
					return
				}
			}
		})
	}
	go func() { slow.Wait(); close(cut) }()
	most := uint64(0)
	for waiting, deadline := true, time.After(30*time.Second); waiting; {
		select {
		case <-cut:
			waiting = false
		case <-deadline:
			close(stop)
			t.Errorf("%d slow clients are still there after 30 s", held.Load())
			<-cut
			waiting = false
		case <-time.After(time.Second): // no test of time: how often memory is looked at
			most = max(most, heap())
		}
	}
	good.Wait()
	slices.Sort(took)
	if len(took) < 100 {
		t.Fatalf("got %d good requests, want 100 at least to judge by", len(took))
	}
	p99 := took[len(took)*99/100]
	each := (int64(most) - int64(before)) / int64(kinds*storetest.Amount(t, "TEST_SLOW_CLIENTS", 200, 1000))
	t.Logf("%d good requests, p99 %v, longest %v; %d KiB a slow client, both ends", len(took), p99, took[len(took)-1], each>>10)
	if p99 > time.Second {
		t.Errorf("good requests: p99 %v, want at most 1s", p99)
	}
	if each > 128<<10 {
		t.Errorf("a slow client costs %d KiB, want at most 128", each>>10)
	}
}

func goodRequest(client *http.Client, address string) error {
	response, err := client.Post("http://"+address+"/autologin?"+linkQuery, formType, strings.NewReader(linkBody))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err != nil || response.StatusCode != http.StatusOK {
		return fmt.Errorf("got %d %s (%v), want 200", response.StatusCode, body, err)
	}
	return nil
}
