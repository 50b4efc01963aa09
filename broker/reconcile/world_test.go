package reconcile_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/embedded"
)

// book is a store as a provisioner and a broker see it.
type book interface {
	reconcile.Records
	reconcile.Leases
	reconcile.Requests
	// cause says why a token is not accepted; empty when it is.
	cause(link broker.Link, token broker.Digest, subscriber string) broker.Cause
}

// redisBook is the real store.
type redisBook struct {
	*store.Store
	t testing.TB
}

func (b redisBook) cause(link broker.Link, token broker.Digest, subscriber string) broker.Cause {
	once := ok(broker.NewOneTimeToken(rand.Reader, link.Account))(b.t)
	_, err := b.Issue(context.Background(), broker.Issue{Link: link, LinkToken: token, Subscriber: subscriber, CheckOnly: true, Token: once})
	if denied, is := errors.AsType[*broker.DeniedError](err); is {
		return denied.Cause
	}
	if err != nil {
		b.t.Errorf("issue for %s: %v", link, err)
	}
	return ""
}

// world is two servers, web01 with bob and eve and web02 with carol, a store and a
// list of customers. After every single change of a server or of the store it
// looks whether a click still works that worked before.
type world struct {
	t           testing.TB
	spec        spec
	subscribers map[broker.Account]string
	servers     map[string]*server
	book        book
	journal     *journal
	later       time.Duration // by which our clock is ahead
	// directory replaces the list of customers in Config.Directory.
	directory func(context.Context) (*reconcile.Directory, error)
	edit      func(*reconcile.Config)

	mu     sync.Mutex // everything happens under it, one after the other
	worked map[place]bool
	// storeFault fails writes to the store.
	storeFault func(fence reconcile.Fence) error
	// steps counts side effects; dieAt ends the process after so many.
	steps, dieAt int
	events       []reconcile.Event
	// superseding: other workers may supersede tokens.
	superseding bool
	// losing: the store loses tokens.
	losing bool
}

// place is where a link is shown.
type place struct {
	account broker.Account
	app     string
}

var errDead = errors.New("the process has ended")

// newWorld is over the real store, embedded.
func newWorld(t testing.TB) *world {
	t.Helper()
	r := ok(embedded.Start())(t)
	t.Cleanup(func() { _ = r.Close() })
	return newWorldOver(t, redisBook{store.New(store.Config{Client: r.Client(), KeyPrefix: "latchkey:"}), t})
}

// newVirtualWorld is over a store in memory, for bubbles of synctest.
func newVirtualWorld(t testing.TB) *world { return newWorldOver(t, newMemory()) }

func newWorldOver(t testing.TB, b book) *world {
	w := &world{
		t: t, spec: newSpec(), book: b, journal: newJournal(), servers: map[string]*server{}, worked: map[place]bool{}, dieAt: -1,
		subscribers: map[broker.Account]string{bob: "1001", eve: "1002", carol: "1003"},
	}
	for _, id := range []string{"web01", "web02"} {
		w.servers[id] = newServer(w, id)
	}
	w.servers["web01"].add("bob", "eve")
	w.servers["web02"].add("carol")
	return w
}

func (w *world) web01() *server { return w.servers["web01"] }
func (w *world) web02() *server { return w.servers["web02"] }

func (w *world) now() time.Time { return time.Now().Add(w.later) }

// reconciler is a process of its own.
func (w *world) reconciler(holder string) *reconcile.Reconciler {
	cfg := reconcile.Config{
		Hosts: map[string]reconcile.Host{}, Records: watched{w.book, w}, Leases: mortal{w.book, w}, Requests: w.book, Journal: w.journal,
		Holder: holder, Now: w.now, Wait: wait, Random: rand.Reader,
		Wanted: func(context.Context) (*reconcile.Wanted, error) { return w.spec.wanted(w.t), nil },
		Directory: func(ctx context.Context) (*reconcile.Directory, error) {
			if w.directory != nil {
				return w.directory(ctx)
			}
			return w.readDirectory(), nil
		},
		Observe: func(e reconcile.Event) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.events = append(w.events, e)
		},
	}
	for id, s := range w.servers {
		cfg.Hosts[id] = s
	}
	if w.edit != nil {
		w.edit(&cfg)
	}
	return reconcile.New(cfg)
}

func (w *world) readDirectory() *reconcile.Directory {
	w.t.Helper()
	var source rows
	w.mu.Lock()
	for a, id := range w.subscribers {
		source.list = append(source.list, row(1, a.Server, a.User, id))
	}
	w.mu.Unlock()
	reading := reconcile.Reading{Servers: slices.Collect(maps.Keys(w.servers)), At: time.Now()}
	reading.Epochs = ok(w.book.Epochs(context.Background(), reading.Servers))(w.t)
	return ok(reconcile.ReadDirectory(context.Background(), source, reading))(w.t)
}

// order fills in what an order of a policy needs.
func (w *world) order(p reconcile.Policy) reconcile.Order {
	w.t.Helper()
	o := reconcile.Order{Kind: reconcile.OperationApply, Wanted: w.spec.wanted(w.t), Policy: p}
	switch {
	case p.Remove:
		o.Kind = reconcile.OperationRemove
	case p.Rotate:
		o.Kind = reconcile.OperationRotate
	default:
		o.Directory = w.readDirectory()
	}
	return o
}

// run runs an order in a process of its own.
func (w *world) run(o reconcile.Order) reconcile.Result {
	w.t.Helper()
	return ok(w.reconciler("a run").Run(context.Background(), o))(w.t)
}

// apply does what a policy says, and expects that all of it is done.
func (w *world) apply(p reconcile.Policy) reconcile.Result {
	w.t.Helper()
	r := w.run(w.order(p))
	if !r.OK() {
		w.t.Errorf("apply: got %+v, want it done", r)
	}
	return r
}

// plans is a dry run.
func (w *world) plans(o reconcile.Order) (map[broker.Account]reconcile.Plan, reconcile.Result) {
	w.t.Helper()
	var mu sync.Mutex
	plans := map[broker.Account]reconcile.Plan{}
	o.DryRun = true
	o.OnPlan = func(p reconcile.Plan) {
		mu.Lock()
		defer mu.Unlock()
		if _, twice := plans[p.Account]; twice {
			w.t.Errorf("%s was planned twice", p.Account)
		}
		plans[p.Account] = p
	}
	before, stored := w.written(), w.steps
	r := w.run(o)
	if got := w.written()[len(before):]; len(got) > 0 || w.steps != stored {
		w.t.Errorf("a dry run wrote %v and %d times to the store", got, w.steps-stored-len(got))
	}
	if r.Operation != 0 {
		w.t.Errorf("a dry run has operation %d, want none", r.Operation)
	}
	return plans, r
}

// written is what all servers were changed by so far, server by server.
func (w *world) written() []write {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []write
	for _, id := range slices.Sorted(maps.Keys(w.servers)) {
		all = append(all, w.servers[id].writes...)
	}
	return all
}

// forget clears what the servers were asked and changed by.
func (w *world) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.servers {
		s.asked, s.writes = nil, nil
	}
	w.events = nil
}

// settled brings everything to what is wanted.
func (w *world) settled() {
	w.t.Helper()
	w.apply(reconcile.Policy{})
	w.forget()
}

func (w *world) record(a broker.Account) reconcile.Record {
	w.t.Helper()
	return ok(w.book.Load(context.Background(), []broker.Account{a}))(w.t)[0]
}

// accounts are those that the store knows.
func (w *world) accounts() []string {
	w.t.Helper()
	names := map[string]bool{}
	for a, err := range w.book.Accounts(context.Background(), "") {
		if err != nil {
			w.t.Fatal(err)
		}
		names[a.String()] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// wantDone expects that a run has nothing to do but to look.
func (w *world) wantDone(p reconcile.Policy) {
	w.t.Helper()
	w.forget()
	r := w.apply(p)
	if got := w.written(); len(got) > 0 {
		w.t.Errorf("a second run wrote %v", got)
	}
	for _, a := range []broker.Account{bob, eve, carol} {
		s := w.servers[a.Server]
		if p.Deep || s.accounts[a.User] == nil {
			continue
		}
		most := 1
		if p.Remove {
			most++ // whether a group stays
		}
		for app, l := range s.accounts[a.User].links {
			if l.foreign && strings.HasPrefix(app, w.spec.prefix) {
				most++ // its name alone does not tell whose it is
			}
		}
		if got := s.reads(a.User); got > most {
			w.t.Errorf("a second run asked %d times about %s, want %d at most", got, a, most)
		}
	}
	if c := r.Counts; c.Created+c.Changed+c.Rotated+c.Removed > 0 {
		w.t.Errorf("a second run counted %+v, want nothing done", c)
	}
}

// reads counts the questions about an account.
func (s *server) reads(user string) int {
	n := 0
	for _, r := range s.asked {
		for _, c := range r.commands {
			if c.User == user && !c.Function.Writes() {
				n++
			}
		}
	}
	return n
}

// broke notes that something happened that never may.
func (w *world) broke(format string, args ...any) { w.t.Errorf("NEVER: "+format, args...) }

// happened counts a side effect.
func (w *world) happened() { w.steps++ }

func (w *world) dead() bool { return w.dieAt >= 0 && w.steps >= w.dieAt }

// watched is the store of a process that may die.
type watched struct {
	book
	w *world
}

func (r watched) Accounts(ctx context.Context, server string) iter.Seq2[broker.Account, error] {
	return r.book.Accounts(ctx, server)
}

func (r watched) Write(ctx context.Context, fence reconcile.Fence, changes []reconcile.AccountChanges) []error {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	errs := make([]error, len(changes))
	for i, c := range changes {
		if r.w.dead() {
			errs[i] = errDead
			continue
		}
		if r.w.storeFault != nil {
			if errs[i] = r.w.storeFault(fence); errs[i] != nil {
				continue
			}
		}
		errs[i] = r.book.Write(ctx, fence, []reconcile.AccountChanges{c})[0]
		r.w.happened()
		r.w.check(c.Account)
	}
	return errs
}

// mortal keeps the leases of a process that has died until they end.
type mortal struct {
	book
	w *world
}

func (m mortal) Renew(ctx context.Context, l reconcile.Lease, ttl time.Duration) error {
	m.w.mu.Lock()
	dead := m.w.dead()
	m.w.mu.Unlock()
	if dead {
		return errDead
	}
	return m.book.Renew(ctx, l, ttl)
}

func (m mortal) Release(ctx context.Context, l reconcile.Lease) error {
	m.w.mu.Lock()
	dead := m.w.dead()
	m.w.mu.Unlock()
	if dead {
		return errDead
	}
	return m.book.Release(ctx, l)
}

// matches compares what was written with what was planned.
func matches(plans map[broker.Account]reconcile.Plan, written []write) string {
	functions := map[reconcile.StepKind]reconcile.Function{
		reconcile.StepCreateGroup: reconcile.CreateGroup, reconcile.StepCreate: reconcile.CreateLink, reconcile.StepChange: reconcile.CreateLink,
		reconcile.StepRotate: reconcile.UpdateToken, reconcile.StepRemove: reconcile.RemoveLink, reconcile.StepRemoveGroup: reconcile.RemoveGroup,
	}
	planned := map[broker.Account][]write{}
	for a, p := range plans {
		for _, s := range p.Steps {
			if f, writes := functions[s.Kind]; writes {
				planned[a] = append(planned[a], write{a, f, s.App + s.Group})
			}
		}
	}
	done := map[broker.Account][]write{}
	for _, wr := range written {
		done[wr.account] = append(done[wr.account], wr)
	}
	if !maps.EqualFunc(planned, done, slices.Equal) {
		return fmt.Sprintf("planned %v, done %v", planned, done)
	}
	return ""
}
