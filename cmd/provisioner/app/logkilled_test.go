package app_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

// An operation whose process ended without a word does not look as if it went on.
func TestLogTellsKilledFromRunning(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "web01")
	w.configure(settings{links: threeLinks})
	for _, o := range []reconcile.Operation{
		{By: "a process that was killed", Started: time.Now().Add(-time.Minute)},
		{By: "a process that works", Started: time.Now().Add(-time.Minute)},
		{By: "a process that has just begun", Started: time.Now()},
	} {
		o.Kind, o.State = reconcile.OperationApply, reconcile.StateRunning
		id, err := w.store.Begin(t.Context(), o)
		ok(w, err)
		if o.By == "a process that works" {
			ok(w, w.store.Pulse(t.Context(), id, time.Minute))
		}
	}
	states := map[string]string{}
	for _, line := range strings.Split(w.ok("log"), "\n") {
		for _, state := range []string{"killed ", "running "} {
			if strings.Contains(line, "  "+state) {
				_, by, _ := strings.Cut(line, "a process")
				states[strings.TrimSpace(by)] = strings.TrimSpace(state)
			}
		}
	}
	for by, want := range map[string]string{"that was killed": "killed", "that works": "running", "that has just begun": "running"} {
		if states[by] != want {
			t.Errorf("the operation of a process %s: got %q, want %q", by, states[by], want)
		}
	}
	if out := w.ok("log", "--operation", "1"); !strings.Contains(out, "Operation 1: apply, killed, by a process that was killed") {
		t.Errorf("got\n%s\nwant it killed", out)
	}
}

// A run that waits for another process to leave a server has no lease, and goes on
// all the same.
func TestLogTellsWaitingFromKilled(t *testing.T) {
	t.Parallel()
	w := newFaultWorld(t, "web01")
	w.account("web01/alice")
	w.subscribers("web01,alice,1001")
	w.configure(faultSettings{})
	lease, err := w.store.Acquire(t.Context(), "web01", "another process", time.Minute)
	w.must(err)
	var ahead atomic.Int64
	w.now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	ended := make(chan faultResult, 1)
	go func() { ended <- w.run("apply") }()
	eventually(t, soon, "the run has begun", func() bool {
		alive, err := w.store.Alive(t.Context(), []int64{1})
		return err == nil && alive[1]
	})
	ahead.Store(int64(10 * time.Minute))
	if out := w.ok("log").out; !strings.Contains(out, "running") || strings.Contains(out, "killed") {
		t.Errorf("got\n%s\nwant the run that waits to be running", out)
	}
	w.must(w.store.Release(t.Context(), lease))
	if r := <-ended; r.code != 0 {
		t.Errorf("%vwant exit code 0", r)
	}
}
