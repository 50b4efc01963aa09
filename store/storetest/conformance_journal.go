package storetest

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/broker/reconcile"
	"github.com/latchkey-sso/latchkey/store"
)

func journal() []test {
	return []test{
		{"operations are numbered, kept and ended", operations},
		{"the oldest operations are forgotten with their logs", operationsForgotten},
		{"entries are kept in their order and read on", entries},
		{"a log that is full says so once", fullLog},
		{"a log goes a while after its last entry", logExpires},
		{"an operation goes on as long as it says", operationsAlive},
	}
}

func begin(t *testing.T, s Subject, o reconcile.Operation) int64 {
	t.Helper()
	return must[int64](t)(s.Store.Begin(t.Context(), o))
}

func operations(t *testing.T, s Subject) {
	if got := must[[]reconcile.Operation](t)(s.Store.Operations(t.Context(), 10)); len(got) != 0 {
		t.Errorf("at first: got %+v, want none", got)
	}
	first := reconcile.Operation{
		Kind: reconcile.OperationApply, State: reconcile.StateRunning, By: "alice", Started: created.UTC(), Servers: []string{"web01"}, Revision: 3,
	}
	second := reconcile.Operation{Kind: reconcile.OperationRotate, State: reconcile.StateRunning, By: "daemon", Started: created.Add(time.Hour).UTC()}
	for i, o := range []*reconcile.Operation{&first, &second} {
		if o.ID = begin(t, s, *o); o.ID != int64(i+1) {
			t.Errorf("number: got %d, want %d", o.ID, i+1)
		}
	}
	first.State, first.Ended, first.Counts = reconcile.StateFailed, created.Add(time.Minute).UTC(), reconcile.Counts{Created: 5, Failed: 1}
	if err := s.Store.End(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	if got := must[[]reconcile.Operation](t)(s.Store.Operations(t.Context(), 10)); !reflect.DeepEqual(got, []reconcile.Operation{second, first}) {
		t.Errorf("operations:\ngot  %+v\nwant %+v", got, []reconcile.Operation{second, first})
	}
	if got := must[[]reconcile.Operation](t)(s.Store.Operations(t.Context(), 1)); !reflect.DeepEqual(got, []reconcile.Operation{second}) {
		t.Errorf("the newest: got %+v, want %+v", got, second)
	}
	if got := must[[]reconcile.Operation](t)(s.Store.Operations(t.Context(), -1)); len(got) != 0 {
		t.Errorf("at most -1: got %+v, want none", got)
	}
	if got := must[reconcile.Operation](t)(s.Store.Operation(t.Context(), 1)); !reflect.DeepEqual(got, first) {
		t.Errorf("operation 1: got %+v, want %+v", got, first)
	}
	for _, id := range []int64{-1, 0, 3} {
		if _, err := s.Store.Operation(t.Context(), id); !errors.Is(err, store.ErrNoOperation) {
			t.Errorf("operation %d: got error %v, want ErrNoOperation", id, err)
		}
		if err := s.Store.End(t.Context(), reconcile.Operation{ID: id}); !errors.Is(err, store.ErrNoOperation) {
			t.Errorf("end of operation %d: got error %v, want ErrNoOperation", id, err)
		}
	}
}

func operationsForgotten(t *testing.T, s Subject) {
	const more = 3
	for i := range store.MaxOperations + more {
		id := begin(t, s, reconcile.Operation{Kind: reconcile.OperationApply})
		if i < 2*more {
			if err := s.Store.Log(t.Context(), id, []reconcile.Entry{{Level: reconcile.LevelDebug, Message: "begins"}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	got := must[[]reconcile.Operation](t)(s.Store.Operations(t.Context(), 2*store.MaxOperations))
	if len(got) != store.MaxOperations || got[0].ID != store.MaxOperations+more || got[len(got)-1].ID != more+1 {
		t.Errorf("got %d operations from %d to %d, want the newest %d", len(got), got[0].ID, got[len(got)-1].ID, store.MaxOperations)
	}
	for id := range int64(2 * more) {
		want := 0
		if id+1 > more {
			want = 1
		}
		if entries := must[[]reconcile.Entry](t)(s.Store.Entries(t.Context(), id+1, 0)); len(entries) != want {
			t.Errorf("log of operation %d: got %d entries, want %d", id+1, len(entries), want)
		}
	}
	if err := s.Store.End(t.Context(), reconcile.Operation{ID: 1}); !errors.Is(err, store.ErrNoOperation) {
		t.Errorf("end of a forgotten operation: got %v, want ErrNoOperation", err)
	}
}

// logged makes entries with these numbers, the first and not the last.
func logged(first, last int) []reconcile.Entry {
	var list []reconcile.Entry
	for i := first; i < last; i++ {
		list = append(list, reconcile.Entry{At: created.Add(time.Duration(i) * time.Second).UTC(), Level: reconcile.LevelNotice, Server: "web01", User: "bob", App: aLink.App, Message: fmt.Sprint("entry ", i)})
	}
	return list
}

func logs(t *testing.T, s Subject, id int64, list []reconcile.Entry) {
	t.Helper()
	if err := s.Store.Log(t.Context(), id, list); err != nil {
		t.Fatal(err)
	}
}

func wantEntries(t *testing.T, s Subject, id int64, after int, want []reconcile.Entry) {
	t.Helper()
	got := must[[]reconcile.Entry](t)(s.Store.Entries(t.Context(), id, after))
	if len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
		t.Errorf("entries of operation %d after %d: got %d, want %d as they were logged\ngot  %.300v\nwant %.300v", id, after, len(got), len(want), got, want)
	}
}

func entries(t *testing.T, s Subject) {
	one, two := begin(t, s, reconcile.Operation{}), begin(t, s, reconcile.Operation{})
	logs(t, s, one, nil)
	logs(t, s, one, logged(0, 700))
	logs(t, s, two, logged(5, 6))
	logs(t, s, one, logged(700, 1000))
	wantEntries(t, s, one, 0, logged(0, 1000))
	wantEntries(t, s, one, -1, logged(0, 1000))
	wantEntries(t, s, one, 998, logged(998, 1000))
	wantEntries(t, s, one, 1000, nil)
	wantEntries(t, s, one, 5000, nil)
	wantEntries(t, s, two, 0, logged(5, 6))
	wantEntries(t, s, 77, 0, nil)
}

func fullLog(t *testing.T, s Subject) {
	id := begin(t, s, reconcile.Operation{})
	all := logged(0, store.MaxEntries+20)
	logs(t, s, id, all[:store.MaxEntries])
	wantEntries(t, s, id, 0, all[:store.MaxEntries])
	logs(t, s, id, all[store.MaxEntries:store.MaxEntries+10])
	logs(t, s, id, all[store.MaxEntries+10:])
	got := must[[]reconcile.Entry](t)(s.Store.Entries(t.Context(), id, 0))
	if len(got) != store.MaxEntries+1 || !reflect.DeepEqual(got[:store.MaxEntries], all[:store.MaxEntries]) {
		t.Fatalf("got %d entries, want the first %d and one more", len(got), store.MaxEntries)
	}
	want := reconcile.Entry{At: all[store.MaxEntries+9].At, Level: reconcile.LevelWarning, Message: "the log is full: of an operation 5000 entries are kept, more were dropped"}
	if last := got[store.MaxEntries]; last != want {
		t.Errorf("last entry: got %+v, want %+v", last, want)
	}
}

func logExpires(t *testing.T, s Subject) {
	id := begin(t, s, reconcile.Operation{})
	logs(t, s, id, logged(0, 1))
	s.Advance(store.EntryRetention - time.Hour)
	logs(t, s, id, logged(1, 2))
	s.Advance(store.EntryRetention - time.Hour)
	wantEntries(t, s, id, 0, logged(0, 2))
	s.Advance(2 * time.Hour)
	wantEntries(t, s, id, 0, nil)
	if _, err := s.Store.Operation(t.Context(), id); err != nil {
		t.Errorf("the operation after its log is gone: %v", err)
	}
}

func operationsAlive(t *testing.T, s Subject) {
	wantAlive := func(when string, want ...int64) {
		t.Helper()
		alive := must[map[int64]bool](t)(s.Store.Alive(t.Context(), []int64{1, 2, 3}))
		if got := slices.Sorted(maps.Keys(alive)); !slices.Equal(got, want) {
			t.Errorf("%s: got %v alive, want %v", when, got, want)
		}
	}
	if alive := must[map[int64]bool](t)(s.Store.Alive(t.Context(), nil)); len(alive) > 0 {
		t.Errorf("of none: got %v, want none", alive)
	}
	wantAlive("at first")
	for id, ttl := range map[int64]time.Duration{1: time.Minute, 3: time.Hour} {
		if err := s.Store.Pulse(t.Context(), id, ttl); err != nil {
			t.Fatal(err)
		}
	}
	wantAlive("after two pulses", 1, 3)
	s.Advance(2 * time.Minute)
	wantAlive("later", 3)
	if err := s.Store.Pulse(t.Context(), 1, 0); err == nil {
		t.Error("a pulse for no time: got no error")
	}
}
