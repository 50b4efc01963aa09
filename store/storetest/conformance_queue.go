package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
	"github.com/latchkey-sso/latchkey/store"
)

func leases() []test {
	return []test{
		{"an epoch tells whether somebody has worked meanwhile", epochs},
		{"one worker has a server", leaseExclusive},
		{"a lease ends unless it is renewed", leaseExpires},
		{"a lease is given back by its holder alone", leaseReleased},
		{"of racing workers one gets the lease", leaseRace},
	}
}

func epochs(t *testing.T, s Subject) {
	want := func(what string, want reconcile.Epoch) {
		t.Helper()
		got := must[map[string]reconcile.Epoch](t)(s.Store.Epochs(t.Context(), []string{"web02", "web01"}))
		if got["web01"] != want || got["web02"] != (reconcile.Epoch{}) || len(got) != 2 {
			t.Errorf("%s: got %+v, want %+v of web01 and nothing of web02", what, got, want)
		}
	}
	want("at first", reconcile.Epoch{})
	for n := range 2 {
		lease := acquire(t, s, "web01", "a worker")
		want("during the work", reconcile.Epoch{Fence: lease.Fence, Held: true})
		if err := s.Store.Release(t.Context(), lease); err != nil {
			t.Fatal(err)
		}
		want("after the work", reconcile.Epoch{Fence: reconcile.Fence(n + 1)})
	}
	if got := must[map[string]reconcile.Epoch](t)(s.Store.Epochs(t.Context(), nil)); len(got) != 0 {
		t.Errorf("of no server: got %+v, want nothing", got)
	}
}

func acquire(t *testing.T, s Subject, server, holder string) reconcile.Lease {
	t.Helper()
	return must[reconcile.Lease](t)(s.Store.Acquire(t.Context(), server, holder, time.Minute))
}

func wantHeld(t *testing.T, s Subject, server, by string) {
	t.Helper()
	_, err := s.Store.Acquire(t.Context(), server, "somebody", time.Minute)
	held, is := errors.AsType[*reconcile.HeldError](err)
	if !is {
		t.Fatalf("acquire %s: got error %v, want a *HeldError", server, err)
	}
	if held.Server != server || held.Holder != by || held.For <= 0 || held.For > time.Minute {
		t.Errorf("got %+v, want it held by %q for a minute at most", held, by)
	}
}

func leaseExclusive(t *testing.T, s Subject) {
	const holder = "daemon on host|1:2"
	first := acquire(t, s, "web01", holder)
	if want := (reconcile.Lease{Server: "web01", Holder: holder, Fence: 1}); first != want {
		t.Errorf("first lease: got %+v, want %+v", first, want)
	}
	wantHeld(t, s, "web01", holder)
	if other := acquire(t, s, "web02", "cli"); other.Fence != 1 {
		t.Errorf("lease of another server: got %+v, want fence 1", other)
	}
	again := acquire(t, s, "web01", holder)
	if again.Fence <= first.Fence {
		t.Errorf("the holder again: got fence %d, want more than %d", again.Fence, first.Fence)
	}
	if err := s.Store.Renew(t.Context(), first, time.Minute); !errors.Is(err, reconcile.ErrFenced) {
		t.Errorf("renew with the former fence: got %v, want ErrFenced", err)
	}
	for _, ttl := range []time.Duration{0, time.Microsecond, -time.Second} {
		if _, err := s.Store.Acquire(t.Context(), "web03", "cli", ttl); err == nil {
			t.Errorf("lease for %v: got no error", ttl)
		}
		if err := s.Store.Renew(t.Context(), again, ttl); err == nil {
			t.Errorf("renewal for %v: got no error", ttl)
		}
	}
	wantHeld(t, s, "web01", holder)
}

func leaseExpires(t *testing.T, s Subject) {
	lost := acquire(t, s, "web01", "daemon")
	s.Advance(50 * time.Second)
	if err := s.Store.Renew(t.Context(), lost, time.Minute); err != nil {
		t.Fatalf("renew: %v", err)
	}
	s.Advance(50 * time.Second)
	wantHeld(t, s, "web01", "daemon")
	s.Advance(11 * time.Second)
	if err := s.Store.Renew(t.Context(), lost, time.Minute); !errors.Is(err, reconcile.ErrFenced) {
		t.Errorf("renew after the end: got %v, want ErrFenced", err)
	}
	next := acquire(t, s, "web01", "cli")
	if next.Fence <= lost.Fence {
		t.Errorf("fence after the end: got %d, want more than %d", next.Fence, lost.Fence)
	}
	if err := s.Store.Renew(t.Context(), lost, time.Minute); !errors.Is(err, reconcile.ErrFenced) {
		t.Errorf("renew what another one has: got %v, want ErrFenced", err)
	}
	if err := s.Store.Release(t.Context(), lost); err != nil {
		t.Errorf("release what another one has: %v", err)
	}
	wantHeld(t, s, "web01", "cli")
}

func leaseReleased(t *testing.T, s Subject) {
	lease := acquire(t, s, "web01", "daemon")
	for _, stranger := range []reconcile.Lease{
		{Server: "web01", Holder: "cli", Fence: lease.Fence}, {Server: "web01", Holder: "daemon", Fence: lease.Fence + 1}, {Server: "web02", Holder: "daemon", Fence: lease.Fence},
	} {
		if err := s.Store.Release(t.Context(), stranger); err != nil {
			t.Errorf("release %+v: %v", stranger, err)
		}
		wantHeld(t, s, "web01", "daemon")
	}
	for range 2 {
		if err := s.Store.Release(t.Context(), lease); err != nil {
			t.Errorf("release: %v", err)
		}
	}
	if next := acquire(t, s, "web01", "cli"); next.Fence <= lease.Fence {
		t.Errorf("fence after the release: got %d, want more than %d", next.Fence, lease.Fence)
	}
}

func leaseRace(t *testing.T, s Subject) {
	const workers = 8
	got := make([]error, workers)
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			_, got[i] = s.Store.Acquire(context.Background(), "web01", fmt.Sprint("worker ", i), time.Minute)
		})
	}
	wg.Wait()
	won := 0
	for _, err := range got {
		if err == nil {
			won++
		} else if _, is := errors.AsType[*reconcile.HeldError](err); !is {
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d workers got the lease, want one", won)
	}
}

func requests() []test {
	return []test{
		{"requests come when they are due, the earliest first", requestsDue},
		{"a request that is added again keeps its place", requestsAgain},
		{"a request that was added again meanwhile stays", requestsDone},
		{"a request that was put off comes later, unless it was added again", requestsPutOff},
		{"a full lane takes no more, and others do", requestsFull},
		{"requests go when none was added for a week", requestsExpire},
		{"what is no request is thrown away", requestsJunk},
	}
}

var (
	rotations       = reconcile.Lane{Server: "web01", Kind: reconcile.RequestRotate}
	reconciliations = reconcile.Lane{Server: "web01", Kind: reconcile.RequestReconcile}
)

// ask adds requests one after the other.
func ask(t *testing.T, s Subject, l reconcile.Lane, users ...string) {
	t.Helper()
	for _, user := range users {
		if err := s.Store.Add(t.Context(), in(l, user)); err != nil {
			t.Fatalf("add %s: %v", user, err)
		}
	}
}

func in(l reconcile.Lane, user string) reconcile.Request {
	return reconcile.Request{Account: broker.Account{Server: l.Server, User: user}, Kind: l.Kind}
}

// wantDue expects requests of some users of each lane in turn, and returns them.
func wantDue(t *testing.T, s Subject, limit int, lanes []reconcile.Lane, users ...string) []reconcile.Request {
	t.Helper()
	due := must[[]reconcile.Request](t)(s.Store.Due(t.Context(), lanes, limit))
	var got []string
	for _, r := range due {
		if !slices.Contains(lanes, r.Lane()) {
			t.Errorf("due: got %v, want none but of %v", r, lanes)
		}
		got = append(got, r.Account.User)
	}
	if !slices.Equal(got, users) {
		t.Errorf("due of %v, %d at most: got %q, want %q", lanes, limit, got, users)
	}
	return due
}

func only(l reconcile.Lane) []reconcile.Lane { return []reconcile.Lane{l} }

func done(t *testing.T, s Subject, requests ...reconcile.Request) {
	t.Helper()
	if err := s.Store.Done(t.Context(), requests...); err != nil {
		t.Fatalf("done: %v", err)
	}
}

func putOff(t *testing.T, s Subject, wait time.Duration, requests ...reconcile.Request) {
	t.Helper()
	if err := s.Store.PutOff(t.Context(), wait, requests...); err != nil {
		t.Fatalf("put off: %v", err)
	}
}

func requestsDue(t *testing.T, s Subject) {
	wantDue(t, s, 10, nil)
	wantDue(t, s, 10, []reconcile.Lane{rotations, reconciliations})
	if err := s.Store.Add(t.Context()); err != nil {
		t.Errorf("add nothing: %v", err)
	}
	other := reconcile.Lane{Server: "web02", Kind: reconcile.RequestRotate}
	ask(t, s, rotations, "carl", "bob", "alice")
	ask(t, s, reconciliations, "bob")
	if err := s.Store.RequestRotation(t.Context(), broker.Account{Server: "web02", User: "eve"}); err != nil {
		t.Fatal(err)
	}
	wantDue(t, s, 10, nil)
	wantDue(t, s, 0, only(rotations))
	wantDue(t, s, 10, only(rotations), "carl", "bob", "alice")
	wantDue(t, s, 2, []reconcile.Lane{other, rotations, reconciliations}, "eve", "carl", "bob", "bob")
	for _, bad := range []reconcile.Request{
		{}, in(reconcile.Lane{Server: "web01"}, "bob"), in(reconcile.Lane{Server: "web01", Kind: "remove"}, "bob"), in(rotations, ""), in(rotations, "b b"), in(rotations, "b/b"),
	} {
		if err := s.Store.Add(t.Context(), in(rotations, "nobody"), bad); err == nil {
			t.Errorf("add %+v: got no error", bad)
		}
	}
	wantDue(t, s, 10, only(rotations), "carl", "bob", "alice")
}

func requestsAgain(t *testing.T, s Subject) {
	for _, l := range []reconcile.Lane{rotations, reconciliations} {
		ask(t, s, l, "alice")
		s.Advance(time.Second)
		ask(t, s, l, "bob", "carl")
		before := wantDue(t, s, 10, only(l), "alice", "bob", "carl")
		for range 100 {
			ask(t, s, l, "alice") // again and again, as an impatient customer does
		}
		after := wantDue(t, s, 1, only(l), "alice")
		if moved := after[0].Due.Sub(before[0].Due); moved <= 0 || moved > 100*time.Microsecond {
			t.Errorf("%s: its time moved by %v, want a microsecond each time", l.Kind, moved)
		}
	}
}

func requestsDone(t *testing.T, s Subject) {
	both := []reconcile.Lane{reconciliations, rotations}
	ask(t, s, reconciliations, "bob")
	ask(t, s, rotations, "bob", "alice")
	read := wantDue(t, s, 10, both, "bob", "bob", "alice")
	ask(t, s, reconciliations, "bob") // while the first is being done
	ask(t, s, rotations, "bob")
	done(t, s)
	for range 2 {
		done(t, s, read...)
	}
	again := wantDue(t, s, 10, both, "bob", "bob")
	done(t, s, again...)
	wantNothing(t, s)
}

func requestsPutOff(t *testing.T, s Subject) {
	ask(t, s, rotations, "alice", "bob", "carl")
	read := wantDue(t, s, 10, only(rotations), "alice", "bob", "carl")
	ask(t, s, rotations, "carl") // while it is being done
	putOff(t, s, time.Minute)
	putOff(t, s, 2*time.Minute, read[0])
	putOff(t, s, time.Minute, read[1:]...)
	wantDue(t, s, 10, only(rotations), "carl")
	ask(t, s, rotations, "alice") // keeps its time
	s.Advance(59 * time.Second)
	wantDue(t, s, 10, only(rotations), "carl")
	s.Advance(2 * time.Second)
	wantDue(t, s, 10, only(rotations), "carl", "bob")
	s.Advance(time.Minute)
	wantDue(t, s, 10, only(rotations), "carl", "bob", "alice")

	ask(t, s, reconciliations, "alice", "bob")
	read = wantDue(t, s, 10, only(reconciliations), "alice", "bob")
	putOff(t, s, time.Minute, read...)
	ask(t, s, reconciliations, "bob") // something new has happened to it
	wantDue(t, s, 10, only(reconciliations), "bob")
	done(t, s, read...)
	s.Advance(2 * time.Minute)
	wantDue(t, s, 10, only(reconciliations), "bob", "alice")
	if err := s.Store.PutOff(t.Context(), 0, read...); err == nil {
		t.Error("put off by no time: got no error")
	}
}

func requestsFull(t *testing.T, s Subject) {
	var all []reconcile.Request
	for i := range store.MaxRequests - 1 {
		all = append(all, in(reconciliations, fmt.Sprint("user", i)))
	}
	if err := s.Store.Add(t.Context(), all...); err != nil {
		t.Fatal(err)
	}
	if err := s.Store.Add(t.Context(), in(reconciliations, "alice"), in(reconciliations, "bob"), in(rotations, "bob")); !errors.Is(err, reconcile.ErrQueueFull) {
		t.Errorf("one too many: got %v, want ErrQueueFull", err)
	}
	wantDue(t, s, 10, only(rotations), "bob")
	ask(t, s, reconciliations, "alice", "user7")
	for _, l := range []reconcile.Lane{rotations, {Server: "web02", Kind: reconcile.RequestReconcile}} {
		ask(t, s, l, "carl")
	}
	if got := must[[]reconcile.Request](t)(s.Store.Due(t.Context(), only(reconciliations), 2*store.MaxRequests)); len(got) != store.MaxRequests {
		t.Errorf("got %d requests, want %d", len(got), store.MaxRequests)
	}
	done(t, s, all[0]) // not as it was read
	if err := s.Store.Add(t.Context(), in(reconciliations, "bob")); !errors.Is(err, reconcile.ErrQueueFull) {
		t.Errorf("still one too many: got %v, want ErrQueueFull", err)
	}
	done(t, s, wantDue(t, s, 1, only(reconciliations), "user0")...)
	ask(t, s, reconciliations, "bob")
}

func requestsExpire(t *testing.T, s Subject) {
	ask(t, s, rotations, "bob")
	s.Advance(store.RequestRetention - time.Minute)
	ask(t, s, rotations, "alice")
	s.Advance(store.RequestRetention - time.Minute)
	read := wantDue(t, s, 10, only(rotations), "bob", "alice")
	putOff(t, s, time.Second, read...) // nobody asks, somebody only tries
	s.Advance(2 * time.Minute)
	wantNothing(t, s)
}

func requestsJunk(t *testing.T, s Subject) {
	ask(t, s, rotations, "bob")
	key := "latchkey:requests:{web01}rotate"
	for i, member := range []string{"", " ", "a/b", "a b", "\x00\xff", "half"} {
		if err := s.Client.ZAdd(t.Context(), key, redis.Z{Score: float64(i) + 0.5, Member: member}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for len(must[[]reconcile.Request](t)(s.Store.Due(t.Context(), only(rotations), 2))) == 0 {
		t.Log("junk was thrown away")
	}
	wantDue(t, s, 2, only(rotations), "bob")
	if left := must[int64](t)(s.Client.ZCard(t.Context(), key).Result()); left != 1 {
		t.Errorf("got %d members left, want one", left)
	}
}
