package reconcile_test

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

var _ reconcile.Journal = (*journal)(nil)

// journal keeps operations in memory.
type journal struct {
	mu         sync.Mutex
	operations []reconcile.Operation
	entries    map[int64][]reconcile.Entry
	// fail decides whether a call fails: begin, log or end.
	fail func(call string) error
	// pulses are until when operations go on.
	pulses map[int64]time.Time
	// bundles are the sizes of what came at once.
	bundles []int
}

func newJournal() *journal {
	return &journal{entries: map[int64][]reconcile.Entry{}, pulses: map[int64]time.Time{}}
}

func (j *journal) failing(ctx context.Context, call string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if j.fail != nil {
		return j.fail(call)
	}
	return nil
}

// Begin implements reconcile.Journal.
func (j *journal) Begin(ctx context.Context, o reconcile.Operation) (int64, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.failing(ctx, "begin"); err != nil {
		return 0, err
	}
	o.ID = int64(len(j.operations) + 1)
	j.operations = append(j.operations, o)
	return o.ID, nil
}

// Log implements reconcile.Journal.
func (j *journal) Log(ctx context.Context, operation int64, entries []reconcile.Entry) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.failing(ctx, "log"); err != nil {
		return err
	}
	j.bundles = append(j.bundles, len(entries))
	j.entries[operation] = append(j.entries[operation], entries...)
	return nil
}

// Pulse implements reconcile.Journal.
func (j *journal) Pulse(ctx context.Context, operation int64, ttl time.Duration) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.failing(ctx, "pulse"); err != nil {
		return err
	}
	j.pulses[operation] = time.Now().Add(ttl)
	return nil
}

// alive reports whether an operation has said that it goes on.
func (j *journal) alive(operation int64) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return time.Now().Before(j.pulses[operation])
}

// End implements reconcile.Journal.
func (j *journal) End(ctx context.Context, o reconcile.Operation) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.failing(ctx, "end"); err != nil {
		return err
	}
	j.operations[o.ID-1] = o
	return nil
}

// operation returns one by its number; 0 is the last one.
func (j *journal) operation(id int64) reconcile.Operation {
	j.mu.Lock()
	defer j.mu.Unlock()
	if id == 0 {
		id = int64(len(j.operations))
	}
	return j.operations[id-1]
}

// lines is the log of an operation, from a level on.
func (j *journal) lines(id int64, from reconcile.Level) []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	levels := reconcile.Levels()
	var lines []string
	for _, e := range j.entries[id] {
		if slices.Index(levels, e.Level) < slices.Index(levels, from) {
			continue
		}
		line := string(e.Level)
		for _, part := range []string{e.Server, e.User, e.App} {
			if part != "" {
				line += " " + part
			}
		}
		lines = append(lines, line+": "+e.Message)
	}
	return lines
}
