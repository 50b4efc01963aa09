package app_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/api/cpanelfake"
	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// allKillPoints is the variable that, set to "all", has every kill point tried;
// else one in sampleEvery is, from a random one on.
const (
	allKillPoints = "TEST_KILLPOINTS"
	sampleEvery   = 5
)

// crash is a piece of work that is killed at every point.
type crash struct {
	name string
	// prepare makes the world before the command, configuration and list of
	// subscribers included, and returns what the command shall bring about.
	prepare func(*world) desired
	args    []string
	// again is what is run after the kill, args when it is nil; after, run when all is
	// done, must find nothing to do, again when it is nil.
	again, after []string
	// subscriberChanges: tokens of before stop working when the command begins.
	subscriberChanges bool
}

// TestKilled kills a command before each of its side effects in turn, real processes
// on a real Redis, and runs it again.
func TestKilled(t *testing.T) {
	for _, c := range crashes() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t)
		})
	}
}

func (c crash) run(t *testing.T) {
	w := newWorld(t, "web01", "web02")
	want := c.prepare(w)
	before, foreign := w.snapshot(), w.foreign()
	first, step := 1, 1
	if os.Getenv(allKillPoints) != "all" {
		seed := rand.Uint64()
		step = sampleEvery
		first = 1 + int(seed%sampleEvery)
		t.Logf("a sample of the kill points, from %d on; %s=all tries every one", first, allKillPoints)
	}
	began, points, kills := time.Now(), 0, 0
	for n := first; ; n += step {
		killed, onServer := c.killAt(w, before, foreign, want, n, false)
		if !killed {
			break
		}
		points++
		kills++
		if onServer {
			c.killAt(w, before, foreign, want, n, true)
			kills++
		}
		if t.Failed() {
			return // each of the others would say the same
		}
	}
	if points == 0 {
		t.Error("no point was reached at which to kill")
	}
	t.Logf("%d kill points, %d kills, %s", points, kills, time.Since(began).Round(time.Millisecond))
}

// next is the command that goes on after a kill.
func (c crash) next() []string {
	if c.again != nil {
		return c.again
	}
	return c.args
}

// killAt restores the world, kills the command at its n-th effect and looks at what
// it left, then runs it again and looks at what came of it. killed is false when the
// command ended before it had so many effects; onServer tells that the effect was one
// on a server and not in Redis.
func (c crash) killAt(w *world, before snapshot, foreign string, want desired, n int, executed bool) (killed, onServer bool) {
	w.restore(before)
	lost, kept := w.refused(), w.kept(want)
	p := w.process(c.args...)
	w.gate.arm(p, executed, func(at int, _ string) bool { return at == n })
	r := w.ended(p)
	effects, killed := w.gate.seen()
	w.gate.open()
	last := effects[len(effects)-1]
	where := fmt.Sprintf("killed at effect %d (%s)", n, last)
	switch {
	case !killed && r.code != 0:
		w.t.Errorf("not killed: exit code %d, want 0\n%s%s", r.code, r.out, r.err)
	case !killed:
		where = "not killed"
	case r.code != -1:
		w.t.Errorf("%s: exit code %d, want a process that was killed\n%s%s", where, r.code, r.out, r.err)
	default:
		onServer = !strings.HasPrefix(last, "redis ")
		where += map[bool]string{true: " and executed", false: ""}[executed]
		c.atRest(w, where, lost)
		left := w.kept(want)
		for link := range kept {
			if !left[link] {
				w.t.Errorf("%s: %s, which was there and is wanted, is gone", where, link)
			}
		}
		w.same(where, foreign)
		storetest.Advance(w.t, w.redis, time.Minute) // the leases of the dead run out
		if r := w.run(c.next()...); r.code != 0 {
			w.t.Errorf("%s, run again: exit code %d, want 0\n%s%s", where, r.code, r.out, r.err)
		}
	}
	if err := want.reached(w); err != nil {
		w.t.Errorf("%s, run again: %v", where, err)
	}
	w.same(where+", run again", foreign)
	c.nothingMore(w, where)
	return killed, onServer
}

// refused are the tokens on the servers that the store does not accept, by link.
func (w *world) refused() map[string]bool {
	refused := map[string]bool{}
	w.eachLink(func(server, user string, l cpanelfake.Link) {
		if w.ours(l) && w.accepted(l) != nil {
			refused[server+"/"+user+"/"+l.App+" "+l.Token.Reveal()] = true
		}
	})
	return refused
}

// kept are the links on the servers that are there in the end as well.
func (w *world) kept(want desired) map[string]bool {
	kept := map[string]bool{}
	w.eachLink(func(server, user string, l cpanelfake.Link) {
		wanted := func(d desiredLink) bool { return "latchkey_"+d.id == l.App }
		if _, has := want.accounts[server+"/"+user]; has && w.ours(l) && slices.ContainsFunc(want.links, wanted) {
			kept[server+"/"+user+"/"+l.App] = true
		}
	})
	return kept
}

// atRest holds what a dead process left against the rule that every token which a
// server has is accepted, or recognised as superseded by a change of the subscriber.
// Tokens that were no good before do not count.
func (c crash) atRest(w *world, where string, lost map[string]bool) {
	w.t.Helper()
	w.eachLink(func(server, user string, l cpanelfake.Link) {
		if !w.ours(l) || lost[server+"/"+user+"/"+l.App+" "+l.Token.Reveal()] {
			return
		}
		err := w.accepted(l)
		denied, is := errors.AsType[*broker.DeniedError](err)
		if err == nil || c.subscriberChanges && is && denied.Cause == broker.CauseSuperseded {
			return
		}
		w.t.Errorf("%s: a click on %s of %s/%s is refused: %v", where, l.App, server, user, err)
	})
}

func (w *world) same(where, foreign string) {
	w.t.Helper()
	if got := w.foreign(); got != foreign {
		w.t.Errorf("%s: links and groups of others are\n%s\nwant\n%s", where, got, foreign)
	}
}

// nothingMore runs what must find everything done.
func (c crash) nothingMore(w *world, where string) {
	w.t.Helper()
	w.resetJournals()
	accounts := w.accounts()
	args := c.after
	if args == nil {
		args = c.next()
	}
	r := w.run(args...)
	if r.code != 0 {
		w.t.Errorf("%s, nothing left to do: exit code %d, want 0\n%s%s", where, r.code, r.out, r.err)
	}
	for id, p := range w.servers {
		if writes := p.whm.Writes(); len(writes) > 0 {
			w.t.Errorf("%s, nothing left to do: %s was written: %v", where, id, writes)
		}
	}
	if got := w.accounts(); got != accounts {
		w.t.Errorf("%s, nothing left to do: the store has changed to\n%s\nfrom\n%s", where, got, accounts)
	}
}
