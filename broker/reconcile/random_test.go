package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

// chance makes random worlds, the same ones for the same seed.
type chance struct {
	*rand.Rand
	w *world
}

func newChance(w *world, seed uint64) chance { return chance{rand.New(rand.NewPCG(seed, 1)), w} }

// pick returns one of a map's keys.
func pick[V any](c chance, from map[string]V) string {
	keys := slices.Sorted(maps.Keys(from))
	if len(keys) == 0 {
		return ""
	}
	return keys[c.IntN(len(keys))]
}

// account returns one that is there.
func (c chance) account() (*server, string) {
	s := c.w.servers[pick(c, c.w.servers)]
	if len(s.accounts) == 0 {
		s.add("bob")
	}
	return s, pick(c, s.accounts)
}

// happen lets one thing happen that operators, customers or other programs do.
func (c chance) happen() {
	w := c.w
	s, user := c.account()
	account := broker.Account{Server: s.id, User: user}
	other, as := w.servers[pick(c, w.servers)], fmt.Sprint("u", c.IntN(4))
	app := w.spec.prefix + w.spec.links[c.IntN(len(w.spec.links))].ID
	link := &w.spec.links[c.IntN(len(w.spec.links))]
	switch c.IntN(18) {
	case 0:
		link.Label = fmt.Sprint("Label ", c.IntN(100))
	case 1:
		link.Path = fmt.Sprint("/path/", c.IntN(100))
	case 2, 3:
		link.Enabled = !link.Enabled
	case 4:
		w.spec.group.Label = fmt.Sprint("Group ", c.IntN(100))
	case 5:
		w.spec.group.ID = []string{"latchkey", "portal", "customers"}[c.IntN(3)]
	case 6:
		w.spec.prefix = []string{"latchkey_", "acme_"}[c.IntN(2)]
	case 7:
		w.subscribers[account] = fmt.Sprint(1000 + c.IntN(5))
	case 8:
		delete(w.subscribers, account)
	case 9:
		other.add(as)
		w.forgetPlaces(other.id, as)
		w.subscribers[broker.Account{Server: other.id, User: as}] = fmt.Sprint(1000 + c.IntN(5))
	case 10:
		delete(s.accounts, user)
		w.forgetPlaces(s.id, user)
	case 11: // a copy, or a move
		if other.accounts[as] == nil {
			s.copyTo(user, other, as)
			w.check(account)
			if c.IntN(2) == 0 {
				delete(s.accounts, user)
				w.forgetPlaces(s.id, user)
			}
			if c.IntN(3) > 0 {
				w.subscribers[broker.Account{Server: other.id, User: as}] = fmt.Sprint(1000 + c.IntN(5))
			}
		}
	case 12:
		s.foreign(user, []string{app, "whmcs_x", w.spec.prefix + "unwanted"}[c.IntN(3)], theirs)
		w.forgetPlaces(s.id, user)
		w.check(account)
	case 13:
		if _, there := s.accounts[user].groups["portal"]; !there {
			s.foreignGroup(user, "portal")
		}
	case 14:
		delete(s.accounts[user].links, app)
		w.forgetPlaces(s.id, user)
		w.check(account)
	case 15:
		if l := s.accounts[user].links[app]; l.fields.Label != "" && !l.foreign {
			s.edit(user, app, func(f *reconcile.Fields) { f.Label = "by hand" })
		}
	case 16:
		s.unlisted = map[string]bool{user: c.IntN(2) == 0}
	case 17:
		w.later += time.Duration(c.IntN(100*24)) * time.Hour
	}
}

// forgetPlaces forgets that clicks have worked in an account that is another one
// now.
func (w *world) forgetPlaces(server, user string) {
	maps.DeleteFunc(w.worked, func(p place, _ bool) bool { return p.account == broker.Account{Server: server, User: user} })
}

// policy is a random one.
func (c chance) policy() reconcile.Policy {
	before := c.w.now().Add(-30 * 24 * time.Hour)
	apps := c.w.spec.wanted(c.w.t).Apps()
	switch c.IntN(8) {
	case 0:
		return reconcile.Policy{Remove: true}
	case 1:
		return reconcile.Policy{Rotate: true, RotateBefore: before}
	case 2:
		return reconcile.Policy{Deep: true}
	case 3:
		if len(apps) > 0 {
			return reconcile.Policy{Apps: apps[:1], RotateBefore: before, Remove: c.IntN(2) == 0}
		}
	}
	return reconcile.Policy{RotateBefore: before}
}

// newRandomWorld is one with a past.
func newRandomWorld(t *testing.T, seed uint64) (*world, chance) {
	w := newVirtualWorld(t)
	c := newChance(w, seed)
	for range c.IntN(3) {
		for range c.IntN(5) {
			c.happen()
		}
		w.run(w.order(c.policy()))
	}
	for range 1 + c.IntN(6) {
		c.happen()
	}
	return w, c
}

func seeds(t *testing.T, n int) int {
	t.Helper()
	if testing.Short() {
		return n / 10
	}
	return n
}

// P4: a plan is what a run does then, and a second run does nothing.
func TestARunDoesWhatWasPlanned(t *testing.T) {
	for seed := range uint64(seeds(t, 500)) {
		synctest.Test(t, func(t *testing.T) {
			w, c := newRandomWorld(t, seed)
			policy := c.policy()
			plans, dry := w.plans(w.order(policy))
			w.forget()
			r := w.run(w.order(policy))
			if problem := matches(plans, w.written()); problem != "" {
				t.Errorf("policy %+v: %s", policy, problem)
			}
			if dry.Counts != r.Counts {
				t.Errorf("policy %+v: counts of the plan %+v, of the run %+v", policy, dry.Counts, r.Counts)
			}
			w.forget()
			w.run(w.order(policy))
			if got := w.written(); len(got) > 0 {
				t.Errorf("policy %+v: a second run wrote %v", policy, got)
			}
			w.run(w.order(reconcile.Policy{Deep: true}))
			w.wantSettled()
		})
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// wantSettled expects everything as wanted on accounts that are listed.
func (w *world) wantSettled() {
	w.t.Helper()
	for id, s := range w.servers {
		for user, a := range s.accounts {
			account := broker.Account{Server: id, User: user}
			if w.subscribers[account] == "" || s.unlisted[user] {
				continue
			}
			for _, app := range w.spec.wanted(w.t).Apps() {
				if l := a.links[app]; !l.foreign {
					w.wantLink(account, app, l)
				}
			}
			for app, l := range a.links {
				if !strings.HasPrefix(app, w.spec.prefix) {
					continue // a copy from the time of another prefix looks like somebody else's
				}
				if _, recorded := w.record(account).Links[app]; !l.foreign && !recorded {
					w.t.Errorf("%s/%s: an orphan", account, app)
				}
			}
		}
	}
}

// Whatever fails on the way, once it works again one run brings everything to what
// is wanted, and no click was lost meanwhile.
func TestARunConvergesAfterFailures(t *testing.T) {
	for seed := range uint64(seeds(t, 500)) {
		synctest.Test(t, func(t *testing.T) {
			w, c := newRandomWorld(t, seed)
			var mu sync.Mutex
			for _, s := range w.servers {
				s.fault = func(_ int, r request) fault {
					mu.Lock()
					defer mu.Unlock()
					return c.fault(r)
				}
			}
			w.storeFault = func(reconcile.Fence) error {
				mu.Lock()
				defer mu.Unlock()
				if c.IntN(10) == 0 {
					return errors.New("the store is failing over")
				}
				return nil
			}
			for range 2 { // a third one might be one token too many
				ok(w.reconciler("a").Run(context.Background(), w.order(reconcile.Policy{})))(t)
			}
			for _, s := range w.servers {
				s.fault = nil
			}
			w.storeFault = nil
			r := w.run(w.order(reconcile.Policy{Deep: true}))
			if blocked := w.blocked(reconcile.Policy{}); r.Counts.Failed != blocked {
				t.Errorf("got %+v, want %d blocked links and nothing else failed", r, blocked)
			}
			w.wantSettled()
			w.forget()
			w.run(w.order(reconcile.Policy{}))
			if got := w.written(); len(got) > 0 {
				t.Errorf("a second run wrote %v", got)
			}
		})
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// fault is a random one, or none.
func (c chance) fault(r request) fault {
	if c.IntN(3) > 0 {
		return fault{}
	}
	at := 0
	if len(r.commands) > 0 {
		at = c.IntN(len(r.commands))
	}
	switch c.IntN(9) {
	case 0:
		return fault{err: unreachable()}
	case 1:
		return fault{err: forbidden()}
	case 2:
		return fault{err: refused("one function of the batch is forbidden")}
	case 3: // the time is up, and some of it was done
		return fault{err: lost("no answer in time"), executed: at}
	case 4: // everything was done, and the answer is lost
		return fault{err: lost("connection reset"), executed: len(r.commands)}
	case 5:
		return fault{refuse: map[int]error{at: refused("no")}}
	case 6:
		return fault{lose: map[int]error{at: lost("half an answer")}}
	case 7:
		return fault{refuse: map[int]error{at: &reconcile.Failure{Scope: reconcile.ScopeItem, Again: true, Message: "not run"}}}
	default:
		return fault{refuse: map[int]error{at: forbidden()}}
	}
}
