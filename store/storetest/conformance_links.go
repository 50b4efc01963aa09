package storetest

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/store"
)

func links(t *testing.T, s Subject) {
	ctx := t.Context()
	want := []store.LinkRecord{}
	for _, name := range [][3]string{{"web01", "alice", "latchkey_a"}, {"web01", "bob", "latchkey_a"}, {"web01", "bob", "latchkey_b"}, {"web02", "bob", "latchkey_a"}} {
		r := store.LinkRecord{
			Link:       broker.Link{Account: broker.Account{Server: name[0], User: name[1]}, App: name[2]},
			Subscriber: "s-" + name[1], Token: newLinkToken(t).Digest(), Created: created, Generation: 1,
		}
		if err := s.Store.PutLink(ctx, r, false); err != nil {
			t.Fatal(err)
		}
		want = append(want, r)
	}
	wantLinks := func(server string, want ...store.LinkRecord) {
		t.Helper()
		got := must[[]store.LinkRecord](t)(s.Store.Links(ctx, server))
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("links of %q:\ngot  %v\nwant %v", server, got, want)
		}
	}
	wantLinks("", want...)
	wantLinks("web01", want[:3]...)
	wantLinks("web0")
	wantLinks("web*")

	again := want[1]
	again.Token = newLinkToken(t).Digest()
	if err := s.Store.PutLink(ctx, again, false); !errors.Is(err, store.ErrLinkExists) {
		t.Errorf("put a link twice: got %v, want ErrLinkExists", err)
	}
	wantLinks("web01", want[:3]...)
	if err := s.Store.PutLink(ctx, again, true); err != nil {
		t.Errorf("replace: %v", err)
	}
	again.Generation = 2
	wantLinks("web01", want[0], again, want[2])

	for i, wantRemoved := range []bool{true, false} {
		if removed := must[bool](t)(s.Store.RemoveLink(ctx, want[3].Link)); removed != wantRemoved {
			t.Errorf("remove, call %d: got %v, want %v", i+1, removed, wantRemoved)
		}
	}
	wantLinks("web02")
	if dump := Dump(t, s.Client); strings.Contains(dump, "web02") {
		t.Errorf("the last link left something behind:\n%s", dump)
	}
}

func oneSubscriber(t *testing.T, s Subject) {
	register(t, s)
	r := store.LinkRecord{
		Link: broker.Link{Account: aLink.Account, App: "latchkey_b"}, Subscriber: "other",
		Token: newLinkToken(t).Digest(), Created: created,
	}
	for _, replace := range []bool{false, true} {
		if err := s.Store.PutLink(t.Context(), r, replace); !errors.Is(err, store.ErrOtherSubscriber) {
			t.Errorf("replace %v: got %v, want ErrOtherSubscriber", replace, err)
		}
	}
	must[bool](t)(s.Store.RemoveLink(t.Context(), aLink))
	if err := s.Store.PutLink(t.Context(), r, false); err != nil {
		t.Errorf("after the other subscriber's last link is gone: %v", err)
	}
}
