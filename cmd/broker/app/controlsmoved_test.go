package app_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/cmd/broker/app"
	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// bobsTargets are those by which bob's clicks can be blocked.
var bobsTargets = []broker.ControlTarget{
	{Scope: broker.ScopeSubscriber, Name: "1234"}, {Scope: broker.ScopeAccount, Name: "web01/bob"},
	{Scope: broker.ScopeApp, Name: "latchkey_tickets"}, {Scope: broker.ScopeServer, Name: "web01"}, {Scope: broker.ScopeEverything},
}

// manyControls starts a Redis with so many long controls that they are read in parts.
// It returns the first and the last of bobsTargets in the order in which they are
// read, all of which have ended, and how many parts are read between them, about.
func manyControls(t *testing.T) (server *storetest.RedisServer, first, last broker.ControlTarget, half int) {
	t.Helper()
	for {
		server := storetest.StartRedis(t)
		client := server.Client()
		s := store.New(store.Config{Client: client, KeyPrefix: "latchkey:"})
		now := storeTime(t, s)
		for _, target := range bobsTargets {
			if err := s.SetControl(t.Context(), broker.Control{Target: target, At: now, Until: now}, now, nil); err != nil {
				t.Fatal(err)
			}
		}
		var fields []any
		const all, perPart = 2400, 150 // of 2 kB each
		for i := range all {
			name := fmt.Sprintf("customer%04d", i)
			fields = append(fields, "subscriber "+name, fmt.Sprintf(`0|{"target":{"scope":"subscriber","name":%q},"at":"2026-01-01T00:00:00Z","note":%q}`, name, strings.Repeat("n", 1900)))
		}
		if err := client.HSet(t.Context(), controlsKey, fields...).Err(); err != nil {
			t.Fatal(err)
		}
		var order []broker.ControlTarget
		var places []int
		scan, place := client.HScan(t.Context(), controlsKey, 0, "", 50).Iterator(), 0
		for ; scan.Next(t.Context()); place++ {
			target, err := broker.ParseControlTarget(scan.Val())
			if err == nil && slices.Contains(bobsTargets, target) {
				order, places = append(order, target), append(places, place)
			}
			scan.Next(t.Context()) // its record
		}
		if len(order) == len(bobsTargets) && places[4]-places[0] > all/2 {
			return server, order[0], order[4], (places[0] + places[4]) / 2 / perPart
		}
		server.Kill() // chance has put them beside each other
	}
}

// A block that is moved to another target while controls are read stays in force.
func TestAMovedBlockStaysInForce(t *testing.T) {
	t.Parallel()
	server, first, last, half := manyControls(t)
	direct := store.New(store.Config{Client: server.Client(), KeyPrefix: "latchkey:"})
	set := func(c broker.Control) {
		if err := direct.SetControl(t.Context(), c, c.At, nil); err != nil {
			t.Error(err)
		}
	}
	proxy := storetest.StartProxy(t, server.Addr)
	core, log := observer.New(zap.InfoLevel)
	dir := t.TempDir()
	newKey(t, dir)
	b := start(t, app.Options{Config: loadConfig(t, configFile(dir, proxy.Addr, freeAddress(t), freeAddress(t))), Log: zap.New(core)})
	waitReady(t, b.operators)
	link := addLink(t, b.Store(), "latchkey_tickets")
	now := storeTime(t, direct)
	block := broker.Control{Target: last, At: now}
	set(block)
	eventually(t, "the block is in force", func() bool { status, _ := clickAt(t, b, link); return status == http.StatusForbidden })
	readings := func() int { return log.FilterMessageSnippet("controls have changed").Len() }
	waitSteady(t, proxy)
	before := readings()

	ended := block
	ended.Until = now
	calls := 0
	proxy.LoseReplies(func(command string) bool {
		if command != "evalsha" {
			return false
		}
		switch calls++; calls {
		case 1: // asks for the status, and is to see a change
			set(broker.Control{Target: broker.ControlTarget{Scope: broker.ScopeServer, Name: "web77"}, At: now})
		case 2 + half:
			set(broker.Control{Target: first, At: now})
			set(ended)
		}
		return false
	})
	eventually(t, "the controls are read", func() bool { return readings() > before })
	for readings() < before+2 {
		if status, body := clickAt(t, b, link); status != http.StatusForbidden {
			t.Fatalf("after the block was moved from %s to %s: got %d %s, want 403", last, first, status, body)
		}
	}
	proxy.LoseReplies(nil)
	ended.Target = first
	set(ended)
	eventually(t, "sign-on is back", func() bool { status, _ := clickAt(t, b, link); return status == http.StatusOK })
}

// waitSteady waits until the broker asks for nothing but the status, twice a second.
func waitSteady(t *testing.T, proxy *storetest.Proxy) {
	t.Helper()
	proxy.Commands()
	begun, asked := time.Now(), 0
	eventually(t, "the broker is steady", func() bool {
		asked += len(proxy.Commands())
		if time.Since(begun) < 700*time.Millisecond {
			return false
		}
		steady := asked > 0 && asked < 5
		begun, asked = time.Now(), 0
		return steady
	})
}

// A broker stays fresh while controls are changed whenever they are read.
func TestChangesOneAfterTheOtherStopNobody(t *testing.T) {
	t.Parallel()
	server := storetest.StartRedis(t)
	client := server.Client()
	proxy := storetest.StartProxy(t, server.Addr)
	dir := t.TempDir()
	newKey(t, dir)
	b := start(t, app.Options{Config: loadConfig(t, configFile(dir, proxy.Addr, freeAddress(t), freeAddress(t)))})
	waitReady(t, b.operators)
	link := addLink(t, b.Store(), "latchkey_tickets")
	version := 0
	proxy.LoseReplies(func(string) bool {
		version++
		if err := client.Set(t.Context(), controlsKey+":version", version, 0).Err(); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
		return false
	})
	for begun := time.Now(); time.Since(begun) < broker.MaxControlsAge+2*time.Second; {
		if status, body := clickAt(t, b, link); status != http.StatusOK || strings.Contains(body, "retry") {
			t.Fatalf("after %v: got %d %s, want sign-on", time.Since(begun), status, body)
		}
		limitless(t, client)
	}
	proxy.LoseReplies(nil)
}

// limitless forgets how much of their limits bob and his server have used up.
func limitless(t *testing.T, client redis.UniversalClient) {
	t.Helper()
	for _, key := range storetest.Keys(t, client) {
		if strings.Contains(key, "limit:") {
			client.Del(t.Context(), key)
		}
	}
}

// The clock that nobody sets stands still while a machine is suspended; the other
// one tells that the controls are old.
func TestControlsAreStaleAfterTheMachineWasSuspended(t *testing.T) {
	t.Parallel()
	redis := storetest.StartRedis(t)
	dir := t.TempDir()
	newKey(t, dir)
	var ahead atomic.Int64
	o := app.Options{Config: loadConfig(t, configFile(dir, redis.Addr, freeAddress(t), freeAddress(t)))}
	app.SetWall(&o, func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) })
	b := start(t, o)
	waitReady(t, b.operators)
	link := addLink(t, b.Store(), "latchkey_tickets")
	client := redis.Client()
	for _, jump := range []time.Duration{broker.MaxControlsAge + time.Second, -broker.MaxControlsAge - time.Second} {
		eventually(t, "the broker signs on", func() bool { _, body := clickAt(t, b, link); return strings.Contains(body, "redirect_url") })
		if err := client.RPush(t.Context(), controlsKey+":version", "x").Err(); err != nil { // no look succeeds
			t.Fatal(err)
		}
		begun := time.Now()
		ahead.Add(int64(jump))
		status, body := clickAt(t, b, link)
		if status != http.StatusOK || !strings.Contains(body, "retry") || time.Since(begun) > broker.MaxControlsAge-2*time.Second {
			t.Errorf("the clock jumps by %v: got %d %s after %v, want a retry at once", jump, status, body, time.Since(begun))
		}
		if err := client.Del(t.Context(), controlsKey+":version").Err(); err != nil {
			t.Fatal(err)
		}
	}
}
