package reconcile

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// alike is one notice about several accounts of a server: it would fill the log of
// every run. Plans name them all.
type alike struct {
	first Entry
	n     int
	users []string // maxAlike at most
}

type alikeKey struct{ server, app, message string }

// maxAlike is how many accounts such a notice names.
const maxAlike = 10

// gather keeps a notice about an account until its server is done. It is called with
// mu held.
func (l *operationLog) gather(e Entry) {
	key := alikeKey{e.Server, e.App, e.Message}
	if l.alike == nil {
		l.alike = map[alikeKey]*alike{}
	}
	a := l.alike[key]
	if a == nil {
		a = &alike{first: e}
		l.alike[key] = a
	}
	if a.n++; len(a.users) < maxAlike {
		a.users = append(a.users, e.User)
	}
}

// tellAlike logs what was gathered about a server. It is called with mu held.
func (l *operationLog) tellAlike(server string) {
	for _, key := range slices.SortedFunc(maps.Keys(l.alike), func(a, b alikeKey) int {
		return cmp.Or(cmp.Compare(a.app, b.app), cmp.Compare(a.message, b.message))
	}) {
		if key.server != server {
			continue
		}
		a := l.alike[key]
		delete(l.alike, key)
		e := a.first
		e.At = l.now()
		if a.n > 1 {
			slices.Sort(a.users)
			names := strings.Join(a.users, ", ")
			if a.n > len(a.users) {
				names = "e.g. " + names
			}
			e.User, e.Message = "", fmt.Sprintf("%d accounts: %s (%s)", a.n, e.Message, names)
		}
		e.Message = clip(e.Message, maxMessage)
		l.waiting = append(l.waiting, e)
		// Counts tell of accounts without a subscriber, and of links of others.
		if e.App == "" && key.message != noSubscriber && len(l.notices) < maxNotices {
			l.notices = append(l.notices, e)
		}
	}
}
