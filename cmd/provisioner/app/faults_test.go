package app_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/api/whm/whmfake"
	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
)

// faultOperation is something that is asked for while a server is in trouble.
type faultOperation struct {
	name    string
	prepare func(w *faultWorld) // brings about what was there before, again and again
	args    []string
	want    faultWanted
	rotates bool
	// still is a command that finds nothing to do in the end.
	still []string
	// readings: the requests that only read get into trouble, too. It makes no
	// difference what they are read for.
	readings bool
}

func faultOperations() []faultOperation {
	accounts := []string{"web01/alice 1001", "web01/bob 1002", "web02/carol 1003"}
	apply := []string{"apply"}
	remove := []string{"remove", "--all", "--yes"}
	applied := func(w *faultWorld) {
		w.configure(faultSettings{})
		w.ok("apply")
	}
	return []faultOperation{
		{
			name: "first apply", args: apply, want: wantLinks("Invoices", "Tickets", accounts...), still: apply,
			prepare: func(w *faultWorld) {
				w.configure(faultSettings{})
				w.ok("remove", "--all", "--yes")
			},
		},
		{
			name: "change", args: apply, want: wantLinks("Bills", "Help", accounts...), still: apply, readings: true,
			prepare: func(w *faultWorld) {
				applied(w)
				w.configure(faultSettings{links: strings.NewReplacer("label: Invoices", "label: Bills", "label: Tickets", "label: Help").Replace(faultLinks)})
			},
		},
		{name: "rotate", prepare: applied, args: []string{"rotate", "--all"}, want: wantLinks("Invoices", "Tickets", accounts...), rotates: true, still: apply},
		{name: "remove", prepare: applied, args: remove, still: remove},
	}
}

func newFaultyFleet(t *testing.T) *faultWorld {
	w := newFaultWorld(t, "web01", "web02")
	w.account("web01/alice", "web01/bob", "web02/carol")
	w.subscribers("web01,alice,1001", "web01,bob,1002", "web02,carol,1003")
	w.putForeign("web01", "bob")
	return w
}

// outcomes of a fault.
type faultOutcome string

const (
	survived  faultOutcome = "survived" // the run does everything all the same
	givenUp   faultOutcome = "given up" // the server is named, and what is the matter
	itemFails faultOutcome = "item"     // the link or the account is named
)

// faultKind is one kind of trouble.
type faultKind struct {
	fault whmfake.Fault
	// once is the outcome when one request meets it, lasting when all do that write.
	once, lasting faultOutcome
	says          string // is told of what failed; a pattern
	hangs         bool   // real time passes
}

func faultKinds() []faultKind {
	garbled := "that cannot be read"
	cut := "ended the connection before it had answered"
	return []faultKind{
		{fault: whmfake.Fault{Kind: whmfake.Status, Status: 500}, once: survived, lasting: givenUp, says: "answered 500 Internal Server Error to"},
		{fault: whmfake.Fault{Kind: whmfake.Status, Status: 503}, once: survived, lasting: givenUp, says: "answered 503 Service Unavailable"},
		{fault: whmfake.Fault{Kind: whmfake.Status, Status: 429}, once: survived, lasting: givenUp, says: "answered 429 Too Many Requests"},
		{fault: whmfake.Fault{Kind: whmfake.Status, Status: 404}, once: givenUp, lasting: givenUp, says: "answered 404 .* check that url is WHM's own address"},
		{fault: whmfake.Fault{Kind: whmfake.Forbidden}, once: givenUp, lasting: givenUp, says: "refuses the API token of root .* check token_file"},
		{fault: whmfake.Fault{Kind: whmfake.Redirect, Location: "https://elsewhere.example.com/"}, once: givenUp, lasting: givenUp, says: "redirects to https://elsewhere.example.com .* is not followed"},
		{fault: whmfake.Fault{Kind: whmfake.HTMLPage}, once: survived, lasting: givenUp, says: garbled},
		{fault: whmfake.Fault{Kind: whmfake.NoReply}, once: survived, lasting: givenUp, says: cut},
		{fault: whmfake.Fault{Kind: whmfake.LostReply}, once: survived, lasting: givenUp, says: cut},
		{fault: whmfake.Fault{Kind: whmfake.HalfJSON}, once: survived, lasting: givenUp, says: garbled},
		{fault: whmfake.Fault{Kind: whmfake.HalfBody}, once: survived, lasting: givenUp, says: cut},
		{fault: whmfake.Fault{Kind: whmfake.EmptyBody}, once: survived, lasting: givenUp, says: garbled},
		{fault: whmfake.Fault{Kind: whmfake.FailAt}, once: itemFails, lasting: itemFails, says: "The disk quota of “root” is exceeded"},
		{fault: whmfake.Fault{Kind: whmfake.FailAt, At: 1}, once: itemFails, lasting: itemFails, says: "The disk quota of “root” is exceeded"},
		{fault: whmfake.Fault{Kind: whmfake.GarbageAt, At: 1}, once: survived, lasting: survived},
		{fault: whmfake.Fault{Kind: whmfake.StopAt}, once: survived, lasting: itemFails, says: "not run: the batch ended before this command"},
		// Each time one command more is done.
		{fault: whmfake.Fault{Kind: whmfake.StopAt, At: 1}, once: survived, lasting: survived},
		{fault: whmfake.Fault{Kind: whmfake.SurplusAt}, once: survived, lasting: survived},
		{fault: whmfake.Fault{Kind: whmfake.Slow, Delay: 20 * time.Millisecond}, once: survived, lasting: survived},
		{fault: whmfake.Fault{Kind: whmfake.Hang}, once: survived, lasting: givenUp, says: "did not answer within", hangs: true},
		{fault: whmfake.Fault{Kind: whmfake.LateHang}, once: survived, lasting: givenUp, says: "did not answer within", hangs: true},
	}
}

// Whatever a server does to any one request of an operation, or to all that write,
// the operation ends with servers and store in agreement, names what it could not
// do, and is completed by the next run once the trouble is over.
func TestFaults(t *testing.T) {
	for _, o := range faultOperations() {
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			w := newFaultyFleet(t)
			requests, writes := o.count(w)
			// Those that hang take no time of the processor: they run beside the others.
			var hanging sync.WaitGroup
			defer hanging.Wait()
			for _, k := range faultKinds() {
				for n := range requests + 1 {
					name := fmt.Sprintf("%s on request %d of %d", k.fault, n, requests)
					switch {
					case n == 0:
						name = fmt.Sprintf("%s on all that write", k.fault)
					case !slices.Contains(writes, n) && (!o.readings || k.hangs && n > 1):
						continue
					}
					if k.hangs {
						hanging.Go(func() {
							t.Run(name, func(t *testing.T) {
								w := newFaultyFleet(t)
								w.timeout = time.Second // passes for real
								o.underFault(w, t, k, n)
							})
						})
					} else {
						t.Run(name, func(t *testing.T) { o.underFault(w, t, k, n) })
					}
				}
			}
		})
	}
}

// count is how many requests the operation takes on web01 without trouble, and
// which of them write.
func (o faultOperation) count(w *faultWorld) (requests int, writes []int) {
	w.t.Helper()
	o.prepare(w)
	web01 := w.servers["web01"].whm
	n := 0
	web01.SetFault(func(r whmfake.Request) whmfake.Fault {
		if n++; writing(r) {
			writes = append(writes, n)
		}
		return whmfake.Fault{}
	})
	w.ok(o.args...)
	web01.SetFault(nil)
	return n, writes
}

// writing tells whether a request has a command that changes the server.
func writing(r whmfake.Request) bool {
	return slices.ContainsFunc(append(r.Functions, r.Function), func(f string) bool {
		verb, _, _ := strings.Cut(f, "_")
		return verb == "create" || verb == "update" || verb == "remove"
	})
}

// rule lets the fault happen: to the request n, or for 0 to all that write.
func (k faultKind) rule(n int) whmfake.Rule {
	if n > 0 {
		return whmfake.Nth(n, k.fault)
	}
	return func(r whmfake.Request) whmfake.Fault {
		if writing(r) {
			return k.fault
		}
		return whmfake.Fault{}
	}
}

func (o faultOperation) underFault(w *faultWorld, t *testing.T, k faultKind, n int) {
	w.t = t
	o.prepare(w)
	before := w.ours()
	foreign := w.foreign()
	web01 := w.servers["web01"].whm
	web01.SetFault(k.rule(n))
	r := w.run(o.args...)
	web01.SetFault(nil)

	want := k.once
	if n == 0 {
		want = k.lasting
	}
	o.checkOutcome(w, k, n, want, r)
	if err := w.consistent(); err != nil {
		t.Errorf("the servers have tokens that are not accepted: %v", err)
	}
	w.wantOn("web02", o.want)
	if r := w.ok(o.args...); strings.Contains(r.out, "FAILED") {
		t.Errorf("after the trouble: %v", r)
	}
	if err := w.reached(o.want); err != nil {
		t.Errorf("after the trouble: %v", err)
	}
	w.resetJournals()
	w.ok(o.still...)
	if got := w.writes(); got != 0 {
		t.Errorf("a third run: got %d writes, want none", got)
	}
	if got := w.foreign(); got != foreign {
		t.Errorf("others have\n%s\nwant\n%s", got, foreign)
	}
	for line, l := range w.ours() {
		if former, was := before[line]; o.rotates && was && former.Token.Equal(l.Token) {
			t.Errorf("%s: has the same token as before", line)
		}
	}
}

// wantOn wants the links of a server that was never in trouble.
func (w *faultWorld) wantOn(server string, want faultWanted) {
	w.t.Helper()
	var got faultWanted
	for line := range w.ours() {
		got = append(got, line)
	}
	slices.Sort(got)
	if got, want := got.onlyOf(server), want.onlyOf(server); !slices.Equal(got, want) {
		w.t.Errorf("%s: got %q, want %q", server, got, want)
	}
}

// checkOutcome compares what the run printed, and its log, with the outcome.
func (o faultOperation) checkOutcome(w *faultWorld, k faultKind, n int, want faultOutcome, r faultResult) {
	w.t.Helper()
	failed := regexp.MustCompile(`(?m)^FAILED  (.*)$`).FindAllStringSubmatch(r.out, -1)
	single := n > 0 && k.fault.At > 0 && r.code == cli.ExitDone // the request was no batch, and there is no such position
	if want == survived || single {
		if err := w.reached(o.want); r.code != cli.ExitDone || len(failed) > 0 || err != nil {
			w.t.Errorf("%vwant exit code 0 and nothing that failed (%v)", r, err)
		}
		return
	}
	place := "^web01: "
	if want == itemFails {
		place = "^web01(/(alice|bob)( latchkey_[a-z]+)?)?: "
	}
	if r.code != cli.ExitFailed || len(failed) == 0 {
		w.t.Errorf("%vwant exit code 1 and what failed", r)
	}
	log := w.ok("log", "--operation", operationOf(w.t, r), "--level", "warning").out
	for _, f := range failed {
		if !regexp.MustCompile(place+".*"+k.says).MatchString(f[1]) && !strings.Contains(f[1], "more items") {
			w.t.Errorf("got %q, want it to match %q and %q", f[0], place, k.says)
		}
		if !strings.Contains(log, f[1]) {
			w.t.Errorf("the log has\n%s\nwant %q", log, f[1])
		}
	}
}

func operationOf(t testing.TB, r faultResult) string {
	t.Helper()
	m := regexp.MustCompile(`provisioner log --operation (\d+)`).FindStringSubmatch(r.out)
	if m == nil {
		t.Fatalf("%vwant the number of the operation", r)
	}
	return m[1]
}

// No request has more commands than the configuration allows, although an account
// needs more, and all of it is done.
func TestCommandsPerRequest(t *testing.T) {
	t.Parallel()
	for _, most := range []int{1, 4, 20} {
		t.Run(fmt.Sprint(most), func(t *testing.T) {
			t.Parallel()
			w := newFaultyFleet(t)
			w.configure(faultSettings{defaults: true, provisioner: fmt.Sprintf(", commands_per_request: %d", most)})
			got := 0
			w.servers["web01"].whm.SetFault(func(r whmfake.Request) whmfake.Fault { // one at a time
				got = max(got, r.Commands())
				return whmfake.Fault{}
			})
			for _, command := range []string{"apply", "rotate --all", "verify --repair", "remove --all --yes"} {
				got = 0
				w.ok(strings.Fields(command)...)
				if got > most || got < min(most, 14) {
					t.Errorf("%s: got requests of %d commands, want %d at most, and no fewer than those of an account", command, got, most)
				}
				want := 3 * 14
				if command == "remove --all --yes" {
					want = 0
				}
				if links := w.ours(); len(links) != want || w.consistent() != nil {
					t.Errorf("%s: got %d links (%v), want %d", command, len(links), w.consistent(), want)
				}
			}
		})
	}
}
