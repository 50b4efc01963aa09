package app_test

import (
	"github.com/latchkey-sso/latchkey/api/cpanelfake"
	"github.com/latchkey-sso/latchkey/api/whm/whmfake"
)

// crashes are the pieces of work that TestKilled kills.
func crashes() []crash {
	remove := []string{"remove", "--all", "--yes"}
	repair := []string{"verify", "--repair"}
	return []crash{
		{name: "first apply", prepare: firstApply(1), args: []string{"apply"}},
		{name: "first apply, four requests at a time", prepare: firstApply(4), args: []string{"apply"}},
		{name: "catalogue changed", prepare: catalogueChanged, args: []string{"apply"}},
		{name: "subscriber changed", prepare: subscriberChanged, args: []string{"apply"}, subscriberChanges: true},
		{name: "account moved", prepare: accountMoved, args: []string{"apply"}},
		{name: "account renamed", prepare: accountRenamed, args: []string{"apply"}},
		{name: "rotate", prepare: applied, args: []string{"rotate", "--all"}, after: []string{"apply"}},
		{name: "rotate, and then apply", prepare: applied, args: []string{"rotate", "--all"}, again: []string{"apply"}},
		{name: "remove", prepare: toRemove, args: remove},
		{name: "repair", prepare: drifted, args: repair, after: []string{"verify"}},
	}
}

// threeAccounts is the fleet: one account has links and a group of others.
func threeAccounts(w *world) desired {
	w.account("web01/alice", "web01/bob", "web02/carol")
	w.subscribers("web01,alice,1001", "web01,bob,1002", "web02,carol,1003")
	w.putForeign("web01", "bob")
	return desired{
		accounts: map[string]string{"web01/alice": "1001", "web01/bob": "1002", "web02/carol": "1003"},
		links:    threeDesired, group: defaultGroup,
	}
}

func firstApply(requests int) func(*world) desired {
	return func(w *world) desired {
		d := threeAccounts(w)
		w.configure(settings{links: threeLinks, requests: requests})
		return d
	}
}

func applied(w *world) desired {
	d := threeAccounts(w)
	w.configure(settings{links: threeLinks})
	w.ok("apply")
	return d
}

// catalogueChanged: another label and place, one link off, one new.
func catalogueChanged(w *world) desired {
	d := applied(w)
	w.configure(settings{links: `
  - {id: invoices, label: "Invoices and more", implements: billing, order: 40, portal: portal, path: /invoices}
  - {id: tickets, enabled: false, label: Tickets, implements: support, order: 20, portal: portal, path: "/tickets?open=1"}
  - {id: profile, label: Profile, implements: customer_service, order: 30, portal: portal, path: /profile}
  - {id: emails, label: Letters, implements: customer_service, order: 50, portal: portal, path: /emails}
`})
	d.links = []desiredLink{
		{"invoices", "Invoices and more", "billing", 40, "https://portal.example.com/login?next=%2Finvoices"},
		threeDesired[2],
		{"emails", "Letters", "customer_service", 50, "https://portal.example.com/login?next=%2Femails"},
	}
	return d
}

// subscriberChanged: two accounts were sold.
func subscriberChanged(w *world) desired {
	d := applied(w)
	w.subscribers("web01,alice,2001", "web01,bob,1002", "web02,carol,2003")
	d.accounts = map[string]string{"web01/alice": "2001", "web01/bob": "1002", "web02/carol": "2003"}
	return d
}

// accountMoved: alice's account was copied to the other server, links and all, and
// removed on its own.
func accountMoved(w *world) desired {
	d := applied(w)
	ok(w, whmfake.CopyAccount(w.servers["web01"].state, "alice", w.servers["web02"].state, "alice"))
	ok(w, w.servers["web01"].state.RemoveAccount("alice"))
	w.subscribers("web02,alice,1001", "web01,bob,1002", "web02,carol,1003")
	d.accounts = map[string]string{"web02/alice": "1001", "web01/bob": "1002", "web02/carol": "1003"}
	return d
}

// accountRenamed: the links came along and still name the former user.
func accountRenamed(w *world) desired {
	d := applied(w)
	ok(w, w.servers["web01"].state.ModifyAccount("alice", func(a *cpanelfake.Account) { a.User = "alicia" }))
	w.subscribers("web01,alicia,1001", "web01,bob,1002", "web02,carol,1003")
	d.accounts = map[string]string{"web01/alicia": "1001", "web01/bob": "1002", "web02/carol": "1003"}
	return d
}

func toRemove(w *world) desired {
	applied(w)
	return desired{}
}

// drifted: on the servers one link has another label, one is gone, one is left over
// from the past, and a group is gone.
func drifted(w *world) desired {
	d := applied(w)
	w.edit("web01", "alice", "latchkey_invoices", func(l *cpanelfake.Link) { l.Label = "Bills" })
	old := w.link("web02", "carol", "latchkey_profile")
	old.App, old.AutologinTokenURL = "latchkey_old", publicURL+"/autologin?server=web02&user=carol&app=latchkey_old"
	ok(w, w.servers["web02"].state.PutLink("carol", old))
	ok(w, w.servers["web01"].state.RemoveLink("bob", "latchkey_tickets"))
	ok(w, w.servers["web02"].state.RemoveGroup("carol", "latchkey"))
	return d
}
