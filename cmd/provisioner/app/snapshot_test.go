package app_test

import (
	"time"

	"github.com/latchkey-sso/latchkey/api/cpanelfake"
)

// snapshot is all that is in Redis and on the servers. Files are not in it.
type snapshot struct {
	keys     []dumpedKey
	accounts map[string][]dumpedAccount
}

type dumpedKey struct {
	name, value string
	ttl         time.Duration // 0 for ever
}

type dumpedAccount struct {
	cpanelfake.Account
	links  []cpanelfake.Link
	groups []cpanelfake.Group
}

func (w *world) snapshot() snapshot {
	w.t.Helper()
	s := snapshot{accounts: map[string][]dumpedAccount{}}
	names, err := w.redis.Keys(w.t.Context(), "*").Result()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, name := range names {
		value, err := w.redis.Dump(w.t.Context(), name).Result()
		if err != nil {
			w.t.Fatal(err)
		}
		ttl, err := w.redis.PTTL(w.t.Context(), name).Result()
		if err != nil {
			w.t.Fatal(err)
		}
		s.keys = append(s.keys, dumpedKey{name, value, max(ttl, 0)})
	}
	for id, p := range w.servers {
		for _, a := range p.state.Accounts() {
			d := dumpedAccount{Account: a}
			if d.links, err = p.state.Links(a.User); err != nil {
				w.t.Fatal(err)
			}
			if d.groups, err = p.state.Groups(a.User); err != nil {
				w.t.Fatal(err)
			}
			s.accounts[id] = append(s.accounts[id], d)
		}
	}
	return s
}

// restore makes everything as it was.
func (w *world) restore(s snapshot) {
	w.t.Helper()
	ok := func(err error) {
		w.t.Helper()
		if err != nil {
			w.t.Fatal(err)
		}
	}
	ok(w.redis.FlushAll(w.t.Context()).Err())
	for _, k := range s.keys {
		ok(w.redis.Restore(w.t.Context(), k.name, k.ttl, k.value).Err())
	}
	for id, p := range w.servers {
		for _, a := range p.state.Accounts() {
			ok(p.state.RemoveAccount(a.User))
		}
		for _, a := range s.accounts[id] {
			ok(p.state.AddAccount(a.Account))
			for _, g := range a.groups {
				ok(p.state.PutGroup(a.User, g))
			}
			for _, l := range a.links {
				ok(p.state.PutLink(a.User, l))
			}
		}
	}
}
