package app_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/latchkey-sso/latchkey/api/cpanelfake"
	"github.com/latchkey-sso/latchkey/broker"
)

// desired is what the servers shall have, written down by hand and not taken from
// the code under test.
type desired struct {
	// accounts are "server/user" with their subscribers.
	accounts map[string]string
	links    []desiredLink
	group    cpanelfake.Group
}

type desiredLink struct {
	id, label, implements string
	order                 int
	url                   string
}

// threeDesired is what threeLinks asks for.
var threeDesired = []desiredLink{
	{"invoices", "Invoices", "billing", 10, "https://portal.example.com/login?next=%2Finvoices"},
	{"tickets", "Tickets", "support", 20, "https://portal.example.com/login?next=%2Ftickets%3Fopen%3D1"},
	{"profile", "Profile", "customer_service", 30, "https://portal.example.com/login?next=%2Fprofile"},
}

// threeLinks is the catalogue of most tests, as the configuration file has it.
const threeLinks = `
  - {id: invoices, label: Invoices, implements: billing, order: 10, portal: portal, path: /invoices}
  - {id: tickets, label: Tickets, implements: support, order: 20, portal: portal, path: "/tickets?open=1"}
  - {id: profile, label: Profile, implements: customer_service, order: 30, portal: portal, path: /profile}
`

var defaultGroup = cpanelfake.Group{ID: "latchkey", Label: "Billing & Support", Order: 1}

// text is every link and group, a line each, sorted.
func (d desired) text(w *world) string {
	var lines []string
	for account, subscriber := range d.accounts {
		server, user, _ := strings.Cut(account, "/")
		for _, l := range d.links {
			app := "latchkey_" + l.id
			lines = append(lines, linkLine(account, cpanelfake.Link{
				App: app, Implements: l.implements, Label: l.label, SubscriberUniqueID: subscriber, Order: l.order, GroupID: d.group.ID, URL: l.url,
				AutologinTokenURL: fmt.Sprintf("%s/autologin?server=%s&user=%s&app=%s", w.public, server, user, app),
				Base64PNGImage:    encoded(broker.DefaultIcon(l.id)),
			}))
		}
		lines = append(lines, groupLine(account, d.group))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// encoded is a picture as WHM takes it.
func encoded(png []byte) string { return base64.StdEncoding.EncodeToString(png) }

func linkLine(account string, l cpanelfake.Link) string {
	fields := l.Fields()
	if image := fields["base64_png_image"]; len(image) > 20 {
		fields["base64_png_image"] = image[len(image)-20:] // enough to tell one from another
	}
	return fmt.Sprintf("%s %v", account, fields)
}

func groupLine(account string, g cpanelfake.Group) string {
	return fmt.Sprintf("%s group %+v", account, g)
}

// standing is every link and group of ours that is on the servers.
func (w *world) standing() string {
	var lines []string
	w.eachLink(func(server, user string, l cpanelfake.Link) {
		if w.ours(l) {
			lines = append(lines, linkLine(server+"/"+user, l))
		}
	})
	for _, id := range w.ids() {
		for _, a := range w.servers[id].state.Accounts() {
			groups, err := w.servers[id].state.Groups(a.User)
			if err != nil {
				w.t.Fatal(err)
			}
			for _, g := range groups {
				if g.ID == "latchkey" {
					lines = append(lines, groupLine(id+"/"+a.User, g))
				}
			}
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// reached says what is not as desired: on the servers, and in the store, which has
// each link once, accepts its token, and nothing else.
func (d desired) reached(w *world) error {
	w.t.Helper()
	if got, want := w.standing(), d.text(w); got != want {
		return fmt.Errorf("the servers have\n%s\nwant\n%s", got, want)
	}
	var problems []error
	stand := map[broker.Link]bool{}
	w.eachLink(func(server, user string, l cpanelfake.Link) {
		if w.ours(l) {
			stand[broker.Link{Account: broker.Account{Server: server, User: user}, App: l.App}] = true
			if err := w.accepted(l); err != nil {
				problems = append(problems, fmt.Errorf("%s/%s %s: %w", server, user, l.App, err))
			}
		}
	})
	stored, err := w.store.Links(w.t.Context(), "")
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range stored {
		if !stand[r.Link] {
			problems = append(problems, fmt.Errorf("the store has %s, which no server has", r.Link))
		}
		delete(stand, r.Link)
	}
	for link := range stand {
		problems = append(problems, fmt.Errorf("the store does not have %s", link))
	}
	return errors.Join(append(problems, d.settled(w))...)
}

// settled says what is unfinished in the store.
func (d desired) settled(w *world) error {
	w.t.Helper()
	var accounts []broker.Account
	for _, account := range slices.Sorted(maps.Keys(d.accounts)) {
		server, user, _ := strings.Cut(account, "/")
		accounts = append(accounts, broker.Account{Server: server, User: user})
	}
	records, err := w.store.Load(w.t.Context(), accounts)
	if err != nil {
		w.t.Fatal(err)
	}
	var problems []error
	for _, r := range records {
		if want := d.accounts[r.Account.String()]; r.Subscriber != want {
			problems = append(problems, fmt.Errorf("%s: the store has the subscriber %q, want %q", r.Account, r.Subscriber, want))
		}
		for app, l := range r.Links {
			if !l.Confirmed || l.Pending != 0 {
				problems = append(problems, fmt.Errorf("%s %s: confirmed %v with %d tokens prepared, want confirmed with none", r.Account, app, l.Confirmed, l.Pending))
			}
		}
	}
	var known []string
	for a, err := range w.store.Accounts(w.t.Context(), "") {
		if err != nil {
			w.t.Fatal(err)
		}
		known = append(known, a.String())
	}
	slices.Sort(known)
	if want := slices.Sorted(maps.Keys(d.accounts)); !slices.Equal(known, want) {
		problems = append(problems, fmt.Errorf("the store has the accounts %v, want %v", known, want))
	}
	return errors.Join(problems...)
}
