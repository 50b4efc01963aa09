package storetest

import (
	"io"
	"net"
	"sync"
	"testing"
)

// peerIP is where nodes and Sentinels connect from, so that a door can tell them
// from clients. (The whole of 127.0.0.0/8 is this machine on Linux; elsewhere it may
// have to be added to the loopback interface.)
const peerIP = "127.0.0.2"

// door is the one address under which all know a server: clients are let through to
// the server itself, its peers to a Link. Sentinel tells replicas and clients the same
// address, so the difference cannot be made there.
type door struct {
	addr string

	listener       net.Listener
	clients, peers string
	wg             sync.WaitGroup

	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]struct{}
}

// startDoor starts a door that leads clients and peers to an address each. It ends
// with the test.
func startDoor(t testing.TB, clients, peers string) *door {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("start the door of a server: %v", err)
	}
	d := &door{addr: l.Addr().String(), listener: l, clients: clients, peers: peers, conns: map[net.Conn]struct{}{}}
	d.wg.Go(d.accept)
	t.Cleanup(d.close)
	return d
}

func (d *door) accept() {
	for {
		in, err := d.listener.Accept()
		if err != nil {
			return
		}
		d.wg.Go(func() { d.lead(in) })
	}
}

func (d *door) lead(in net.Conn) {
	target := d.clients
	if host, _, err := net.SplitHostPort(in.RemoteAddr().String()); err == nil && host == peerIP {
		target = d.peers
	}
	out, err := net.Dial("tcp", target)
	if err != nil {
		_ = in.Close()
		return
	}
	if !d.hold(in, out) {
		return
	}
	defer d.release(in, out)
	d.wg.Go(func() {
		_, _ = io.Copy(in, out)
		_, _ = in.Close(), out.Close()
	})
	_, _ = io.Copy(out, in)
	_, _ = in.Close(), out.Close()
}

// hold remembers connections, to be closed with the door. It closes them when the
// door is closed.
func (d *door) hold(conns ...net.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range conns {
		if d.closed {
			_ = c.Close()
			continue
		}
		d.conns[c] = struct{}{}
	}
	return !d.closed
}

func (d *door) release(conns ...net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range conns {
		delete(d.conns, c)
	}
}

func (d *door) close() {
	_ = d.listener.Close()
	d.mu.Lock()
	d.closed = true
	for c := range d.conns {
		_ = c.Close()
	}
	d.mu.Unlock()
	d.wg.Wait()
}
