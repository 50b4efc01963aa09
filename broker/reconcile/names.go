package reconcile

import (
	"fmt"
	"slices"

	"github.com/latchkey-sso/latchkey/broker"
)

// A server that was taken over may tell any names. They become parts of the store's
// keys, of commands, and of what is shown on terminals.

// named returns the users of a server that have names of accounts, sorted and each
// once, and says how many have not.
func (w *serverRun) named(s *session, users []string) []string {
	all := len(users)
	users = slices.DeleteFunc(slices.Clone(users), func(user string) bool {
		return broker.Account{Server: w.server, User: user}.Validate() != nil
	})
	if refused := all - len(users); refused > 0 {
		w.log.add(s.entry(LevelNotice, "", "", fmt.Sprintf("%d accounts have names that accounts cannot have; they are left alone", refused)))
	}
	slices.Sort(users)
	return slices.Compact(users)
}

// maxUnknown is how many links of an account are looked at, at most, that are named
// like ours and that neither the store nor the catalogue knows. Each costs a
// question and perhaps a notice. What is left of former catalogues is far less.
const maxUnknown = 200

// refuse takes the apps that have no names of links, and those beyond maxUnknown,
// for somebody else's. It leaves each app once, sorted: the same are looked at
// whenever the server names the same.
func (p *planner) refuse() {
	apps := slices.Clone(p.seen.apps)
	slices.Sort(apps)
	unknown := 0
	p.seen.apps = slices.DeleteFunc(slices.Compact(apps), func(app string) bool {
		ours := p.wanted.mayBeOurs(app)
		if (broker.Link{Account: p.record.Account, App: app}).Validate() == nil {
			_, recorded := p.record.Links[app]
			if recorded || !ours || p.wanted.Knows(app) || !p.policy.covers(app) {
				return false
			}
			if unknown++; unknown <= maxUnknown {
				return false
			}
		}
		p.plan.Foreign++
		if ours {
			p.plan.refused++
		}
		return true
	})
}

func (w *serverRun) refuse(links int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refused += links
}

// reportRefused says how many links that are named like ours were not looked at.
func (w *serverRun) reportRefused(s *session) {
	if w.refused > 0 {
		w.log.add(s.entry(LevelNotice, "", "", fmt.Sprintf("%d links are named like ours and not looked at, because we never give such names or because an account has more than %d that we do not know; they are left alone", w.refused, maxUnknown)))
	}
}
