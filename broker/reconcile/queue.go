package reconcile

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
)

// queue does Requests. Whoever holds a server's lease does those of the server,
// so that a long run keeps no click and no new account waiting.
type queue struct {
	r *Reconciler

	mu      sync.Mutex
	batches map[Lane]int // under way
	running map[requestKey]bool
	tries   map[requestKey]int

	// reading has room for one who reads the subscribers; the fields below are under mu.
	reading chan struct{}
	sharing int       // who waits for a reading, or has one
	began   time.Time // when the last reading began
	read    *Directory
	problem error
}

type requestKey struct {
	account broker.Account
	kind    RequestKind
}

// batch is what is done of a lane in one operation.
type batch struct {
	lane     Lane
	requests []Request
}

func newQueue(r *Reconciler) *queue {
	return &queue{r: r, batches: map[Lane]int{}, running: map[requestKey]bool{}, tries: map[requestKey]int{}, reading: make(chan struct{}, 1)}
}

const (
	// queueEvery is how often the queue is looked at.
	queueEvery = 300 * time.Millisecond
	// laneLimit is how many requests of a lane are under way: new ones get their turn
	// when these are done, not when all are that wait.
	laneLimit = 100
)

// width is how many batches of a lane are done side by side. For rotations people
// wait: one account that answers slowly is not to keep the others waiting, too.
func (l Lane) width() int {
	if l.Kind == RequestRotate {
		return 4
	}
	return 1
}

// laters are waited before a request that could not be done is tried again: the
// portal may know a new account a little later than the server does.
var laters = [...]time.Duration{2 * time.Second, 5 * time.Second, 15 * time.Second, time.Minute, 5 * time.Minute}

// watch looks at the queue until ctx ends, and then waits for what it has begun.
// With idle it also works on servers on which this process is not working yet.
func (q *queue) watch(ctx context.Context, idle bool) {
	var working sync.WaitGroup
	defer working.Wait()
	for q.r.cfg.Wait(ctx, queueEvery) == nil {
		for _, b := range q.look(ctx, idle) {
			working.Go(func() { q.work(ctx, b) })
		}
	}
}

// look picks requests that are due, of lanes that have room.
func (q *queue) look(ctx context.Context, idle bool) []batch {
	// What the error is about comes with a later look, and readiness tells of the store.
	due, _ := q.r.cfg.Requests.Due(ctx, q.free(idle), laneLimit)
	return q.take(due)
}

// free names the lanes of our servers that have room for a batch.
func (q *queue) free(idle bool) []Lane {
	var lanes []Lane
	for server := range q.r.cfg.Hosts {
		if !idle && !q.r.seats.has(server) {
			continue
		}
		for _, kind := range []RequestKind{RequestRotate, RequestReconcile} {
			lanes = append(lanes, Lane{server, kind})
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.DeleteFunc(lanes, func(l Lane) bool { return q.batches[l] >= l.width() })
}

// take makes a batch for each lane of requests that nobody here does yet.
func (q *queue) take(due []Request) []batch {
	q.mu.Lock()
	defer q.mu.Unlock()
	byLane := map[Lane][]Request{}
	for _, request := range due {
		l, key := request.Lane(), requestKey{request.Account, request.Kind}
		// Another run of this process may have looked at the same time.
		if q.running[key] || q.batches[l] >= l.width() || len(byLane[l]) >= laneLimit/l.width() {
			continue
		}
		q.running[key] = true
		byLane[l] = append(byLane[l], request)
	}
	var picked []batch
	for l, requests := range byLane {
		q.batches[l]++
		picked = append(picked, batch{l, requests})
	}
	return picked
}

// leave makes room in the lane of a batch.
func (q *queue) leave(b batch) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, request := range b.requests {
		delete(q.running, requestKey{request.Account, request.Kind})
	}
	if q.batches[b.lane]--; q.batches[b.lane] == 0 {
		delete(q.batches, b.lane)
	}
}

// work does a batch. Requests that cannot be done come again later, a few times;
// then the next whole run is left to do it.
func (q *queue) work(ctx context.Context, b batch) {
	defer q.leave(b)
	seat, err := q.r.seats.take(ctx, b.lane.Server)
	if err != nil {
		return // another process works there and does it, or the store is away
	}
	defer func() { _ = q.r.seats.leave(seat) }() // its lease runs out by itself
	q.later(ctx, q.do(ctx, b))
}

// directory reads the subscribers. However many ask, one reading is under way at a
// time, and those who asked before it began share it.
func (q *queue) directory(ctx context.Context) (*Directory, error) {
	q.mu.Lock()
	q.sharing++ // first: what began after the question is kept from here on
	asked := q.r.cfg.Now()
	q.mu.Unlock()
	defer q.unshare()
	select {
	case q.reading <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-q.reading }()
	q.mu.Lock()
	read, problem, fresh := q.read, q.problem, q.began.After(asked)
	q.mu.Unlock()
	if fresh {
		return read, problem
	}
	began := q.r.cfg.Now()
	read, problem = q.r.cfg.Directory(ctx)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx) // that it was stopped is the reader's own affair: the next one reads
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.began, q.read, q.problem = began, read, problem
	return read, problem
}

// unshare lets go of the last reading when nobody waits for it any more: all the
// customers are much to keep in memory.
func (q *queue) unshare() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.sharing--; q.sharing == 0 {
		q.read, q.problem = nil, nil
	}
}

// whenever is further ahead than clocks may differ.
const whenever = 24 * 365 * time.Hour

// do does a batch as one operation, and returns the requests that are left. A
// rotation does not need to know the subscribers, which may take long to read.
func (q *queue) do(ctx context.Context, b batch) (left []Request) {
	requests := b.requests
	o := Order{Servers: []string{b.lane.Server}, nested: true}
	var err error
	if b.lane.Kind == RequestRotate {
		o.Kind, o.Policy = OperationRotate, Policy{Rotate: true, RotateBefore: q.r.cfg.Now().Add(whenever)}
		o.Wanted, err = q.r.cfg.Wanted(ctx)
	} else {
		o.Kind, o.Policy = OperationReconcile, Policy{Deep: true}
		if o.Wanted, err = q.r.cfg.Wanted(ctx); err == nil {
			o.Directory, err = q.directory(ctx)
		}
	}
	if err != nil {
		q.complain(ctx, b, err)
		return requests
	}
	for _, request := range requests {
		o.Accounts = append(o.Accounts, request.Account)
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

// later puts requests off, or drops them after the last try. Those that were added
// again meanwhile stay as they are.
func (q *queue) later(ctx context.Context, requests []Request) {
	if len(requests) == 0 || ctx.Err() != nil {
		return // when we are stopped, they stay as they are
	}
	var spent []Request
	var again [len(laters)][]Request // by how long they are put off
	q.mu.Lock()
	for _, request := range requests {
		key := requestKey{request.Account, request.Kind}
		try := q.tries[key]
		if try == len(laters) {
			delete(q.tries, key)
			spent = append(spent, request)
			continue
		}
		q.tries[key] = try + 1
		again[try] = append(again[try], request)
	}
	q.mu.Unlock()
	// When this fails, they are tried again at once.
	_ = q.r.cfg.Requests.Done(ctx, spent...)
	for try, some := range again {
		_ = q.r.cfg.Requests.PutOff(ctx, laters[try], some...)
	}
}

// complain logs why requests cannot be done at all.
func (q *queue) complain(ctx context.Context, b batch, problem error) {
	o := Operation{
		Kind: OperationReconcile, State: StateFailed, By: q.r.cfg.Holder, Started: q.r.cfg.Now(), Ended: q.r.cfg.Now(),
		Servers: []string{b.lane.Server}, Counts: Counts{Failed: len(b.requests)},
	}
	id, err := q.r.cfg.Journal.Begin(ctx, o)
	if err != nil {
		return
	}
	o.ID = id
	var entries []Entry
	for _, request := range b.requests {
		entries = append(entries, Entry{
			At: q.r.cfg.Now(), Level: LevelWarning, Server: b.lane.Server, User: request.Account.User, Message: fmt.Sprintf("%s: %v", request.Kind, problem),
		})
	}
	_ = q.r.cfg.Journal.Log(ctx, id, entries)
	_ = q.r.cfg.Journal.End(ctx, o)
}
