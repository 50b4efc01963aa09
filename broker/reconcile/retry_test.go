package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

// times are when requests of a function came, in seconds from the first of them.
func times(asked []request, function string) []float64 {
	var list []float64
	var first time.Time
	for _, r := range asked {
		if r.function != function {
			continue
		}
		if first.IsZero() {
			first = r.at
		}
		list = append(list, r.at.Sub(first).Seconds())
	}
	return list
}

// writing are the requests that change something.
func writing(asked []request) []request {
	return slices.DeleteFunc(slices.Clone(asked), func(r request) bool { return len(r.commands) == r.reads() })
}

// names are the links and groups of a request's commands.
func names(r request) string {
	var list []string
	for _, c := range r.commands {
		list = append(list, c.App+c.Group.ID)
	}
	return strings.Join(list, " ")
}

// onWrites fails requests that change something; n counts those from 1.
func onWrites(decide func(n int, r request) fault) func(int, request) fault {
	n := 0
	return func(_ int, r request) fault {
		if len(r.commands) == r.reads() {
			return fault{}
		}
		n++
		return decide(n, r)
	}
}

func notRun() *reconcile.Failure {
	return &reconcile.Failure{Scope: reconcile.ScopeItem, Again: true, Message: "not run"}
}

const all = groupID + " " + invoices + " " + tickets

func TestRequestsAreSentAgain(t *testing.T) {
	const asked = "web01 bob latchkey_tickets: "
	for _, tt := range []struct {
		name  string
		fault func(n int, r request) fault
		// requests are the writing ones, at seconds.
		requests []string
		at       []float64
		state    reconcile.ServerState
		problems []string
		created  int
	}{
		{
			"a position that was not run", func(n int, _ request) fault {
				if n == 1 {
					return fault{refuse: map[int]error{2: notRun()}}
				}
				return fault{}
			},
			[]string{all, tickets}, []float64{0, 1}, reconcile.ServerDone, nil, 2,
		},
		{
			"positions in turn", func(n int, r request) fault {
				return fault{refuse: map[int]error{0: notRun(), 1: notRun(), 2: notRun(), 4 - n: nil}}
			},
			[]string{all, groupID + " " + invoices + " " + tickets, groupID + " " + invoices, groupID}, []float64{0, 1, 4, 13}, reconcile.ServerDone, nil, 2,
		},
		{
			"a position that is never run", func(n int, r request) fault {
				return fault{refuse: map[int]error{len(r.commands) - 1: notRun()}}
			},
			[]string{all, tickets, tickets, tickets}, []float64{0, 1, 4, 13}, reconcile.ServerDone, []string{"warning " + asked + "create: not run"}, 1,
		},
		{
			"a position that is refused", func(int, request) fault { return fault{refuse: map[int]error{2: refused("the image is no PNG")}} },
			[]string{all}, []float64{0}, reconcile.ServerDone, []string{"warning " + asked + "create: the image is no PNG"}, 1,
		},
		{
			"the group is refused", func(int, request) fault { return fault{refuse: map[int]error{0: refused("no")}} },
			[]string{all}, []float64{0}, reconcile.ServerDone, []string{"warning web01 bob: create group latchkey: no"}, 2,
		},
		{
			"a lost answer", func(n int, r request) fault {
				if n == 1 {
					return fault{err: lost("reset"), executed: len(r.commands)}
				}
				return fault{}
			},
			[]string{all, all}, []float64{0, 1}, reconcile.ServerDone, nil, 2,
		},
		{
			"a server that is never reached", func(int, request) fault { return fault{err: unreachable()} },
			[]string{all, all, all, all}, []float64{0, 1, 4, 13}, reconcile.ServerFailed,
			[]string{"warning web01: gave up after 4 requests: connection refused"}, 0,
		},
		{
			"no answer, four times", func(int, request) fault { return fault{err: lost("no answer in time")} },
			[]string{all, all, all, all}, []float64{0, 1, 4, 13}, reconcile.ServerFailed,
			[]string{"warning web01: gave up after 4 requests: no answer in time"}, 0,
		},
		{
			"an error that is no Failure", func(int, request) fault { return fault{err: errors.New("strange")} },
			[]string{all, all, all, all}, []float64{0, 1, 4, 13}, reconcile.ServerFailed, []string{"warning web01: gave up after 4 requests: strange"}, 0,
		},
		{
			"a token that is refused", func(int, request) fault { return fault{err: forbidden()} },
			[]string{all}, []float64{0}, reconcile.ServerFailed, []string{"warning web01: 403 Forbidden"}, 0,
		},
		{
			"a function that is missing", func(int, request) fault { return fault{refuse: map[int]error{1: forbidden()}} },
			[]string{all}, []float64{0}, reconcile.ServerFailed, []string{"warning web01: 403 Forbidden"}, 1,
		},
		{
			"a function that is missing, beside one to be asked again",
			func(int, request) fault { return fault{refuse: map[int]error{1: unreachable(), 2: forbidden()}} },
			[]string{all}, []float64{0}, reconcile.ServerFailed, []string{"warning web01: 403 Forbidden"}, 0,
		},
		{
			"a whole batch that is refused", func(_ int, r request) fault {
				if len(r.commands) > 1 {
					return fault{err: refused("one of these is forbidden")}
				}
				return fault{}
			},
			[]string{all, groupID, invoices, tickets}, []float64{0, 0, 0, 0}, reconcile.ServerDone, nil, 2,
		},
		{
			"a whole batch that is refused for one command", func(_ int, r request) fault {
				if names(r) != groupID && names(r) != invoices {
					return fault{err: refused("this is forbidden")}
				}
				return fault{}
			},
			[]string{all, groupID, invoices, tickets}, []float64{0, 0, 0, 0}, reconcile.ServerDone, []string{"warning " + asked + "create: this is forbidden"}, 1,
		},
		{
			"a batch that is refused, then the token", func(n int, r request) fault {
				if len(r.commands) > 1 {
					return fault{err: refused("one of these is forbidden")}
				}
				if n == 3 {
					return fault{err: forbidden()}
				}
				return fault{}
			},
			[]string{all, groupID, invoices}, []float64{0, 0, 0}, reconcile.ServerFailed, []string{"warning web01: 403 Forbidden"}, 0,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newVirtualWorld(t)
				alone(w)
				delete(w.servers, "web02")
				w.web01().fault = onWrites(tt.fault)
				r := w.run(w.order(reconcile.Policy{}))
				var requests []string
				sent := writing(w.web01().asked)
				for _, r := range sent {
					requests = append(requests, names(r))
				}
				wantLines(t, "requests", requests, tt.requests)
				if at := times(sent, "run"); !slices.Equal(at, tt.at) {
					t.Errorf("they came at %v seconds, want %v", at, tt.at)
				}
				if got := r.Servers[0].State; got != tt.state {
					t.Errorf("server: got %+v, want %s", r.Servers[0], tt.state)
				}
				wantLines(t, "log", w.journal.lines(r.Operation, reconcile.LevelWarning), tt.problems)
				if r.Counts.Created != tt.created {
					t.Errorf("counts: got %+v, want %d created", r.Counts, tt.created)
				}
				w.web01().fault = nil
				w.apply(reconcile.Policy{})
				w.wantExact(reconcile.Policy{})
			})
		})
	}
}

// What may have been done stays accepted, whatever is answered when the same is
// sent again.
func TestWhatMayHaveBeenDoneIsNotTakenBack(t *testing.T) {
	for _, tt := range []struct {
		name    string
		then    fault // after the lost answer
		pending int
	}{
		{"then the token is refused", fault{err: forbidden()}, 1},
		{"then the server is not reached", fault{err: unreachable()}, 1},
		{"then the commands are refused", fault{refuse: map[int]error{0: refused("no"), 1: refused("no")}}, 1},
		{"then the batch is refused", fault{err: refused("no")}, 1},
		{"then they are not run", fault{refuse: map[int]error{0: notRun(), 1: notRun()}}, 1},
		{"then it is done", fault{}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newVirtualWorld(t)
				alone(w)
				w.settled()
				w.spec.link("invoices").Label, w.spec.link("tickets").Label = "Bills", "Questions"
				w.web01().fault = onWrites(func(n int, r request) fault {
					if n == 1 {
						return fault{err: lost("reset"), executed: len(r.commands)}
					}
					return tt.then
				})
				w.run(w.order(reconcile.Policy{}))
				w.wantAllWork(bob)
				if got := w.record(bob).Links[invoices].Pending; got != tt.pending {
					t.Errorf("pending tokens: got %d, want %d", got, tt.pending)
				}
				w.web01().fault = nil
				w.apply(reconcile.Policy{})
				w.wantExact(reconcile.Policy{})
			})
		})
	}
}

// However often it cannot be told what a server has done, and whatever it has done: a
// click works, or it is asked to come again and the link is written once more.
func TestManyWritesThatAreNotFinished(t *testing.T) {
	for _, executed := range []int{0, 1, 5, 9} { // the run whose writes stand on the server
		t.Run(fmt.Sprint("run ", executed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newVirtualWorld(t)
				alone(w)
				w.settled()
				w.superseding = true
				for n := range 10 {
					w.spec.link("invoices").Label, w.spec.link("tickets").Label = fmt.Sprint("Bills ", n), fmt.Sprint("Questions ", n)
					w.web01().fault = onWrites(func(_ int, r request) fault {
						f := fault{err: lost("no answer in time")}
						if n == executed {
							f.executed = len(r.commands)
						}
						return f
					})
					if r := w.run(w.order(reconcile.Policy{})); r.OK() {
						t.Errorf("run %d: got %+v, want it failed", n, r)
					}
					for _, app := range []string{invoices, tickets} {
						cause := w.book.cause(broker.Link{Account: bob, App: app}, w.web01().link("bob", app).token.Digest(), "1001")
						if cause != "" && cause != broker.CauseSuperseded {
							t.Errorf("a click on %s after run %d: got %q, want it to work or to be asked to come again", app, n, cause)
						}
					}
				}
				w.web01().fault = nil
				w.apply(reconcile.Policy{Rotate: true})
				w.wantAllWork(bob)
				w.apply(reconcile.Policy{})
				w.wantExact(reconcile.Policy{})
			})
		})
	}
}

func TestWhatWasSurelyNotDoneLeavesNoToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newVirtualWorld(t)
		alone(w)
		w.web01().fault = onWrites(func(int, request) fault { return fault{err: forbidden()} })
		w.run(w.order(reconcile.Policy{}))
		if links := w.record(bob).Links; len(links) > 0 {
			t.Errorf("links in the store: got %+v, want none", links)
		}
	})
}

func TestQuestionsAreAskedAgain(t *testing.T) {
	for _, function := range []string{"applist", "listaccts", "run"} {
		for _, tt := range []struct {
			name  string
			err   error
			at    []float64
			state reconcile.ServerState
		}{
			{"that are not answered", unreachable(), []float64{0, 1, 4, 13}, reconcile.ServerFailed},
			{"that the token is refused for", forbidden(), []float64{0}, reconcile.ServerFailed},
		} {
			t.Run(function+" "+tt.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newVirtualWorld(t)
					alone(w)
					w.web01().fault = func(_ int, r request) fault {
						if r.function == function {
							return fault{err: tt.err}
						}
						return fault{}
					}
					r := w.run(w.order(reconcile.Policy{}))
					if at := times(w.web01().asked, function); !slices.Equal(at, tt.at) {
						t.Errorf("asked at %v seconds, want %v", at, tt.at)
					}
					if r.Servers[0].State != tt.state || r.Servers[1].State != reconcile.ServerDone {
						t.Errorf("got %+v, want web01 %s and web02 done", r.Servers, tt.state)
					}
				})
			})
		}
	}
}

// shortHost forgets the last answer.
type shortHost struct{ reconcile.Host }

func (h shortHost) Run(ctx context.Context, commands []reconcile.Command) ([]reconcile.Reply, error) {
	replies, err := h.Host.Run(ctx, commands)
	return replies[:max(0, len(replies)-1)], err
}

func TestAnswersThatDoNotMatchTheCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newVirtualWorld(t)
		alone(w)
		w.edit = func(c *reconcile.Config) { c.Hosts["web01"] = shortHost{w.web01()} }
		r := w.run(w.order(reconcile.Policy{}))
		if got := r.Servers[0]; got.State != reconcile.ServerFailed || !strings.Contains(got.Problem, "1 answers to 2 commands") {
			t.Errorf("got %+v, want it failed for the number of answers", got)
		}
	})
}

// P3: a server that is slow or dead delays nobody else.
func TestASlowServerDelaysNobody(t *testing.T) {
	for _, tt := range []struct {
		name  string
		takes time.Duration
		fault func(int, request) fault
	}{
		{"slow", time.Minute, nil},
		{"dead", 0, func(int, request) fault { return fault{err: unreachable()} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newVirtualWorld(t)
				w.web01().takes, w.web01().fault = tt.takes, tt.fault
				for i := range 50 {
					a := broker.Account{Server: "web02", User: fmt.Sprint("u", i)}
					w.web02().add(a.User)
					w.subscribers[a] = "77"
				}
				w.web02().takes = 10 * time.Millisecond
				began := time.Now()
				var ended time.Duration
				w.edit = func(c *reconcile.Config) {
					c.Observe = func(e reconcile.Event) {
						if e.Kind == reconcile.EventEnded && e.Server == "web02" {
							ended = time.Since(began)
						}
					}
				}
				w.run(w.order(reconcile.Policy{}))
				if ended == 0 || ended > time.Second {
					t.Errorf("web02 ended after %v, want it within a second", ended)
				}
				if took := time.Since(began); took < 10*time.Second {
					t.Errorf("web01 took %v, want it to be slow", took)
				}
			})
		})
	}
}
