package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

func leases() []test {
	return []test{
		{"one worker has a server", leaseExclusive},
		{"a lease ends unless it is renewed", leaseExpires},
		{"a lease is given back by its holder alone", leaseReleased},
		{"of racing workers one gets the lease", leaseRace},
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
		{"a rotation keeps its time, a reconciliation takes the new one", requestsAgain},
		{"a request that was added again meanwhile stays", requestsDone},
		{"what is no request is thrown away", requestsJunk},
	}
}

func request(kind reconcile.RequestKind, user string, after time.Duration) reconcile.Request {
	return reconcile.Request{Account: broker.Account{Server: "web01", User: user}, Kind: kind, Due: created.Add(after)}
}

func add(t *testing.T, s Subject, list ...reconcile.Request) {
	t.Helper()
	if err := s.Store.Add(t.Context(), list...); err != nil {
		t.Fatalf("add: %v", err)
	}
}

func wantDue(t *testing.T, s Subject, after time.Duration, limit int, want ...reconcile.Request) {
	t.Helper()
	got := must[[]reconcile.Request](t)(s.Store.Due(t.Context(), created.Add(after), limit))
	if len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
		t.Errorf("due after %v, %d at most:\ngot  %v\nwant %v", after, limit, got, want)
	}
}

func requestsDue(t *testing.T, s Subject) {
	late, early, middle := request(reconcile.RequestRotate, "late", 3*time.Second), request(reconcile.RequestReconcile, "early", time.Millisecond), request(reconcile.RequestRotate, "middle", time.Second)
	add(t, s)
	wantDue(t, s, time.Hour, 10)
	add(t, s, late, early, middle)
	wantDue(t, s, 0, 10)
	wantDue(t, s, time.Millisecond, 10, early)
	wantDue(t, s, 3*time.Second-time.Millisecond, 10, early, middle)
	wantDue(t, s, time.Hour, 10, early, middle, late)
	wantDue(t, s, time.Hour, 2, early, middle)
	wantDue(t, s, time.Hour, 0)
	for _, bad := range []reconcile.Request{
		{}, request("", "bob", 0), request("remove", "bob", 0), request(reconcile.RequestRotate, "", 0), request(reconcile.RequestRotate, "b b", 0), request(reconcile.RequestRotate, "b/b", 0),
	} {
		if err := s.Store.Add(t.Context(), bad); err == nil {
			t.Errorf("add %+v: got no error", bad)
		}
	}
}

func requestsAgain(t *testing.T, s Subject) {
	rotate, look := request(reconcile.RequestRotate, "bob", time.Second), request(reconcile.RequestReconcile, "bob", 2*time.Second)
	add(t, s, rotate, look)
	later, sooner := request(reconcile.RequestReconcile, "bob", 5*time.Second), request(reconcile.RequestReconcile, "bob", 0)
	add(t, s, request(reconcile.RequestRotate, "bob", 4*time.Second), later)
	wantDue(t, s, time.Hour, 10, rotate, later)
	if err := s.Store.RequestRotation(t.Context(), rotate.Account, created); err != nil {
		t.Fatal(err)
	}
	add(t, s, sooner)
	wantDue(t, s, time.Hour, 10, sooner, rotate)
	if err := s.Store.RequestRotation(t.Context(), broker.Account{Server: "web02", User: "eve"}, created.Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	wantDue(t, s, 0, 1, reconcile.Request{Account: broker.Account{Server: "web02", User: "eve"}, Kind: reconcile.RequestRotate, Due: created.Add(-time.Second)})
}

func requestsDone(t *testing.T, s Subject) {
	look, rotate, other := request(reconcile.RequestReconcile, "bob", 0), request(reconcile.RequestRotate, "bob", 0), request(reconcile.RequestRotate, "alice", time.Second)
	add(t, s, look, rotate, other)
	again := request(reconcile.RequestReconcile, "bob", time.Millisecond)
	add(t, s, again) // while the first is being done
	for range 2 {
		if err := s.Store.Done(t.Context(), look, rotate); err != nil {
			t.Fatal(err)
		}
	}
	wantDue(t, s, time.Hour, 10, again, other)
	if err := s.Store.Done(t.Context(), again, other); err != nil {
		t.Fatal(err)
	}
	if err := s.Store.Done(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantNothing(t, s)
}

func requestsJunk(t *testing.T, s Subject) {
	good := request(reconcile.RequestRotate, "bob", time.Second)
	add(t, s, good)
	for i, member := range []string{"", "rotate", "rotate ", "rotate web01", "rotate /bob", "rotate web01/", "rotate web01/bob/x", "remove web01/bob", " web01/bob", "rotate  web01/bob", "\x00\xff"} {
		if err := s.Client.ZAdd(t.Context(), "latchkey:requests", redis.Z{Score: float64(i) + 0.5, Member: member}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	wantDue(t, s, time.Hour, 2, good)
	if left := must[int64](t)(s.Client.ZCard(t.Context(), "latchkey:requests").Result()); left != 1 {
		t.Errorf("got %d members left, want one", left)
	}
}
