package app_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/latchkey-sso/latchkey/api/cpanelfake"
	"github.com/latchkey-sso/latchkey/api/whm/whmfake"
	"github.com/latchkey-sso/latchkey/broker"
)

// verify finds each way in which a server can differ and changes nothing; with
// --repair it mends that, and nothing of others.
func TestVerifyFindsDrift(t *testing.T) {
	t.Parallel()
	link := func(change func(*cpanelfake.Link)) func(*world) {
		return func(w *world) { w.edit("web01", "bob", "latchkey_tickets", change) }
	}
	tests := []struct {
		name  string
		drift func(*world)
		plan  string // what verify prints of it
		steps []string
	}{
		{
			"label", link(func(l *cpanelfake.Link) { l.Label = "Help" }),
			"change        latchkey_tickets: differs on the server: label", []string{"create_integration_link latchkey_tickets"},
		},
		{
			"purpose", link(func(l *cpanelfake.Link) { l.Implements = "billing" }),
			"latchkey_tickets: differs on the server: implements", []string{"create_integration_link latchkey_tickets"},
		},
		{
			"subscriber", link(func(l *cpanelfake.Link) { l.SubscriberUniqueID = "666" }),
			"latchkey_tickets: differs on the server: subscriber_unique_id", []string{"create_integration_link latchkey_tickets"},
		},
		{
			"place", link(func(l *cpanelfake.Link) { l.Order = 99 }),
			"latchkey_tickets: differs on the server: order", []string{"create_integration_link latchkey_tickets"},
		},
		{
			"group", link(func(l *cpanelfake.Link) { l.GroupID = "shop" }),
			"latchkey_tickets: differs on the server: group_id", []string{"create_integration_link latchkey_tickets"},
		},
		{
			"way out", link(func(l *cpanelfake.Link) { l.URL = "https://elsewhere.example.com/" }),
			"latchkey_tickets: differs on the server: url", []string{"create_integration_link latchkey_tickets"},
		},
		{
			"icon", link(func(l *cpanelfake.Link) { l.Base64PNGImage = encoded(broker.DefaultIcon("upgrade")) }),
			"latchkey_tickets: differs on the server: base64_png_image", []string{"create_integration_link latchkey_tickets"},
		},
		{
			"two fields at once", link(func(l *cpanelfake.Link) { l.Label, l.Order = "Help", 99 }),
			"latchkey_tickets: differs on the server: label, order", []string{"create_integration_link latchkey_tickets"},
		},
		{
			"query of the broker's address", link(func(l *cpanelfake.Link) { l.AutologinTokenURL += "&more=1" }),
			"latchkey_tickets: differs on the server: autologin_token_url", []string{"create_integration_link latchkey_tickets"},
		},
		{
			"broker's address of another account", link(func(l *cpanelfake.Link) {
				l.AutologinTokenURL = strings.Replace(l.AutologinTokenURL, "user=bob", "user=alice", 1)
			}),
			"latchkey_tickets: was copied from web01/alice", []string{"create_integration_link latchkey_tickets"},
		},
		{
			"link missing", func(w *world) { ok(w, w.servers["web01"].state.RemoveLink("bob", "latchkey_tickets")) },
			"create        latchkey_tickets: is missing on the server", []string{"create_integration_link latchkey_tickets"},
		},
		{
			"group missing", func(w *world) { ok(w, w.servers["web01"].state.RemoveGroup("bob", "latchkey")) },
			"create group  latchkey: is missing on the server", []string{"create_integration_group latchkey"},
		},
		{
			"left over", func(w *world) {
				l := w.link("web01", "bob", "latchkey_tickets")
				l.App = "latchkey_old"
				ok(w, w.servers["web01"].state.PutLink("bob", l))
			},
			"remove        latchkey_old: is not in the catalogue", []string{"remove_integration_link latchkey_old"},
		},
		{
			"account copied under another name", func(w *world) {
				ok(w, whmfake.CopyAccount(w.servers["web01"].state, "alice", w.servers["web02"].state, "alicia"))
				w.subscribers("web01,alice,1001", "web01,bob,1002", "web02,carol,1003", "web02,alicia,1001")
			},
			"latchkey_invoices, latchkey_tickets, latchkey_profile: was copied from web01/alice", []string{
				"create_integration_link latchkey_invoices", "create_integration_link latchkey_tickets", "create_integration_link latchkey_profile",
			},
		},
	}
	w := newWorld(t, "web01", "web02")
	want := applied(w)
	before := w.snapshot()
	customers := w.read("accounts.csv")
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w.restore(before)
			write(t, w.dir+"/accounts.csv", customers)
			test.drift(w)
			foreign, standing := w.foreign(), w.standing()
			w.resetJournals()
			r := w.run("verify")
			if r.code != 1 || !strings.Contains(r.out, test.plan) {
				t.Errorf("verify: exit code %d and\n%s\nwant 1 and %q", r.code, r.out, test.plan)
			}
			if got := w.written(); len(got) > 0 || w.standing() != standing {
				t.Errorf("verify wrote %v", got)
			}
			w.ok("verify", "--repair")
			var steps []string
			for _, s := range w.written() {
				steps = append(steps, s.function+" "+s.what)
			}
			if !slices.Equal(steps, test.steps) {
				t.Errorf("--repair did %v, want %v", steps, test.steps)
			}
			want := want
			if strings.Contains(w.read("accounts.csv"), "alicia") {
				want.accounts = map[string]string{"web01/alice": "1001", "web01/bob": "1002", "web02/carol": "1003", "web02/alicia": "1001"}
			}
			if err := want.reached(w); err != nil {
				t.Error(err)
			}
			w.same("repaired", foreign)
			if out := w.ok("verify"); !strings.Contains(out, "Everything is as wanted") {
				t.Errorf("verify after --repair says\n%s", out)
			}
		})
	}
}

func ok(w *world, err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// A link of a wanted name that leads elsewhere is somebody else's: it is named,
// counted as failed, and neither changed nor removed.
func TestBlocked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "web01", "web02")
	want := threeAccounts(w)
	w.configure(settings{links: threeLinks})
	ok(w, w.servers["web01"].state.PutLink("alice", cpanelfake.Link{
		App: "latchkey_tickets", Implements: "support", Label: "Theirs", SubscriberUniqueID: "5", Token: cpanelfake.NewToken("theirs"),
		AutologinTokenURL: "https://sso.example.com.evil.example/autologin?server=web01", URL: "https://evil.example/",
	}))
	foreign := w.foreign()
	const message = "web01/alice latchkey_tickets: cannot be made: a link of this name leads to https://sso.example.com.evil.example/autologin and is not ours; " +
		"if nobody needs it, remove it there with `whmapi1 remove_integration_link user=alice app=latchkey_tickets`, else give ours another id"
	for _, args := range []string{"plan", "apply", "apply", "verify", "verify --repair"} {
		r := w.run(strings.Fields(args)...)
		if r.code != 1 || !strings.Contains(r.out, "FAILED  "+message) {
			t.Errorf("%s: exit code %d and\n%s\nwant 1 and %q", args, r.code, r.out, message)
		}
		w.same(args, foreign)
	}
	if out := w.ok("log", "--operation", "1", "--level", "warning"); !strings.Contains(out, message) {
		t.Errorf("the log says\n%s\nwant %q", out, message)
	}
	w.ok("rotate", "--all")
	w.ok("remove", "--all", "--yes")
	w.same("remove", foreign)
	ok(w, w.servers["web01"].state.RemoveLink("alice", "latchkey_tickets"))
	w.ok("apply")
	if err := want.reached(w); err != nil {
		t.Error(err)
	}
}

// What a server refuses is named with its place, the rest is done, and the next run
// makes it good.
func TestItemFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "web01", "web02")
	want := threeAccounts(w)
	w.configure(settings{links: threeLinks})
	pass := w.gate.refusal("web01")
	w.servers["web01"].whm.SetRefusal(func(c whmfake.Call) string {
		if c.Write && c.User == "bob" && c.App == "latchkey_tickets" {
			return "The disk quota of “bob” is exceeded."
		}
		return pass(c)
	})
	const message = "web01/bob latchkey_tickets: create: The disk quota of “bob” is exceeded."
	r := w.run("apply")
	if r.code != 1 || !strings.Contains(r.out, "FAILED  "+message) || !strings.Contains(r.out, "Created 8,") || !strings.Contains(r.out, "Failed: 1.") {
		t.Errorf("exit code %d and\n%s\nwant 1, eight links and %q", r.code, r.out, message)
	}
	crash{}.atRest(w, "refused", nil)
	if out := w.ok("log", "--operation", "1", "--level", "warning"); !strings.Contains(out, "warning      "+message) {
		t.Errorf("the log says\n%s\nwant %q", out, message)
	}
	w.servers["web01"].whm.SetRefusal(pass)
	w.resetJournals()
	if out := w.ok("apply"); !strings.Contains(out, "Created 1,") || len(w.written()) != 1 {
		t.Errorf("the second run says\n%s\nand wrote %v, want one link", out, w.written())
	}
	if err := want.reached(w); err != nil {
		t.Error(err)
	}
}

// Accounts without a subscriber are left as they are and reported, and customers
// without an account are.
func TestWithoutSubscriber(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "web01", "web02")
	want := applied(w)
	w.account("web02/dave")
	w.subscribers("web01,alice,1001", "web01,bob,1002", "web01,nobody,1009")
	out := w.ok("apply")
	if !strings.Contains(out, "Without a subscriber, and left as they are: 2 accounts.") {
		t.Errorf("apply says\n%s\nwant two accounts without a subscriber", out)
	}
	if !strings.Contains(out, "With a subscriber, and not on their server: 1 account.") {
		t.Errorf("apply says\n%s\nwant one account that is missing", out)
	}
	log := w.ok("log", "--operation", "2", "--level", "notice")
	for _, message := range []string{
		"web02: 2 accounts: the account has no subscriber; its links are left as they are (carol, dave)",
		"web01: 1 accounts have a subscriber and are not on the server: nobody",
	} {
		if !strings.Contains(log, message) {
			t.Errorf("the log says\n%s\nwant %q", log, message)
		}
	}
	if err := want.reached(w); err != nil {
		t.Error(err)
	}
}
