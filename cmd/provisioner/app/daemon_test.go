package app_test

import (
	"fmt"
	"net"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/latchkey-sso/latchkey/broker/reconcile"
	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// daemonFleet has three servers and nothing on them yet.
func daemonFleet(t *testing.T, accounts int) (*faultWorld, faultWanted) {
	w := newFaultWorld(t, "web01", "web02", "web03")
	var names, rows, wanted []string
	for _, id := range w.ids() {
		for i := range accounts {
			user, subscriber := fmt.Sprintf("user%02d", i), fmt.Sprint(len(rows)+1001)
			names = append(names, id+"/"+user)
			rows = append(rows, id+","+user+","+subscriber)
			wanted = append(wanted, id+"/"+user+" "+subscriber)
		}
	}
	w.account(names...)
	w.subscribers(rows...)
	w.configure(faultSettings{})
	return w, wantLinks("Invoices", "Tickets", wanted...)
}

// A new revision of the catalogue is on the servers within seconds, whatever the
// timer says, whoever published it.
func TestDaemonFollowsTheCatalogue(t *testing.T) {
	t.Parallel()
	w, want := daemonFleet(t, 2)
	d := w.daemon()
	w.reachedSoon("the first round has created everything", want)
	d.ready(t)

	export := w.ok("catalogue", "export", "-o", "json").out
	write(t, w.dir+"/new.json", strings.Replace(strings.Replace(export, `"Invoices"`, `"Bills"`, 1), `"Tickets"`, `"Help"`, 1))
	w.ok("catalogue", "import", w.dir+"/new.json", "--author", "console")
	for i, line := range want {
		want[i] = strings.NewReplacer(`"Invoices"`, `"Bills"`, `"Tickets"`, `"Help"`).Replace(line)
	}
	took := w.reachedSoon("the new revision is on the servers", want)
	t.Logf("a new revision was on all servers after %s; the timer goes off every hour", took.Round(time.Millisecond))
}

// So is one that is published while the daemon's own run is under way.
func TestDaemonSeesARevisionDuringItsRun(t *testing.T) {
	t.Parallel()
	w, want := daemonFleet(t, 4)
	for _, id := range w.ids() {
		w.servers[id].whm.SetLatency(400*time.Millisecond, 0)
	}
	w.daemon()
	eventually(t, soon, "the daemon's run has begun", func() bool { return len(w.ours()) > 0 })
	export := w.ok("catalogue", "export", "-o", "json").out
	write(t, w.dir+"/new.json", strings.Replace(export, `"Invoices"`, `"Bills"`, 1))
	w.ok("catalogue", "import", w.dir+"/new.json", "--author", "console")
	if begun, err := w.store.Operations(t.Context(), 9); err != nil || len(begun) != 1 || begun[0].State != reconcile.StateRunning {
		t.Fatalf("got operations %+v (%v), want the daemon's, under way", begun, err)
	}
	for i, line := range want {
		want[i] = strings.Replace(line, `"Invoices"`, `"Bills"`, 1)
	}
	for _, id := range w.ids() {
		w.servers[id].whm.SetLatency(0, 0)
	}
	w.reachedSoon("the new revision is on the servers", want)
}

// A daemon that starts looks at everything itself, whatever was applied just before: what
// it is configured for may be new.
func TestDaemonLooksForItselfFirst(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"apply", "apply --app invoices", "apply --trust-store", "apply --server web01"} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			w, want := daemonFleet(t, 1)
			w.ok(strings.Fields(args)...)
			w.must(w.servers["web01"].state.RemoveLink("user00", "latchkey_invoices"))
			w.daemon()
			w.reachedSoon("the daemon has mended what is missing", want)
		})
	}
}

// Two daemons and an apply at once: each link is written once, and nobody fails.
func TestTwoDaemonsAndAnApply(t *testing.T) {
	t.Parallel()
	w, want := daemonFleet(t, 8)
	for _, id := range w.ids() {
		w.servers[id].whm.SetLatency(50*time.Millisecond, 2*time.Millisecond) // so that they meet
	}
	one, other := w.daemon(), w.daemon()
	eventually(t, soon, "both daemons have begun", func() bool {
		begun, err := w.store.Operations(t.Context(), 3)
		return err == nil && len(begun) == 2
	})
	if r := w.run("apply"); r.code != cli.ExitDone || strings.Contains(r.out, "FAILED") {
		t.Errorf("%vwant exit code 0", r)
	}
	one.ready(t)
	other.ready(t)
	if err := w.reached(want); err != nil {
		t.Error(err)
	}
	for _, id := range w.ids() {
		got := w.servers[id].whm.Writes()
		if got["create_integration_link"] != 16 || got["create_integration_group"] != 8 {
			t.Errorf("%s: got writes %v, want 16 links and 8 groups, each once", id, got)
		}
	}
	for _, d := range []*runningDaemon{one, other} {
		if log := d.log.String(); strings.Contains(log, `"level":"warn"`) || strings.Contains(log, `"level":"error"`) {
			t.Errorf("a daemon has\n%s\nwant no warning", log)
		}
	}
}

// A daemon that is told to stop ends what it has begun and leaves nothing running:
// no goroutine, no lease, no sign of life. Not parallel: other tests' goroutines
// would be counted.
func TestDaemonStops(t *testing.T) {
	tests := []struct {
		name   string
		before func(w *faultWorld, d *runningDaemon)
	}{
		{"at rest", func(w *faultWorld, d *runningDaemon) { d.ready(w.t) }},
		{"at once", func(*faultWorld, *runningDaemon) {}},
		{"at work", func(w *faultWorld, d *runningDaemon) {
			eventually(w.t, soon, "the first links are there", func() bool { return len(w.ours()) > 0 })
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w, want := daemonFleet(t, 4)
			w.configure(w.takesHooks())
			for _, id := range w.ids() {
				w.servers[id].whm.SetLatency(200*time.Millisecond, 0)
			}
			before := goleak.IgnoreCurrent()
			d := w.daemon()
			tt.before(w, d)
			begun := time.Now()
			if code := d.stop(); code != cli.ExitDone {
				t.Errorf("got exit code %d, want 0\n%s", code, d.log)
			}
			if took := time.Since(begun); took > soon {
				t.Errorf("it took %s to stop, want %s at most", took, soon)
			}
			for _, s := range w.servers { // the other ends of connections
				s.whm.Down()
			}
			goleak.VerifyNone(t, before, goleak.IgnoreAnyFunction("github.com/alicebob/miniredis/v2/server.(*Server).servePeer"), goleak.IgnoreAnyFunction("github.com/alicebob/miniredis/v2/server.(*Server).servePeer.func2"))
			for _, s := range w.servers {
				w.must(s.whm.Up())
			}
			status, err := w.store.Status(t.Context())
			if err != nil || status.Daemon {
				t.Errorf("status: got %+v (%v), want no daemon alive", status, err)
			}
			if dump := storetest.Dump(t, w.redis); strings.Contains(dump, "lease:") {
				t.Errorf("a lease was left:\n%s", dump)
			}
			if err := w.consistent(); err != nil {
				t.Error(err)
			}
			w.ok("apply")
			if err := w.reached(want); err != nil {
				t.Errorf("after one more run: %v", err)
			}
		})
	}
}

// SIGTERM ends the process with 0.
func TestDaemonProcessStops(t *testing.T) {
	t.Parallel()
	w, want := daemonFleet(t, 2)
	process, log := w.start(buildProvisioner(t), "run")
	w.reachedSoon("the first round has created everything", want)
	w.must(process.Process.Signal(syscall.SIGTERM))
	err := process.Wait()
	if _, is := err.(*exec.ExitError); err != nil || is {
		t.Errorf("SIGTERM: got %v, want exit code 0\n%s", err, log)
	}
	if !strings.Contains(log.String(), `"msg":"stopped"`) {
		t.Errorf("the log has\n%s\nwant that it stopped", log)
	}
}

// A port for hooks that is taken is told, with its key, before anything is done.
func TestDaemonPortInUse(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	w, _ := daemonFleet(t, 1)
	w.configure(faultSettings{provisioner: fmt.Sprintf(", listen: %q", l.Addr())})
	if r := w.run("run"); r.code != cli.ExitFailed || !strings.Contains(r.err, "provisioner.listen: ") || !strings.Contains(r.err, "address already in use") {
		t.Errorf("%vwant exit code 1 and what is the matter with provisioner.listen", r)
	}
	if got := w.writes(); got != 0 {
		t.Errorf("got %d writes, want none", got)
	}
}

// A daemon goes on where another one was killed, after the lease has run out.
func TestDaemonTakesOver(t *testing.T) {
	t.Parallel()
	w, want := daemonFleet(t, 2)
	for _, id := range w.ids() {
		_, err := w.store.Acquire(t.Context(), id, "provisioner run on a host that died (process 1)", 2*time.Second)
		w.must(err)
	}
	d := w.daemon()
	took := w.reachedSoon("the servers are as wanted", want)
	d.ready(t)
	t.Logf("taken over after %s, with leases of 2s", took.Round(time.Millisecond))
}
