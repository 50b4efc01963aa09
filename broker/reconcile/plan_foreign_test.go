package reconcile_test

import (
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

const theirs = "https://billing.example.net/autologin?server=x"

func createBoth() []string {
	return []string{"create group latchkey: is not there yet", "create " + invoices + ": is not there yet", "create " + tickets + ": is not there yet"}
}

func TestWhatOthersMadeIsLeftAlone(t *testing.T) {
	runCases(t, []planCase{
		{
			name: "a link with another prefix", change: func(w *world) { w.web01().foreign("bob", "whmcs_billing", theirs) },
			counts: reconcile.Counts{Unchanged: 2, Foreign: 1},
		},
		{
			name: "a link with our prefix that nobody wants", change: func(w *world) { w.web01().foreign("bob", "latchkey_old", theirs) },
			left: []string{"notice latchkey_old: leads to https://billing.example.net/autologin and is not ours; it is left alone"},
			// It has to be looked at each time.
			counts: reconcile.Counts{Unchanged: 2, Foreign: 1}, again: []string{},
			failed: false,
		},
		{
			name: "a link with our prefix and without sign-on", change: func(w *world) { w.web01().foreign("bob", "latchkey_old", "") },
			left: []string{"notice latchkey_old: leads to no sign-on and is not ours; it is left alone"},
		},
		{
			name: "a link with the name of a wanted one", fresh: true, failed: true,
			change: func(w *world) { w.web01().foreign("bob", invoices, theirs) },
			want:   []string{"create group latchkey: is not there yet", "create " + tickets + ": is not there yet"},
			left:   []string{"warning latchkey_invoices: cannot be made: a link of this name leads to https://billing.example.net/autologin and is not ours; if nobody needs it, remove it there with `whmapi1 remove_integration_link user=bob app=latchkey_invoices`, else give ours another id"},
			counts: reconcile.Counts{Created: 1, Failed: 1, Foreign: 1},
		},
		{
			name: "a link of ours was replaced, and changes", failed: true,
			change: func(w *world) {
				w.web01().foreign("bob", invoices, "https://sso.example.com.evil.example/autologin?server=web01&user=bob&app=latchkey_invoices")
				delete(w.worked, place{bob, invoices})
				w.spec.link("invoices").Label = "Bills"
			},
			left: []string{"warning latchkey_invoices: cannot be made: a link of this name leads to https://sso.example.com.evil.example/autologin and is not ours; if nobody needs it, remove it there with `whmapi1 remove_integration_link user=bob app=latchkey_invoices`, else give ours another id"},
		},
		{
			name: "a link of ours was replaced, and its token is past its age", failed: true, later: 100 * 24 * time.Hour,
			change: func(w *world) {
				w.web01().foreign("bob", invoices, theirs)
				delete(w.worked, place{bob, invoices})
			},
			want: []string{"rotate " + tickets + ": its token is to be replaced"},
			left: []string{"warning latchkey_invoices: cannot be made: a link of this name leads to https://billing.example.net/autologin and is not ours; if nobody needs it, remove it there with `whmapi1 remove_integration_link user=bob app=latchkey_invoices`, else give ours another id"},
		},
		{
			name: "a link of ours was replaced, and is to go",
			change: func(w *world) {
				w.web01().foreign("bob", tickets, theirs)
				delete(w.worked, place{bob, tickets})
				w.spec.drop("tickets")
			},
			left: []string{"notice latchkey_tickets: leads to https://billing.example.net/autologin and is not ours; it is left alone"},
		},
		{
			name: "all is removed, but what others made", policy: reconcile.Policy{Remove: true},
			change: func(w *world) {
				w.web01().foreign("bob", "latchkey_old", theirs)
				w.web01().foreign("bob", "whmcs_billing", theirs)
			},
			want:   []string{"remove " + invoices + ": is to be removed", "remove " + tickets + ": is to be removed", "remove group latchkey: is to be removed"},
			left:   []string{"notice latchkey_old: leads to https://billing.example.net/autologin and is not ours; it is left alone"},
			counts: reconcile.Counts{Removed: 2, Foreign: 2},
		},
		{
			name: "an address with a password", change: func(w *world) {
				w.web01().foreign("bob", "latchkey_old", "https://root:hunter2@billing.example.net/x?key=1#y")
			},
			left: []string{"notice latchkey_old: leads to https://billing.example.net/x and is not ours; it is left alone"},
		},
		{
			name: "an address that is none", change: func(w *world) { w.web01().foreign("bob", "latchkey_old", "root:hunter2@billing.example.net/x") },
			left: []string{"notice latchkey_old: leads to an address that cannot be read and is not ours; it is left alone"},
		},
		{
			name: "a path below ours", change: func(w *world) { w.web01().foreign("bob", "latchkey_old", "https://sso.example.com/other/autologin") },
			left: []string{"notice latchkey_old: leads to https://sso.example.com/other/autologin and is not ours; it is left alone"},
		},
		{
			name: "our address in another spelling is ours", fresh: true,
			change: func(w *world) {
				w.web01().foreign("bob", invoices, "https://SSO.example.com/autologin?server=web01&user=bob&app=latchkey_invoices")
				l := w.web01().accounts["bob"].links[invoices]
				l.foreign = false
				w.web01().accounts["bob"].links[invoices] = l
			},
			want: []string{"create group latchkey: is not there yet", "change " + invoices + ": is on the server and not in the store", "create " + tickets + ": is not there yet"},
		},
	})
}

const groupStays = "notice: the group \"latchkey\" stays: the store does not know it as ours; if it is, remove it there with `whmapi1 remove_integration_group user=bob group_id=latchkey`"

const othersGroup = `notice: a group "latchkey" is there and nothing shows that it is ours; our links are shown in it, and it is left as it is`

func TestGroupsOfOthers(t *testing.T) {
	taken := func(w *world) { w.web01().foreignGroup("bob", groupID) }
	wantTheirs := func(t *testing.T, w *world) {
		if g := w.web01().accounts["bob"].groups[groupID]; !g.foreign {
			t.Errorf("group: got %+v, want the one that was there before us", g)
		}
	}
	runCases(t, []planCase{
		{
			name: "was there before us", fresh: true, change: taken, after: wantTheirs,
			want: createBoth()[1:], left: []string{othersGroup}, counts: reconcile.Counts{Created: 2},
		},
		{
			name: "was there before us, and changes in the catalogue", fresh: true, after: wantTheirs,
			change: func(w *world) {
				taken(w)
				w.settled()
				w.spec.group.Label = "Portal"
			},
		},
		{
			name: "was there before us, looked at in detail", fresh: true, policy: reconcile.Policy{Deep: true}, after: wantTheirs,
			change: func(w *world) {
				taken(w)
				w.settled()
			},
		},
		{
			name: "was there before us, and is gone", fresh: true, policy: reconcile.Policy{Deep: true},
			change: func(w *world) {
				taken(w)
				w.settled()
				delete(w.web01().accounts["bob"].groups, groupID)
			},
			want: []string{"create group latchkey: is missing on the server"},
		},
		{
			name: "was there before us, and all is removed", fresh: true, policy: reconcile.Policy{Remove: true}, after: wantTheirs,
			change: func(w *world) {
				taken(w)
				w.settled()
			},
			want: []string{"remove " + invoices + ": is to be removed", "remove " + tickets + ": is to be removed", "forget group latchkey: is to be removed"},
			left: []string{groupStays},
		},
		{
			name: "was there before us, and ours is another one now", fresh: true,
			change: func(w *world) {
				taken(w)
				w.settled()
				w.spec.group.ID = "portal"
			},
			want: append(changeBoth(notAsWanted+": group_id"), "create group portal: takes the place of latchkey", "forget group latchkey: the group is now portal"),
			after: func(t *testing.T, w *world) {
				wantTheirs(t, w)
				if got := w.record(bob).Group.ID; got != "portal" {
					t.Errorf("group in the store: got %q, want portal", got)
				}
			},
		},
		{
			name:   "has the name that ours is to have now",
			change: func(w *world) { w.web01().foreignGroup("bob", "portal"); w.spec.group.ID = "portal" },
			want:   append(changeBoth(notAsWanted+": group_id"), "remove group latchkey: the group is now portal"),
			left:   []string{`notice: a group "portal" is there and nothing shows that it is ours; our links are shown in it, and it is left as it is`},
			after: func(t *testing.T, w *world) {
				if got := w.record(bob).Group; got.ID != "portal" || !got.Written.IsZero() {
					t.Errorf("group in the store: got %+v, want portal as somebody else's", got)
				}
			},
		},
		{
			name: "holds blocked links only", fresh: true, failed: true, after: wantTheirs,
			change: func(w *world) {
				taken(w)
				w.web01().foreign("bob", invoices, theirs)
				w.spec.drop("tickets")
			},
			left: []string{"warning latchkey_invoices: cannot be made: a link of this name leads to https://billing.example.net/autologin and is not ours; if nobody needs it, remove it there with `whmapi1 remove_integration_link user=bob app=latchkey_invoices`, else give ours another id", othersGroup},
		},
		{
			name: "ours, written before the store knew", fresh: true,
			change: func(w *world) { // stopped after WHM had made the group and one link
				prepare(w, bob, reconcile.Change{Kind: reconcile.ChangeSubscriber, Subscriber: "1001"},
					reconcile.Change{Kind: reconcile.ChangeGroup, GroupID: groupID, Written: reconcile.Fingerprint{4: 1}}, // is to be made
					reconcile.Change{Kind: reconcile.ChangePrepare, App: invoices, Token: digest(w), Created: w.now()})
				w.web01().accounts["bob"].groups[groupID] = heading{group: w.spec.group}
			},
			want: append([]string{"create group latchkey: was not finished"}, createBoth()[1:]...),
		},
		{
			name: "ours, and the new one was written before the store knew",
			change: func(w *world) {
				w.spec.group.ID = "portal"
				w.web01().accounts["bob"].groups["portal"] = heading{group: w.spec.group}
				for _, app := range []string{invoices, tickets} {
					w.web01().edit("bob", app, func(f *reconcile.Fields) { f.GroupID = "portal" })
					prepare(w, bob, reconcile.Change{Kind: reconcile.ChangePrepare, App: app, Token: digest(w), Created: w.now()})
				}
			},
			want: []string{
				"change " + invoices + ": was not finished", "change " + tickets + ": was not finished",
				"create group portal: takes the place of latchkey", "remove group latchkey: the group is now portal",
			},
		},
		{
			name: "was there before us, with a link that was registered by hand", fresh: true, after: wantTheirs,
			change: func(w *world) { taken(w); byHand(w, "") },
			want:   []string{"change " + invoices + ": was registered by hand", "create " + tickets + ": is not there yet"}, left: []string{othersGroup},
		},
		{
			name: "was there before us, with a link by hand whose rotation was not finished", fresh: true, after: wantTheirs,
			change: func(w *world) {
				taken(w)
				byHand(w, "")
				prepare(w, bob, reconcile.Change{Kind: reconcile.ChangePrepare, App: invoices, Token: digest(w), Created: w.now()})
			},
			want: []string{"change " + invoices + ": was not finished", "create " + tickets + ": is not there yet"}, left: []string{othersGroup},
		},
		{
			name: "was there before us, with a link by hand that changed hands", fresh: true, after: wantTheirs,
			change: func(w *world) {
				taken(w)
				byHand(w, "")
				prepare(w, bob, reconcile.Change{Kind: reconcile.ChangeSubscriber, Subscriber: "2001"})
				w.subscribers[bob] = "2001"
			},
			want: []string{"change " + invoices + ": its tokens were superseded", "create " + tickets + ": is not there yet"}, left: []string{othersGroup},
		},
		{
			name: "made by hand for a link that was registered by hand", fresh: true, left: []string{othersGroup},
			change: func(w *world) {
				w.web01().accounts["bob"].groups[groupID] = heading{group: broker.Group{ID: groupID, Label: "By hand"}}
				byHand(w, groupID)
			},
			want: []string{"change " + invoices + ": was registered by hand", "create " + tickets + ": is not there yet"},
		},
		{
			name: "has links of ours, and the store is lost", after: wantTheirs,
			change: func(w *world) {
				prepare(w, bob, reconcile.Change{Kind: reconcile.ChangeForget, App: invoices},
					reconcile.Change{Kind: reconcile.ChangeForget, App: tickets}, reconcile.Change{Kind: reconcile.ChangeForgetGroup})
				taken(w)
			},
			want: changeBoth("is on the server and not in the store"), left: []string{othersGroup},
		},
		{
			name: "has a link of ours, and ours is to have its name", after: func(t *testing.T, w *world) {
				if g := w.web01().accounts["bob"].groups["portal"]; !g.foreign {
					t.Errorf("group: got %+v, want the one that was there before us", g)
				}
			},
			change: func(w *world) {
				w.web01().foreignGroup("bob", "portal")
				w.web01().edit("bob", invoices, func(f *reconcile.Fields) { f.GroupID = "portal" })
				w.spec.group.ID = "portal"
			},
			want: []string{"change " + invoices + ": " + notAsWanted, "change " + tickets + ": " + notAsWanted + ": group_id", "remove group latchkey: the group is now portal"},
			left: []string{`notice: a group "portal" is there and nothing shows that it is ours; our links are shown in it, and it is left as it is`},
		},
		{
			name: "may be ours, the store is lost, and all is removed", policy: reconcile.Policy{Remove: true}, after: wantTheirs,
			change: func(w *world) {
				prepare(w, bob, reconcile.Change{Kind: reconcile.ChangeForget, App: invoices},
					reconcile.Change{Kind: reconcile.ChangeForget, App: tickets}, reconcile.Change{Kind: reconcile.ChangeForgetGroup})
				taken(w)
			},
			want: []string{"remove " + invoices + ": is to be removed", "remove " + tickets + ": is to be removed"}, left: []string{groupStays},
		},
		{
			name: "ours is gone", policy: reconcile.Policy{Deep: true},
			change: func(w *world) { delete(w.web01().accounts["bob"].groups, groupID) },
			want:   []string{"create group latchkey: is missing on the server"},
		},
		{
			name:   "none is made where no link is wanted",
			fresh:  true,
			change: func(w *world) { w.spec.drop("invoices"); w.spec.drop("tickets") },
			after: func(t *testing.T, w *world) {
				if groups := w.web01().accounts["bob"].groups; len(groups) > 0 {
					t.Errorf("groups: got %v, want none", groups)
				}
			},
		},
	})
}

func TestAGroupOfOthersIsListedOnce(t *testing.T) {
	w := newWorld(t)
	alone(w)
	w.web01().foreignGroup("bob", groupID)
	w.settled()
	w.apply(reconcile.Policy{})
	for _, r := range w.web01().asked {
		for _, c := range r.commands {
			if c.Function == reconcile.ListGroups {
				t.Errorf("asked again: %+v", c)
			}
		}
	}
}

// A backup of one account may be restored as another one: the links come along and
// lead to the account they were made for.
func TestCopiedAccounts(t *testing.T) {
	for _, tt := range []struct {
		name string
		// from and to are where the copy comes from and where it is found.
		from, to broker.Account
		gone     bool // the original is gone
		deep     bool
		why      string
	}{
		{"under another name", bob, broker.Account{Server: "web01", User: "robert"}, false, false, "was copied from web01/bob"},
		{"under the same name on another server", bob, broker.Account{Server: "web02", User: "bob"}, false, false, "was copied from web01/bob"},
		{"moved", bob, broker.Account{Server: "web02", User: "bob"}, true, false, "was copied from web01/bob"},
		{"moved under another name", bob, broker.Account{Server: "web02", User: "bobby"}, true, false, "was copied from web01/bob"},
		{"over an account that had links", bob, carol, false, true, "was copied from web01/bob"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.settled()
			w.web01().copyTo("bob", w.servers[tt.to.Server], tt.to.User)
			w.mu.Lock()
			w.check(bob) // clicks on the copies work by the records of the original
			w.mu.Unlock()
			w.subscribers[tt.to] = "1001"
			if tt.gone {
				delete(w.web01().accounts, "bob")
				delete(w.subscribers, bob)
			}
			policy := reconcile.Policy{Deep: tt.deep}
			plans, _ := w.plans(w.order(policy))
			lines := steps(plans[tt.to])
			for _, app := range []string{invoices, tickets} {
				if !contains(lines, "change "+app+": "+tt.why) {
					t.Errorf("plan: got %q, want %s to be changed because it %s", lines, app, tt.why)
				}
			}
			w.apply(policy)
			w.wantAllWork(tt.to)
			if tt.gone {
				wantLines(t, "accounts in the store", w.accounts(), []string{"web01/eve", "web02/" + tt.to.User, "web02/carol"}[:3])
			} else {
				w.wantAllWork(tt.from)
			}
			w.wantDone(reconcile.Policy{})
		})
	}
}

// The brokers move to another address: what stands on the servers as we wrote it is
// ours still, and follows; what somebody has changed meanwhile is not taken for ours.
func TestTheBrokersMove(t *testing.T) {
	w := newWorld(t)
	alone(w)
	w.settled()
	w.spec.public = "https://login.example.net"
	theirs := w.web01().accounts["bob"].links[tickets]
	theirs.fields.AutologinURL = "https://other.example.org/autologin"
	w.web01().accounts["bob"].links[tickets] = theirs
	plans, _ := w.plans(w.order(reconcile.Policy{}))
	wantLines(t, "plan", steps(plans[bob]), []string{"change " + invoices + ": " + notAsWanted + ": autologin_token_url"})
	w.run(w.order(reconcile.Policy{}))
	if got, want := w.web01().accounts["bob"].links[invoices].fields.AutologinURL, "https://login.example.net/autologin?server=web01&user=bob&app="+invoices; got != want {
		t.Errorf("after the move: got %s, want %s", got, want)
	}
	if got := w.web01().accounts["bob"].links[tickets].fields.AutologinURL; got != "https://other.example.org/autologin" {
		t.Errorf("the link of somebody else: got %s, want it untouched", got)
	}
}
