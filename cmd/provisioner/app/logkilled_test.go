package app_test

import (
	"strings"
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
		ok(w, must2(w.store.Begin(t.Context(), o)))
	}
	ok(w, must2(w.store.Acquire(t.Context(), "web01", "a process that works", time.Minute)))
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

func must2[T any](_ T, err error) error { return err }
