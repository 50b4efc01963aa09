package storetest

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// Proxy stands between a store and its Redis and notes every command that
// passes, in the order in which they arrive. It can lose replies.
type Proxy struct {
	Addr string

	listener net.Listener
	target   string
	wg       sync.WaitGroup

	mu       sync.Mutex
	commands []string
	conns    []net.Conn
	lose     func(command string) bool
	lost     int
}

// StartProxy starts a proxy for one Redis. It ends with the test.
func StartProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	return StartProxyAt(t, net.JoinHostPort("127.0.0.1", "0"), target)
}

// StartProxyAt is StartProxy on an address that was chosen before, for a Redis that
// has to know it.
func StartProxyAt(t testing.TB, addr, target string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatalf("start proxy: %v", err)
	}
	p := &Proxy{Addr: l.Addr().String(), listener: l, target: target}
	p.wg.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

// Commands returns the names of the commands since the last call, in lower
// case, and forgets them.
func (p *Proxy) Commands() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	commands := slices.Clone(p.commands)
	p.commands = nil
	return commands
}

// LoseReplies asks decide for every command, in the order in which they arrive, by
// its name in lower case. Where it says so, Redis executes the command, and then the
// connection is cut instead of its reply passed on. nil loses none.
func (p *Proxy) LoseReplies(decide func(command string) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lose = decide
}

// Lost returns how many replies were lost.
func (p *Proxy) Lost() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lost
}

func (p *Proxy) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		redis, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, client, redis)
		p.mu.Unlock()
		var cut atomic.Bool
		p.wg.Go(func() {
			p.forward(redis, client, &cut)
			if cut.Load() {
				return // reply closes both, once Redis has answered
			}
			_ = redis.Close()
			_ = client.Close()
		})
		p.wg.Go(func() {
			reply(client, redis, &cut)
			_ = client.Close()
			_ = redis.Close()
		})
	}
}

// forward reads one request after the other, notes its name, the first bulk
// string of the RESP array, and only then passes it on. After one whose reply is to
// be lost it stops.
func (p *Proxy) forward(redis io.Writer, client io.Reader, cut *atomic.Bool) {
	in := bufio.NewReader(client)
	for !cut.Load() {
		var request bytes.Buffer
		name, err := readRequest(in, &request)
		if err != nil {
			return
		}
		if p.note(strings.ToLower(name)) {
			cut.Store(true) // before Redis can answer
		}
		if _, err := redis.Write(request.Bytes()); err != nil {
			return
		}
	}
}

// note remembers a command and returns whether its reply is to be lost.
func (p *Proxy) note(command string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.commands = append(p.commands, command)
	if p.lose == nil || !p.lose(command) {
		return false
	}
	p.lost++
	return true
}

// reply passes replies on until one is to be lost.
func reply(client io.Writer, redis io.Reader, cut *atomic.Bool) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := redis.Read(buffer)
		if err != nil || cut.Load() {
			return
		}
		if _, err := client.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func readRequest(in *bufio.Reader, copied *bytes.Buffer) (name string, err error) {
	count, err := readLength(in, copied, '*')
	if err != nil {
		return "", err
	}
	for i := range count {
		size, err := readLength(in, copied, '$')
		if err != nil {
			return "", err
		}
		word := make([]byte, size+2)
		if _, err := io.ReadFull(in, word); err != nil {
			return "", err
		}
		copied.Write(word)
		if i == 0 {
			name = string(word[:size])
		}
	}
	return name, nil
}

func readLength(in *bufio.Reader, copied *bytes.Buffer, kind byte) (int, error) {
	line, err := in.ReadString('\n')
	if err != nil {
		return 0, err
	}
	if line[0] != kind {
		return 0, io.ErrUnexpectedEOF
	}
	copied.WriteString(line)
	return strconv.Atoi(strings.TrimSpace(line[1:]))
}
