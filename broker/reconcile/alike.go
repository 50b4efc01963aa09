package reconcile

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// alike is one notice, or one warning of a blocked link, about several accounts of a
// server: it would fill the log of every run. Plans name them all.
type alike struct {
	first Entry
	n     int
	users []string // maxAlike at most
}

// alikeKey has a user where the order names accounts: nothing is alike then.
type alikeKey struct{ user, app, message string }

// anybody stands for the account in a command that several accounts need.
const anybody = "USER"

// maxAlike is how many accounts such an entry names.
const maxAlike = 10

// gather keeps an entry about an account until its server is done. It is called with
// mu held.
func (l *operationLog) gather(e Entry) {
	about := l.about(e.Server)
	key := alikeKey{app: e.App, message: strings.Replace(e.Message, " user="+e.User+" ", " user="+anybody+" ", 1)}
	if l.named {
		key.user = e.User
	}
	a := about.alike[key]
	switch {
	case a == nil && len(about.alike) >= maxKinds:
		about.more++
		if about.worst != LevelWarning {
			about.worst = e.Level
		}
		return
	case a == nil:
		a = &alike{first: e}
		about.alike[key] = a
	}
	if a.n++; len(a.users) < maxAlike {
		a.users = append(a.users, e.User)
	}
}

// tellAlike logs what was gathered about a server. It is called with mu held.
func (l *operationLog) tellAlike(server string, about *serverLog) {
	for _, key := range slices.SortedFunc(maps.Keys(about.alike), func(a, b alikeKey) int {
		return cmp.Or(cmp.Compare(a.user, b.user), cmp.Compare(a.app, b.app), cmp.Compare(a.message, b.message))
	}) {
		a := about.alike[key]
		e := a.first
		e.At = l.now()
		if a.n > 1 {
			slices.Sort(a.users)
			names := strings.Join(a.users, ", ")
			if a.n > len(a.users) {
				names = "e.g. " + names
			}
			e.User, e.Message = "", fmt.Sprintf("%d accounts: %s (%s)", a.n, key.message, names)
		}
		e.Message = clip(e.Message, maxMessage)
		l.waiting = append(l.waiting, e)
		// Counts tell of accounts without a subscriber, and of links of others. Warnings
		// are problems already.
		if e.Level == LevelNotice && (l.named || e.App == "" && key.message != noSubscriber) {
			l.notice(e)
		}
	}
	if about.more > 0 {
		e := Entry{At: l.now(), Level: about.worst, Server: server, Message: fmt.Sprintf(
			"%d more entries about accounts of this server are not listed; `provisioner plan --server %s -o json` shows what is left alone", about.more, server)}
		l.waiting = append(l.waiting, e)
		l.notice(e)
	}
}
