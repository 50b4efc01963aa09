package storetest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
	"github.com/latchkey-sso/latchkey/store"
)

func byHand() []test {
	return []test{
		{"links are kept, replaced, listed and removed", links},
		{"an account has one subscriber", oneSubscriber},
		{"a link that is replaced by hand supersedes its former tokens", replacedByHand},
		{"a link whose first writing was not finished is listed and removed", unfinishedByHand},
		{"a link removed by hand leaves the group's record", groupOutlivesLinks},
	}
}

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
		r.Token = broker.Digest{} // is not listed
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
	for _, token := range []broker.Digest{{}, {20: 1}} { // zeros as far as they are stored
		again.Token = token
		if err := s.Store.PutLink(ctx, again, true); err == nil {
			t.Errorf("put a link without a token (%x): got no error", token[:])
		}
	}
	again.Token = newLinkToken(t).Digest()
	if err := s.Store.PutLink(ctx, again, false); !errors.Is(err, store.ErrLinkExists) {
		t.Errorf("put a link twice: got %v, want ErrLinkExists", err)
	}
	wantLinks("web01", want[:3]...)
	if err := s.Store.PutLink(ctx, again, true); err != nil {
		t.Errorf("replace: %v", err)
	}
	again.Token, again.Generation = broker.Digest{}, 2
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

func replacedByHand(t *testing.T, s Subject) {
	first, pending, second := register(t, s), newLinkToken(t), newLinkToken(t)
	apply(t, s, prepare("latchkey_billing", pending, created))
	r := store.LinkRecord{Link: aLink, Subscriber: aCustomer, Token: second.Digest(), Created: created.Add(time.Hour)}
	for i := range 2 { // the second time as a lost reply makes it
		if err := s.Store.PutLink(t.Context(), r, true); err != nil {
			t.Fatalf("replace, call %d: %v", i+1, err)
		}
	}
	wantLink(t, s, reconcile.LinkRecord{Confirmed: true, Created: r.Created, Generation: 2})
	wantCause(t, s, "the new token", second, "")
	wantCause(t, s, "the former token", first, broker.CauseSuperseded)
	wantCause(t, s, "the prepared token", pending, broker.CauseSuperseded)
}

func unfinishedByHand(t *testing.T, s Subject) {
	first, second := newLinkToken(t), newLinkToken(t)
	apply(t, s, subscriber(aCustomer), prepare("latchkey_billing", second, created.Add(time.Minute)), prepare("latchkey_billing", first, created))
	want := store.LinkRecord{Link: aLink, Subscriber: aCustomer, Created: created.Add(time.Minute)}
	got := must[[]store.LinkRecord](t)(s.Store.Links(t.Context(), ""))
	if len(got) != 1 || got[0] != want {
		t.Errorf("links: got %v, want %v", got, want)
	}
	replacement := store.LinkRecord{Link: aLink, Subscriber: aCustomer, Token: newLinkToken(t).Digest(), Created: created}
	if err := s.Store.PutLink(t.Context(), replacement, false); !errors.Is(err, store.ErrLinkExists) {
		t.Errorf("put a link that is being written: got %v, want ErrLinkExists", err)
	}
	if !must[bool](t)(s.Store.RemoveLink(t.Context(), aLink)) {
		t.Error("remove: got false, want true")
	}
	wantNothing(t, s)
}

func groupOutlivesLinks(t *testing.T, s Subject) {
	register(t, s)
	apply(t, s, group("latchkey", written))
	must[bool](t)(s.Store.RemoveLink(t.Context(), aLink))
	got := load(t, s)
	if got.Group.ID != "latchkey" || got.Subscriber != aCustomer || len(got.Links) != 0 {
		t.Errorf("got %+v, want the group and the subscriber alone", got)
	}
}
