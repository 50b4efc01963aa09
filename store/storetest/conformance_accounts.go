package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

func accounts() []test {
	return []test{
		{"accounts are named by server", accountNames},
		{"records of many accounts come in their order", manyAccounts},
		{"an earlier worker changes nothing after a later one", fencing},
		{"of racing workers the last one's word stands", workersRace},
		{"a damaged record is written anew", damagedRecord},
	}
}

func accountsOf(t *testing.T, s Subject, server string) []string {
	t.Helper()
	names := []string{}
	for account, err := range s.Store.Accounts(t.Context(), server) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, account.String())
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func accountNames(t *testing.T, s Subject) {
	var list []reconcile.AccountChanges
	for _, name := range []string{"web01/alice", "web01/bob", "web02/bob", "web010/bob", "w-b.01/x_y"} {
		server, user, _ := strings.Cut(name, "/")
		list = append(list, reconcile.AccountChanges{
			Account: broker.Account{Server: server, User: user}, Changes: []reconcile.Change{prepare(aLink.App, newLinkToken(t), created)},
		})
	}
	for i, err := range s.Store.Write(t.Context(), aFence, list) {
		if err != nil {
			t.Fatalf("%s: %v", list[i].Account, err)
		}
	}
	for _, stranger := range []string{"latchkey:acct:{abc}nobody", "latchkey:acct:{abc}web01/tagged-wrongly", "latchkey:acct:{}web01/x"} {
		if err := s.Client.HSet(t.Context(), stranger, "x", "y").Err(); err != nil {
			t.Fatal(err)
		}
	}
	for server, want := range map[string][]string{
		"":      {"w-b.01/x_y", "web01/alice", "web01/bob", "web010/bob", "web02/bob"},
		"web01": {"web01/alice", "web01/bob"},
		"web02": {"web02/bob"},
		"web0":  {}, "web*": {}, "w?b01": {}, "w[e]b01": {}, "*": {},
	} {
		if got := accountsOf(t, s, server); !slices.Equal(got, want) {
			t.Errorf("accounts of %q: got %q, want %q", server, got, want)
		}
	}
	for range s.Store.Accounts(t.Context(), "") {
		break // nobody has to take all
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	failed := 0
	for account, err := range s.Store.Accounts(ctx, "") {
		if err == nil {
			t.Errorf("cancelled: got %s", account)
		}
		failed++
	}
	if failed != 1 {
		t.Errorf("cancelled: got %d errors, want one", failed)
	}
}

func manyAccounts(t *testing.T, s Subject) {
	const many = 450
	var list []reconcile.AccountChanges
	var names []broker.Account
	for i := range many {
		account := broker.Account{Server: "web01", User: fmt.Sprintf("user%03d", i)}
		names = append(names, account)
		list = append(list, reconcile.AccountChanges{Account: account, Changes: []reconcile.Change{
			subscriber(fmt.Sprint(1000 + i)), prepare(aLink.App, newLinkToken(t), created),
		}})
	}
	list[123].Changes[0].Subscriber = "" // refused
	errs := s.Store.Write(t.Context(), aFence, list)
	if len(errs) != many {
		t.Fatalf("got %d errors, want one for each of %d accounts", len(errs), many)
	}
	for i, err := range errs {
		if (err != nil) != (i == 123) {
			t.Errorf("%s: got error %v, want one for user123 alone", names[i], err)
		}
	}
	slices.Reverse(names)
	records := must[[]reconcile.Record](t)(s.Store.Load(t.Context(), names))
	for i, r := range records {
		want := reconcile.Record{Account: names[i]}
		if number := many - 1 - i; number != 123 {
			want.Subscriber = fmt.Sprint(1000 + number)
			want.Links = map[string]reconcile.LinkRecord{aLink.App: {Pending: 1}}
		}
		if !reflect.DeepEqual(r, want) {
			t.Errorf("got %+v, want %+v", r, want)
		}
	}
	if len(records) != many {
		t.Errorf("got %d records, want %d", len(records), many)
	}
	if got := must[[]reconcile.Record](t)(s.Store.Load(t.Context(), nil)); len(got) != 0 {
		t.Errorf("records of no accounts: got %v", got)
	}
	if links, err := s.Store.Links(t.Context(), "web01"); err != nil || len(links) != many-1 {
		t.Errorf("links: got %d and error %v, want %d", len(links), err, many-1)
	}
}

func fencing(t *testing.T, s Subject) {
	tests := []struct {
		fence  reconcile.Fence
		fenced bool
	}{{5, false}, {5, false}, {4, true}, {10, false}, {9, true}, {5, true}, {10, false}, {1 << 40, false}, {10, true}}
	for i, tt := range tests {
		before := Dump(t, s.Client)
		err := write(t, s, tt.fence, subscriber(fmt.Sprint("s", i)), prepare(aLink.App, newLinkToken(t), created), group("latchkey", written))
		if errors.Is(err, reconcile.ErrFenced) != tt.fenced || (!tt.fenced && err != nil) {
			t.Errorf("write %d with fence %d: got error %v, want fenced: %v", i, tt.fence, err, tt.fenced)
		}
		if changed := Dump(t, s.Client) != before; changed == tt.fenced {
			t.Errorf("write %d with fence %d changed something: %v", i, tt.fence, changed)
		}
	}
	if err := write(t, s, 10, forget(aLink.App), forgetGroup()); !errors.Is(err, reconcile.ErrFenced) {
		t.Errorf("forget by an earlier worker: got %v, want ErrFenced", err)
	}
}

func workersRace(t *testing.T, s Subject) {
	const workers, rounds = 8, 20
	var last broker.LinkToken
	lists := make([][][]reconcile.Change, workers)
	for w := range workers {
		for round := range rounds {
			token := newLinkToken(t)
			p := prepare(aLink.App, token, created.Add(time.Duration(w*rounds+round)*time.Second))
			p.Written = reconcile.Fingerprint{byte(w + 1), byte(round + 1)}
			lists[w] = append(lists[w], []reconcile.Change{subscriber(fmt.Sprint(w, "/", round)), p}, []reconcile.Change{promote(aLink.App, token), group(fmt.Sprint(w, "/", round), p.Written)})
			last = token
		}
	}
	errs := make([]error, workers)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			<-start
			for _, list := range lists[w] {
				err := s.Store.Write(context.Background(), reconcile.Fence(w+1), []reconcile.AccountChanges{{Account: aLink.Account, Changes: list}})[0]
				if err != nil {
					errs[w] = err
					return
				}
			}
		})
	}
	close(start)
	wg.Wait()
	for w, err := range errs {
		if err != nil && (w == workers-1 || !errors.Is(err, reconcile.ErrFenced)) {
			t.Errorf("worker %d: got %v, want ErrFenced or, for the last one, nothing", w, err)
		}
	}
	name, fingerprint := fmt.Sprint(workers-1, "/", rounds-1), reconcile.Fingerprint{workers, rounds}
	got := load(t, s)
	link := got.Links[aLink.App]
	if got.Subscriber != name || got.Group != (reconcile.GroupRecord{ID: name, Written: fingerprint}) ||
		!link.Confirmed || link.Written != fingerprint || link.Pending != 0 || !link.Created.Equal(created.Add((workers*rounds-1)*time.Second)) {
		t.Errorf("got %+v, want what worker %d wrote last", got, workers-1)
	}
	in := issueInput(t, last)
	in.Subscriber = name
	wantCauseFor(t, s, "the last token", in, "")
}

func damagedRecord(t *testing.T, s Subject) {
	token := newLinkToken(t)
	for _, damage := range []string{"", "x", strings.Repeat("x", 30), strings.Repeat("x", 24) + "1"} {
		register(t, s)
		if err := s.Client.HSet(t.Context(), keyOf(t, s), aLink.App, damage, aLink.App+"/2", damage, "/group", damage).Err(); err != nil {
			t.Fatal(err)
		}
		if got := load(t, s).Links[aLink.App]; got != (reconcile.LinkRecord{}) {
			t.Errorf("%q: got %+v, want a link without a token", damage, got)
		}
		if _, err := s.Store.Links(t.Context(), ""); err == nil {
			t.Errorf("%q: links are listed without an error", damage)
		}
		apply(t, s, prepare(aLink.App, token, created), promote(aLink.App, token))
		wantLink(t, s, reconcile.LinkRecord{Confirmed: true, Created: created, Generation: 1, Written: written})
		wantCause(t, s, "after it was written anew", token, "")
		apply(t, s, forget(aLink.App), forgetGroup())
	}
}
