package reconcile_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

// A warning among the entries that are not listed shows.
func TestACapHidesNoWarning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newVirtualWorld(t)
		for i := range 201 {
			w.web01().foreign("bob", fmt.Sprintf("latchkey_a%d", i), fmt.Sprintf("https://evil.example/%d", i))
		}
		w.web01().foreign("eve", "latchkey_b", theirs)
		w.web01().foreign("eve", invoices, theirs)
		r := w.run(w.order(reconcile.Policy{}))
		if lines := strings.Join(w.journal.lines(r.Operation, reconcile.LevelWarning), "\n"); !strings.Contains(lines, "warning web01") {
			t.Errorf("got warnings %q, want one of web01", lines)
		}
	})
}

// However many different things there are to be told of a server's accounts, few are
// told, and another server's are told all the same.
func TestNoticesOfAServerAreCapped(t *testing.T) {
	for _, tt := range []struct {
		name     string
		accounts []broker.Account
		notices  int // of the result: others than those on links, or all
	}{
		{"all accounts", nil, 1},
		{"named accounts", []broker.Account{bob, eve, carol}, 100},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newVirtualWorld(t)
				w.settled()
				for i := range 150 {
					w.web01().foreign("bob", fmt.Sprintf("latchkey_a%d", i), theirs)
					w.web01().foreign("eve", fmt.Sprintf("latchkey_b%d", i), fmt.Sprintf("https://evil.example/%d", i))
				}
				w.web02().foreign("carol", "latchkey_c", theirs)
				o := w.order(reconcile.Policy{})
				o.Accounts = tt.accounts
				r := w.run(o)
				lines := w.journal.lines(r.Operation, reconcile.LevelNotice)
				const rest = "100 more entries about accounts of this server are not listed; `provisioner plan --server web01 -o json` shows what is left alone"
				if n := strings.Count(strings.Join(lines, "\n"), "notice web01"); n != 201 || !slices.Contains(lines, "notice web01: "+rest) {
					t.Errorf("web01: got %d notices, the last %q, want 201 and one that 100 more are not listed", n, lines[len(lines)-1])
				}
				if !slices.ContainsFunc(lines, func(line string) bool { return strings.HasPrefix(line, "notice web02 carol latchkey_c: ") }) {
					t.Error("web02: got no notice, want that on carol's link")
				}
				if r.Counts.Foreign != 301 || len(r.Notices) != tt.notices {
					t.Errorf("got %d foreign links and %d notices, want 301 and %d", r.Counts.Foreign, len(r.Notices), tt.notices)
				}
			})
		})
	}
}

// Whoever names accounts is told of each, also what is the same for several.
func TestNoticesAboutNamedAccounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newVirtualWorld(t)
		delete(w.subscribers, bob)
		delete(w.subscribers, eve)
		o := w.order(reconcile.Policy{})
		o.Accounts = []broker.Account{bob, eve}
		r := w.run(o)
		wantLines(t, "log", w.journal.lines(r.Operation, reconcile.LevelNotice), []string{
			"notice web01 bob: the account has no subscriber; its links are left as they are",
			"notice web01 eve: the account has no subscriber; its links are left as they are",
		})
	})
}

// Links that cannot be made are a warning with a remedy, one for all accounts of a
// server, and each is named as failed.
func TestBlockedLinksAreWarnings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newVirtualWorld(t)
		w.web01().foreign("bob", invoices, theirs)
		w.web01().foreign("eve", invoices, theirs)
		o := w.order(reconcile.Policy{})
		o.Servers = []string{"web01"}
		r := w.run(o)
		const blocked = "cannot be made: a link of this name leads to https://billing.example.net/autologin and is not ours; " +
			"if nobody needs it, remove it there with `whmapi1 remove_integration_link user=%s app=latchkey_invoices`, else give ours another id"
		wantLines(t, "log", w.journal.lines(r.Operation, reconcile.LevelWarning), []string{
			"warning web01 latchkey_invoices: 2 accounts: " + fmt.Sprintf(blocked, "USER") + " (bob, eve)",
		})
		var failed []string
		for _, p := range r.Problems {
			failed = append(failed, p.User+": "+p.Message)
		}
		slices.Sort(failed)
		wantLines(t, "failed", failed, []string{"bob: " + fmt.Sprintf(blocked, "bob"), "eve: " + fmt.Sprintf(blocked, "eve")})
		if len(r.Notices) > 0 || r.Counts.Failed != 2 {
			t.Errorf("got notices %v and %d failed, want no notice and 2", r.Notices, r.Counts.Failed)
		}
	})
}

// A server may name many links that seem to be ours.
func TestStepsOfAServerAreToldApartUpToALimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newVirtualWorld(t)
		w.settled()
		for i := range 150 {
			for _, user := range []string{"bob", "eve"} {
				l := w.web01().link(user, invoices)
				w.web01().accounts[user].links[fmt.Sprintf("latchkey_%s%d", user, i)] = l
			}
		}
		r := w.apply(reconcile.Policy{})
		starts, alone, together := 0, 0, 0
		for _, line := range w.journal.lines(r.Operation, reconcile.LevelDebug) {
			switch {
			case strings.HasSuffix(line, ": start: remove"):
				starts++
			case strings.HasSuffix(line, ": end: remove, 1 done"):
				alone++
			case line == "debug web01: end: remove, 100 done":
				together++
			}
		}
		if starts != 201 || alone != 200 || together != 1 || r.Counts.Removed != 300 {
			t.Errorf("got %d starts, %d ends of one link, %d of all others, %d removed, want 201, 200, 1 and 300", starts, alone, together, r.Counts.Removed)
		}
	})
}
