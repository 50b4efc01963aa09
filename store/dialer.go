package store

import (
	"context"
	"crypto/tls"
	"net"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

type dial func(ctx context.Context, network, addr string) (net.Conn, error)

// dialer returns go-redis's own dialer, only that it does not fail: the connection
// does, at its first use. The pool counts failures to dial, and after as many as it
// has places it tries only once a second, so that a Redis which is back would be
// found a second late.
func dialer(tls *tls.Config, timeout time.Duration) dial {
	dial := redis.NewDialer(&redis.Options{TLSConfig: tls, DialTimeout: timeout})
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return notConnected{err}, nil
		}
		return conn, nil
	}
}

// notConnected is what came of a connection that could not be made.
type notConnected struct{ err error }

// SyscallConn is where the pool looks before it uses a connection that it has kept:
// one that was made ahead during an outage is thrown away.
func (c notConnected) SyscallConn() (syscall.RawConn, error) { return nil, c.err }

func (c notConnected) Read([]byte) (int, error)       { return 0, c.err }
func (c notConnected) Write([]byte) (int, error)      { return 0, c.err }
func (notConnected) Close() error                     { return nil }
func (notConnected) LocalAddr() net.Addr              { return new(net.TCPAddr) }
func (notConnected) RemoteAddr() net.Addr             { return new(net.TCPAddr) }
func (notConnected) SetDeadline(time.Time) error      { return nil }
func (notConnected) SetReadDeadline(time.Time) error  { return nil }
func (notConnected) SetWriteDeadline(time.Time) error { return nil }
