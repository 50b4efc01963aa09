package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/store"
)

func catalogue() []test {
	return []test{
		{"revisions are published one upon the other", revisions},
		{"of racing publishers one wins", publishRace},
		{"the oldest revisions are forgotten", revisionsForgotten},
		{"the status tells the revision and whether a daemon lives", status},
	}
}

func aRevision(author string) broker.Revision {
	return broker.Revision{
		Author: author, Source: broker.SourceFile, At: created.UTC(), Changes: []string{"invoices: added"},
		Group: broker.Group{ID: "latchkey", Label: "Billing & Support", Order: 1},
		Links: []broker.LinkDefinition{{ID: "invoices", Enabled: true, Label: "Ünvoices", Icon: []byte{0, 1, 255}, Portal: "portal", Path: "/invoices"}},
	}
}

func publish(t *testing.T, s Subject, author string, base int) broker.Revision {
	t.Helper()
	return must[broker.Revision](t)(s.Store.Publish(t.Context(), aRevision(author), base))
}

func wantConflict(t *testing.T, s Subject, base, current int) {
	t.Helper()
	_, err := s.Store.Publish(t.Context(), aRevision("somebody"), base)
	if conflict, is := errors.AsType[*store.RevisionConflictError](err); !is || conflict.Current != current {
		t.Errorf("publish on %d: got error %v, want a conflict with %d", base, err, current)
	}
}

func revisions(t *testing.T, s Subject) {
	for _, number := range []int{0, 1, -1} {
		if _, err := s.Store.Revision(t.Context(), number); !errors.Is(err, store.ErrNoRevision) {
			t.Errorf("revision %d of nothing: got error %v, want ErrNoRevision", number, err)
		}
	}
	if got := must[[]broker.Revision](t)(s.Store.Revisions(t.Context(), 10)); len(got) != 0 {
		t.Errorf("revisions of nothing: got %+v", got)
	}
	wantConflict(t, s, 1, 0)
	var all []broker.Revision
	for i, author := range []string{"alice", "bob", "carol"} {
		want := aRevision(author)
		want.Number = i + 1
		for range 2 { // the second time as a lost reply makes it
			if got := publish(t, s, author, i); !reflect.DeepEqual(got, want) {
				t.Errorf("published: got %+v, want %+v", got, want)
			}
		}
		all = append([]broker.Revision{want}, all...)
	}
	for _, base := range []int{0, 2, 4, -1} {
		wantConflict(t, s, base, 3)
	}
	if got := must[[]broker.Revision](t)(s.Store.Revisions(t.Context(), 10)); !reflect.DeepEqual(got, all) {
		t.Errorf("revisions:\ngot  %+v\nwant %+v", got, all)
	}
	if got := must[[]broker.Revision](t)(s.Store.Revisions(t.Context(), 2)); !reflect.DeepEqual(got, all[:2]) {
		t.Errorf("two revisions:\ngot  %+v\nwant %+v", got, all[:2])
	}
	for number, want := range map[int]broker.Revision{0: all[0], 3: all[0], 1: all[2]} {
		if got := must[broker.Revision](t)(s.Store.Revision(t.Context(), number)); !reflect.DeepEqual(got, want) {
			t.Errorf("revision %d: got %+v, want %+v", number, got, want)
		}
	}
	if _, err := s.Store.Revision(t.Context(), 4); !errors.Is(err, store.ErrNoRevision) {
		t.Errorf("revision 4: got error %v, want ErrNoRevision", err)
	}
}

func publishRace(t *testing.T, s Subject) {
	const publishers = 8
	errs := make([]error, publishers)
	var wg sync.WaitGroup
	for i := range publishers {
		wg.Go(func() {
			_, errs[i] = s.Store.Publish(context.Background(), aRevision(fmt.Sprint("author ", i)), 0)
		})
	}
	wg.Wait()
	author := ""
	for i, err := range errs {
		switch conflict, is := errors.AsType[*store.RevisionConflictError](err); {
		case err == nil && author == "":
			author = fmt.Sprint("author ", i)
		case err == nil:
			t.Errorf("%s and author %d have both published", author, i)
		case !is || conflict.Current != 1:
			t.Errorf("author %d: got %v, want a conflict with 1", i, err)
		}
	}
	if got := must[broker.Revision](t)(s.Store.Revision(t.Context(), 0)); got.Author != author || got.Number != 1 {
		t.Errorf("in force: got %d by %s, want 1 by %s", got.Number, got.Author, author)
	}
}

func revisionsForgotten(t *testing.T, s Subject) {
	const more = 3
	for i := range store.MaxRevisions + more {
		publish(t, s, "alice", i)
	}
	got := must[[]broker.Revision](t)(s.Store.Revisions(t.Context(), 2*store.MaxRevisions))
	if len(got) != store.MaxRevisions || got[0].Number != store.MaxRevisions+more || got[len(got)-1].Number != more+1 {
		t.Errorf("got %d revisions from %d to %d, want the newest %d", len(got), got[0].Number, got[len(got)-1].Number, store.MaxRevisions)
	}
	if _, err := s.Store.Revision(t.Context(), more); !errors.Is(err, store.ErrNoRevision) {
		t.Errorf("revision %d: got error %v, want ErrNoRevision", more, err)
	}
}

func status(t *testing.T, s Subject) {
	want := func(what string, want store.Status) {
		t.Helper()
		got := must[store.Status](t)(s.Store.Status(t.Context()))
		want.Now = got.Now
		if got != want {
			t.Errorf("%s: got %+v, want %+v", what, got, want)
		}
	}
	beat := func() {
		t.Helper()
		if err := s.Store.Beat(t.Context(), 10*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	want("at first", store.Status{})
	publish(t, s, "alice", 0)
	want("one revision", store.Status{Revision: 1})
	beat()
	want("a daemon", store.Status{Revision: 1, Daemon: true})
	s.Advance(9 * time.Second)
	beat()
	s.Advance(9 * time.Second)
	want("a daemon that beats", store.Status{Revision: 1, Daemon: true})
	s.Advance(2 * time.Second)
	want("a daemon that fell silent", store.Status{Revision: 1})
	beat()
	for range 2 {
		if err := s.Store.Resign(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	want("a daemon that has ended", store.Status{Revision: 1})
	for _, ttl := range []time.Duration{0, -1, time.Microsecond} {
		if err := s.Store.Beat(t.Context(), ttl); err == nil {
			t.Errorf("a sign of life for %v: got no error", ttl)
		}
	}
	want("at last", store.Status{Revision: 1})
}
