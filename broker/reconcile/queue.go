package reconcile

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
)

// queue does Requests. Whoever holds a server's lease does those of the server,
// so that a long run keeps no click and no new account waiting.
type queue struct {
	r *Reconciler

	mu      sync.Mutex
	running map[requestKey]bool
	tries   map[requestKey]int

	// reading has room for one who reads the subscribers; the fields below are his.
	reading chan struct{}
	began   time.Time // when the last reading began
	read    *Directory
	problem error
}

type requestKey struct {
	account broker.Account
	kind    RequestKind
}

func newQueue(r *Reconciler) *queue {
	return &queue{r: r, running: map[requestKey]bool{}, tries: map[requestKey]int{}, reading: make(chan struct{}, 1)}
}

const (
	// queueEvery is how often the queue is looked at.
	queueEvery = 300 * time.Millisecond
	queueLimit = 500
	// queueDepth is how far it is looked for something to do behind requests that
	// wait for their servers.
	queueDepth = 32 * queueLimit
)

// laters are waited before a request that could not be done is tried again: the
// portal may know a new account a little later than the server does.
var laters = [...]time.Duration{2 * time.Second, 5 * time.Second, 15 * time.Second, time.Minute, 5 * time.Minute}

// watch looks at the queue until ctx ends, and then waits for what it has begun.
// With idle it also works on servers on which this process is not working yet.
func (q *queue) watch(ctx context.Context, idle bool) {
	var working sync.WaitGroup
	defer working.Wait()
	for q.r.cfg.Wait(ctx, queueEvery) == nil {
		for server, requests := range q.look(ctx, idle) {
			working.Go(func() { q.work(ctx, server, requests) })
		}
	}
}

// look picks requests that are due, by server. It looks further while the first
// ones all belong to servers that are slow, or another process's: nobody else is
// to wait for those.
func (q *queue) look(ctx context.Context, idle bool) map[string][]Request {
	for limit := queueLimit; ; limit *= 2 {
		due, err := q.r.cfg.Requests.Due(ctx, q.r.cfg.Now(), limit)
		if err != nil {
			return nil // the next look comes soon, and readiness tells of the store
		}
		picked := q.take(due, idle)
		if len(picked) > 0 || len(due) < limit || limit >= queueDepth {
			return picked
		}
	}
}

// take picks the requests that this process is to do now, by server.
func (q *queue) take(due []Request, idle bool) map[string][]Request {
	q.mu.Lock()
	defer q.mu.Unlock()
	picked := map[string][]Request{}
	for _, request := range due {
		server := request.Account.Server
		key := requestKey{request.Account, request.Kind}
		if q.running[key] || q.r.cfg.Hosts[server] == nil || !idle && !q.r.seats.has(server) {
			continue
		}
		q.running[key] = true
		picked[server] = append(picked[server], request)
	}
	return picked
}

// work does requests for one server. Those that cannot be done come again later,
// a few times; then the next whole run is left to do it.
func (q *queue) work(ctx context.Context, server string, requests []Request) {
	defer func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		for _, request := range requests {
			delete(q.running, requestKey{request.Account, request.Kind})
		}
	}()
	seat, err := q.r.seats.take(ctx, server)
	if err != nil {
		return // another process works there and does it, or the store is away
	}
	defer func() { _ = q.r.seats.leave(seat) }() // its lease runs out by itself
	byKind := map[RequestKind][]Request{}
	for _, request := range requests {
		byKind[request.Kind] = append(byKind[request.Kind], request)
	}
	for _, kind := range []RequestKind{RequestRotate, RequestReconcile} { // for a rotation somebody waits
		if some := byKind[kind]; len(some) > 0 {
			q.later(ctx, q.do(ctx, server, kind, some))
		}
	}
}

// directory reads the subscribers. However many ask, one reading is under way at a
// time, and those who asked before it began share it.
func (q *queue) directory(ctx context.Context) (*Directory, error) {
	asked := q.r.cfg.Now()
	select {
	case q.reading <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-q.reading }()
	if !q.began.After(asked) {
		began := q.r.cfg.Now()
		q.read, q.problem = q.r.cfg.Directory(ctx)
		q.began = began
	}
	return q.read, q.problem
}

// do does the requests of one kind as one operation, and returns those that are
// left. A rotation does not need to know the subscribers, which may take long to
// read.
func (q *queue) do(ctx context.Context, server string, kind RequestKind, requests []Request) (left []Request) {
	o := Order{Kind: OperationRotate, Policy: Policy{Rotate: true}, Servers: []string{server}, nested: true}
	var err error
	if kind == RequestRotate {
		o.Wanted, err = q.r.cfg.Wanted(ctx)
	} else {
		o.Kind, o.Policy = OperationReconcile, Policy{Deep: true}
		if o.Wanted, err = q.r.cfg.Wanted(ctx); err == nil {
			o.Directory, err = q.directory(ctx)
		}
	}
	if err != nil {
		q.complain(ctx, server, requests, err)
		return requests
	}
	for _, request := range requests {
		o.Accounts = append(o.Accounts, request.Account)
		if kind == RequestRotate && request.Due.After(o.Policy.RotateBefore) {
			o.Policy.RotateBefore = request.Due
		}
	}
	var mu sync.Mutex
	undone := map[broker.Account]bool{}
	o.undone = func(a broker.Account) {
		mu.Lock()
		defer mu.Unlock()
		undone[a] = true
	}
	result, err := q.r.Run(ctx, o)
	if err != nil || result.Interrupted || result.failedServers() > 0 {
		return requests
	}
	var done []Request
	for _, request := range requests {
		if undone[request.Account] {
			left = append(left, request)
		} else {
			done = append(done, request)
		}
	}
	q.forget(done)
	_ = q.r.cfg.Requests.Done(ctx, done...) // or they are done once more
	return left
}

func (q *queue) forget(requests []Request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, request := range requests {
		delete(q.tries, requestKey{request.Account, request.Kind})
	}
}

// later puts requests off, or drops them after the last try.
func (q *queue) later(ctx context.Context, requests []Request) {
	if len(requests) == 0 || ctx.Err() != nil {
		return // when we are stopped, they stay as they are
	}
	var again []Request
	q.mu.Lock()
	for _, request := range requests {
		key := requestKey{request.Account, request.Kind}
		try := q.tries[key]
		if try >= len(laters) {
			delete(q.tries, key)
			continue
		}
		q.tries[key] = try + 1
		request.Due = q.r.cfg.Now().Add(laters[try])
		again = append(again, request)
	}
	q.mu.Unlock()
	// What is lost when this fails comes again with the next click or whole run.
	_ = q.r.cfg.Requests.Done(ctx, requests...)
	_ = q.r.cfg.Requests.Add(ctx, again...)
}

// complain logs why requests cannot be done at all.
func (q *queue) complain(ctx context.Context, server string, requests []Request, problem error) {
	o := Operation{
		Kind: OperationReconcile, State: StateFailed, By: q.r.cfg.Holder, Started: q.r.cfg.Now(), Ended: q.r.cfg.Now(),
		Servers: []string{server}, Counts: Counts{Failed: len(requests)},
	}
	id, err := q.r.cfg.Journal.Begin(ctx, o)
	if err != nil {
		return
	}
	o.ID = id
	var entries []Entry
	for _, request := range requests {
		entries = append(entries, Entry{
			At: q.r.cfg.Now(), Level: LevelWarning, Server: server, User: request.Account.User, Message: fmt.Sprintf("%s: %v", request.Kind, problem),
		})
	}
	_ = q.r.cfg.Journal.Log(ctx, id, entries)
	_ = q.r.cfg.Journal.End(ctx, o)
}
