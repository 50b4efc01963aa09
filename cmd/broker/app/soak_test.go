package app_test

import (
	"os"
	"runtime"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/latchkey-sso/latchkey/cmd/broker/app"
	"github.com/latchkey-sso/latchkey/cmd/loadgen/clicks"
	"github.com/latchkey-sso/latchkey/cmd/loadgen/openloop"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// soaking is how long the load lasts: TEST_SOAK is in seconds.
func soaking(t *testing.T) time.Duration {
	return time.Duration(storetest.Amount(t, "TEST_SOAK", 4, 600)) * time.Second
}

// footprint is what a process holds when nobody asks it anything.
type footprint struct {
	goroutines, files int
	heap              uint64 // bytes
}

func footprintNow(t *testing.T) footprint {
	t.Helper()
	client.CloseIdleConnections()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skipf("NOT TESTED: open files cannot be counted here: %v", err)
	}
	runtime.GC()
	runtime.GC() // what finalizers have given back
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	return footprint{runtime.NumGoroutine(), len(files), memory.HeapAlloc}
}

// However long it works, a broker holds what it held after its first second (A6),
// and nothing when it has stopped. Not parallel: other tests would be counted.
func TestASoakLeavesNothingBehind(t *testing.T) {
	redis := storetest.StartRedis(t)
	client.CloseIdleConnections()
	before := goleak.IgnoreCurrent()
	dir := t.TempDir()
	newKey(t, dir)
	text := changed(t, crowded(t, configFile(dir, redis.Addr, freeAddress(t), freeAddress(t))), noLimits,
		"{per_address_burst: 100000, per_account_rate: 100, per_account_burst: 1000, per_server_rate: 80, per_server_burst: 100}")
	b := start(t, app.Options{Config: loadConfig(t, text)})
	waitReady(t, b.operators)
	bob := bobAt(t, b.url, addLink(t, b.Store(), "latchkey_billing"))
	ask := anyRequest(bob)
	client.CloseIdleConnections()
	idle := runtime.NumGoroutine() // those of parallel tests that wait for their turn, too
	load := func(d time.Duration) {
		t.Helper()
		// More than the server's limit, so that shared limits are asked and refuse.
		clicked := openloop.Run(t.Context(), openloop.Config{Rate: 100, For: d / 2, Do: bob.Click})
		asked := openloop.Run(t.Context(), openloop.Config{Rate: 200, For: d / 2, Do: ask})
		for _, o := range append(clicked.Outcomes(), asked.Outcomes()...) {
			if !clicks.Sound(o.Name) {
				t.Errorf("%d times: %s", o.Count, o.Name)
			}
		}
		bob.Client.CloseIdleConnections()
		eventually(t, "the connections of the load are gone", func() bool { return runtime.NumGoroutine() <= idle+5 })
	}
	// The pool of connections to Redis is filled first: it keeps what it has.
	redis.Hang()
	resume := time.AfterFunc(100*time.Millisecond, redis.Resume)
	defer resume.Stop()
	openloop.Run(t.Context(), openloop.Config{Rate: 5000, For: 50 * time.Millisecond, Do: ask})
	lasting := soaking(t)
	load(lasting / 4)
	early := footprintNow(t)
	load(lasting)
	late := footprintNow(t)
	t.Logf("after %v: %+v; after %v more: %+v", lasting/4, early, lasting, late)
	if slack := oneOf(2, 40); late.goroutines > early.goroutines+slack || late.files > early.files+slack {
		t.Errorf("got %d goroutines and %d open files, want the %d and %d of before", late.goroutines, late.files, early.goroutines, early.files)
	}
	if most := uint64(float64(early.heap) * 1.05); storetest.Long && late.heap > most {
		t.Errorf("memory: got %d bytes, want at most %d", late.heap, most)
	}
	if err := b.stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	bob.Client.CloseIdleConnections()
	client.CloseIdleConnections()
	goleak.VerifyNone(t, before)
	wantNoConnections(t, redis)
}
