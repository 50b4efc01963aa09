package storetest_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// ping returns how long a Redis takes to answer, with a new connection, and gives up
// after 300 ms.
func ping(t *testing.T, addr string) (time.Duration, error) {
	t.Helper()
	client, err := store.Open(store.Options{Mode: store.Standalone, Addresses: []string{addr}, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	start := time.Now()
	err = client.Ping(ctx).Err()
	return time.Since(start), err
}

func TestLinksHaveFaults(t *testing.T) {
	link := storetest.StartLink(t, storetest.StartRedis(t).Addr)
	tests := []struct {
		name    string
		fault   func()
		answers bool
		least   time.Duration
	}{
		{"as it is", func() {}, true, 0},
		{"delayed", func() { link.Delay(20 * time.Millisecond) }, true, 20 * time.Millisecond},
		{"slow", func() { link.Slow(1) }, true, 10 * time.Millisecond},
		{"black hole", link.BlackHole, false, 250 * time.Millisecond},
		{"cut", link.Cut, false, 0},
	}
	for _, tt := range tests {
		tt.fault()
		took, err := ping(t, link.Addr)
		if answers := err == nil; answers != tt.answers || took < tt.least {
			t.Errorf("%s: got error %v after %v, want an answer: %v, after %v at least", tt.name, err, took, tt.answers, tt.least)
		}
		link.Restore()
		if _, err := ping(t, link.Addr); err != nil {
			t.Errorf("%s, restored: %v", tt.name, err)
		}
	}
}

func TestAHungServerGoesOn(t *testing.T) {
	server := storetest.StartRedis(t)
	server.Hang()
	if _, err := ping(t, server.Addr); err == nil {
		t.Error("hung: got an answer")
	}
	server.Resume()
	if _, err := ping(t, server.Addr); err != nil {
		t.Errorf("resumed: %v", err)
	}
}

// A command whose reply is lost has been executed.
func TestRepliesAreLost(t *testing.T) {
	server := storetest.StartRedis(t)
	proxy := storetest.StartProxy(t, server.Addr)
	client := redis.NewClient(&redis.Options{Addr: proxy.Addr, MaxRetries: -1, DisableIdentity: true})
	defer client.Close()
	calls := 0
	proxy.LoseReplies(func(command string) bool {
		if command == "incr" {
			calls++
		}
		return command == "incr" && calls%3 == 0
	})
	var lost []int
	for i := range 9 {
		if client.Incr(t.Context(), "n").Err() != nil {
			lost = append(lost, i+1)
		}
	}
	if want := []int{3, 6, 9}; !slices.Equal(lost, want) || proxy.Lost() != len(want) {
		t.Errorf("lost: got calls %v, %d by the proxy, want %v", lost, proxy.Lost(), want)
	}
	if n := client.Get(t.Context(), "n").Val(); n != "9" {
		t.Errorf("executed: got %s calls, want 9", n)
	}
}
