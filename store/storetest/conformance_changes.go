package storetest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
	"github.com/latchkey-sso/latchkey/store"
)

func changes() []test {
	return []test{
		{"a token is prepared, promoted and superseded", rotation},
		{"changes sent twice have the same effect", changesTwice},
		{"prepared tokens are accepted beside the confirmed one, each with its age", preparedTokens},
		{"a dropped token is dead", droppedToken},
		{"another subscriber ends all tokens of the account at once", otherSubscriber},
		{"three superseded tokens are remembered", remembered},
		{"20 bytes of a link token's digest are stored and every one is compared", storedDigest},
		{"a digest of zeros is never accepted", zeroDigest},
		{"forgetting leaves nothing behind", forgotten},
		{"a group is recorded and forgotten", groups},
		{"generations end at 65535", lastGeneration},
		{"changes that would damage a record are refused", refusedChanges},
	}
}

func rotation(t *testing.T, s Subject) {
	first, second := newLinkToken(t), newLinkToken(t)
	wantCause(t, s, "before anything", first, broker.CauseNoLink)

	apply(t, s, subscriber(aCustomer), prepare(aLink.App, first, created))
	wantLink(t, s, reconcile.LinkRecord{Pending: 1})
	wantCause(t, s, "the first token, prepared", first, "")
	wantCause(t, s, "another one", second, broker.CauseToken)

	apply(t, s, promote(aLink.App, first))
	wantLink(t, s, reconcile.LinkRecord{Confirmed: true, Created: created, Generation: 1, Written: written})

	later := prepare(aLink.App, second, created.Add(time.Hour))
	later.Written = writtenLater
	apply(t, s, later)
	wantLink(t, s, reconcile.LinkRecord{Confirmed: true, Created: created, Generation: 1, Written: written, Pending: 1})
	wantCause(t, s, "the first token beside the second", first, "")
	wantCause(t, s, "the second token beside the first", second, "")

	apply(t, s, promote(aLink.App, second))
	wantLink(t, s, reconcile.LinkRecord{Confirmed: true, Created: created.Add(time.Hour), Generation: 2, Written: writtenLater})
	wantCause(t, s, "the first token, superseded", first, broker.CauseSuperseded)
	wantCause(t, s, "the second token, promoted", second, "")
	other := issueInput(t, second)
	other.Subscriber = "4321"
	wantCauseFor(t, s, "the second token for another subscriber", other, broker.CauseSubscriber)
}

func changesTwice(t *testing.T, s Subject) {
	first, second, third := newLinkToken(t), newLinkToken(t), newLinkToken(t)
	lists := []struct {
		name string
		list []reconcile.Change
	}{
		{"prepare", []reconcile.Change{subscriber(aCustomer), prepare(aLink.App, first, created), prepare("latchkey_b", first, created)}},
		{"promote", []reconcile.Change{promote(aLink.App, first), group("latchkey", written)}},
		{"prepare what is confirmed", []reconcile.Change{prepare(aLink.App, first, created)}},
		{"another subscriber", []reconcile.Change{subscriber("4321"), prepare(aLink.App, second, created), promote("latchkey_b", first)}},
		{"promote again", []reconcile.Change{promote(aLink.App, second), prepare(aLink.App, third, created)}},
		{"drop", []reconcile.Change{drop(aLink.App, third)}},
		{"forget", []reconcile.Change{forgetGroup(), forget("latchkey_b"), forget(aLink.App)}},
	}
	for _, tt := range lists {
		apply(t, s, tt.list...)
		once := Dump(t, s.Client)
		apply(t, s, tt.list...)
		if twice := Dump(t, s.Client); twice != once {
			t.Errorf("%s sent twice:\ngot  %q\nwant %q", tt.name, twice, once)
		}
	}
	wantNothing(t, s)
}

func preparedTokens(t *testing.T, s Subject) {
	apply(t, s, subscriber(aCustomer))
	tokens := make([]broker.LinkToken, 4)
	for i := range tokens {
		tokens[i] = newLinkToken(t)
		apply(t, s, prepare(aLink.App, tokens[i], created.Add(time.Duration(i)*time.Hour)))
		if i == 0 {
			apply(t, s, promote(aLink.App, tokens[i]))
		}
	}
	for i, token := range tokens {
		in := issueInput(t, token)
		at := created.Add(time.Duration(i) * time.Hour)
		if got := must[broker.Issued](t)(s.Store.Issue(t.Context(), in)).Created; !got.Equal(at) {
			t.Errorf("token %d was created: got %v, want %v", i, got, at)
		}
		in = issueInput(t, token)
		in.NotBefore = created.Add(90 * time.Minute)
		want := broker.CauseAged
		if i >= 2 {
			want = ""
		}
		wantCauseFor(t, s, fmt.Sprintf("token %d, when those of the first 90 minutes are aged", i), in, want)
	}
	wantLink(t, s, reconcile.LinkRecord{Confirmed: true, Created: created, Generation: 1, Written: written, Pending: 3})
}

func droppedToken(t *testing.T, s Subject) {
	confirmed, pending := newLinkToken(t), newLinkToken(t)
	apply(t, s, subscriber(aCustomer), prepare(aLink.App, confirmed, created), promote(aLink.App, confirmed), prepare(aLink.App, pending, created))
	apply(t, s, drop(aLink.App, pending), drop(aLink.App, confirmed))
	wantLink(t, s, reconcile.LinkRecord{Confirmed: true, Created: created, Generation: 1, Written: written})
	wantCause(t, s, "the dropped token", pending, broker.CauseToken)
	wantCause(t, s, "the confirmed token", confirmed, "")

	apply(t, s, prepare("latchkey_b", pending, created), drop("latchkey_b", pending))
	if _, there := load(t, s).Links["latchkey_b"]; there {
		t.Error("the link whose only token was dropped is there, want none")
	}
}

func otherSubscriber(t *testing.T, s Subject) {
	confirmed, pending, first, fresh := newLinkToken(t), newLinkToken(t), newLinkToken(t), newLinkToken(t)
	apply(t, s, subscriber(aCustomer), group("latchkey", written),
		prepare(aLink.App, confirmed, created), promote(aLink.App, confirmed), prepare(aLink.App, pending, created),
		prepare("latchkey_b", first, created))
	apply(t, s, subscriber(aCustomer))
	wantCause(t, s, "the same subscriber again", confirmed, "")

	apply(t, s, subscriber("4321"))
	wantLinks(t, s, map[string]reconcile.LinkRecord{aLink.App: {Generation: 1}, "latchkey_b": {}})
	if got := load(t, s); got.Subscriber != "4321" || got.Group.ID != "latchkey" {
		t.Errorf("got subscriber %q and group %+v, want 4321 and the group as before", got.Subscriber, got.Group)
	}
	for _, id := range []string{aCustomer, "4321"} {
		for name, of := range map[string]struct {
			app   string
			token broker.LinkToken
		}{
			"confirmed": {aLink.App, confirmed}, "prepared": {aLink.App, pending}, "first": {"latchkey_b", first},
		} {
			in := issueInputFor(t, broker.Link{Account: aLink.Account, App: of.app}, of.token)
			in.Subscriber = id
			wantCauseFor(t, s, "the "+name+" token for "+id, in, broker.CauseSuperseded)
		}
	}

	apply(t, s, prepare(aLink.App, fresh, created), promote(aLink.App, fresh))
	wantLinks(t, s, map[string]reconcile.LinkRecord{
		aLink.App: {Confirmed: true, Created: created, Generation: 2, Written: written}, "latchkey_b": {},
	})
	wantCause(t, s, "a fresh token for the former subscriber", fresh, broker.CauseSubscriber)
	wantCause(t, s, "the token of the former subscriber", confirmed, broker.CauseSuperseded)
}

func remembered(t *testing.T, s Subject) {
	apply(t, s, subscriber(aCustomer))
	var tokens []broker.LinkToken
	for range 6 {
		token := newLinkToken(t)
		tokens = append(tokens, token)
		apply(t, s, prepare(aLink.App, token, created), promote(aLink.App, token))
	}
	for i, token := range tokens {
		want := broker.CauseSuperseded
		switch {
		case i < 2:
			want = broker.CauseToken
		case i == 5:
			want = ""
		}
		wantCause(t, s, fmt.Sprint("token ", i, " of 6"), token, want)
	}
	// Of tokens that were superseded at once the newer are remembered longer.
	old, newer, chosen, last := newLinkToken(t), newLinkToken(t), newLinkToken(t), newLinkToken(t)
	apply(t, s, prepare(aLink.App, old, created), prepare(aLink.App, newer, created.Add(time.Second)), prepare(aLink.App, chosen, created), promote(aLink.App, chosen))
	apply(t, s, prepare(aLink.App, last, created), promote(aLink.App, last))
	wantCause(t, s, "the newer", newer, broker.CauseSuperseded)
	wantCause(t, s, "the older", old, broker.CauseToken)
	for field, value := range must[map[string]string](t)(s.Client.HGetAll(t.Context(), keyOf(t, s)).Result()) {
		if len(value) > 64 {
			t.Errorf("field %s has %d bytes, want 64 at most: Redis would not keep the account compact", field, len(value))
		}
	}
}

// storedDigest uses digests that are equal but for one byte, which no two tokens have.
func storedDigest(t *testing.T, s Subject) {
	const stored = 20
	confirmed, prepared := newLinkToken(t), newLinkToken(t)
	record := store.LinkRecord{Link: aLink, Subscriber: aCustomer, Token: confirmed.Digest(), Created: created}
	if err := s.Store.PutLink(t.Context(), record, false); err != nil {
		t.Fatal(err)
	}
	apply(t, s, prepare(aLink.App, prepared, created))
	fields := must[map[string]string](t)(s.Client.HGetAll(t.Context(), keyOf(t, s)).Result())
	confirmedDigest, preparedDigest := confirmed.Digest(), prepared.Digest()
	seconds := string(binary.BigEndian.AppendUint32(nil, uint32(created.Unix())))
	for field, want := range map[string]string{
		aLink.App:        string(confirmedDigest[:stored]) + seconds + "\x00\x01" + "\x00\x00\x00\x00\x00",
		aLink.App + "/1": string(preparedDigest[:stored]) + seconds + string(written[:]),
	} {
		if got := fields[field]; got != want {
			t.Errorf("field %s:\ngot  %x\nwant %x", field, got, want)
		}
	}

	before := Dump(t, s.Client)
	for i := range len(broker.Digest{}) {
		want := broker.CauseToken
		if i >= stored {
			want = ""
		}
		for name, token := range map[string]broker.LinkToken{"confirmed": confirmed, "prepared": prepared} {
			in := issueInput(t, token)
			in.LinkToken[i] ^= 1
			in.CheckOnly = true
			wantCauseFor(t, s, fmt.Sprintf("the %s token with another byte %d", name, i), in, want)
		}
		if i >= stored {
			continue
		}
		other := record
		other.Token[i] ^= 1
		if err := s.Store.PutLink(t.Context(), other, false); !errors.Is(err, store.ErrLinkExists) {
			t.Errorf("put a link with another byte %d: got %v, want ErrLinkExists", i, err)
		}
		promotion, removal := promote(aLink.App, prepared), drop(aLink.App, prepared)
		promotion.Token[i] ^= 1
		promotion.Subscriber = "" // so that it is not taken for one that was lost
		removal.Token[i] ^= 1
		if err := write(t, s, aFence, promotion, removal); !errors.Is(err, reconcile.ErrLost) {
			t.Errorf("promote a token with another byte %d: got %v, want ErrLost", i, err)
		}
	}
	if after := Dump(t, s.Client); after != before {
		t.Errorf("tokens with another byte:\ngot  %q\nwant %q", after, before)
	}
}

func zeroDigest(t *testing.T, s Subject) {
	token := newLinkToken(t)
	apply(t, s, subscriber("4321"), prepare(aLink.App, token, created), promote(aLink.App, token))
	apply(t, s, subscriber(aCustomer))
	for _, zeros := range []broker.Digest{{}, {20: 1}} { // as far as they are stored
		in := issueInput(t, token)
		in.LinkToken = zeros
		wantCauseFor(t, s, "zeros for a link without a token", in, broker.CauseToken)
	}
	apply(t, s, prepare(aLink.App, token, created), promote(aLink.App, token))
	in := issueInput(t, token)
	in.LinkToken = broker.Digest{}
	wantCauseFor(t, s, "zeros for a link that was without a token", in, broker.CauseToken)
}

func forgotten(t *testing.T, s Subject) {
	token := newLinkToken(t)
	fill := []reconcile.Change{
		subscriber(aCustomer), prepare(aLink.App, token, created), promote(aLink.App, token), prepare(aLink.App, newLinkToken(t), created),
		prepare("latchkey_b", token, created), group("latchkey", written),
	}
	tests := []struct {
		name string
		list []reconcile.Change
		left bool
	}{
		{"the links, then the group", []reconcile.Change{forget(aLink.App), forget("latchkey_b"), forgetGroup()}, false},
		{"the group, then the links", []reconcile.Change{forgetGroup(), forget(aLink.App), forget("latchkey_b")}, false},
		{"the links alone", []reconcile.Change{forget(aLink.App), forget("latchkey_b")}, true},
		{"the group and one link", []reconcile.Change{forgetGroup(), forget("latchkey_b")}, true},
		{"everything, and then a subscriber", []reconcile.Change{forget(aLink.App), forget("latchkey_b"), forgetGroup(), subscriber("4321")}, true},
		{"everything, after the subscriber was set", []reconcile.Change{subscriber("4321"), forget(aLink.App), forget("latchkey_b"), forgetGroup()}, false},
	}
	for _, tt := range tests {
		apply(t, s, fill...)
		apply(t, s, tt.list...)
		if dump := Dump(t, s.Client); (dump != "") != tt.left {
			t.Errorf("%s: got %q, want something left: %v", tt.name, dump, tt.left)
		}
		for _, c := range tt.list {
			if _, there := load(t, s).Links[c.App]; there {
				t.Errorf("%s: the link %s is there", tt.name, c.App)
			}
		}
		apply(t, s, forget(aLink.App), forget("latchkey_b"))
		apply(t, s, forgetGroup())
		wantNothing(t, s)
	}
}

func groups(t *testing.T, s Subject) {
	register(t, s)
	for _, want := range []reconcile.GroupRecord{{ID: "latchkey", Written: written}, {ID: "1", Written: writtenLater}} {
		apply(t, s, group(want.ID, want.Written))
		if got := load(t, s).Group; got != want {
			t.Errorf("group: got %+v, want %+v", got, want)
		}
	}
	apply(t, s, forgetGroup())
	if got := load(t, s); got.Group != (reconcile.GroupRecord{}) || len(got.Links) != 1 {
		t.Errorf("after forgetting the group: got %+v, want the link alone", got)
	}
}

func lastGeneration(t *testing.T, s Subject) {
	token := register(t, s)
	key := keyOf(t, s)
	value := []byte(must[string](t)(s.Client.HGet(t.Context(), key, aLink.App).Result()))
	value[24], value[25] = 0xff, 0xfe
	if err := s.Client.HSet(t.Context(), key, aLink.App, value).Err(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{65534, 65535, 65535} {
		if got := load(t, s).Links[aLink.App].Generation; got != want {
			t.Errorf("generation: got %d, want %d", got, want)
		}
		token = newLinkToken(t)
		apply(t, s, prepare(aLink.App, token, created), promote(aLink.App, token))
	}
	wantCause(t, s, "the last token", token, "")
}

func refusedChanges(t *testing.T, s Subject) {
	token := newLinkToken(t)
	tests := []struct {
		name   string
		change reconcile.Change
	}{
		{"no kind", reconcile.Change{}},
		{"a kind that is not known", reconcile.Change{Kind: reconcile.ChangeForgetGroup + 1}},
		{"no app", prepare("", token, created)},
		{"an app that is a slot", prepare("latchkey_a/1", token, created)},
		{"an app that is the group", forget("/group")},
		{"no token to prepare", reconcile.Change{Kind: reconcile.ChangePrepare, App: aLink.App, Created: created}},
		{"no token to promote", reconcile.Change{Kind: reconcile.ChangePromote, App: aLink.App}},
		{"no token to drop", reconcile.Change{Kind: reconcile.ChangeDrop, App: aLink.App}},
		{"a token of zeros as far as it is stored", reconcile.Change{Kind: reconcile.ChangePrepare, App: aLink.App, Token: broker.Digest{20: 1}, Created: created}},
		{"no subscriber", subscriber("")},
		{"no group", group("", written)},
	}
	for _, tt := range tests {
		if write(t, s, aFence, subscriber(aCustomer), tt.change) == nil {
			t.Errorf("%s: got no error", tt.name)
		}
	}
	wantNothing(t, s)
}
