package storetest

import (
	"slices"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/broker/reconcile"
	"github.com/latchkey-sso/latchkey/store"
)

// longLogs are tests of what stays of logs when there are many long ones.
func longLogs() []test {
	return []test{
		{"of long logs the latest are kept whole", latestWhole},
		{"the log of an operation that goes on is kept whole", runningWhole},
		{"a log that is shortened again and again keeps what matters, and says so once", shortenedAgain},
		{"a log that was shortened goes no later", shortenedExpires},
	}
}

// levelled makes entries of one level with these numbers, the first and not the last.
func levelled(level reconcile.Level, first, last int) []reconcile.Entry {
	list := logged(first, last)
	for i := range list {
		list[i].Level = level
	}
	return list
}

// begun begins an operation and logs that.
func begun(t *testing.T, s Subject, list []reconcile.Entry) int64 {
	t.Helper()
	id := begin(t, s, reconcile.Operation{State: reconcile.StateRunning})
	logs(t, s, id, list)
	return id
}

// outdate adds so many long logs that all others are old.
func outdate(t *testing.T, s Subject) {
	t.Helper()
	for range store.LongLogs {
		begun(t, s, logged(0, store.ShortLog+1))
	}
}

// shortNote is the last entry of a log that was shortened.
func shortNote(last reconcile.Entry, level reconcile.Level) reconcile.Entry {
	return reconcile.Entry{At: last.At, Level: level, Message: "this log was shortened: of an older operation the most severe entries are kept"}
}

func latestWhole(t *testing.T, s Subject) {
	long := levelled(reconcile.LevelDebug, 0, store.ShortLog+200)
	long[250].Level = reconcile.LevelWarning
	first := begun(t, s, long[:store.ShortLog])
	logs(t, s, first, long[store.ShortLog:])
	short := begun(t, s, logged(0, store.ShortLog))
	var last int64
	for range store.LongLogs - 1 {
		last = begun(t, s, long)
	}
	wantEntries(t, s, first, 0, long)
	begun(t, s, long)
	wantEntries(t, s, first, 0, append(slices.Clone(long[:store.ShortLog-2]), long[250], shortNote(long[299], reconcile.LevelDebug)))
	wantEntries(t, s, first+2, 0, long)
	wantEntries(t, s, short, 0, logged(0, store.ShortLog))
	wantEntries(t, s, last, 0, long)
}

func runningWhole(t *testing.T, s Subject) {
	const bundle = 3
	all := levelled(reconcile.LevelDebug, 0, 400)
	running := begun(t, s, all)
	killed := begun(t, s, all)
	if err := s.Store.Pulse(t.Context(), running, time.Minute); err != nil {
		t.Fatal(err)
	}
	outdate(t, s)
	for range 5 {
		more := levelled(reconcile.LevelDebug, len(all), len(all)+bundle)
		logs(t, s, running, more)
		all = append(all, more...)
		begun(t, s, logged(0, store.ShortLog+1))
	}
	wantEntries(t, s, running, 0, all)
	wantEntries(t, s, killed, 0, append(all[:store.ShortLog-1:store.ShortLog-1], shortNote(all[399], reconcile.LevelDebug)))

	s.Advance(2 * time.Minute)
	begun(t, s, logged(0, store.ShortLog+1))
	wantEntries(t, s, running, 0, append(all[:store.ShortLog-1:store.ShortLog-1], shortNote(all[len(all)-1], reconcile.LevelDebug)))
}

// An operation may go on and fail to say so.
func shortenedAgain(t *testing.T, s Subject) {
	first := begun(t, s, levelled(reconcile.LevelDebug, 0, 400))
	outdate(t, s)
	for n := range 120 {
		logs(t, s, first, levelled(reconcile.LevelDebug, 400+n, 401+n))
	}
	warnings := levelled(reconcile.LevelWarning, 600, 602)
	logs(t, s, first, warnings)
	want := slices.Concat(levelled(reconcile.LevelDebug, 0, store.ShortLog-3), warnings)
	wantEntries(t, s, first, 0, append(want, shortNote(warnings[1], reconcile.LevelDebug)))

	// Whoever is shown warnings alone sees that some are missing, later as well.
	warnings = append(warnings, levelled(reconcile.LevelWarning, 602, 750)...)
	logs(t, s, first, warnings[2:])
	later := levelled(reconcile.LevelDebug, 750, 751)
	logs(t, s, first, later)
	wantEntries(t, s, first, 0, append(warnings[:store.ShortLog-1:store.ShortLog-1], shortNote(later[0], reconcile.LevelWarning)))
}

func shortenedExpires(t *testing.T, s Subject) {
	first := begun(t, s, levelled(reconcile.LevelDebug, 0, 300))
	s.Advance(store.EntryRetention - time.Hour)
	outdate(t, s)
	if got := must[[]reconcile.Entry](t)(s.Store.Entries(t.Context(), first, 0)); len(got) != store.ShortLog {
		t.Errorf("a month later but for an hour: got %d entries, want %d", len(got), store.ShortLog)
	}
	s.Advance(2 * time.Hour)
	wantEntries(t, s, first, 0, nil)
}
