package openloop_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/latchkey-sso/latchkey/cmd/loadgen/openloop"
)

// A slow answer delays no other start, and its wait is counted.
func TestStartsDoNotWaitForAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		report := openloop.Run(t.Context(), openloop.Config{Rate: 100, For: 2 * time.Second, Do: func(context.Context) string {
			time.Sleep(3 * time.Second)
			return "answered"
		}})
		got := report.Of("answered")
		if got.Count != 200 || got.PerSecond < 99 || got.PerSecond > 101 {
			t.Errorf("got %d answers, %.1f per second; want 200, 100 per second", got.Count, got.PerSecond)
		}
		if got.Latency.P50 < 2_990 || got.Latency.Max > 3_010 {
			t.Errorf("latency: got %+v ms, want 3000 for all", got.Latency)
		}
	})
}

// Where a server does one piece after the other, each waits for those before it:
// a generator that waited itself would see 20 ms for everybody.
func TestTheQueueIsPartOfTheLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := make(chan struct{}, 1)
		report := openloop.Run(t.Context(), openloop.Config{Rate: 100, For: time.Second, Do: func(context.Context) string {
			server <- struct{}{}
			time.Sleep(20 * time.Millisecond)
			<-server
			return "answered"
		}})
		// 100 pieces of 20 ms take 2 s; the last was meant to start at 0.99 s.
		if got := report.Of().Latency.Max; got < 1000 || got > 1020 {
			t.Errorf("the longest wait: got %v ms, want 1010", got)
		}
	})
}

func TestWhatHasNoRoomIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		report := openloop.Run(t.Context(), openloop.Config{Rate: 10, For: time.Second, MaxUnderWay: 3, Do: func(context.Context) string {
			time.Sleep(time.Minute)
			return "answered"
		}})
		if sent, unsent := report.Of().Count, report.Of(openloop.Unsent).Count; sent != 3 || unsent != 7 {
			t.Errorf("got %d sent and %d unsent, want 3 and 7", sent, unsent)
		}
	})
}

func TestTheEndOfTheContextEndsTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second+time.Millisecond)
		defer cancel()
		report := openloop.Run(ctx, openloop.Config{Rate: 10, For: time.Hour, Do: func(ctx context.Context) string {
			<-ctx.Done()
			return "given up"
		}})
		if got := report.Outcomes(); len(got) != 1 || got[0].Name != "given up" || got[0].Count != 11 {
			t.Errorf("got %+v, want 11 given up", got)
		}
	})
}
