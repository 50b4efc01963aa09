package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
)

// serverRun is one run's way through one server.
type serverRun struct {
	r        *Reconciler
	order    Order
	log      *operationLog
	soft     context.Context
	hard     context.Context
	server   string
	recorded map[string]bool // users that the store knows
	gone     []string        // of those, the ones that the server has not
	again    bool            // the accounts were counted already
	// forgetting: no list of customers is needed.
	forgetting bool

	mu      sync.Mutex
	result  ServerResult
	refused int             // links, see Plan
	planned map[string]bool // users for whom a dry run has planned something
}

// leaseRetry is how often a lease that another process holds is asked for.
const leaseRetry = time.Second

func (w *serverRun) run() ServerResult {
	w.result = ServerResult{Server: w.server, State: ServerDone}
	err := w.work()
	switch {
	case err == nil:
	case w.soft.Err() != nil:
		w.result.State = ServerInterrupted
	case errors.Is(err, errUnsupported):
		w.result.State = ServerUnsupported
		w.log.add(Entry{Level: LevelInformation, Server: w.server, Message: errUnsupported.Error()})
	default:
		w.result.State, w.result.Problem = ServerFailed, err.Error()
		w.log.add(Entry{Level: LevelWarning, Server: w.server, Message: err.Error()})
	}
	w.log.endServer(w.server)
	w.observe(Event{Server: w.server, Kind: EventEnded, State: w.result.State, Text: w.result.Problem, Done: w.result.Done, Total: w.result.Accounts})
	return w.result
}

var errUnsupported = errors.New("the server does not support integration links")

func (w *serverRun) work() error {
	return w.seated(func(ctx context.Context, s *session) error {
		w.observe(Event{Server: w.server, Kind: EventStarted})
		if err := w.cutOff(ctx, s); err != nil {
			return err
		}
		w.log.add(s.entry(LevelDebug, "", "", "start: list accounts"))
		users, err := w.users(ctx, s)
		if err != nil {
			return err
		}
		w.log.add(s.entry(LevelDebug, "", "", fmt.Sprintf("end: list accounts, %d found", len(users))))
		w.result.Accounts = len(users)
		w.observe(Event{Server: w.server, Kind: EventProgress, Total: len(users)})
		defer w.reportRefused(s)
		return w.accounts(ctx, s, users)
	})
}

// seated does work under the server's lease. Its context ends with the lease.
func (w *serverRun) seated(work func(context.Context, *session) error) error {
	seat, leave, err := w.seat()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(w.hard)
	defer cancel(nil)
	defer context.AfterFunc(seat.alive, func() { cancel(context.Cause(seat.alive)) })()
	if err := w.readAgain(ctx, seat); err != nil {
		return errors.Join(err, leave())
	}
	s := &session{seat: seat, cfg: &w.r.cfg, host: w.r.cfg.Hosts[w.server], order: w.order, soft: w.soft, slots: w.r.slots}
	err = work(ctx, s)
	if cause := context.Cause(seat.alive); err != nil && cause != nil {
		err = cause
	}
	if problem := leave(); problem != nil {
		w.log.add(s.entry(LevelNotice, "", "", fmt.Sprintf("the lease could not be given back and runs out by itself: %v", problem)))
	}
	return err
}

// seat takes the server's lease, waiting for it as long as it takes. A dry run
// needs none.
func (w *serverRun) seat() (*seat, func() error, error) {
	if w.order.DryRun {
		s := newSeat(w.hard, Lease{Server: w.server})
		return s, func() error { s.halt(errReleased); return nil }, nil
	}
	for {
		var s *seat
		err := w.r.cfg.patiently(w.soft, func() (err error) {
			s, err = w.r.seats.take(w.soft, w.server)
			return err
		})
		if err == nil {
			return s, func() error { return w.r.seats.leave(s) }, nil
		}
		held, is := errors.AsType[*HeldError](err)
		if !is {
			return nil, nil, fmt.Errorf("take the lease of %s: %w", w.server, err)
		}
		w.observe(Event{Server: w.server, Kind: EventWaiting, Text: held.Holder})
		if err := w.r.cfg.Wait(w.soft, leaseRetry); err != nil {
			return nil, nil, err
		}
	}
}

// users lists the accounts to go through, and finds those that are gone.
func (w *serverRun) users(ctx context.Context, s *session) ([]string, error) {
	if w.order.Policy.Rotate && len(w.order.Accounts) > 0 {
		return w.usersOf(w.order.Accounts), nil
	}
	if !w.order.Policy.TrustStore {
		functions, err := ask(ctx, s, s.host.Functions)
		if err != nil {
			return nil, err
		}
		switch {
		case slices.Contains(functions, string(CreateLink)):
		case len(w.recorded) > 0:
			return nil, fmt.Errorf("the API token may not use %s any more, and links of %d accounts are there: check the token's privileges", CreateLink, len(w.recorded))
		default:
			return nil, errUnsupported
		}
	}
	users, err := ask(ctx, s, s.host.Users)
	if err != nil {
		return nil, err
	}
	users = w.named(s, users)
	there := make(map[string]bool, len(users))
	for _, user := range users {
		there[user] = true
	}
	if len(w.order.Accounts) > 0 {
		return slices.DeleteFunc(w.usersOf(w.order.Accounts), func(user string) bool {
			if !there[user] {
				w.log.add(s.entry(LevelNotice, user, "", "the account is not on the server"))
			}
			return !there[user]
		}), nil
	}
	for user := range w.recorded {
		if !there[user] {
			w.gone = append(w.gone, user)
		}
	}
	slices.Sort(w.gone)
	w.reportMissing(s, there)
	return users, nil
}

// usersOf are those of the accounts that are on this server, each once.
func (w *serverRun) usersOf(accounts []broker.Account) []string {
	var users []string
	for _, a := range accounts {
		if a.Server == w.server {
			users = append(users, a.User)
		}
	}
	slices.Sort(users)
	return slices.Compact(users)
}

// reportMissing names accounts that have a subscriber and are not on the server.
func (w *serverRun) reportMissing(s *session, there map[string]bool) {
	const most = 5
	if w.order.Directory == nil {
		return
	}
	var missing []string
	for a := range w.order.Directory.subscribers {
		if a.Server == w.server && !there[a.User] {
			missing = append(missing, a.User)
		}
	}
	if len(missing) == 0 {
		return
	}
	w.log.count(func(c *Counts) { c.Missing += len(missing) })
	slices.Sort(missing)
	names := strings.Join(missing[:min(most, len(missing))], ", ")
	if len(missing) > most {
		names += ", ..."
	}
	w.log.add(s.entry(LevelNotice, "", "", fmt.Sprintf("%d accounts have a subscriber and are not on the server: %s", len(missing), names)))
}

// accounts goes through the users, several requests at a time. Portions become
// smaller towards the end, so that all workers end together.
func (w *serverRun) accounts(ctx context.Context, s *session, users []string) error {
	const largest = 24
	workers := w.r.cfg.RequestsPerServer
	var failure error
	next := func(done error) []string {
		w.mu.Lock()
		defer w.mu.Unlock()
		if done != nil && failure == nil {
			failure = done
		}
		if failure != nil || len(users) == 0 || w.soft.Err() != nil {
			return nil
		}
		n := min(max(len(users)/(2*workers), 1), largest)
		portion := users[:n]
		users = users[n:]
		return portion
	}
	var working sync.WaitGroup
	for range workers {
		working.Go(func() {
			var err error
			for portion := next(nil); portion != nil; portion = next(err) {
				err = w.portion(ctx, s, portion)
			}
			next(err)
		})
	}
	working.Wait()
	if failure != nil {
		return failure
	}
	return w.soft.Err()
}

// portion plans some accounts and does what is planned.
func (w *serverRun) portion(ctx context.Context, s *session, users []string) error {
	accounts := make([]broker.Account, len(users))
	for i, user := range users {
		accounts[i] = broker.Account{Server: w.server, User: user}
	}
	records, err := s.load(ctx, accounts)
	if err != nil {
		return err
	}
	plans, err := s.plan(ctx, records)
	if err != nil {
		return err
	}
	var jobs []*job
	idle := 0
	for i, plan := range plans {
		w.tell(plan)
		if w.order.DryRun || len(plan.Steps) == 0 && !plan.othersGroup {
			if w.order.DryRun {
				w.countPlan(plan)
			}
			idle++
			continue
		}
		j, err := prepare(w.order.Wanted, plan, records[i], w.r.cfg.Random, w.r.cfg.Now())
		if err != nil {
			return err
		}
		jobs = append(jobs, j)
	}
	w.advance(idle)
	for _, batch := range pack(jobs, w.r.cfg.CommandsPerRequest) {
		if w.soft.Err() != nil {
			return w.soft.Err()
		}
		outcomes, err := s.apply(ctx, batch)
		w.settle(s, outcomes, err)
		if err != nil {
			return err
		}
		w.advance(len(batch))
	}
	return nil
}

// tell counts and logs what a plan leaves alone.
func (w *serverRun) tell(plan Plan) {
	if !w.again || plan.Failed {
		w.log.left(plan)
	}
	w.log.count(func(c *Counts) {
		if plan.Failed {
			c.Failed++
		}
		if w.again {
			c.Unchanged -= plan.changes()
			return
		}
		c.Unchanged += plan.Unchanged
		c.Foreign += plan.Foreign
		c.Failed += plan.Blocked
		w.log.blocked += plan.Blocked
		w.log.arrived = w.log.arrived || plan.arrived
		if plan.Skipped {
			c.Skipped++
		}
	})
	w.refuse(plan.refused)
	if plan.Skipped || plan.Failed {
		w.undone(plan.Account)
	}
	if w.order.OnPlan != nil && (len(plan.Steps) > 0 || len(plan.Left) > 0 && !w.again) {
		w.order.OnPlan(plan)
	}
}

func (w *serverRun) undone(a broker.Account) {
	if w.order.undone != nil {
		w.order.undone(a)
	}
}

// countPlan counts what a dry run would do.
func (w *serverRun) countPlan(plan Plan) {
	w.mu.Lock()
	if w.planned == nil {
		w.planned = map[string]bool{}
	}
	w.planned[plan.Account.User] = w.planned[plan.Account.User] || len(plan.Steps) > 0
	w.mu.Unlock()
	for _, step := range plan.Steps {
		w.log.step(w.server, step)
	}
}

// settle counts and logs what became of steps. Those that failed together with
// their server are told with it.
func (w *serverRun) settle(s *session, outcomes []outcome, server error) {
	done := map[broker.Account][]StepKind{}
	defer func() { w.log.accounts(done) }()
	for _, o := range outcomes {
		if o.err == nil {
			w.log.step(w.server, o.step)
			done[o.job.plan.Account] = append(done[o.job.plan.Account], o.step.Kind)
			continue
		}
		if errors.Is(o.err, errOvertaken) {
			w.undone(o.job.plan.Account)
			w.log.overtaken(s.entry(LevelDebug, o.job.plan.Account.User, "", o.err.Error()))
			continue
		}
		if server != nil {
			continue
		}
		w.undone(o.job.plan.Account)
		w.log.count(func(c *Counts) { c.Failed++ })
		what := string(o.step.Kind)
		if o.step.Group != "" {
			what += " " + o.step.Group
		}
		w.log.add(s.entry(LevelWarning, o.job.plan.Account.User, o.step.App, what+": "+o.err.Error()))
	}
}

func (w *serverRun) observe(e Event) {
	if !w.order.nested && !w.again {
		w.r.cfg.Observe(e)
	}
}

func (w *serverRun) advance(n int) {
	w.mu.Lock()
	w.result.Done += n
	done, total := w.result.Done, w.result.Accounts
	w.mu.Unlock()
	w.observe(Event{Server: w.server, Kind: EventProgress, Done: done, Total: total})
}
