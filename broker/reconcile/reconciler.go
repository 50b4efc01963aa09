package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
)

// Config is what a Reconciler needs. Every field without "optional" must be set.
type Config struct {
	// Hosts are the servers of the configuration, by id.
	Hosts    map[string]Host
	Records  Records
	Leases   Leases
	Requests Requests
	Journal  Journal
	// Holder tells people who works: "provisioner apply on host1, process 42".
	Holder string
	// LeaseTTL is how long a server stays locked after a worker was killed.
	// Optional: 30 s.
	LeaseTTL time.Duration
	// RequestsPerServer are on their way to a server at once. Optional: 4.
	RequestsPerServer int
	// CommandsPerRequest are put into one request. Optional: 48.
	CommandsPerRequest int
	// Wanted and Directory return what is wanted at this moment, for Requests.
	Wanted    func(context.Context) (*Wanted, error)
	Directory func(context.Context) (*Directory, error)
	// Observe is told how far the work is. It must not block. Optional.
	Observe func(Event)
	Now     func() time.Time
	// Wait returns after a while, or earlier with an error when the context ends.
	Wait func(context.Context, time.Duration) error
	// Random is the source of tokens: crypto/rand.Reader.
	Random io.Reader
}

// Reconciler brings servers to what is wanted. It is safe for concurrent use.
type Reconciler struct {
	cfg   Config
	seats *seats
	slots chan struct{}
	queue *queue
	// serving counts those who do Requests without a run.
	serving atomic.Int32
}

// storeSlots bounds this process's calls of the store, whatever the number of
// servers is.
const storeSlots = 24

// New returns a Reconciler.
func New(cfg Config) *Reconciler {
	cfg.LeaseTTL = cmp.Or(cfg.LeaseTTL, 30*time.Second)
	cfg.RequestsPerServer = cmp.Or(cfg.RequestsPerServer, 4)
	cfg.CommandsPerRequest = cmp.Or(cfg.CommandsPerRequest, 48)
	if cfg.Observe == nil {
		cfg.Observe = func(Event) {}
	}
	r := &Reconciler{cfg: cfg, slots: make(chan struct{}, storeSlots)}
	r.seats = &seats{
		leases: cfg.Leases, holder: cfg.Holder, ttl: cfg.LeaseTTL, wait: cfg.Wait, now: cfg.Now, places: map[string]*place{},
	}
	r.queue = newQueue(r)
	return r
}

// Order says what a run is to do.
type Order struct {
	Kind      OperationKind
	Wanted    *Wanted
	Directory *Directory
	Policy    Policy
	// Servers limits the run; empty means all.
	Servers []string
	// Accounts limits the run; empty means all.
	Accounts []broker.Account
	// DryRun plans and does nothing.
	DryRun bool
	// ForgetMany lets the records of accounts go even where most of a server's
	// accounts seem to have vanished at once.
	ForgetMany bool
	// OnPlan is told the plan of every account that needs something, or where
	// something was left. It may be called from several goroutines. Optional.
	OnPlan func(Plan)

	// nested: the order is part of the work of a queue, which goes on.
	nested bool
	// undone is told accounts with which not everything was done that another run
	// may do. Optional.
	undone func(broker.Account)
	// began is when the run did.
	began time.Time
}

// known is when that was so by which the order is carried out.
func (o Order) known() time.Time {
	if o.Directory != nil {
		return o.Directory.reading.At
	}
	return o.began
}

// Result is what came of a run.
type Result struct {
	// Operation is its number in the journal; 0 for a dry run.
	Operation int64          `json:"operation,omitempty"`
	Counts    Counts         `json:"counts"`
	Servers   []ServerResult `json:"servers"`
	// Warnings are about the whole run; what they warn of is no failure.
	Warnings []Entry `json:"warnings,omitempty"`
	// Problems are the items that failed; More counts those that are not listed.
	Problems []Entry `json:"problems,omitempty"`
	More     int     `json:"more_problems,omitempty"`
	// Notices are what was left alone on whole servers, and on accounts that the
	// order names.
	Notices     []Entry `json:"notices,omitempty"`
	Interrupted bool    `json:"interrupted,omitempty"`
}

// OK reports whether everything was done.
func (r Result) OK() bool { return !r.Interrupted && r.Counts.Failed == 0 && r.failedServers() == 0 }

func (r Result) failedServers() int {
	n := 0
	for _, s := range r.Servers {
		if s.State == ServerFailed {
			n++
		}
	}
	return n
}

// ServerResult is what came of a run on one server.
type ServerResult struct {
	Server string      `json:"server"`
	State  ServerState `json:"state"`
	// Accounts counts those of the server, Done those that were gone through.
	Accounts int `json:"accounts"`
	Done     int `json:"done"`
	// Problem says why the server failed.
	Problem string `json:"problem,omitempty"`
}

// ServerState is how far a server is.
type ServerState string

// The states.
const (
	ServerDone        ServerState = "done"
	ServerFailed      ServerState = "failed"
	ServerUnsupported ServerState = "unsupported" // it has no integration links
	ServerInterrupted ServerState = "interrupted"
)

// Event tells how far the work on a server is.
type Event struct {
	Server string
	Kind   EventKind
	// Done and Total count accounts; of EventProgress.
	Done, Total int
	// Text is for people; of EventWaiting and EventEnded.
	Text string
	// State is of EventEnded.
	State ServerState
}

// EventKind says what an Event is about.
type EventKind uint8

// The kinds.
const (
	EventWaiting  EventKind = iota + 1 // another process works on the server
	EventStarted                       // the server is being asked for its accounts
	EventProgress                      // accounts were gone through
	EventEnded
)

// Run does what an order says, on all its servers side by side: none waits for
// another. It returns an error when nothing was begun, and, beside the Result, when
// the journal did not take how it ended. When ctx ends, requests that are on their
// way are waited for, a while, and Result.Interrupted is set; run again, it goes on.
func (r *Reconciler) Run(ctx context.Context, o Order) (Result, error) {
	servers := o.Servers
	if len(servers) == 0 {
		servers = slices.Sorted(maps.Keys(r.cfg.Hosts))
	}
	recorded, err := r.recorded(ctx, o)
	if err != nil {
		return Result{}, err
	}
	o.began = r.cfg.Now()
	log := &operationLog{journal: r.cfg.Journal, now: r.cfg.Now, named: len(o.Accounts) > 0}
	operation := Operation{
		Kind: o.Kind, State: StateRunning, By: r.cfg.Holder, Started: o.began, Servers: o.Servers,
		Apps: o.Policy.Apps, TrustStore: o.Policy.TrustStore, Revision: o.Wanted.Revision,
	}
	if !o.DryRun {
		err = r.cfg.patiently(ctx, func() (err error) {
			operation.ID, err = r.cfg.Journal.Begin(ctx, operation)
			return err
		})
		if err != nil {
			return Result{}, fmt.Errorf("begin operation: %w", err)
		}
		log.id = operation.ID
	}
	hard, cancel := graceful(ctx, stopGrace)
	defer cancel()
	helpers, stopHelpers := context.WithCancel(hard)
	var helping sync.WaitGroup
	helping.Go(func() { log.write(helpers, r.cfg.Wait) })
	if !o.DryRun && !o.Policy.Remove && !o.nested && r.serving.Load() == 0 {
		helping.Go(func() { r.queue.watch(helpers, false) })
	}

	reportEmpty(log, o)
	result := Result{Operation: operation.ID, Servers: make([]ServerResult, len(servers))}
	runs := make([]*serverRun, len(servers))
	var working sync.WaitGroup
	for i, server := range servers {
		working.Go(func() {
			runs[i] = &serverRun{r: r, order: o, log: log, soft: ctx, hard: hard, server: server, recorded: recorded[server]}
			result.Servers[i] = runs[i].run()
		})
	}
	working.Wait()
	r.reportUnsupported(log, result.Servers)
	r.reportUnknown(log, recorded)
	r.forgetGone(ctx, hard, o, log, runs, &result)
	stopHelpers()
	helping.Wait()

	result.Interrupted = ctx.Err() != nil
	result.Counts, result.Warnings, result.Notices = log.counts, log.warnings, log.notices
	result.Problems, result.More = log.problems, log.more
	result.Counts.FailedServers = result.failedServers()
	return result, r.end(operation, log, result)
}

// Serve does Requests until ctx ends, then ends what it has begun.
func (r *Reconciler) Serve(ctx context.Context) {
	r.serving.Add(1)
	defer r.serving.Add(-1)
	r.queue.watch(ctx, true)
}

// graceful returns a context that ends a while after ctx.
func graceful(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	hard, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		t := time.AfterFunc(grace, cancel)
		context.AfterFunc(hard, func() { t.Stop() })
	})
	return hard, func() { stop(); cancel() }
}

// recorded names the users that the store knows, by server.
func (r *Reconciler) recorded(ctx context.Context, o Order) (map[string]map[string]bool, error) {
	only := ""
	if len(o.Servers) == 1 {
		only = o.Servers[0]
	}
	users := map[string]map[string]bool{}
	if len(o.Accounts) > 0 {
		return users, nil
	}
	err := r.cfg.patiently(ctx, func() error {
		clear(users) // a replica that takes over may have less
		for a, err := range r.cfg.Records.Accounts(ctx, only) {
			if err != nil {
				return err
			}
			if users[a.Server] == nil {
				users[a.Server] = map[string]bool{}
			}
			users[a.Server][a.User] = true
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list the accounts in the store: %w", err)
	}
	return users, nil
}

func (r *Reconciler) end(o Operation, log *operationLog, result Result) error {
	if o.ID == 0 {
		return nil
	}
	o.Ended, o.Counts, o.State = r.cfg.Now(), result.Counts, StateDone
	switch {
	case result.Interrupted:
		o.State = StateInterrupted
	case !result.OK():
		o.State = StateFailed
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeGrace)
	defer cancel()
	if err := errors.Join(log.flush(ctx), r.cfg.Journal.End(ctx, o)); err != nil {
		return fmt.Errorf("write the log of operation %d: %w", o.ID, err)
	}
	return nil
}

// reportEmpty warns of a list that names nobody: it lost its rows more likely than
// the company its customers.
func reportEmpty(log *operationLog, o Order) {
	if o.Directory != nil && o.Directory.Len() == 0 && !o.nested {
		log.add(Entry{Level: LevelWarning, Message: "the list of subscribers is empty: no account gets links, and those that are there are left as they are; " +
			"look at the file, query or address under `subscribers`"})
	}
}

func (r *Reconciler) reportUnsupported(log *operationLog, servers []ServerResult) {
	for _, s := range servers {
		if s.State != ServerUnsupported {
			return
		}
	}
	log.add(Entry{Level: LevelNotice, Message: "no server supports integration links"})
}

// reportUnknown tells of records of servers that the configuration has not.
func (r *Reconciler) reportUnknown(log *operationLog, recorded map[string]map[string]bool) {
	for _, server := range slices.Sorted(maps.Keys(recorded)) {
		if _, known := r.cfg.Hosts[server]; !known {
			log.add(Entry{Level: LevelNotice, Server: server, Message: fmt.Sprintf(
				"the store has links of %d accounts of this server, which is not in the configuration; they are left alone", len(recorded[server]))})
		}
	}
}
