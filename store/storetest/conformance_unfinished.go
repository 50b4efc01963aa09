package storetest

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

// unfinished are tests of writes that were not finished, or finished by somebody else.
func unfinished() []test {
	return []test{
		{"the fourth prepared token takes the place of the oldest", eviction},
		{"no token of any number of unfinished writes is taken for a wrong one", manyUnfinished},
		{"no change of subscriber makes a token that may stand on the server a wrong one", unfinishedForMany},
		{"promoting a superseded token and preparing a confirmed one change nothing", stalePromotion},
		{"a token that the store has lost is promoted for its subscriber alone", lostToken},
	}
}

func eviction(t *testing.T, s Subject) {
	hours := []time.Duration{2, 1, 3, 4} // the second is the oldest
	tokens := make([]broker.LinkToken, len(hours))
	apply(t, s, subscriber(aCustomer))
	for i, h := range hours {
		tokens[i] = newLinkToken(t)
		apply(t, s, prepare(aLink.App, tokens[i], created.Add(h*time.Hour)))
	}
	wantLink(t, s, reconcile.LinkRecord{Pending: 3})
	wantCause(t, s, "the oldest", tokens[1], broker.CauseSuperseded)
	for _, i := range []int{0, 2, 3} {
		wantCause(t, s, fmt.Sprint("token ", i), tokens[i], "")
	}
	apply(t, s, promote(aLink.App, tokens[1]))
	wantLink(t, s, reconcile.LinkRecord{Pending: 3})
	apply(t, s, promote(aLink.App, tokens[0]))
	wantLink(t, s, reconcile.LinkRecord{Confirmed: true, Created: created.Add(2 * time.Hour), Generation: 1, Written: written})
	for _, i := range []int{1, 2, 3} {
		wantCause(t, s, fmt.Sprint("token ", i, " after the promotion"), tokens[i], broker.CauseSuperseded)
	}
}

// Each token may be the one that stands on the server.
func manyUnfinished(t *testing.T, s Subject) {
	confirmed, stranger := newLinkToken(t), newLinkToken(t)
	apply(t, s, subscriber(aCustomer), prepare(aLink.App, confirmed, created), promote(aLink.App, confirmed))
	var tokens []broker.LinkToken
	for n := range 10 {
		tokens = append(tokens, newLinkToken(t))
		apply(t, s, prepare(aLink.App, tokens[n], created.Add(time.Duration(n)*time.Hour)))
		wantCause(t, s, "the confirmed token", confirmed, "")
		for i, token := range tokens {
			want := broker.CauseSuperseded
			if i > n-3 {
				want = ""
			}
			wantCause(t, s, fmt.Sprintf("token %d of %d", i, n), token, want)
		}
		want := broker.CauseToken
		if n >= 3 { // it might be one that is not remembered
			want = broker.CauseSuperseded
		}
		wantCause(t, s, fmt.Sprintf("a token that never was, after %d", n), stranger, want)
	}
	if got := must[string](t)(s.Client.HGet(t.Context(), keyOf(t, s), aLink.App).Result()); len(got) > 64 {
		t.Errorf("the link's field has %d bytes, want 64 at most: Redis would not keep the account compact", len(got))
	}

	// One is confirmed while others may still be executed, and then one alone.
	apply(t, s, promote(aLink.App, tokens[9]))
	wantCause(t, s, "the token that was promoted", tokens[9], "")
	for i, token := range append(tokens[:9:9], confirmed) {
		wantCause(t, s, fmt.Sprintf("token %d after a promotion", i), token, broker.CauseSuperseded)
	}
	last := newLinkToken(t)
	apply(t, s, prepare(aLink.App, last, created), promote(aLink.App, last))
	wantCause(t, s, "the token before the last", tokens[9], broker.CauseSuperseded)
	wantCause(t, s, "a token that never was, after a write that was finished", stranger, broker.CauseToken)

	// Another subscriber supersedes more at once than are remembered.
	for n := range 3 {
		apply(t, s, prepare(aLink.App, tokens[n], created.Add(time.Duration(n)*time.Hour)))
	}
	apply(t, s, subscriber("4321"))
	for i, token := range append(tokens[:3:3], last) {
		wantCause(t, s, fmt.Sprintf("token %d of the former subscriber", i), token, broker.CauseSuperseded)
	}
}

// Another subscriber finishes no write, however often it happens.
func unfinishedForMany(t *testing.T, s Subject) {
	tests := []struct {
		name   string
		writes []int // none of them answered, before each change of subscriber
	}{
		{"one write after each change", []int{0, 1, 1, 1}},
		{"more writes than are remembered, and none after the change", []int{7, 0}},
		{"as many writes as are remembered, and one more", []int{2, 1, 0}},
	}
	for _, tt := range tests {
		onServer, stranger, last := newLinkToken(t), newLinkToken(t), newLinkToken(t)
		apply(t, s, subscriber("0"), prepare(aLink.App, onServer, created), promote(aLink.App, onServer))
		former := []broker.LinkToken{onServer}
		at := created
		for change, writes := range tt.writes {
			for range writes {
				token := newLinkToken(t)
				former, at = append(former, token), at.Add(time.Hour)
				apply(t, s, prepare(aLink.App, token, at))
			}
			apply(t, s, subscriber(fmt.Sprint(change+1)))
			for i, token := range former {
				wantCause(t, s, fmt.Sprintf("%s: token %d after change %d", tt.name, i, change+1), token, broker.CauseSuperseded)
			}
			want := broker.CauseToken
			if len(former) > 3 { // it might be one that is not remembered
				want = broker.CauseSuperseded
			}
			wantCause(t, s, fmt.Sprintf("%s: a token that never was after change %d", tt.name, change+1), stranger, want)
		}
		apply(t, s, prepare(aLink.App, last, at), promote(aLink.App, last))
		wantCause(t, s, tt.name+": a token that never was, after a write that was finished", stranger, broker.CauseToken)
		apply(t, s, forget(aLink.App))
	}
}

func stalePromotion(t *testing.T, s Subject) {
	stale, confirmed, pending := newLinkToken(t), newLinkToken(t), newLinkToken(t)
	apply(t, s, subscriber(aCustomer), prepare(aLink.App, stale, created), prepare(aLink.App, confirmed, created), promote(aLink.App, confirmed), prepare(aLink.App, pending, created))
	before := Dump(t, s.Client)
	apply(t, s, promote(aLink.App, stale), promote(aLink.App, confirmed), prepare(aLink.App, confirmed, created))
	if after := Dump(t, s.Client); after != before {
		t.Errorf("got  %s\nwant %s", after, before)
	}
}

func lostToken(t *testing.T, s Subject) {
	former, lost := newLinkToken(t), newLinkToken(t)
	promotion := promote(aLink.App, lost)
	promotion.Created, promotion.Written = created.Add(time.Hour), writtenLater
	confirmed := reconcile.LinkRecord{Confirmed: true, Created: created.Add(time.Hour), Generation: 1, Written: writtenLater}
	later := confirmed
	later.Generation = 2
	rewritten := reconcile.LinkRecord{Confirmed: true, Created: created, Generation: 1}
	tests := []struct {
		name string
		left []reconcile.Change // what the store has still
		lost bool
		want map[string]reconcile.LinkRecord
	}{
		{"everything is gone", nil, true, nil},
		{"the subscriber is there", []reconcile.Change{subscriber(aCustomer)}, false, map[string]reconcile.LinkRecord{aLink.App: confirmed}},
		{"the former token is there", []reconcile.Change{subscriber(aCustomer), prepare(aLink.App, former, created), promote(aLink.App, former)}, false,
			map[string]reconcile.LinkRecord{aLink.App: later}},
		{"the former token is another subscriber's", []reconcile.Change{subscriber("4321"), prepare(aLink.App, former, created), promote(aLink.App, former)}, true,
			map[string]reconcile.LinkRecord{aLink.App: rewritten}},
		{"a link without its subscriber is there", []reconcile.Change{prepare(aLink.App, former, created), promote(aLink.App, former)}, true,
			map[string]reconcile.LinkRecord{aLink.App: rewritten}},
		{"another link of another subscriber is there", []reconcile.Change{subscriber("4321"), prepare("latchkey_b", former, created)}, true,
			map[string]reconcile.LinkRecord{"latchkey_b": {Pending: 1}}},
		{"it was dropped for another subscriber", []reconcile.Change{subscriber(aCustomer), prepare(aLink.App, lost, created), subscriber("4321")}, false,
			map[string]reconcile.LinkRecord{aLink.App: {}}},
	}
	for _, tt := range tests {
		if len(tt.left) > 0 {
			apply(t, s, tt.left...)
		}
		for range 2 { // sent twice, it has the same effect
			if err := write(t, s, aFence, promotion, group("latchkey", written)); errors.Is(err, reconcile.ErrLost) != tt.lost || (!tt.lost && err != nil) {
				t.Errorf("%s: got error %v, want ErrLost: %v", tt.name, err, tt.lost)
			}
			if got := load(t, s); !reflect.DeepEqual(got.Links, tt.want) || got.Group.ID != "latchkey" {
				t.Errorf("%s:\ngot  %+v\nwant the group and %+v", tt.name, got, tt.want)
			}
		}
		for _, id := range []string{aCustomer, "4321"} {
			in := issueInput(t, lost)
			in.Subscriber, in.CheckOnly = id, true
			_, err := s.Store.Issue(t.Context(), in)
			if want := tt.want[aLink.App].Written == writtenLater && id == aCustomer; (err == nil) != want {
				t.Errorf("%s: the token for %s: got error %v, want it accepted: %v", tt.name, id, err, want)
			}
		}
		if tt.want[aLink.App] == later {
			wantCause(t, s, "the former token", former, broker.CauseSuperseded)
		}
		apply(t, s, forget(aLink.App), forget("latchkey_b"), forgetGroup())
		wantNothing(t, s)
	}
}
