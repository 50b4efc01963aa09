package app_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/api/whm/whmfake"
)

// goOn is what an interrupted run says.
const goOn = "interrupted; nothing is lost: run the same command again to go on"

// eightAccounts is a fleet of so many accounts that a run can be stopped in the middle.
func eightAccounts(t *testing.T) (*world, desired) {
	w := newWorld(t, "web01", "web02")
	d := desired{accounts: map[string]string{}, links: threeDesired, group: defaultGroup}
	var rows []string
	for i := range 8 {
		account := fmt.Sprintf("web01/user%d", i)
		w.account(account)
		d.accounts[account] = fmt.Sprint(1000 + i)
		rows = append(rows, fmt.Sprintf("web01,user%d,%d", i, 1000+i))
	}
	w.putForeign("web01", "user3")
	w.subscribers(rows...)
	w.configure(settings{links: threeLinks})
	return w, d
}

// Ctrl-C lets the request that is on its way end, writes down what it did, and says
// how to go on. The same command finishes.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	w, want := eightAccounts(t)
	foreign := w.foreign()
	var writing, asked atomic.Int32
	w.servers["web01"].whm.SetFault(whmfake.On("create_integration_link", func(r whmfake.Request) whmfake.Fault {
		writing.Add(1)
		asked.Add(int32(r.Commands()))
		return whmfake.Fault{Kind: whmfake.Slow, Delay: 300 * time.Millisecond}
	}))
	p := w.process("apply")
	p.start()
	p.until("the second writing request is on its way", func() bool { return writing.Load() == 2 })
	p.interrupt()
	r := w.ended(p)
	if r.code != 3 || !strings.Contains(r.err, goOn) {
		t.Errorf("exit code %d, %q, want 3 and %q", r.code, r.err, goOn)
	}
	if !strings.Contains(r.out, "web01: stopped after") || !strings.Contains(r.out, "of 8 accounts") {
		t.Errorf("printed %q, want how far web01 is", r.out)
	}
	done := len(w.written())
	if want := int(asked.Load()); done != want || done >= 8*4 {
		t.Errorf("%d writes, want %d, those of two requests, and not all", done, want)
	}
	crash{}.atRest(w, "interrupted", nil)
	links, err := w.store.Links(t.Context(), "web01")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if l.Generation != 1 {
			t.Errorf("%s: %d tokens confirmed, want one: the request on its way was waited for", l.Link, l.Generation)
		}
	}
	if out := w.ok("log"); !strings.Contains(out, "interrupted") {
		t.Errorf("the list of operations is\n%s\nwant the state interrupted", out)
	}
	w.servers["web01"].whm.SetFault(nil)
	w.resetJournals()
	w.ok("apply")
	if got := len(w.written()); got != 8*4-done {
		t.Errorf("the second run made %d writes, want the %d that were left", got, 8*4-done)
	}
	if err := want.reached(w); err != nil {
		t.Error(err)
	}
	w.same("interrupted", foreign)
}

// A second Ctrl-C does not wait for a server that hangs. Nothing is lost either.
func TestInterruptedTwice(t *testing.T) {
	t.Parallel()
	w, want := eightAccounts(t)
	w.servers["web01"].whm.SetFault(whmfake.On("create_integration_link", whmfake.Always(whmfake.Fault{Kind: whmfake.LateHang})))
	p := w.process("apply")
	p.start()
	p.until("the server hangs", func() bool { return len(w.written()) > 0 })
	p.interrupt()
	// A signal that arrives before the first one was taken would be lost.
	p.until("it dies", func() bool {
		select {
		case <-p.done:
			return true
		default:
			p.interrupt()
			return false
		}
	})
	if r := w.ended(p); r.code != -1 {
		t.Errorf("exit code %d, want a process that died of the signal", r.code)
	}
	crash{}.atRest(w, "interrupted twice", nil)
	w.servers["web01"].whm.SetFault(nil)
	w.redis.Del(t.Context(), "latchkey:lease:{web01}")
	w.ok("apply")
	if err := want.reached(w); err != nil {
		t.Error(err)
	}
}

// Who waits for another process says for whom, and can be stopped.
func TestInterruptedWhileWaiting(t *testing.T) {
	t.Parallel()
	w, _ := eightAccounts(t)
	if _, err := w.store.Acquire(t.Context(), "web01", "somebody on another host", time.Hour); err != nil {
		t.Fatal(err)
	}
	p := w.process("apply")
	p.start()
	p.until("it waits", func() bool { return strings.Contains(p.err.String(), "web01: waiting for somebody on another host") })
	p.interrupt()
	if r := w.ended(p); r.code != 3 || !strings.Contains(r.err, goOn) {
		t.Errorf("exit code %d, %q, want 3 and %q", r.code, r.err, goOn)
	}
	if got := w.written(); len(got) > 0 {
		t.Errorf("written: %v, want nothing", got)
	}
}

// Stopped before anything was begun, while Redis keeps it waiting, it does not
// complain of Redis.
func TestInterruptedEarly(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"apply", "plan", "remove --all --yes", "rotate --all", "verify"} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			w, _ := eightAccounts(t)
			w.redisGate.hold.Lock()
			p := w.process(strings.Fields(args)...)
			p.start()
			p.until("it asks Redis", func() bool { return w.redisGate.connections() > 0 })
			p.interrupt()
			w.redisGate.hold.Unlock()
			r := w.ended(p)
			if r.code != 3 || !strings.Contains(r.err, goOn) || strings.Contains(r.err, "is Redis running") {
				t.Errorf("exit code %d, %q, want 3 and %q", r.code, r.err, goOn)
			}
		})
	}
}

// A question can be left with Ctrl-C.
func TestInterruptedQuestion(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "web01", "web02")
	want := applied(w)
	p := w.process("remove", "--all")
	p.start()
	p.until("it asks", func() bool { return strings.Contains(p.err.String(), "[y/N]") })
	p.interrupt()
	<-p.done
	if r := w.ended(p); r.code != 3 || !strings.Contains(r.err, "interrupted; nothing was removed") {
		t.Errorf("exit code %d, %q, want 3 and that nothing was removed", r.code, r.err)
	}
	if err := want.reached(w); err != nil {
		t.Error(err)
	}
}
