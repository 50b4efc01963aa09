package whm_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/latchkey-sso/latchkey/api/whm"
	"github.com/latchkey-sso/latchkey/api/whm/whmfake"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

// pipes is a network in memory, for the virtual time of synctest.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

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

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 2087} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
		return ours, nil
	case <-p.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// inMemory runs test in virtual time, with a server and a client of its.
func inMemory(t *testing.T, edit func(*whm.Config), test func(*testing.T, *whmfake.Server, *whm.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		network := newPipes()
		fake := newFake(t, whmfake.Config{Listener: network})
		c := clientOf(t, fake, func(cfg *whm.Config) {
			cfg.Dial = network.dial
			if edit != nil {
				edit(cfg)
			}
		})
		// The keys and certificates of the first handshake take no virtual time.
		test(t, fake, c)
		c.Close()
		fake.Close()
	})
}

func took(t *testing.T, start time.Time, want time.Duration) {
	t.Helper()
	if got := time.Since(start); got != want {
		t.Errorf("took %s, want %s", got, want)
	}
}

func TestRequestsHaveADeadline(t *testing.T) {
	write := createLink("bob", app)
	tests := []struct {
		name     string
		timeout  time.Duration
		commands []reconcile.Command
		fault    whmfake.FaultKind
		want     time.Duration
		maybe    bool
		words    string
	}{
		{"one write", 0, []reconcile.Command{write}, whmfake.Hang, 30 * time.Second, true, "did not answer within 30s"},
		{"one read", 0, []reconcile.Command{listLinks("bob")}, whmfake.Hang, 30 * time.Second, false, "30s"},
		{"a batch has more", 0, slices.Repeat([]reconcile.Command{write}, 100), whmfake.Hang, 130 * time.Second, true, "within 2m10s"},
		{"as configured", time.Second, slices.Repeat([]reconcile.Command{write}, 2), whmfake.Hang, 3 * time.Second, true, "within 3s"},
		{"after it was executed", 0, []reconcile.Command{write}, whmfake.LateHang, 30 * time.Second, true, "did not answer"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inMemory(t, func(c *whm.Config) { c.Timeout = tt.timeout }, func(t *testing.T, fake *whmfake.Server, c *whm.Client) {
				fake.SetFault(whmfake.Always(whmfake.Fault{Kind: tt.fault}))
				start := time.Now()
				_, err := c.Run(t.Context(), tt.commands)
				expect(t, err, kind{item, true, tt.maybe}, tt.words)
				if errors.Is(err, context.DeadlineExceeded) {
					t.Error("our own time-out passes for one of the caller's context")
				}
				took(t, start, tt.want)
			})
		})
	}
}

func TestConnectingHasADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := whm.Config{URL: "https://web01.example.com:2087", User: "root", Token: token(apiToken).Secret}
		cfg.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		start := time.Now()
		_, err := ok(whm.New(cfg))(t).Run(t.Context(), []reconcile.Command{createLink("bob", app)})
		expect(t, err, kind{server, true, false}, "cannot connect to web01.example.com:2087: no answer in time")
		took(t, start, 10*time.Second)
		cfg.Timeout = time.Second
		c := ok(whm.New(cfg))(t)
		_, err = c.Run(t.Context(), []reconcile.Command{createLink("bob", app)})
		expect(t, err, kind{server, true, false}, "cannot connect to web01.example.com:2087 within 1s")
		took(t, start, 11*time.Second)
		c.Close() // ends the dial, which goes on for the next request
		took(t, start, 11*time.Second)
		_, err = c.Version(t.Context())
		expect(t, err, kind{server, true, false}, "cannot connect")
	})
}

func TestAHandshakeThatNeverEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		go func() { // takes what comes and says nothing
			buf := make([]byte, 1024)
			for {
				if _, err := theirs.Read(buf); err != nil {
					return
				}
			}
		}()
		cfg := whm.Config{URL: "https://web01.example.com:2087", User: "root", Token: token(apiToken).Secret}
		cfg.Dial = func(context.Context, string, string) (net.Conn, error) { return ours, nil }
		start := time.Now()
		_, err := ok(whm.New(cfg))(t).Run(t.Context(), []reconcile.Command{createLink("bob", app)})
		expect(t, err, kind{server, true, false}, "cannot connect to web01.example.com:2087")
		took(t, start, 10*time.Second)
	})
}

func TestTheCallersContextEndsARequest(t *testing.T) {
	tests := []struct {
		name string
		end  func(context.Context) (context.Context, context.CancelFunc)
		want error
	}{
		{"cancelled", func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			stop := time.AfterFunc(time.Second, cancel)
			return ctx, func() { stop.Stop(); cancel() }
		}, context.Canceled},
		{"past its deadline", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Second)
		}, context.DeadlineExceeded},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inMemory(t, nil, func(t *testing.T, fake *whmfake.Server, c *whm.Client) {
				fake.SetFault(whmfake.Always(whmfake.Fault{Kind: whmfake.Hang}))
				ctx, cancel := tt.end(t.Context())
				defer cancel()
				start := time.Now()
				_, err := c.Run(ctx, []reconcile.Command{createLink("bob", app)})
				if f, is := errors.AsType[*reconcile.Failure](err); is || !errors.Is(err, tt.want) {
					t.Errorf("got %v (failure %v), want %v", err, f, tt.want)
				}
				took(t, start, time.Second)
			})
		})
	}
}

func TestRequestsKeepTheirRate(t *testing.T) {
	inMemory(t, func(c *whm.Config) { c.RequestsPerSecond = 2 }, func(t *testing.T, fake *whmfake.Server, c *whm.Client) {
		start := time.Now()
		for range 5 {
			ok(c.Version(t.Context()))(t)
		}
		took(t, start, 2*time.Second)
		// One whose turn would come too late is not kept waiting.
		short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := c.Version(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the deadline", err)
		}
		if got := fake.Requests(); got != 5 {
			t.Errorf("got %d requests, want 5", got)
		}
	})
}

func TestRequestsWaitForAConnection(t *testing.T) {
	inMemory(t, func(c *whm.Config) { c.MaxConnections = 2 }, func(t *testing.T, fake *whmfake.Server, c *whm.Client) {
		fake.SetLatency(20*time.Second, 0) // three rounds are longer than any deadline
		start := time.Now()
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				if _, err := c.Version(t.Context()); err != nil {
					t.Errorf("got %v: waiting for a connection must not count", err)
				}
			})
		}
		wg.Wait()
		took(t, start, time.Minute)
	})
}

func TestALatencyIsWaitedForOnce(t *testing.T) {
	inMemory(t, nil, func(t *testing.T, fake *whmfake.Server, c *whm.Client) {
		fake.SetLatency(time.Second, 10*time.Millisecond)
		start := time.Now()
		ok(c.Run(t.Context(), slices.Repeat([]reconcile.Command{listLinks("bob")}, 100)))(t)
		took(t, start, 2*time.Second)
	})
}
