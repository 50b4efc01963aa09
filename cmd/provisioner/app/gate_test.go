package app_test

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/latchkey-sso/latchkey/api/whm/whmfake"
)

// gate counts the side effects of a provisioner: every command that changes Redis
// and every command that changes a server, in the order in which they arrive. It can
// kill the provisioner just before one of them happens.
type gate struct {
	mu      sync.Mutex
	effects []string
	// stop says before which effect victim is killed; nil is none. n counts from 1.
	stop   func(n int, effect string) bool
	victim *process
	// executed: a server does that command all the same, as one does
	// that had received it.
	executed bool
	killed   bool
}

// arm forgets what was counted, starts a process and kills it where stop says.
func (g *gate) arm(victim *process, executed bool, stop func(n int, effect string) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.effects, g.stop, g.executed, g.victim, g.killed = nil, stop, executed, victim, false
	victim.start()
}

// open lets everything pass.
func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.effects, g.stop, g.victim, g.killed = nil, nil, nil, false
}

// seen returns the effects since arm or open, and whether the last of them killed.
func (g *gate) seen() (effects []string, killed bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.effects), g.killed
}

// pass counts an effect and reports whether it may happen. After the death of the
// process nothing happens any more.
func (g *gate) pass(effect string, onServer bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.killed {
		return false
	}
	g.effects = append(g.effects, effect)
	if g.stop == nil || !g.stop(len(g.effects), effect) {
		return true
	}
	g.victim.kill()
	g.killed = true
	return onServer && g.executed
}

// refusal is the gate as a server's: see whmfake.Server.SetRefusal.
func (g *gate) refusal(server string) func(whmfake.Call) string {
	return func(c whmfake.Call) string {
		if !c.Write || g.pass(fmt.Sprintf("%s %s %s %s", server, c.Function, c.User, cmp.Or(c.App, c.Group)), true) {
			return ""
		}
		return "The server is shutting down."
	}
}

// redisReads are the commands that change nothing; all others count as effects.
var redisReads = []string{"hello", "ping", "client", "select", "script", "get", "hgetall", "hmget", "hget", "lrange", "scan", "zrange", "zrangebyscore"}

// redisGate stands between provisioners and their Redis, and has the gate decide on
// each command. A connection has one command on its way at a time, so that nothing
// is left in between when its process is dead.
type redisGate struct {
	addr string

	gate     *gate
	listener net.Listener
	target   string
	running  sync.WaitGroup
	hold     sync.RWMutex // keeps Redis from answering while it is locked

	mu    sync.Mutex
	conns map[net.Conn]bool
}

func startRedisGate(t testing.TB, g *gate, target string) *redisGate {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("start the gate of Redis: %v", err)
	}
	r := &redisGate{addr: l.Addr().String(), gate: g, listener: l, target: target, conns: map[net.Conn]bool{}}
	r.running.Go(r.accept)
	t.Cleanup(r.close)
	return r
}

func (r *redisGate) close() {
	_ = r.listener.Close()
	r.mu.Lock()
	for c := range r.conns {
		_ = c.Close()
	}
	r.mu.Unlock()
	r.running.Wait()
}

// connections counts those that are open.
func (r *redisGate) connections() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.conns)
}

func (r *redisGate) accept() {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.running.Go(func() { r.serve(client) })
	}
}

func (r *redisGate) serve(client net.Conn) {
	redis, err := net.Dial("tcp", r.target)
	if err != nil {
		_ = client.Close()
		return
	}
	r.mu.Lock()
	r.conns[client], r.conns[redis] = true, true
	r.mu.Unlock()
	defer func() {
		_, _ = client.Close(), redis.Close()
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.conns, client)
		delete(r.conns, redis)
	}()
	requests, replies := bufio.NewReader(client), bufio.NewReader(redis)
	for {
		var request, reply bytes.Buffer
		words, err := copyRequest(requests, &request)
		if err != nil {
			return
		}
		if name := strings.ToLower(words[0]); !reads(words) && !r.gate.pass("redis "+name+" "+keyOf(words), false) {
			return
		}
		r.hold.RLock()
		_, err = redis.Write(request.Bytes())
		r.hold.RUnlock()
		if err != nil {
			return
		}
		if err := copyReply(replies, &reply); err != nil {
			return
		}
		if _, err := client.Write(reply.Bytes()); err != nil {
			return
		}
	}
}

// reads reports whether a command changes nothing. A script that has but one argument
// for a queue of requests looks into it.
func reads(words []string) bool {
	looks := len(words) == 5 && strings.Contains(keyOf(words), "requests:{")
	return looks || slices.Contains(redisReads, strings.ToLower(words[0]))
}

// keyOf is the first key of a command, for people.
func keyOf(words []string) string {
	at := 1
	if strings.HasPrefix(strings.ToLower(words[0]), "eval") {
		at = 3
	}
	if at >= len(words) {
		return ""
	}
	return words[at]
}

// copyRequest reads one command, an array of bulk strings.
func copyRequest(in *bufio.Reader, copied *bytes.Buffer) ([]string, error) {
	_, count, err := copyHead(in, copied)
	if err != nil || count < 1 {
		return nil, fmt.Errorf("read request: %d words: %w", count, err)
	}
	words := make([]string, count)
	for i := range words {
		_, size, err := copyHead(in, copied)
		if err != nil {
			return nil, err
		}
		text, err := copyBytes(in, copied, size+2)
		if err != nil {
			return nil, err
		}
		words[i] = string(text[:size])
	}
	return words, nil
}

// copyReply reads one reply of RESP 2 or 3, with all that is in it.
func copyReply(in *bufio.Reader, copied *bytes.Buffer) error {
	kind, size, err := copyHead(in, copied)
	if err != nil {
		return err
	}
	elements := 0
	switch kind {
	case '$', '=', '!':
		if size >= 0 {
			_, err = copyBytes(in, copied, size+2)
		}
		return err
	case '*', '~', '>':
		elements = size
	case '%':
		elements = 2 * size
	}
	for range max(elements, 0) {
		if err := copyReply(in, copied); err != nil {
			return err
		}
	}
	return nil
}

// copyHead reads a line; size is its number when it is one.
func copyHead(in *bufio.Reader, copied *bytes.Buffer) (kind byte, size int, err error) {
	line, err := in.ReadString('\n')
	if err != nil {
		return 0, 0, err
	}
	copied.WriteString(line)
	size, _ = strconv.Atoi(strings.TrimSpace(line[1:]))
	return line[0], size, nil
}

func copyBytes(in io.Reader, copied *bytes.Buffer, n int) ([]byte, error) {
	text := make([]byte, n)
	if _, err := io.ReadFull(in, text); err != nil {
		return nil, err
	}
	copied.Write(text)
	return text, nil
}
