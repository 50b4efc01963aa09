package store_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

const controlsKey = keyPrefix + "{catalogue}controls"

// longest is a control whose record is as long as any can be: each character of its
// texts takes two bytes.
func longest(i int) broker.Control {
	text := strings.Repeat(`"`, broker.MaxControlText)
	name := strings.Repeat(`"`, broker.MaxSubscriber-len("number00000")) + fmt.Sprintf("number%05d", i)
	return broker.Control{
		Target: broker.ControlTarget{Scope: broker.ScopeSubscriber, Name: name}, At: created, Until: created.Add(1e6 * time.Hour), Author: text, Note: text,
	}
}

// fill loads the scripts and keeps so many of the longest controls, from 0.
func fill(t *testing.T, client redis.UniversalClient, s *store.Store, n int) {
	t.Helper()
	if err := s.LoadScripts(t.Context()); err != nil {
		t.Fatal(err)
	}
	setControl(t, s, longest(0))
	record := ok(client.HGet(t.Context(), controlsKey, longest(0).Target.String()).Result())(t)
	for first := 1; first < n; first += 1000 {
		var fields []any
		for i := first; i < min(first+1000, n); i++ {
			fields = append(fields, longest(i).Target.String(), strings.Replace(record, "number00000", fmt.Sprintf("number%05d", i), 1))
		}
		if err := client.HSet(t.Context(), controlsKey, fields...).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

func setControl(t *testing.T, s *store.Store, c broker.Control) {
	t.Helper()
	if err := s.SetControl(t.Context(), c, created, nil); err != nil {
		t.Fatal(err)
	}
}

func wantLongest(t *testing.T, all *broker.Controls, n int) {
	t.Helper()
	for i := range n {
		want := longest(i)
		if got, set := all.Get(want.Target); !set || got.Note != want.Note || !got.Until.Equal(want.Until) {
			t.Fatalf("control %d: got %v, until %v, want one until %v", i, set, got.Until, want.Until)
		}
	}
}

// As many controls as there can be, of the longest kind, come within the time-outs of
// a broker: over a line of 100 Mbit/s, too.
func TestControlsAtTheirBoundAreRead(t *testing.T) {
	server := storetest.StartRedis(t)
	admin := server.Client()
	fill(t, admin, store.New(store.Config{Client: admin, KeyPrefix: keyPrefix}), store.MaxControls)
	for _, tt := range []struct {
		name      string
		kilobytes int // a second; 0 = as many as there can be
	}{{"a fast line", 0}, {"100 Mbit/s", 12_500}} {
		link := storetest.StartLink(t, server.Addr)
		if tt.kilobytes > 0 {
			link.Slow(tt.kilobytes)
		}
		client := ok(store.Open(store.Options{Mode: store.Standalone, Addresses: []string{link.Addr}}))(t)
		t.Cleanup(func() { _ = client.Close() })
		s := store.New(store.Config{Client: client, KeyPrefix: keyPrefix})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // a broker allows 4 s, on a machine of its own
		begun := time.Now()
		all, err := s.Controls(ctx)
		cancel()
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		t.Logf("%s: %d controls in %s", tt.name, len(all.List()), time.Since(begun).Round(time.Millisecond))
		wantLongest(t, all, store.MaxControls)
	}
}

// Controls that are set while all are read in parts hide none of the others.
func TestControlsThatAreSetMeanwhileHideNone(t *testing.T) {
	client := storetest.StartRedis(t).Client()
	s := store.New(store.Config{Client: client, KeyPrefix: keyPrefix})
	const before, more = 1500, 600 // Redis makes its table larger
	fill(t, client, s, before)
	meanwhile := &afterRead{command: "evalsha", key: controlsKey}
	meanwhile.then = func() {
		for i := range more {
			setControl(t, s, longest(before+i))
		}
	}
	client.AddHook(meanwhile)
	all := ok(s.Controls(t.Context()))(t)
	if n := len(all.List()); n == before || n == before+more {
		t.Errorf("got %d controls: it was not while they were read, which shows nothing", n)
	}
	wantLongest(t, all, before)
	wantLongest(t, ok(s.Controls(t.Context()))(t), before+more)
}

// A cursor of one Redis means something else to another, so reading begins anew.
func TestControlsAreReadFromOneRedis(t *testing.T) {
	client := storetest.StartRedis(t, "--enable-debug-command", "yes").Client()
	s := store.New(store.Config{Client: client, KeyPrefix: keyPrefix})
	fill(t, client, s, 1000)
	promoted := &afterRead{command: "evalsha", key: controlsKey}
	promoted.then = func() {
		if err := client.Do(t.Context(), "DEBUG", "CHANGE-REPL-ID").Err(); err != nil {
			t.Error(err)
		}
	}
	client.AddHook(promoted)
	if all, err := s.Controls(t.Context()); err == nil || !strings.Contains(err.Error(), "another Redis") {
		t.Errorf("got %d controls and error %v, want that another Redis took over", len(all.List()), err)
	}
	wantLongest(t, ok(s.Controls(t.Context()))(t), 1000)
}

// However many controls there are, one is set without a look at all of them: Redis
// does nothing else meanwhile.
func TestSettingAControlDoesNotHoldRedis(t *testing.T) {
	client := storetest.StartRedis(t).Client()
	s := store.New(store.Config{Client: client, KeyPrefix: keyPrefix})
	fill(t, client, s, store.MaxControls)
	best := time.Hour
	for i := range 20 {
		if err := client.ConfigResetStat(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		setControl(t, s, longest(i))
		var calls, micros int64
		_, stats, _ := strings.Cut(ok(client.Info(t.Context(), "commandstats").Result())(t), "cmdstat_evalsha:")
		if _, err := fmt.Sscanf(stats, "calls=%d,usec=%d", &calls, &micros); err != nil || calls != 1 {
			t.Fatalf("statistics of Redis: %v in %s", err, stats)
		}
		best = min(best, time.Duration(micros)*time.Microsecond)
	}
	t.Logf("beside %d controls it takes %s", store.MaxControls, best)
	if best > 10*time.Millisecond {
		t.Errorf("it takes %s, want 10 ms at most", best)
	}
}
