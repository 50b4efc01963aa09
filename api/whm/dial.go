package whm

import (
	"context"
	"net"
	"sync"
	"time"
)

// Dial makes a connection, as net.Dialer.DialContext does.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// connectTimeout is for the connection, and for the TLS handshake again.
const connectTimeout = 10 * time.Second

// dialer owns the dials. The transport lets one go on when its request has ended,
// because another request may use the connection: each has an end of its own
// here, and close waits for all.
type dialer struct {
	dial   Dial
	ctx    context.Context // ends with close
	cancel context.CancelFunc

	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup
}

func newDialer(dial Dial) *dialer {
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	d := &dialer{dial: dial}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	return d
}

func (d *dialer) connect(ctx context.Context, network, address string) (net.Conn, error) {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil, net.ErrClosed
	}
	d.running.Add(1)
	d.mu.Unlock()
	defer d.running.Done()
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	defer context.AfterFunc(d.ctx, cancel)()
	return d.dial(ctx, network, address)
}

func (d *dialer) close() {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.cancel()
	d.running.Wait()
}
