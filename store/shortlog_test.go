package store_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/latchkey-sso/latchkey/broker/reconcile"
	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// afterRead does something once, after something was read and before the reader
// knows.
type afterRead struct {
	command, key string
	then         func()
}

func (a *afterRead) DialHook(next redis.DialHook) redis.DialHook { return next }

func (a *afterRead) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (a *afterRead) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if then := a.then; then != nil && cmd.Name() == a.command && slices.Contains(cmd.Args(), any(a.key)) {
			a.then = nil
			then()
		}
		return err
	}
}

// Whether an operation goes on is not known for sure.
func TestWhatIsLoggedWhileALogIsShortenedStays(t *testing.T) {
	client := storetest.StartRedis(t).Client()
	s := store.New(store.Config{Client: client, KeyPrefix: keyPrefix})
	log := func(id int64, level reconcile.Level, n int) {
		t.Helper()
		if err := s.Log(t.Context(), id, make([]reconcile.Entry, n-1)); err != nil {
			t.Fatal(err)
		}
		if err := s.Log(t.Context(), id, []reconcile.Entry{{Level: level, Message: "the last"}}); err != nil {
			t.Fatal(err)
		}
	}
	begun := func() int64 {
		t.Helper()
		id := ok(s.Begin(t.Context(), reconcile.Operation{}))(t)
		log(id, reconcile.LevelDebug, store.ShortLog+1)
		return id
	}
	want := func(id int64, entries int) {
		t.Helper()
		got := ok(s.Entries(t.Context(), id, 0))(t)
		warnings := 0
		for _, e := range got {
			if e.Level == reconcile.LevelWarning {
				warnings++
			}
		}
		if len(got) != entries || warnings != 1 {
			t.Errorf("got %d entries with %d warnings, want %d with the one that was logged meanwhile", len(got), warnings, entries)
		}
	}

	first := begun()
	meanwhile := &afterRead{command: "lrange", key: fmt.Sprintf("%s{operations}log:%d", keyPrefix, first)}
	meanwhile.then = func() { log(first, reconcile.LevelWarning, 1) }
	client.AddHook(meanwhile)
	for range store.LongLogs {
		begun()
	}
	if meanwhile.then != nil {
		t.Fatal("the log was not read to be shortened: this shows nothing")
	}
	want(first, store.ShortLog+2)
	begun() // the next long log asks again
	want(first, store.ShortLog)
	meanwhile.then = func() { t.Error("a log that was shortened is read again for the next long one") }
	begun()
}
