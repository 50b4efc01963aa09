package store_test

import (
	"context"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/embedded"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// What every call gets says that Redis is lost; what one record or one caller gets
// does not. The errors are those that Redis and its client really answer.
func TestWhatSaysThatRedisIsLost(t *testing.T) {
	t.Parallel()
	token := ok(broker.NewOneTimeToken(strings.NewReader(strings.Repeat("x", 64)), bob))(t)
	digest := token.Digest()
	key := "once:{" + bob.Tag() + "}" + base64.RawURLEncoding.EncodeToString(digest[:])
	type spoil = func(*testing.T, *storetest.RedisServer)
	// server has the token, and is spoilt then.
	server := func(args []string, then ...spoil) func(*testing.T) store.Config {
		return func(t *testing.T) store.Config {
			server := storetest.StartRedis(t, args...)
			s := store.New(store.Config{Client: server.Client()})
			in := issueInput(t, billing, register(t, s, billing))
			in.Token = token
			if _, err := s.Issue(t.Context(), in); err != nil {
				t.Fatal(err)
			}
			for _, do := range then {
				do(t, server)
			}
			return store.Config{Client: open(t, server.Options())}
		}
	}
	admin := func(command ...any) spoil {
		return func(t *testing.T, r *storetest.RedisServer) {
			if err := r.Client().Do(t.Context(), command...).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	says := func(text string) func(*testing.T) store.Config {
		return func(t *testing.T) store.Config {
			r := ok(embedded.Start())(t)
			t.Cleanup(func() { _ = r.Close() })
			r.SetError(text)
			return store.Config{Client: r.Client()}
		}
	}
	const redis6 = "ERR Error running script (call to f_0b5ca7d0e8): @user_script:60: @user_script: 60: "
	tests := []struct {
		name  string
		start func(*testing.T) store.Config
		// says is in the text of the error.
		says string
		lost bool
	}{
		{"killed", server(nil, func(_ *testing.T, r *storetest.RedisServer) { r.Kill() }), "connection refused", true},
		{"hung", server(nil, func(_ *testing.T, r *storetest.RedisServer) { r.Hang() }), "timeout", true},
		{"every connection busy", busyPool, "pool timeout", true},
		{"Sentinels dead", func(t *testing.T) store.Config {
			return store.Config{Client: open(t, store.Options{Mode: store.Sentinel, SentinelMaster: "main", Addresses: []string{"127.0.0.1:1"}})}
		}, "sentinels", true},
		{"Sentinel without a primary", func(t *testing.T) store.Config {
			file := filepath.Join(t.TempDir(), "sentinel.conf")
			if err := os.WriteFile(file, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			sentinel := storetest.StartSentinel(t, file)
			return store.Config{Client: open(t, store.Options{Mode: store.Sentinel, SentinelMaster: "main", Addresses: []string{sentinel.Addr}})}
		}, "nil", true},
		{"no node of the cluster", func(t *testing.T) store.Config {
			return store.Config{Client: open(t, store.Options{Mode: store.Cluster, Addresses: []string{"127.0.0.1:1"}})}
		}, "", true},
		{"slot of nobody", func(t *testing.T) store.Config {
			o := storetest.StartRedis(t, "--cluster-enabled", "yes").Options()
			return store.Config{Client: open(t, o)}
		}, "CLUSTERDOWN", true},
		{"replica", server(nil, admin("REPLICAOF", "127.0.0.1", "1")), "READONLY", true},
		{"replica without its primary", server([]string{"--replica-serve-stale-data", "no"}, admin("REPLICAOF", "127.0.0.1", "1")), "MASTERDOWN", true},
		{"too few replicas", server(nil, admin("CONFIG", "SET", "min-replicas-to-write", "1")), "NOREPLICAS", true},
		{"full", server(nil, admin("CONFIG", "SET", "maxmemory", "1")), "OOM", true},
		{"wrong password", server(nil, admin("CONFIG", "SET", "requirepass", "x")), "NOAUTH", true},
		{"no rights", server(nil, admin("ACL", "SETUSER", "default", "-evalsha")), "NOPERM", true},
		{"loading", says("LOADING Redis is loading the dataset in memory"), "LOADING", true},
		{"disk full", says("MISCONF Redis is configured to save RDB snapshots"), "MISCONF", true},
		{"a long script", says("BUSY Redis is busy running a script"), "BUSY", true},

		{"key of another kind", server(nil, admin("DEL", key), admin("LPUSH", key, "x")), "WRONGTYPE", false},
		{"record not to be read", server(nil, admin("SET", key, "x")), "damaged", false},
		{"grant not to be read", server(nil, admin("SET", key, "0|browser|aa,,1|x")), "damaged", false},
		{"digest not to be read", server(nil, admin("SET", key, `0|browser|aa,,1|{"t":"!"}`)), "damaged", false},
		{"replica, in a script of Redis 6", says(redis6 + "-READONLY You can't write against a read only replica."), "READONLY", true},
		{"full, in a script of Redis 6", says(redis6 + "-OOM command not allowed when used memory > 'maxmemory'."), "OOM", true},
		{"disk full, in a script of Redis 6", says(redis6 + "-MISCONF Redis is configured to save RDB snapshots"), "MISCONF", true},

		{"key of another kind, in a script of Redis 6", says(redis6 + "-WRONGTYPE Operation against a key holding the wrong kind of value"), "WRONGTYPE", false},
		{"a script of Redis 6 that fails", says(redis6 + "attempt to index a nil value"), "attempt", false},
		{"a script that fails", says("ERR user_script:1: attempt to index a nil value"), "attempt", false},
		{"replica away", func(t *testing.T) store.Config {
			return store.Config{Client: storetest.StartRedis(t).Client(), Replicas: 1, ReplicaTimeout: 10 * time.Millisecond}
		}, store.ErrNotReplicated.Error(), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := store.New(tt.start(t))
			_, err := s.Redeem(t.Context(), broker.Redeem{Token: token, Redeemer: "browser", Claim: newClaim(t), At: created})
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("redeem: got %v, want an error with %q", err, tt.says)
			}
			if got := store.Lost(err); got != tt.lost {
				t.Errorf("%v: got lost %t, want %t", err, got, tt.lost)
			}
		})
	}

	for name, err := range map[string]error{
		"none": nil, "denied": &broker.DeniedError{Cause: broker.CauseToken}, "the caller went away": context.Canceled,
	} {
		if store.Lost(err) {
			t.Errorf("%s: got lost, want not", name)
		}
	}
	if !store.Lost(errors.Join(context.DeadlineExceeded)) {
		t.Error("the caller's time is up: got not lost, want lost")
	}
}

// busyPool returns a client whose only connection is in use.
func busyPool(t *testing.T) store.Config {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: storetest.StartRedis(t).Addr, PoolSize: 1, PoolTimeout: time.Millisecond, MaxRetries: -1})
	held := client.Conn()
	if err := held.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = held.Close(), client.Close() })
	return store.Config{Client: client}
}
