package reconcile_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

func contains(lines []string, line string) bool { return slices.Contains(lines, line) }

func TestRemoving(t *testing.T) {
	remove := reconcile.Policy{Remove: true}
	runCases(t, []planCase{
		{
			name: "all", policy: remove, counts: reconcile.Counts{Removed: 2},
			want: []string{"remove " + invoices + ": is to be removed", "remove " + tickets + ": is to be removed", "remove group latchkey: is to be removed"},
			after: func(t *testing.T, w *world) {
				wantLines(t, "accounts in the store", w.accounts(), []string{})
				if a := w.web01().accounts["bob"]; len(a.links)+len(a.groups) > 0 {
					t.Errorf("on the server: got %v %v, want nothing", a.links, a.groups)
				}
			},
		},
		{
			name: "one app", policy: reconcile.Policy{Remove: true, Apps: []string{tickets}}, counts: reconcile.Counts{Removed: 1},
			want: []string{"remove " + tickets + ": is to be removed"},
			after: func(t *testing.T, w *world) {
				if r := w.record(bob); len(r.Links) != 1 || r.Group.ID != groupID {
					t.Errorf("record: got %+v, want one link and the group", r)
				}
			},
		},
		{name: "nothing is there", fresh: true, policy: remove},
		{
			name: "accounts without a subscriber too", policy: remove, change: func(w *world) { w.subscribers = nil },
			want: []string{"remove " + invoices + ": is to be removed", "remove " + tickets + ": is to be removed", "remove group latchkey: is to be removed"},
		},
		{
			name: "what is not on the server", policy: remove, change: func(w *world) { w.web01().add("bob"); clear(w.worked) },
			want: []string{"forget " + invoices + ": is to be removed", "forget " + tickets + ": is to be removed", "remove group latchkey: is to be removed"},
		},
		{
			name: "what the store does not know", policy: remove, change: func(w *world) {
				prepare(w, bob, reconcile.Change{Kind: reconcile.ChangeForget, App: tickets})
			},
			want: []string{"remove " + invoices + ": is to be removed", "remove " + tickets + ": is to be removed", "remove group latchkey: is to be removed"},
		},
		{
			name: "what was not finished", fresh: true, policy: remove, change: func(w *world) {
				prepare(w, bob, reconcile.Change{Kind: reconcile.ChangeSubscriber, Subscriber: "1001"},
					reconcile.Change{Kind: reconcile.ChangePrepare, App: invoices, Token: digest(w), Created: w.now()})
			},
			want:  []string{"forget " + invoices + ": is to be removed"},
			after: func(t *testing.T, w *world) { wantLines(t, "accounts in the store", w.accounts(), []string{}) },
		},
		{
			name: "the account is gone", policy: remove, change: func(w *world) { delete(w.web01().accounts, "bob") },
			want: []string{
				"forget " + invoices + ": the account is not on the server any more", "forget " + tickets + ": the account is not on the server any more",
				"forget group latchkey: the account is not on the server any more",
			},
		},
	})
}

func TestRotating(t *testing.T) {
	rotate := reconcile.Policy{Rotate: true}
	both := []string{"rotate " + invoices + ": its token is to be replaced", "rotate " + tickets + ": its token is to be replaced"}
	runCases(t, []planCase{
		{name: "all", policy: rotate, later: 2 * time.Hour, want: both, counts: reconcile.Counts{Rotated: 2}},
		{name: "tokens that are younger", policy: rotate, counts: reconcile.Counts{Unchanged: 2}},
		{name: "one app", policy: reconcile.Policy{Rotate: true, Apps: []string{tickets}}, later: 2 * time.Hour, want: both[1:]},
		{
			name: "nothing is there", fresh: true, policy: rotate,
			after: func(_ *testing.T, w *world) { w.apply(reconcile.Policy{}) },
		},
		{
			name: "only that, whatever the catalogue wants", policy: rotate, later: 2 * time.Hour,
			change: func(w *world) {
				w.spec.link("invoices").Label = "Bills"
				w.spec.link("closed").Enabled = true
				w.spec.drop("tickets")
			},
			want: both[:1],
			after: func(t *testing.T, w *world) {
				if got := w.web01().link("bob", invoices).fields.Label; got != "Invoices" {
					t.Errorf("label: got %q, want it as it was", got)
				}
				// The store must not believe that the change was made.
				plans, _ := w.plans(w.order(reconcile.Policy{}))
				if lines := steps(plans[bob]); !contains(lines, changeOne(notAsWanted + ": label")[0]) {
					t.Errorf("plan after the rotation: got %q, want the label to be changed", lines)
				}
				w.apply(reconcile.Policy{})
			},
		},
		{
			name: "a link that is not on the server", policy: rotate, later: 2 * time.Hour,
			change: func(w *world) { delete(w.web01().accounts["bob"].links, invoices); clear(w.worked) }, want: both[1:],
			after: func(_ *testing.T, w *world) { w.apply(reconcile.Policy{}) },
		},
		{
			name: "what was not finished is finished", policy: rotate, change: func(w *world) {
				prepare(w, bob, reconcile.Change{Kind: reconcile.ChangePrepare, App: invoices, Token: digest(w), Created: w.now()})
			},
			want: changeOne("was not finished"),
		},
		{
			name: "superseded tokens are replaced", policy: rotate, change: func(w *world) {
				prepare(w, bob, reconcile.Change{Kind: reconcile.ChangeSubscriber, Subscriber: "2001"})
				w.subscribers[bob] = "2001"
			},
			want: changeBoth("its tokens were superseded"),
		},
		{
			name: "a link that was replaced by somebody else's", policy: rotate, later: 2 * time.Hour, failed: true,
			change: func(w *world) { w.web01().foreign("bob", invoices, theirs); clear(w.worked) },
			want:   both[1:],
			left:   []string{"warning latchkey_invoices: cannot be made: a link of this name leads to https://billing.example.net/autologin and is not ours; if nobody needs it, remove it there with `whmapi1 remove_integration_link user=bob app=latchkey_invoices`, else give ours another id"},
		},
	})
}

func TestLookingInDetail(t *testing.T) {
	deep := reconcile.Policy{Deep: true}
	edited := func(hidden string, change func(*reconcile.Fields)) func(*world) {
		return func(w *world) {
			w.web01().edit("bob", invoices, change)
			w.web01().hidden = []string{hidden}
			clear(w.worked)
		}
	}
	cases := []planCase{
		{name: "everything is right", policy: deep, counts: reconcile.Counts{Unchanged: 2}},
		{
			name: "our address differs", policy: deep, want: changeOne("differs on the server: autologin_token_url"),
			change: edited("", func(f *reconcile.Fields) { f.AutologinURL = "https://sso.example.com/autologin" }),
		},
		{
			name: "several differ", policy: deep, want: changeOne("differs on the server: label, order"),
			change: edited("", func(f *reconcile.Fields) { f.Label, f.Order = "x", 99 }),
		},
		{
			name: "another app differs", policy: reconcile.Policy{Deep: true, Apps: []string{tickets}},
			change: edited("", func(f *reconcile.Fields) { f.Label = "x" }),
		},
		{name: "nobody looks", change: edited("", func(f *reconcile.Fields) { f.Label = "x" })},
	}
	for field, change := range map[string]func(*reconcile.Fields){
		"label":                func(f *reconcile.Fields) { f.Label = "x" },
		"implements":           func(f *reconcile.Fields) { f.Implements = "x" },
		"subscriber_unique_id": func(f *reconcile.Fields) { f.Subscriber = "x" },
		"url":                  func(f *reconcile.Fields) { f.URL = "x" },
		"group_id":             func(f *reconcile.Fields) { f.GroupID = "x" },
		"order":                func(f *reconcile.Fields) { f.Order = 99 },
		"base64_png_image":     func(f *reconcile.Fields) { f.Icon = []byte("x") },
	} {
		cases = append(cases,
			planCase{name: field + " differs", policy: deep, change: edited("", change), want: changeOne("differs on the server: " + field)},
			planCase{
				name: field + " differs and is not told", policy: deep, change: edited(field, change),
				after: func(_ *testing.T, w *world) {
					w.web01().hidden = nil
					w.apply(deep)
				},
			})
	}
	runCases(t, cases)
}

func TestTrustingTheStore(t *testing.T) {
	w := newWorld(t)
	w.settled()
	trust := reconcile.Policy{TrustStore: true}
	w.wantDone(trust)
	for id, s := range w.servers {
		if len(s.asked) != 1 || s.asked[0].function != "listaccts" {
			t.Errorf("%s was asked %+v, want listaccts alone", id, s.asked)
		}
	}
	w.spec.link("invoices").Label = "Bills"
	w.spec.drop("tickets")
	w.web02().add("dave")
	dave := broker.Account{Server: "web02", User: "dave"}
	w.subscribers[dave] = "1004"
	plans, _ := w.plans(w.order(trust))
	for a, want := range map[broker.Account][]string{
		bob:  {"change " + invoices + ": " + notAsWanted, "remove " + tickets + ": is not in the catalogue"},
		dave: {"create group latchkey: is not there yet", "create " + invoices + ": is not there yet"},
	} {
		wantLines(t, a.String(), steps(plans[a]), want)
	}
	w.forget()
	w.apply(trust)
	for id, s := range w.servers {
		for _, r := range s.asked {
			about := func(c reconcile.Command) bool { return c.User != "dave" }
			if r.function == "applist" || r.reads() > 0 && slices.ContainsFunc(r.commands, about) {
				t.Errorf("%s was asked %+v, want no question but listaccts, and about the account that is new", id, r)
			}
		}
	}
	w.wantAllWork(bob, eve, carol, dave)
	w.wantDone(reconcile.Policy{})
}

// Nothing was lost by trusting: a link that is missing is seen by the next run that
// looks.
func TestTrustingTheStoreMissesWhatIsGone(t *testing.T) {
	w := newWorld(t)
	alone(w)
	w.settled()
	delete(w.web01().accounts["bob"].links, invoices)
	w.wantDone(reconcile.Policy{TrustStore: true})
	w.apply(reconcile.Policy{})
	w.wantAllWork(bob)
}

// A restored or copied link may name somebody else: a new token alone would leave it
// dead for good.
func TestRotatingALinkThatNamesSomebodyElse(t *testing.T) {
	for name, edit := range map[string]func(*reconcile.Fields){
		"the former subscriber": func(f *reconcile.Fields) { f.Subscriber = "9999" },
		"another account": func(f *reconcile.Fields) {
			f.AutologinURL = "https://sso.example.com/autologin?server=web01&user=eve&app=" + invoices
		},
	} {
		w := newWorld(t)
		w.settled()
		l := w.web01().accounts["bob"].links[invoices]
		edit(&l.fields)
		w.web01().accounts["bob"].links[invoices] = l
		w.forget()
		w.worked = map[place]bool{}
		w.apply(reconcile.Policy{Rotate: true, RotateBefore: w.now().Add(time.Hour)})
		if got := w.web01().accounts["bob"].links[invoices].fields; got.Subscriber != "1001" || !strings.Contains(got.AutologinURL, "user=bob") {
			t.Errorf("%s: after the rotation the link is %s's and leads to %s", name, got.Subscriber, got.AutologinURL)
		}
		w.wantAllWork(bob)
	}
}
