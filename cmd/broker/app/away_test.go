package app_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/latchkey-sso/latchkey/cmd/broker/app"
	"github.com/latchkey-sso/latchkey/cmd/loadgen/clicks"
	"github.com/latchkey-sso/latchkey/cmd/loadgen/openloop"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// away is a way in which Redis can be lost.
type away struct {
	name string
	// start returns Redis and the address under which the broker knows it.
	start      func(t *testing.T) (*storetest.RedisServer, *storetest.Link)
	lose, back func(*storetest.RedisServer, *storetest.Link)
}

// aways are all of them. Redis keeps what it has on disk: it comes back with the
// links, and empty of scripts when it was killed.
func aways() []away {
	direct := func(t *testing.T) (*storetest.RedisServer, *storetest.Link) {
		return storetest.StartRedis(t, "--appendonly", "yes", "--appendfsync", "always"), nil
	}
	linked := func(t *testing.T) (*storetest.RedisServer, *storetest.Link) {
		server, _ := direct(t)
		return server, storetest.StartLink(t, server.Addr)
	}
	return []away{
		{"killed", direct, func(r *storetest.RedisServer, _ *storetest.Link) { r.Kill() }, func(r *storetest.RedisServer, _ *storetest.Link) { r.Start() }},
		{"hung", direct, func(r *storetest.RedisServer, _ *storetest.Link) { r.Hang() }, func(r *storetest.RedisServer, _ *storetest.Link) { r.Resume() }},
		{"black-holed", linked, func(_ *storetest.RedisServer, l *storetest.Link) { l.BlackHole() }, func(_ *storetest.RedisServer, l *storetest.Link) { l.Restore() }},
	}
}

func (a away) world(t *testing.T, change func(*app.Options)) (b *running, c clicks.Person, redisAddr string, lose, back func()) {
	t.Helper()
	server, link := a.start(t)
	addr := server.Addr
	if link != nil {
		addr = link.Addr
	}
	dir := t.TempDir()
	newKey(t, dir)
	o := app.Options{Config: loadConfig(t, crowded(t, configFile(dir, addr, freeAddress(t), freeAddress(t))))}
	if change != nil {
		change(&o)
	}
	b = start(t, o)
	waitReady(t, b.operators)
	c = bobAt(t, b.url, addLink(t, b.Store(), "latchkey_billing"))
	return b, c, addr, func() { a.lose(server, link) }, func() { a.back(server, link) }
}

// While Redis is away everybody gets an answer that makes sense, soon (A1), and as
// soon as it takes writes again people are signed on (A2). The outage is longer
// than the controls stay fresh.
func TestRedisAwayIsShortForEverybody(t *testing.T) {
	for _, a := range aways() {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			_, c, addr, lose, back := a.world(t, nil)
			rate := oneOf(1000.0, 50.0)
			before := openloop.Run(t.Context(), openloop.Config{Rate: rate, For: time.Second, Do: anyRequest(c)})
			if got := before.Of(clicks.SignedOn); got.Count == 0 {
				t.Fatalf("before: nobody is signed on:\n%s", before)
			}
			lose()
			during := openloop.Run(t.Context(), openloop.Config{Rate: rate, For: oneOf(10*time.Second, 6*time.Second), Do: anyRequest(c)})
			t.Logf("while Redis is %s:\n%s", a.name, during)
			for _, o := range during.Outcomes() {
				if !slices.Contains([]string{clicks.Retry, clicks.NotNow, clicks.BusyPage}, o.Name) {
					t.Errorf("%d times: %s", o.Count, o.Name)
				}
			}
			all := during.Of().Latency
			if p99, most := oneOf(300.0, 1500.0), oneOf(500.0, 3000.0); all.P99 > p99 || all.Max > most {
				t.Errorf("latency: got p99 %.0f ms and at most %.0f ms, want %.0f and %.0f", all.P99, all.Max, p99, most)
			}
			lag := backIn(t, c, addr, back)
			t.Logf("Redis takes writes: people are signed on %v later", lag)
			if most := oneOf(250*time.Millisecond, 2*time.Second); lag > most {
				t.Errorf("back after %v, want at most %v", lag, most)
			}
		})
	}
}

// backIn brings Redis back and returns how long after its first write the first
// person was signed on.
func backIn(t *testing.T, c clicks.Person, redisAddr string, back func()) time.Duration {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var writes, signsOn time.Time
	var asking sync.WaitGroup
	asking.Go(func() {
		writes = firstSuccess(ctx, func(ctx context.Context) bool {
			// A new connection each time: the first that can get through does.
			client := redis.NewClient(&redis.Options{Addr: redisAddr, MaxRetries: -1, DialTimeout: 50 * time.Millisecond, DialerRetries: 1})
			defer client.Close()
			return client.Set(ctx, "writes", 1, time.Minute).Err() == nil
		})
	})
	asking.Go(func() {
		signsOn = firstSuccess(ctx, func(ctx context.Context) bool {
			_, outcome := c.Autologin(ctx, 1)
			return outcome == clicks.SignedOn
		})
	})
	back()
	asking.Wait()
	if writes.IsZero() || signsOn.IsZero() {
		t.Fatalf("Redis takes writes at %v, people are signed on at %v: want both", writes, signsOn)
	}
	return max(signsOn.Sub(writes), 0)
}

// firstSuccess asks every 5 ms, without waiting for the answers, and returns when
// the first good one came.
func firstSuccess(ctx context.Context, ask func(context.Context) bool) time.Time {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var once sync.Once
	var at time.Time
	openloop.Run(ctx, openloop.Config{Rate: 200, For: time.Hour, Do: func(context.Context) string {
		single, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if ask(single) {
			once.Do(func() { at = time.Now(); stop() })
		}
		return ""
	}})
	return at
}

// What keeps the promise are the time-outs and the breaker: without them a hung
// Redis holds people as long as it hangs.
func TestWithoutTimeoutsAHungRedisHoldsEverybody(t *testing.T) {
	t.Parallel()
	for _, a := range aways() {
		if a.name != "hung" {
			continue
		}
		_, c, _, lose, back := a.world(t, app.Unguarded)
		lose()
		held := time.AfterFunc(2*time.Second, back)
		defer held.Stop()
		during := openloop.Run(t.Context(), openloop.Config{Rate: 50, For: time.Second, Do: anyRequest(c)})
		t.Logf("without time-outs:\n%s", during)
		// All slots are held; only who found none is told soon.
		if got := during.Of().Latency; got.P90 < 600 {
			t.Errorf("latency: got %+v, want it to be as long as Redis hangs: else the other test shows nothing", got)
		}
	}
}
