package reconcile_test

import (
	"context"
	"crypto/rand"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
	"github.com/latchkey-sso/latchkey/store"
)

// planCase is one situation of bob, from a state in which everything is right.
type planCase struct {
	name string
	// fresh: nothing was provisioned before.
	fresh  bool
	change func(*world)
	policy reconcile.Policy
	// later is how much later it is.
	later time.Duration
	want  []string
	left  []string
	// counts are those of the run on bob alone; zero is not compared.
	counts reconcile.Counts
	// failed: the run names something that failed.
	failed bool
	// again is what a second plan still has to do.
	again []string
	after func(*testing.T, *world)
}

// alone leaves bob as the only account.
func alone(w *world) {
	delete(w.web01().accounts, "eve")
	delete(w.web02().accounts, "carol")
	w.subscribers = map[broker.Account]string{bob: "1001"}
}

func runCases(t *testing.T, cases []planCase) {
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			alone(w)
			if !tt.fresh {
				w.settled()
			}
			if tt.change != nil {
				tt.change(w)
			}
			w.later += tt.later
			policy := tt.policy
			if policy.Rotate || tt.later > 0 {
				policy.RotateBefore = w.now().Add(-time.Hour)
			}
			plans, dry := w.plans(w.order(policy))
			wantLines(t, "plan", steps(plans[bob]), tt.want)
			wantLines(t, "left alone", left(plans[bob]), tt.left)
			w.forget()
			r := w.run(w.order(policy))
			if problem := matches(plans, w.written()); problem != "" {
				t.Error(problem)
			}
			if r.OK() == tt.failed {
				t.Errorf("run: got %+v, want failed %v", r, tt.failed)
			}
			if tt.counts != (reconcile.Counts{}) {
				wantCounts(t, "counts", r.Counts, tt.counts)
			}
			wantCounts(t, "counts of the dry run", dry.Counts, r.Counts)
			again, _ := w.plans(w.order(policy))
			wantLines(t, "second plan", steps(again[bob]), tt.again)
			if len(tt.again) == 0 && !tt.failed {
				w.wantDone(policy)
			}
			if tt.after != nil {
				tt.after(t, w)
			}
			if !tt.failed && !policy.Remove && w.subscribers[bob] != "" && w.web01().accounts["bob"] != nil {
				w.wantAllWork(bob)
			}
		})
	}
}

// changeBoth is the plan that rewrites both links.
func changeBoth(why string) []string {
	return []string{"change " + invoices + ": " + why, "change " + tickets + ": " + why}
}

func changeOne(why string) []string { return []string{"change " + invoices + ": " + why} }

const notAsWanted = "is not as the catalogue wants it"

func TestLinksAreBroughtToTheCatalogue(t *testing.T) {
	runCases(t, []planCase{
		{
			name: "nothing is there", fresh: true,
			want:   []string{"create group latchkey: is not there yet", "create " + invoices + ": is not there yet", "create " + tickets + ": is not there yet"},
			counts: reconcile.Counts{Created: 2},
		},
		{name: "everything is right", counts: reconcile.Counts{Unchanged: 2}},
		{
			name:   "a new link",
			change: func(w *world) { w.spec.link("closed").Enabled = true },
			want:   []string{"create latchkey_closed: is not there yet"}, counts: reconcile.Counts{Created: 1, Unchanged: 2},
		},
		{name: "another label", change: func(w *world) { w.spec.link("invoices").Label = "Bills" }, want: changeOne(notAsWanted + ": label"), counts: reconcile.Counts{Changed: 1, Unchanged: 1}},
		{name: "another order", change: func(w *world) { w.spec.link("invoices").Order = 15 }, want: changeOne(notAsWanted + ": order")},
		{name: "another place in the order", change: func(w *world) { w.spec.link("invoices").Order = 25 }, want: changeOne(notAsWanted + ": order")},
		{name: "another icon", change: func(w *world) { w.spec.link("invoices").Icon = []byte("picture 3") }, want: changeOne(notAsWanted + ": base64_png_image")},
		{name: "no icon", change: func(w *world) { w.spec.link("invoices").Icon = nil }, want: changeOne(notAsWanted + ": base64_png_image")},
		{name: "another destination", change: func(w *world) { w.spec.link("invoices").Path = "/bills" }, want: changeOne(notAsWanted + ": url")},
		{name: "another portal", change: func(w *world) { w.spec.link("invoices").Portal = "desk" }, want: changeOne(notAsWanted + ": url")},
		{name: "another appkey", change: func(w *world) { w.spec.link("invoices").Implements = "support" }, want: changeOne(notAsWanted + ": implements")},
		{name: "our address is another scheme", change: func(w *world) { w.spec.public = "http://sso.example.com" }, want: changeBoth(notAsWanted + ": autologin_token_url")},
		{
			name: "another label of the group", change: func(w *world) { w.spec.group.Label = "Portal" },
			want: []string{"create group latchkey: its label or order " + notAsWanted}, counts: reconcile.Counts{Unchanged: 2},
		},
		{name: "another order of the group", change: func(w *world) { w.spec.group.Order = 7 }, want: []string{"create group latchkey: its label or order " + notAsWanted}},
		{
			name: "another group", change: func(w *world) { w.spec.group.ID = "portal" },
			want: append(changeBoth(notAsWanted+": group_id"), "create group portal: takes the place of latchkey", "remove group latchkey: the group is now portal"),
			after: func(t *testing.T, w *world) {
				if got := w.record(bob).Group.ID; got != "portal" {
					t.Errorf("group in the store: got %q, want portal", got)
				}
			},
		},
		{
			name: "switched off", change: func(w *world) { w.spec.link("tickets").Enabled = false },
			want: []string{"remove " + tickets + ": is switched off in the catalogue"}, counts: reconcile.Counts{Removed: 1, Unchanged: 1},
		},
		{name: "gone from the catalogue", change: func(w *world) { w.spec.drop("tickets") }, want: []string{"remove " + tickets + ": is not in the catalogue"}},
		{
			name: "switched off and removed by hand", change: func(w *world) {
				w.spec.drop("tickets")
				delete(w.web01().accounts["bob"].links, tickets)
			},
			want: []string{"forget " + tickets + ": is not in the catalogue"}, counts: reconcile.Counts{Removed: 1, Unchanged: 1},
		},
		{
			name: "another prefix", change: func(w *world) { w.spec.prefix = "acme_" },
			want: []string{
				"create acme_invoices: is not there yet", "create acme_tickets: is not there yet",
				"remove " + invoices + ": is not in the catalogue", "remove " + tickets + ": is not in the catalogue",
			},
			counts: reconcile.Counts{Created: 2, Removed: 2},
		},
		{
			name: "limited to one app", policy: reconcile.Policy{Apps: []string{invoices}}, change: func(w *world) {
				w.spec.link("invoices").Label, w.spec.link("tickets").Label = "Bills", "Questions"
			},
			want: changeOne(notAsWanted + ": label"), counts: reconcile.Counts{Changed: 1},
			after: func(t *testing.T, w *world) {
				if got := w.web01().link("bob", tickets).fields.Label; got != "Tickets" {
					t.Errorf("label of the other link: got %q, want it unchanged", got)
				}
			},
		},
		{
			name: "limited to one app, and another group", policy: reconcile.Policy{Apps: []string{invoices}},
			change: func(w *world) { w.spec.group.ID, w.spec.link("invoices").Label = "portal", "Bills" },
			want:   changeOne(notAsWanted + ": label"),
			after: func(t *testing.T, w *world) {
				wantGroup := func(when, id string) {
					t.Helper()
					groups := slices.Collect(maps.Keys(w.web01().accounts["bob"].groups))
					in, of := w.web01().link("bob", invoices).fields.GroupID, w.web01().link("bob", tickets).fields.GroupID
					if got := w.record(bob).Group.ID; got != id || in != id || of != id || !slices.Equal(groups, []string{id}) {
						t.Errorf("%s: the links are in %s and %s, the groups are %v, the store has %s; want %s alone", when, in, of, groups, got, id)
					}
				}
				wantGroup("after a run on one link", groupID)
				w.apply(reconcile.Policy{})
				wantGroup("after a run on all", "portal")
			},
		},
		{
			name: "limited to one app, another is to go", policy: reconcile.Policy{Apps: []string{invoices}},
			change: func(w *world) { w.spec.drop("tickets") },
			counts: reconcile.Counts{Unchanged: 1},
		},
	})
}

func TestWhatIsNotAsItWasLeft(t *testing.T) {
	runCases(t, []planCase{
		{
			name: "missing on the server", change: func(w *world) { delete(w.web01().accounts["bob"].links, invoices) },
			want: []string{"create " + invoices + ": is missing on the server"},
		},
		{
			name: "account created anew", change: func(w *world) { w.web01().add("bob") },
			want: []string{"create " + invoices + ": is missing on the server", "create " + tickets + ": is missing on the server"},
		},
		{
			name: "account created anew for somebody else", change: func(w *world) {
				w.web01().add("bob")
				w.subscribers[bob] = "2001"
			},
			want: []string{"create " + invoices + ": is missing on the server", "create " + tickets + ": is missing on the server"},
		},
		{
			name: "on the server and not in the store", change: func(w *world) {
				prepare(w, bob, reconcile.Change{Kind: reconcile.ChangeForget, App: invoices})
			},
			want: changeOne("is on the server and not in the store"),
		},
		{
			name: "store lost", change: func(w *world) {
				prepare(w, bob, reconcile.Change{Kind: reconcile.ChangeForget, App: invoices},
					reconcile.Change{Kind: reconcile.ChangeForget, App: tickets}, reconcile.Change{Kind: reconcile.ChangeForgetGroup})
			},
			want: changeBoth("is on the server and not in the store"), left: []string{othersGroup},
		},
		{
			name: "a token is pending", change: func(w *world) {
				prepare(w, bob, reconcile.Change{Kind: reconcile.ChangePrepare, App: invoices, Token: digest(w), Created: w.now()})
			},
			want: changeOne("was not finished"),
		},
		{
			name: "first writing not finished, and not on the server", fresh: true, change: func(w *world) {
				prepare(w, bob, reconcile.Change{Kind: reconcile.ChangeSubscriber, Subscriber: "1001"},
					reconcile.Change{Kind: reconcile.ChangePrepare, App: invoices, Token: digest(w), Created: w.now()})
			},
			want: []string{"create group latchkey: is not there yet", "create " + invoices + ": is not there yet", "create " + tickets + ": is not there yet"},
		},
		{
			name: "tokens superseded", change: func(w *world) {
				prepare(w, bob, reconcile.Change{Kind: reconcile.ChangeSubscriber, Subscriber: "2001"}, reconcile.Change{Kind: reconcile.ChangeSubscriber, Subscriber: "1001"})
			},
			want: changeBoth("its tokens were superseded"),
		},
		{
			name: "registered by hand", fresh: true, change: func(w *world) { byHand(w, "") },
			want: []string{"create group latchkey: is not there yet", "change " + invoices + ": was registered by hand", "create " + tickets + ": is not there yet"},
		},
		{
			name: "another subscriber", change: func(w *world) { w.subscribers[bob] = "2001" },
			want: changeBoth("the subscriber changes from 1001 to 2001"), counts: reconcile.Counts{Changed: 2},
			after: func(t *testing.T, w *world) {
				if got := w.web01().link("bob", invoices).fields.Subscriber; got != "2001" {
					t.Errorf("subscriber on the server: got %q, want 2001", got)
				}
			},
		},
		{
			name: "no subscriber any more", change: func(w *world) { delete(w.subscribers, bob) },
			left: []string{"notice: the account has no subscriber; its links are left as they are"}, counts: reconcile.Counts{Skipped: 1},
		},
		{
			name: "never had a subscriber", fresh: true, change: func(w *world) { delete(w.subscribers, bob) },
			left: []string{"notice: the account has no subscriber; its links are left as they are"}, counts: reconcile.Counts{Skipped: 1},
			after: func(t *testing.T, w *world) { wantLines(t, "accounts in the store", w.accounts(), []string{}) },
		},
		{
			name: "token past its age", later: 100 * 24 * time.Hour,
			want:   []string{"rotate " + invoices + ": its token is to be replaced", "rotate " + tickets + ": its token is to be replaced"},
			counts: reconcile.Counts{Rotated: 2},
		},
		{
			name: "token past its age and another label", later: 100 * 24 * time.Hour, change: func(w *world) { w.spec.link("invoices").Label = "Bills" },
			want: []string{"change " + invoices + ": " + notAsWanted + ": label", "rotate " + tickets + ": its token is to be replaced"},
		},
		{
			name: "token past its age and edited by hand", later: 100 * 24 * time.Hour,
			change: func(w *world) { w.web01().edit("bob", invoices, func(f *reconcile.Fields) { f.Label = "Free beer" }) },
			want:   []string{"change " + invoices + ": differs on the server: label", "rotate " + tickets + ": its token is to be replaced"},
		},
		{
			name: "the account cannot be looked at", change: func(w *world) {
				w.web01().fault = func(_ int, r request) fault {
					if r.reads() > 0 {
						return fault{refuse: map[int]error{0: refused("Perl is broken")}}
					}
					return fault{}
				}
			},
			left: []string{"warning: cannot be looked at: Perl is broken"}, counts: reconcile.Counts{Failed: 1}, failed: true,
		},
	})
}

// prepare changes bob's record behind the reconciler's back.
func prepare(w *world, a broker.Account, changes ...reconcile.Change) {
	w.t.Helper()
	for _, err := range w.book.Write(context.Background(), 1, []reconcile.AccountChanges{{Account: a, Changes: changes}}) {
		if err != nil {
			w.t.Fatal(err)
		}
	}
	clear(w.worked)
}

func digest(w *world) broker.Digest { return ok(broker.NewLinkToken(rand.Reader))(w.t).Digest() }

// byHand registers bob's invoices by hand, in the store and on the server.
func byHand(w *world, group string) {
	w.t.Helper()
	token := ok(broker.NewLinkToken(rand.Reader))(w.t)
	link := broker.Link{Account: bob, App: invoices}
	r := store.LinkRecord{Link: link, Subscriber: "1001", Token: token.Digest(), Created: w.now()}
	if err := w.book.(redisBook).PutLink(context.Background(), r, false); err != nil {
		w.t.Fatal(err)
	}
	w.web01().accounts["bob"].links[invoices] = shown{token: token, fields: reconcile.Fields{
		Label: "By hand", Subscriber: "1001", GroupID: group, AutologinURL: broker.AutologinURL(w.spec.public, link),
	}}
	w.worked[place{bob, invoices}] = true
}
