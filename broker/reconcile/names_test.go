package reconcile_test

import (
	"strings"
	"testing"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

// A server that was taken over may tell any names.
func TestNamesThatAreNoneAreLeftAlone(t *testing.T) {
	w := newWorld(t)
	w.settled()
	bad := []string{"a/b", "../etc", "x\x1b[2J", "-rf", "", "a b", strings.Repeat("x", 65)}
	w.web01().add(bad...)
	for _, user := range bad {
		w.web01().accounts["bob"].links["latchkey_"+user+"/\x1b"] = shown{fields: w.web01().link("bob", invoices).fields}
	}
	w.web01().foreign("eve", "my link", theirs)
	r := w.apply(reconcile.Policy{Deep: true})
	if got := w.written(); len(got) > 0 {
		t.Errorf("it wrote %v, want nothing", got)
	}
	if got := r.Servers[0].Accounts; got != 2 {
		t.Errorf("accounts: got %d, want 2", got)
	}
	wantLines(t, "log", w.journal.lines(r.Operation, reconcile.LevelNotice), []string{
		"notice web01: 7 accounts have names that accounts cannot have; they are left alone",
		"notice web01: 7 links have names that begin like ours and that we never give; they are left alone",
	})
	if r.Counts.Foreign != 8 {
		t.Errorf("counts: got %+v, want 8 foreign links", r.Counts)
	}
	for _, request := range w.web01().asked {
		for _, c := range request.commands {
			if (broker.Link{Account: broker.Account{Server: "web01", User: c.User}, App: "x" + c.App}).Validate() != nil {
				t.Errorf("it asked for %q of %q", c.App, c.User)
			}
		}
	}
	w.apply(reconcile.Policy{Remove: true})
	wantLines(t, "accounts in the store", w.accounts(), nil)
}
