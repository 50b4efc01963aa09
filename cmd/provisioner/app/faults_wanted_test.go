package app_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/latchkey-sso/latchkey/api/cpanelfake"
	"github.com/latchkey-sso/latchkey/broker"
)

// eachLink shows all links of all servers.
func (w *faultWorld) eachLink(show func(a broker.Account, l cpanelfake.Link)) {
	w.t.Helper()
	for _, id := range w.ids() {
		for _, a := range w.servers[id].state.Accounts() {
			links, err := w.servers[id].state.Links(a.User)
			w.must(err)
			for _, l := range links {
				show(broker.Account{Server: id, User: a.User}, l)
			}
		}
	}
}

// ours are the links that lead to our brokers, with a line of what matters of each.
func (w *faultWorld) ours() map[string]cpanelfake.Link {
	w.t.Helper()
	found := map[string]cpanelfake.Link{}
	w.eachLink(func(a broker.Account, l cpanelfake.Link) {
		if strings.Contains(l.AutologinTokenURL, "/autologin?") {
			line := fmt.Sprintf("%s %s %q for %s in %s at %d to %s", a, l.App, l.Label, l.SubscriberUniqueID, l.GroupID, l.Order, l.URL)
			if l.AutologinTokenURL != faultPublicURL+"/autologin?server="+a.Server+"&user="+a.User+"&app="+l.App || l.Base64PNGImage == "" || l.Hide {
				line += " BUT " + l.AutologinTokenURL
			}
			found[line] = l
		}
	})
	return found
}

// accepted says why the store refuses the token that a server has, or nothing.
func (w *faultWorld) accepted(l cpanelfake.Link) error {
	link := linkOf(w.t, l.AutologinTokenURL)
	token, err := broker.NewOneTimeToken(rand.Reader, link.Account)
	w.must(err)
	secret := broker.LinkToken{Secret: broker.NewSecret(l.Token.Reveal())}
	_, err = w.store.Issue(w.t.Context(), broker.Issue{
		Link: link, LinkToken: secret.Digest(), Subscriber: l.SubscriberUniqueID, CheckOnly: true, Token: token,
	})
	return err
}

// consistent says which links the servers have that cannot be signed on with.
func (w *faultWorld) consistent() error {
	w.t.Helper()
	var problems []error
	for line, l := range w.ours() {
		if err := w.accepted(l); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", line, err))
		}
	}
	return errors.Join(problems...)
}

// faultWanted is what the servers shall have: lines of ours, and their groups.
type faultWanted []string

// wantLinks are the lines for accounts "web01/bob 1001" and labels of the two links.
func wantLinks(invoices, tickets string, accounts ...string) faultWanted {
	var lines faultWanted
	for _, a := range accounts {
		account, subscriber, _ := strings.Cut(a, " ")
		lines = append(lines,
			fmt.Sprintf("%s latchkey_invoices %q for %s in latchkey at 10 to https://portal.example.com/login?next=%%2Finvoices", account, invoices, subscriber),
			fmt.Sprintf("%s latchkey_tickets %q for %s in latchkey at 20 to https://portal.example.com/login?next=%%2Ftickets", account, tickets, subscriber))
	}
	slices.Sort(lines)
	return lines
}

// reached says what is not as wanted: on the servers, or unfinished in the store.
func (w *faultWorld) reached(want faultWanted) error {
	w.t.Helper()
	var problems []error
	if got := slices.Sorted(maps.Keys(w.ours())); !slices.Equal(got, want) {
		problems = append(problems, fmt.Errorf("the servers have\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  ")))
	}
	problems = append(problems, w.consistent())
	stored := 0
	for a, err := range w.store.Accounts(w.t.Context(), "") {
		w.must(err)
		records, err := w.store.Load(w.t.Context(), []broker.Account{a})
		w.must(err)
		for app, l := range records[0].Links {
			stored++
			if !l.Confirmed || l.Pending != 0 {
				problems = append(problems, fmt.Errorf("%s %s: confirmed %v with %d tokens prepared, want confirmed with none", a, app, l.Confirmed, l.Pending))
			}
		}
	}
	if stored != len(want) {
		problems = append(problems, fmt.Errorf("the store has %d links, want %d", stored, len(want)))
	}
	return errors.Join(problems...)
}

// onlyOf are the lines of one server.
func (f faultWanted) onlyOf(server string) faultWanted {
	return slices.DeleteFunc(slices.Clone(f), func(line string) bool { return !strings.HasPrefix(line, server+"/") })
}

// putForeign gives an account what other makers put there.
func (w *faultWorld) putForeign(server, user string) {
	w.t.Helper()
	state := w.servers[server].state
	w.must(state.PutGroup(user, cpanelfake.Group{ID: "shop", Label: "Shop", Order: 9}))
	for _, app := range []string{"latchkey_theirs", "othershop"} {
		w.must(state.PutLink(user, cpanelfake.Link{
			App: app, Implements: "billing", Label: "Shop of " + user, SubscriberUniqueID: "77", Token: cpanelfake.NewToken("theirs"),
			AutologinTokenURL: "https://shop.example.net/sso", URL: "https://shop.example.net/", GroupID: "shop", Order: 3,
		}))
	}
}

// foreign is everything on the servers that is not ours.
func (w *faultWorld) foreign() string {
	w.t.Helper()
	var b strings.Builder
	w.eachLink(func(a broker.Account, l cpanelfake.Link) {
		if !strings.Contains(l.AutologinTokenURL, "/autologin?") {
			fmt.Fprintf(&b, "%s %v %s\n", a, l.Fields(), l.Token.Reveal())
		}
	})
	for _, id := range w.ids() {
		for _, a := range w.servers[id].state.Accounts() {
			groups, err := w.servers[id].state.Groups(a.User)
			w.must(err)
			for _, g := range groups {
				if g.ID != "latchkey" {
					fmt.Fprintf(&b, "%s/%s group %v\n", id, a.User, g)
				}
			}
		}
	}
	return b.String()
}
