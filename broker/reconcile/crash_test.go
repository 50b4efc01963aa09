package reconcile_test

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

// crash is a situation in which a process ends.
type crash struct {
	planCase
	// orphan is a group of ours that may stay behind: the store remembers one group
	// of an account, and somebody else's is the one that must not be forgotten.
	orphan string
}

// crashes are the changes of everything that there is to be changed.
func crashes() []crash {
	plain := []planCase{
		{name: "nothing is there", fresh: true},
		{name: "links change", change: func(w *world) {
			w.spec.link("invoices").Label = "Bills"
			w.spec.link("closed").Enabled = true
			w.spec.drop("tickets")
		}},
		{name: "the group changes", change: func(w *world) { w.spec.group.ID = "portal" }},
		{name: "groups of others", fresh: true, change: func(w *world) {
			w.web01().foreignGroup("bob", groupID)
			w.web01().foreign("eve", invoices, theirs)
			w.web02().foreign("carol", "whmcs_x", theirs)
		}},
		{name: "the subscriber changes", change: func(w *world) { w.subscribers[bob] = "2001" }},
		{name: "tokens are past their age", later: 100 * 24 * time.Hour, policy: reconcile.Policy{}},
		{name: "rotation", later: 100 * 24 * time.Hour, policy: reconcile.Policy{Rotate: true}},
		{name: "the prefix changes", change: func(w *world) { w.spec.prefix = "acme_" }},
		{name: "an account moves", change: func(w *world) {
			w.web01().copyTo("bob", w.web02(), "bob")
			delete(w.web01().accounts, "bob")
			delete(w.subscribers, bob)
			w.subscribers[broker.Account{Server: "web02", User: "bob"}] = "1001"
		}},
		{name: "all is removed", policy: reconcile.Policy{Remove: true}, change: func(w *world) { w.web01().foreign("eve", "latchkey_x", theirs) }},
	}
	all := []crash{{orphan: groupID, planCase: planCase{name: "the new group is another one's", change: func(w *world) {
		w.web01().foreignGroup("bob", "portal")
		w.spec.group.ID = "portal"
	}}}}
	for _, c := range plain {
		all = append(all, crash{planCase: c})
	}
	return all
}

// P1: a process that ends before any of its side effects loses nothing; the next one
// finishes its work.
func TestAProcessMayEndAnywhere(t *testing.T) {
	for _, tt := range crashes() {
		t.Run(tt.name, func(t *testing.T) {
			for n, ended := 0, false; !ended; n++ {
				synctest.Test(t, func(t *testing.T) { ended = endAfter(t, tt, n) })
				if t.Failed() {
					t.Fatalf("the process ended after %d side effects", n)
				}
				if n > 500 {
					t.Fatal("it never came to an end")
				}
			}
		})
	}
}

// endAfter ends a process after n side effects, and reports whether it was done
// before.
func endAfter(t *testing.T, tt crash, n int) (done bool) {
	w := newVirtualWorld(t)
	if !tt.fresh {
		w.settled()
	}
	if tt.change != nil {
		tt.change(w)
	}
	w.later += tt.later
	policy := tt.policy
	if tt.later > 0 {
		policy.RotateBefore = w.now().Add(-time.Hour)
	}
	w.dieAt = w.steps + n
	ok(w.reconciler("the first").Run(context.Background(), w.order(policy)))(t)
	done = !w.dead()
	w.dieAt = -1
	second := ok(w.reconciler("the second").Run(context.Background(), w.order(policy)))(t)
	if blocked := w.blocked(policy); second.Counts.Failed != blocked || second.OK() != (blocked == 0) {
		t.Errorf("the second run: got %+v, want all done but for %d links", second, blocked)
	}
	if tt.orphan != "" {
		delete(w.web01().accounts["bob"].groups, tt.orphan)
	}
	if !policy.Rotate {
		w.wantExact(policy)
	}
	w.forget()
	ok(w.reconciler("the third").Run(context.Background(), w.order(policy)))(t)
	if got := w.written(); len(got) > 0 {
		t.Errorf("the third run wrote %v", got)
	}
	return done
}

// blocked counts wanted links whose names others have.
func (w *world) blocked(p reconcile.Policy) int {
	n := 0
	for id, s := range w.servers {
		for user, a := range s.accounts {
			if p.Remove || w.subscribers[broker.Account{Server: id, User: user}] == "" {
				continue
			}
			for _, app := range w.spec.wanted(w.t).Apps() {
				if a.links[app].foreign {
					n++
				}
			}
		}
	}
	return n
}

// wantExact expects on the servers what the catalogue wants, nothing else of ours,
// and a store that knows exactly that. Accounts without a subscriber are skipped.
func (w *world) wantExact(p reconcile.Policy) {
	w.t.Helper()
	wanted := w.spec.wanted(w.t)
	var known []string
	for id, s := range w.servers {
		for user, a := range s.accounts {
			account := broker.Account{Server: id, User: user}
			subscriber := w.subscribers[account]
			if subscriber == "" && !p.Remove {
				if !w.record(account).Empty() {
					known = append(known, account.String())
				}
				continue
			}
			var apps, groups []string
			if !p.Remove {
				known = append(known, account.String())
				for _, app := range wanted.Apps() {
					if !a.links[app].foreign {
						apps = append(apps, app)
						w.wantLink(account, app, a.links[app])
					}
				}
				if !a.groups[w.spec.group.ID].foreign {
					groups = append(groups, w.spec.group.ID)
				}
			}
			slices.Sort(apps)
			wantLines(w.t, "links of "+account.String(), ours(a.links, func(l shown) bool { return l.foreign }), apps)
			wantLines(w.t, "links of "+account.String()+" in the store", slices.Sorted(maps.Keys(w.record(account).Links)), apps)
			wantLines(w.t, "groups of "+account.String(), ours(a.groups, func(g heading) bool { return g.foreign }), groups)
			if r := w.record(account).Group; len(groups) > 0 && (r.ID != groups[0] || r.Written.IsZero()) {
				w.t.Errorf("record of the group of %s: got %+v, want it to be ours", account, r)
			}
		}
	}
	slices.Sort(known)
	wantLines(w.t, "accounts in the store", w.accounts(), known)
}

// ours are the names of what is not foreign.
func ours[T any](all map[string]T, foreign func(T) bool) []string {
	all = maps.Clone(all)
	maps.DeleteFunc(all, func(_ string, v T) bool { return foreign(v) })
	return slices.Sorted(maps.Keys(all))
}

// wantLink expects a link as the catalogue wants it, with a token that works and is
// the only one.
func (w *world) wantLink(account broker.Account, app string, got shown) {
	w.t.Helper()
	d := w.spec.link(app[len(w.spec.prefix):])
	link := broker.Link{Account: account, App: app}
	want := reconcile.Fields{
		Label: d.Label, Implements: d.Implements, Subscriber: w.subscribers[account], AutologinURL: broker.AutologinURL(w.spec.public, link),
		URL: got.fields.URL, GroupID: w.spec.group.ID, Order: d.Order, Icon: d.Icon,
	}
	if !reflect.DeepEqual(got.fields, want) {
		w.t.Errorf("%s:\ngot  %+v\nwant %+v", link, got.fields, want)
	}
	if cause := w.book.cause(link, got.token.Digest(), w.subscribers[account]); cause != "" {
		w.t.Errorf("a click on %s: got %q, want it to work", link, cause)
	}
	if r := w.record(account).Links[app]; !r.Confirmed || r.Pending > 0 {
		w.t.Errorf("record of %s: got %+v, want one token, confirmed", link, r)
	}
}
