package app_test

import (
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/cmd/broker/app"
	"github.com/latchkey-sso/latchkey/cmd/loadgen/clicks"
	"github.com/latchkey-sso/latchkey/cmd/loadgen/openloop"
	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// farAway is the way to Redis and back in these tests. A click and its redemption
// each hold a slot for so long: what a broker carries is known, and needs little of
// the processor, which tests share with everybody.
const farAway = 60 * time.Millisecond

// far is a broker whose Redis is far away.
func far(t *testing.T, change func(*app.Options)) clicks.Person {
	t.Helper()
	redis := storetest.StartRedis(t)
	link := storetest.StartLink(t, redis.Addr)
	dir := t.TempDir()
	newKey(t, dir)
	o := app.Options{Config: loadConfig(t, crowded(t, configFile(dir, link.Addr, freeAddress(t), freeAddress(t))))}
	if change != nil {
		change(&o)
	}
	b := start(t, o)
	waitReady(t, b.operators)
	bob := bobAt(t, b.url, addLink(t, b.Store(), "latchkey_billing"))
	link.Delay(farAway)
	return bob
}

// Three times as many clicks as a broker can carry cost those that it can carry
// next to nothing, and the others learn soon that they are to come again (A5).
func TestOverloadIsShed(t *testing.T) {
	const slots = 6
	bob := far(t, func(o *app.Options) { app.SetSlots(o, slots) })
	// At a rate just above what can be carried all that can be is.
	rate := 1.1 * slots / farAway.Seconds()
	full := openloop.Run(t.Context(), openloop.Config{Rate: rate, For: 2 * time.Second, Do: bob.Click})
	capacity := full.Of(clicks.SignedOn).PerSecond
	over := openloop.Run(t.Context(), openloop.Config{Rate: 3 * capacity, For: oneOf(10*time.Second, 3*time.Second), Do: bob.Click})
	t.Logf("capacity %.0f clicks per second:\n%sthree times that:\n%s", capacity, full, over)

	goodput := over.Of(clicks.SignedOn)
	if least := oneOf(0.8, 0.5) * capacity; goodput.PerSecond < least {
		t.Errorf("signed on: got %.0f per second, want at least %.0f", goodput.PerSecond, least)
	}
	if most := oneOf(300.0, 1500.0); goodput.Latency.P99 > most {
		t.Errorf("signed on: p99 is %.0f ms, want at most %.0f (two round trips of 60 ms, two waits of 50 ms)", goodput.Latency.P99, most)
	}
	shed := over.Of(clicks.Retry)
	if most := oneOf(100.0, 600.0); shed.Count == 0 || shed.Latency.P99 > most {
		t.Errorf("told to come again: got %d with a p99 of %.0f ms, want some with at most %.0f", shed.Count, shed.Latency.P99, most)
	}
	for _, o := range over.Outcomes() {
		if !clicks.Sound(o.Name) || o.Name == openloop.Unsent {
			t.Errorf("%d times: %s", o.Count, o.Name)
		}
	}
	// Redemptions do not stand in the queue of the clicks.
	if lost := over.Of("login: " + clicks.BusyPage); lost.Count > goodput.Count/10 {
		t.Errorf("%d had a one-time URL and were told to come again, want few beside the %d that were signed on", lost.Count, goodput.Count)
	}
}

// Without shedding twice as many make everybody wait for connections to Redis until
// nobody's call ends in time.
func TestWithoutSheddingOverloadHurtsEverybody(t *testing.T) {
	bob := far(t, app.Unshed)
	// A click and its redemption share the connections.
	capacity := store.PoolSize / 2 / farAway.Seconds()
	over := openloop.Run(t.Context(), openloop.Config{Rate: 2 * capacity, For: 1500 * time.Millisecond, Do: bob.Click})
	t.Logf("twice the %.0f clicks per second that it can carry:\n%s", capacity, over)
	if got := over.Of(clicks.SignedOn).PerSecond; got > capacity/2 {
		t.Errorf("signed on: got %.0f per second, want less than half of what it can: else the other test shows nothing", got)
	}
}

// Few cores have short queues, and many leave the store's connections enough for all.
func TestSlotsFollowTheCores(t *testing.T) {
	for cores, want := range map[int]int{1: 8, 2: 16, 64: store.PoolSize/2 - 2} {
		if got := app.SlotsOf(cores); got != want {
			t.Errorf("%d cores: got %d slots, want %d", cores, got, want)
		}
	}
}
