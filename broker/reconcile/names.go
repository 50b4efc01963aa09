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

// refuse takes the apps that have no names of links for somebody else's.
func (p *planner) refuse() {
	p.seen.apps = slices.DeleteFunc(slices.Clone(p.seen.apps), func(app string) bool {
		if (broker.Link{Account: p.record.Account, App: app}).Validate() == nil {
			return false
		}
		p.plan.Foreign++
		if p.wanted.mayBeOurs(app) {
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

// reportRefused says how many links have names like ours that we never give.
func (w *serverRun) reportRefused(s *session) {
	if w.refused > 0 {
		w.log.add(s.entry(LevelNotice, "", "", fmt.Sprintf("%d links have names that begin like ours and that we never give; they are left alone", w.refused)))
	}
}
