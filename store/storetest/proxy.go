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
	"testing"
)

// Proxy stands between a store and its Redis and notes every command that
// passes, in the order in which they arrive.
type Proxy struct {
	Addr string

	listener net.Listener
	target   string
	wg       sync.WaitGroup

	mu       sync.Mutex
	commands []string
	conns    []net.Conn
}

// StartProxy starts a proxy for one Redis. It ends with the test.
func StartProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
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
		p.wg.Go(func() {
			p.forward(redis, client)
			_ = redis.Close()
			_ = client.Close()
		})
		p.wg.Go(func() {
			_, _ = io.Copy(client, redis)
			_ = client.Close()
		})
	}
}

// forward reads one request after the other, notes its name, the first bulk
// string of the RESP array, and only then passes it on.
func (p *Proxy) forward(redis io.Writer, client io.Reader) {
	in := bufio.NewReader(client)
	for {
		var request bytes.Buffer
		name, err := readRequest(in, &request)
		if err != nil {
			return
		}
		p.mu.Lock()
		p.commands = append(p.commands, strings.ToLower(name))
		p.mu.Unlock()
		if _, err := redis.Write(request.Bytes()); err != nil {
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
