// Package openloop sends work at a fixed rate, whatever becomes of it, and measures
// how long each piece took from the instant at which it was meant to start.
//
// A generator that waits for an answer before it asks again slows down together
// with what it measures, and so never sees what a crowd sees: people do not click
// less because others are waiting. Here a piece that starts late, or waits in a
// queue, has that time counted in.
//
// It knows nothing of what the work is; package app of cmd/loadgen and the tests
// of the broker bring it.
package openloop

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Config says what is sent.
type Config struct {
	// Rate is how many pieces of work begin in a second; more than 0.
	Rate float64
	// For is how long new ones begin.
	For time.Duration
	// MaxUnderWay bounds those that have begun and are not done. Where it is
	// reached a piece is counted as Unsent and not done. 0 means 10,000.
	MaxUnderWay int
	// Do does one piece and returns the name of what came out.
	Do func(ctx context.Context) (outcome string)
}

// Unsent is the outcome of a piece for which there was no room.
const Unsent = "unsent"

const (
	defaultUnderWay = 10_000
	// Latencies are kept in microseconds, to three digits, up to two minutes.
	longest = 2 * time.Minute
	digits  = 3
)

// Run sends until cfg.For is over or ctx ends, and returns when everything that
// was begun is done.
func Run(ctx context.Context, cfg Config) *Report {
	room := make(chan struct{}, cmp.Or(cfg.MaxUnderWay, defaultUnderWay))
	report := &Report{outcomes: map[string]*hdrhistogram.Histogram{}}
	interval := float64(time.Second) / cfg.Rate
	var underWay sync.WaitGroup
	timer := time.NewTimer(0)
	defer timer.Stop()
	began := time.Now()
	for n := 0; ; n++ {
		after := time.Duration(float64(n) * interval)
		if after >= cfg.For || !waitUntil(ctx, timer, began.Add(after)) {
			break
		}
		intended := began.Add(after)
		select {
		case room <- struct{}{}:
		default:
			report.add(Unsent, 0)
			continue
		}
		underWay.Go(func() {
			outcome := cfg.Do(ctx)
			report.add(outcome, time.Since(intended))
			<-room
		})
	}
	report.sending = time.Since(began)
	underWay.Wait()
	return report
}

// waitUntil reports whether the instant came before the end of ctx.
func waitUntil(ctx context.Context, timer *time.Timer, at time.Time) bool {
	if wait := time.Until(at); wait > 0 {
		timer.Reset(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
	}
	return ctx.Err() == nil
}

// Report is what came out, by outcome. It is safe for concurrent use.
type Report struct {
	sending time.Duration // how long work was begun

	mu       sync.Mutex
	outcomes map[string]*hdrhistogram.Histogram
}

func (r *Report) add(outcome string, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.outcomes[outcome]
	if h == nil {
		h = hdrhistogram.New(1, longest.Microseconds(), digits)
		r.outcomes[outcome] = h
	}
	// Out of range is impossible after the bounds.
	_ = h.RecordValue(min(max(took.Microseconds(), 1), longest.Microseconds()))
}

// Latency is a distribution of latencies, in milliseconds.
type Latency struct {
	P50 float64 `json:"p50_ms"`
	P90 float64 `json:"p90_ms"`
	P99 float64 `json:"p99_ms"`
	// P999 is the 99.9th percentile.
	P999 float64 `json:"p999_ms"`
	Max  float64 `json:"max_ms"`
}

// Outcome is how often something came out, and how long it took.
type Outcome struct {
	Name  string `json:"outcome"`
	Count int64  `json:"count"`
	// PerSecond counts from the first start to the last.
	PerSecond float64 `json:"per_second"`
	Latency   Latency `json:"latency"`
}

// Outcomes returns one entry for each outcome, the most frequent first.
func (r *Report) Outcomes() []Outcome {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]Outcome, 0, len(r.outcomes))
	for name, h := range r.outcomes {
		list = append(list, r.outcome(name, h))
	}
	slices.SortFunc(list, func(a, b Outcome) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.Name, b.Name))
	})
	return list
}

// Of returns all pieces with one of the outcomes as one entry; with no names, all
// that were sent.
func (r *Report) Of(names ...string) Outcome {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := hdrhistogram.New(1, longest.Microseconds(), digits)
	for name, h := range r.outcomes {
		if slices.Contains(names, name) || len(names) == 0 && name != Unsent {
			all.Merge(h)
		}
	}
	return r.outcome(strings.Join(names, ", "), all)
}

func (r *Report) outcome(name string, h *hdrhistogram.Histogram) Outcome {
	at := func(percent float64) float64 { return float64(h.ValueAtQuantile(percent)) / 1000 }
	return Outcome{
		Name: name, Count: h.TotalCount(), PerSecond: float64(h.TotalCount()) / r.sending.Seconds(),
		Latency: Latency{P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: float64(h.Max()) / 1000},
	}
}

// String is a table with a line for each outcome.
func (r *Report) String() string {
	var table strings.Builder
	fmt.Fprintf(&table, "%-32s %9s %9s %9s %9s %9s %9s %9s\n", "outcome", "count", "per s", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms")
	for _, o := range r.Outcomes() {
		l := o.Latency
		fmt.Fprintf(&table, "%-32s %9d %9.1f %9.2f %9.2f %9.2f %9.2f %9.2f\n", o.Name, o.Count, o.PerSecond, l.P50, l.P90, l.P99, l.P999, l.Max)
	}
	return table.String()
}
