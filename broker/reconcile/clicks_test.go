package reconcile_test

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"github.com/latchkey-sso/latchkey/broker"
)

// check looks whether clicks still work: on the links that are shown in the
// accounts or belong to them.
func (w *world) check(accounts ...broker.Account) {
	for id, s := range w.servers {
		for user, a := range s.accounts {
			for app, l := range a.links {
				at := place{broker.Account{Server: id, User: user}, app}
				u, err := url.Parse(l.fields.AutologinURL)
				if err != nil || !strings.HasPrefix(l.fields.AutologinURL, w.spec.public+"/autologin?") {
					continue
				}
				q := u.Query()
				link := broker.Link{Account: broker.Account{Server: q.Get("server"), User: q.Get("user")}, App: q.Get("app")}
				if !slices.Contains(accounts, at.account) && !slices.Contains(accounts, link.Account) {
					continue
				}
				w.click(at, link, l)
			}
		}
	}
}

func (w *world) click(at place, link broker.Link, l shown) {
	if at.account != link.Account {
		s := w.servers[link.Server]
		if s == nil || s.accounts[link.User] != nil || !strings.HasPrefix(at.app, w.spec.prefix) {
			return // while the original is there, a copy works as long as the tokens happen to be the same
		}
	}
	cause := w.book.cause(link, l.token.Digest(), l.fields.Subscriber)
	if cause == "" {
		w.worked[at] = true
		return
	}
	if !w.worked[at] || w.losing {
		return
	}
	// Another subscriber ends the former tokens at once, which is the purpose.
	record := ok(w.book.Load(context.Background(), []broker.Account{link.Account}))(w.t)[0]
	if cause == broker.CauseSuperseded && (record.Subscriber != l.fields.Subscriber || w.superseding) {
		return
	}
	w.broke("the token of %s at %s/%s stopped working: %s; record %+v", link, at.account, at.app, cause, record)
}

// wantAllWork expects that a click on every wanted link of an account works.
func (w *world) wantAllWork(accounts ...broker.Account) {
	w.t.Helper()
	for _, a := range accounts {
		for _, app := range w.spec.wanted(w.t).Apps() {
			l := w.servers[a.Server].link(a.User, app)
			if l.foreign {
				continue
			}
			if cause := w.book.cause(broker.Link{Account: a, App: app}, l.token.Digest(), w.subscribers[a]); cause != "" {
				w.t.Errorf("a click on %s/%s: got %q, want it to work; on the server is %+v", a, app, cause, l.fields)
			}
		}
	}
}
