package app_test

import (
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/latchkey-sso/latchkey/cmd/broker/app"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// A broker that starts on a Redis that will lose things says so, once each, and
// serves all the same.
func TestABadlySetUpRedisIsToldOnce(t *testing.T) {
	t.Parallel()
	redis := storetest.StartRedis(t, "--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru")
	core, log := observer.New(zap.WarnLevel)
	dir := t.TempDir()
	newKey(t, dir)
	text := changed(t, configFile(dir, redis.Addr, freeAddress(t), freeAddress(t)),
		"store: {", "store: {replicas: 2, ", "broker:\n", "broker:\n  durability: replicated\n")
	b := start(t, app.Options{Config: loadConfig(t, text), Log: zap.New(core)})
	waitReady(t, b.operators)
	const message = "Redis is not set up as it should be"
	want := []string{"maxmemory-policy is allkeys-lru", "there is no append-only file", "store.replicas 2, but 0 are connected"}
	eventually(t, "the warnings", func() bool { return log.FilterMessage(message).Len() == len(want) })
	if err := b.stop(); err != nil {
		t.Error(err)
	}
	entries := log.FilterMessage(message).All()
	if len(entries) != len(want) {
		t.Fatalf("got %d warnings at the end, want %d", len(entries), len(want))
	}
	for i, e := range entries {
		fields := e.ContextMap()
		if problem, _ := fields["problem"].(string); !strings.Contains(problem, want[i]) || fields["primary"] != redis.Addr || fields["settings"] != "deploy/redis/standalone.conf" {
			t.Errorf("got %v, want %q at %s", fields, want[i], redis.Addr)
		}
	}
}
