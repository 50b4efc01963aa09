package reconcile_test

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

// However many requests wait, one reading of the subscribers is under way at a time,
// and a run beside the daemon ends when its own work is done.
func TestSlowSubscribersHoldNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newVirtualWorld(t)
		w.settled()
		var reading, most, readings atomic.Int32
		w.directory = func(context.Context) (*reconcile.Directory, error) {
			if now := reading.Add(1); now > most.Load() {
				most.Store(now)
			}
			defer reading.Add(-1)
			readings.Add(1)
			time.Sleep(5 * time.Second)
			return w.readDirectory(), nil
		}
		r := w.reconciler("a daemon")
		stop := w.serve(t, r)
		asking, cancel := context.WithCancel(t.Context())
		var asked sync.WaitGroup
		asked.Go(func() {
			for asking.Err() == nil {
				w.ask(reconcile.RequestReconcile, bob, carol)
				time.Sleep(time.Second)
			}
		})
		time.Sleep(20 * time.Second)
		began := time.Now()
		if _, err := r.Run(t.Context(), w.order(reconcile.Policy{})); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("a run took %s, want it to end with its own work", took)
		}
		cancel()
		asked.Wait()
		stop()
		if most.Load() != 1 {
			t.Errorf("got %d readings at once, want 1", most.Load())
		}
		if readings.Load() > 15 {
			t.Errorf("got %d readings, want about one in five seconds", readings.Load())
		}
	})
}

// The list of all customers is much to keep in memory between two requests.
func TestTheListOfCustomersIsLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newVirtualWorld(t)
		w.settled()
		var mu sync.Mutex
		var read []weak.Pointer[reconcile.Directory]
		w.directory = func(ctx context.Context) (*reconcile.Directory, error) {
			d := w.readDirectory()
			mu.Lock()
			defer mu.Unlock()
			read = append(read, weak.Make(d))
			return d, wait(ctx, time.Second)
		}
		r := w.reconciler("the daemon")
		defer w.serve(t, r)()
		w.ask(reconcile.RequestReconcile, bob, carol)
		until(t, time.Minute, "the end of the queue", func() bool { return len(w.waiting()) == 0 })
		time.Sleep(time.Minute)
		runtime.GC()
		for i, d := range read {
			if d.Value() != nil {
				t.Errorf("list %d of %d is still in memory", i+1, len(read))
			}
		}
		runtime.KeepAlive(r)
	})
}
