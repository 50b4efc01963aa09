// Package embedded runs the store inside the process, over miniredis: the same
// code and the same scripts as over Redis, for demonstrations and tests. It
// keeps nothing when the process ends, and serves one process only.
package embedded

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
	"github.com/redis/go-redis/v9"

	"github.com/latchkey-sso/latchkey/store"
)

// Timeout bounds a call of the embedded store. It shares the processor with
// everything else in the process, and only an overloaded machine makes it slow.
const Timeout = 5 * time.Second

// Redis is a miniredis on a loopback port that tells its identity as Redis does.
type Redis struct {
	mini    *miniredis.Miniredis
	client  redis.UniversalClient
	failure atomic.Pointer[string]
}

// Start starts it. Keys expire by the clock of the machine.
func Start() (*Redis, error) {
	var id [20]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, fmt.Errorf("make run_id: %w", err)
	}
	mini := miniredis.NewMiniRedis()
	mini.ClockTTL(true)
	if err := mini.Start(); err != nil {
		return nil, fmt.Errorf("start embedded store: %w", err)
	}
	r := &Redis{mini: mini}
	name := hex.EncodeToString(id[:])
	mini.Server().SetPreHook(r.hook(map[string]string{
		"server": "# Server\r\nrun_id:" + name + "\r\n", "replication": "# Replication\r\nmaster_replid:" + name + "\r\n",
	}))
	client, err := store.Open(store.Options{Mode: store.Standalone, Addresses: []string{mini.Addr()}, Timeout: Timeout})
	if err != nil {
		mini.Close()
		return nil, err
	}
	r.client = client
	return r, nil
}

// hook runs before every command. It answers the sections of INFO that miniredis
// does not know, and every command while SetError says so.
func (r *Redis) hook(sections map[string]string) server.Hook {
	return func(peer *server.Peer, cmd string, args ...string) bool {
		if message := r.failure.Load(); message != nil {
			peer.WriteError(*message)
			return true
		}
		if !strings.EqualFold(cmd, "INFO") || len(args) != 1 {
			return false
		}
		section, ok := sections[strings.ToLower(args[0])]
		if ok {
			peer.WriteBulk(section)
		}
		return ok
	}
}

// Addr is host:port, for other processes on this machine.
func (r *Redis) Addr() string { return r.mini.Addr() }

// Client returns the client of the store; Close closes it.
func (r *Redis) Client() redis.UniversalClient { return r.client }

// Advance lets time pass for every key at once.
func (r *Redis) Advance(d time.Duration) { r.mini.FastForward(d) }

// SetError makes every command fail with a message; an empty one ends that.
func (r *Redis) SetError(message string) {
	if message == "" {
		r.failure.Store(nil)
		return
	}
	r.failure.Store(&message)
}

// Close stops it and forgets everything.
func (r *Redis) Close() error {
	err := r.client.Close()
	r.mini.Close()
	return err
}
