package app_test

import (
	"strings"
	"testing"

	"github.com/latchkey-sso/latchkey/api/cpanelfake"
	"github.com/latchkey-sso/latchkey/api/whm/whmfake"
)

// Removing asks first, and only a yes counts.
func TestRemoveAsks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "web01", "web02")
	want := applied(w)
	before, foreign := w.snapshot(), w.foreign()
	none := desired{}
	oneLess := want
	oneLess.links = want.links[1:]
	onlyWeb02 := want
	onlyWeb02.accounts = map[string]string{"web02/carol": "1003"}
	tests := []struct {
		name, answer, args string
		code               int
		question, says     string
		left               desired
	}{
		{"no", "n\n", "--all", 2, "Remove all links of ours from every server? The store knows 9 links on 2 servers. Customers lose them at once. [y/N]", "nothing was removed; answer y, or use --yes", want},
		{"nothing at all", "", "--all", 2, "[y/N]", "nothing was removed", want},
		{"an empty line", "\n", "--all", 2, "[y/N]", "nothing was removed", want},
		{"something else", "yesterday\n", "--all", 2, "[y/N]", "nothing was removed", want},
		{"y", "y\n", "--all", 0, "[y/N]", "The catalogue still has them: the next apply", none},
		{"Yes", " YES \n", "--all", 0, "[y/N]", "The catalogue still has them", none},
		{"--yes asks nothing", "", "--all --yes", 0, "", "The catalogue still has them", none},
		{"one link", "y\n", "--app invoices", 0, "Remove latchkey_invoices from every server? The store knows 3 links on 2 servers.", "The catalogue still has them", oneLess},
		{"one link under its whole name", "", "--app latchkey_invoices --yes", 0, "", "The catalogue still has them", oneLess},
		{"one server", "y\n", "--all --server web01", 0, "Remove all links of ours from web01? The store knows 6 links on 1 server.", "The catalogue still has them", onlyWeb02},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w.restore(before)
			w.resetJournals()
			r := w.answering(test.answer, append([]string{"remove"}, strings.Fields(test.args)...)...)
			if r.code != test.code || !strings.Contains(r.err, test.question) || !strings.Contains(r.err, test.says) {
				t.Errorf("exit code %d, %q, want %d, %q and %q", r.code, r.err, test.code, test.question, test.says)
			}
			if asked := strings.Contains(r.err, "[y/N]"); asked == strings.Contains(test.args, "--yes") {
				t.Errorf("asked: %v, with %q", asked, test.args)
			}
			if err := test.left.reached(w); err != nil {
				t.Error(err)
			}
			if test.code != 0 && len(w.written()) > 0 {
				t.Errorf("written: %v, want nothing", w.written())
			}
			w.same("removed", foreign)
		})
	}
}

// Whoever misspells a link removes nothing and is told so. What only the servers have
// can be removed all the same, or is named as somebody else's.
func TestRemoveWhatNobodyKnows(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "web01", "web02")
	applied(w)
	putOld(w)
	before := w.snapshot()
	const note = `Note: --app "latchkey_nonsense" is not in the catalogue, not in the store and on no server, so there is nothing to remove; there are: latchkey_invoices, latchkey_tickets, latchkey_profile`
	tests := []struct {
		name, args string
		code       int
		out, err   string
	}{
		{"nowhere", "--app nonsense --yes", 0, "", note},
		{"nowhere, and nobody is asked", "--app nonsense", 0, "", note},
		{"nowhere, in JSON", "--app nonsense --yes -o json", 0, `{"result":{"counts":`, note},
		{"two, and both nowhere", "--app nonsense --app more --yes", 0, "", note},
		{"beside one that is known", "--app invoices --app nonsense --yes", 0, "removed 3.", note},
		{"no name at all", "--app ../nonsense --yes", 2, "", `--app "../nonsense" is no name of a link`},
		{"on a server only", "--app old --yes", 0, "removed 1.", ""},
		{"on another server only", "--app old --server web01 --yes", 0, "", `--app "latchkey_old" is not in`},
		{"somebody else's", "--app theirs --yes", 0, "Links of other makers, not touched: 2.", ""},
		{"a server that cannot be asked", "--app nonsense --yes", 1, "FAILED  web02: ", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w.restore(before)
			w.resetJournals()
			if test.code == 1 {
				w.servers["web02"].whm.SetFault(whmfake.Always(whmfake.Fault{Kind: whmfake.Forbidden}))
			}
			r := w.run(append([]string{"remove"}, strings.Fields(test.args)...)...)
			if r.code != test.code || !strings.Contains(r.out, test.out) || !strings.Contains(r.err, test.err) || strings.Contains(r.err, "[y/N]") {
				t.Errorf("exit code %d, %q and %q, want %d, %q and %q", r.code, r.out, r.err, test.code, test.out, test.err)
			}
			if !strings.Contains(test.out, "removed") && len(w.written()) > 0 {
				t.Errorf("written: %v, want nothing", w.written())
			}
		})
	}
}

// Who was interrupted is told to run the same command again.
func TestRemoveIsRepeated(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "web01", "web02")
	applied(w)
	putOld(w)
	for i, want := range []string{"removed 1.", "", ""} {
		r := w.run("remove", "--app", "old", "--yes")
		if r.code != 0 || !strings.Contains(r.out, want) {
			t.Errorf("time %d: exit code %d, %q and %q, want 0 and %q", i+1, r.code, r.out, r.err, want)
		}
	}
}

// putOld puts a link of ours that neither the catalogue nor the store knows on a server.
func putOld(w *world) {
	ok(w, w.servers["web02"].state.PutLink("carol", cpanelfake.Link{
		App: "latchkey_old", Implements: "billing", Label: "Old", SubscriberUniqueID: "1003", Token: cpanelfake.NewToken("old"),
		AutologinTokenURL: publicURL + "/autologin?server=web02&user=carol&app=latchkey_old", URL: "https://portal.example.com/",
	}))
}

// A link that the catalogue switched off leaves no hint that it will come back.
func TestRemoveWhatIsSwitchedOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "web01", "web02")
	applied(w)
	w.configure(settings{links: strings.Replace(threeLinks, "{id: invoices,", "{id: invoices, enabled: false,", 1)})
	w.ok("apply", "--server", "web01")
	r := w.run("remove", "--app", "invoices", "--yes")
	if r.code != 0 || strings.Contains(r.err, "creates them again") || !strings.Contains(r.out, "removed 1.") {
		t.Errorf("exit code %d, %q and %q, want 0, one removed and no hint", r.code, r.out, r.err)
	}
}

// The group of somebody else is shown in, remembered, and neither written nor
// removed.
func TestGroupOfOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "web01")
	w.account("web01/alice")
	w.subscribers("web01,alice,1001")
	w.configure(settings{links: threeLinks})
	theirs := defaultGroup
	theirs.Label, theirs.Order = "Somebody else", 7
	if err := w.servers["web01"].state.PutGroup("alice", theirs); err != nil {
		t.Fatal(err)
	}
	want := desired{accounts: map[string]string{"web01/alice": "1001"}, links: threeDesired, group: theirs}
	for _, args := range []string{"apply", "apply", "verify --repair", "rotate --all"} {
		w.ok(strings.Fields(args)...)
		if err := want.reached(w); err != nil {
			t.Errorf("%s: %v", args, err)
		}
	}
	const stays = "Note: web01/alice: the group \"latchkey\" stays: the store does not know it as ours; if it is, remove it there with `whmapi1 remove_integration_group user=alice group_id=latchkey`"
	if out := w.ok("remove", "--all", "--yes"); !strings.Contains(out, stays) {
		t.Errorf("remove --all says\n%s\nwant %s", out, stays)
	}
	if got, want := w.standing(), groupLine("web01/alice", theirs); got != want {
		t.Errorf("after removing all the server has\n%s\nwant\n%s", got, want)
	}
	if got := w.accounts(); got != "" {
		t.Errorf("after removing all the store has\n%s", got)
	}
}
