package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

var _ reconcile.Requests = (*Store)(nil)

const (
	// MaxRequests is how many requests of one kind may wait for one server. Few WHM
	// servers have as many accounts, so that all of them may be restored at once; and
	// a server that reports invented accounts fills a megabyte with each kind.
	MaxRequests = 5000
	// RequestRetention is how long the requests of a server are kept after the last
	// of them was added. Whole runs have done what they ask for by then, or the
	// server is in no configuration any more.
	RequestRetention = 7 * 24 * time.Hour
)

// requestsSize is how many requests are added or removed in one call.
const requestsSize = 500

func (s *Store) requestsKey(l reconcile.Lane) string {
	return s.prefix + "requests:{" + l.Server + "}" + string(l.Kind)
}

func encodeDue(t time.Time) string { return strconv.FormatInt(t.UnixMicro(), 10) }

func decodeRequest(l reconcile.Lane, user, score string) (reconcile.Request, bool) {
	due, err := strconv.ParseFloat(score, 64)
	r := reconcile.Request{Account: broker.Account{Server: l.Server, User: user}, Kind: l.Kind, Due: time.UnixMicro(int64(due))}
	return r, err == nil && due == math.Trunc(due) && math.Abs(due) < 1<<53 && validRequest(r) == nil
}

func validRequest(r reconcile.Request) error {
	if r.Kind != reconcile.RequestRotate && r.Kind != reconcile.RequestReconcile {
		return fmt.Errorf("the kind %q is not known", r.Kind)
	}
	return broker.Link{Account: r.Account, App: "any"}.Validate()
}

// Add implements reconcile.Requests.
func (s *Store) Add(ctx context.Context, requests ...reconcile.Request) error {
	for _, r := range requests {
		if err := validRequest(r); err != nil {
			return fmt.Errorf("add request %q: %w", string(r.Kind)+" "+r.Account.String(), err)
		}
	}
	calls := s.requestCalls(requests, func(l reconcile.Lane) []any {
		putOff := ""
		if l.Kind == reconcile.RequestRotate {
			putOff = "keep"
		}
		return []any{MaxRequests, RequestRetention.Milliseconds(), putOff}
	}, func(r reconcile.Request) []any { return []any{r.Account.User} })
	s.runAll(ctx, s.add, calls)
	full := false
	for _, c := range calls {
		refused, err := c.reply.Int()
		if err != nil {
			return fmt.Errorf("add requests: %w", err)
		}
		full = full || refused > 0
	}
	if full {
		return fmt.Errorf("add requests: %w", reconcile.ErrQueueFull)
	}
	return nil
}

// RequestRotation asks the provisioner for new link tokens of an account, in one
// command.
func (s *Store) RequestRotation(ctx context.Context, account broker.Account) error {
	return s.Add(ctx, reconcile.Request{Account: account, Kind: reconcile.RequestRotate})
}

// Due implements reconcile.Requests: one round trip, on a cluster one to each node.
// What is due and no request is removed.
func (s *Store) Due(ctx context.Context, lanes []reconcile.Lane, limit int) ([]reconcile.Request, error) {
	if limit <= 0 {
		return nil, nil
	}
	calls := make([]*call, len(lanes))
	for i, l := range lanes {
		calls[i] = &call{keys: []string{s.requestsKey(l)}, args: []any{limit}}
	}
	s.runAll(ctx, s.due, calls)
	var due []reconcile.Request
	var problem error
	for i, c := range calls {
		found, err := c.reply.StringSlice()
		if err != nil {
			problem = err
			continue
		}
		var junk []any
		for pair := range slices.Chunk(found, 2) {
			if r, good := decodeRequest(lanes[i], pair[0], pair[len(pair)-1]); good {
				due = append(due, r)
			} else {
				junk = append(junk, pair[0])
			}
		}
		if len(junk) == 0 {
			continue
		}
		// It would stand before others for ever.
		if err := s.client.ZRem(ctx, c.keys[0], junk...).Err(); err != nil {
			problem = fmt.Errorf("remove what is no request: %w", err)
		}
	}
	if problem != nil {
		return due, fmt.Errorf("read requests: %w", problem)
	}
	return due, nil
}

// Done implements reconcile.Requests.
func (s *Store) Done(ctx context.Context, requests ...reconcile.Request) error {
	if err := s.settle(ctx, 0, requests); err != nil {
		return fmt.Errorf("remove requests: %w", err)
	}
	return nil
}

// PutOff implements reconcile.Requests.
func (s *Store) PutOff(ctx context.Context, wait time.Duration, requests ...reconcile.Request) error {
	if wait < time.Microsecond {
		return errors.New("put requests off: the time is too short")
	}
	if err := s.settle(ctx, wait, requests); err != nil {
		return fmt.Errorf("put requests off: %w", err)
	}
	return nil
}

func (s *Store) settle(ctx context.Context, wait time.Duration, requests []reconcile.Request) error {
	calls := s.requestCalls(requests, func(reconcile.Lane) []any { return []any{wait.Microseconds()} },
		func(r reconcile.Request) []any { return []any{r.Account.User, encodeDue(r.Due)} })
	s.runAll(ctx, s.done, calls)
	for _, c := range calls {
		if err := c.reply.Err(); err != nil {
			return err
		}
	}
	return nil
}

// requestCalls makes the calls for requests, those of a lane together.
func (s *Store) requestCalls(requests []reconcile.Request, first func(reconcile.Lane) []any, each func(reconcile.Request) []any) []*call {
	byLane := map[reconcile.Lane][]reconcile.Request{}
	for _, r := range requests {
		byLane[r.Lane()] = append(byLane[r.Lane()], r)
	}
	var calls []*call
	for l, all := range byLane {
		for page := range slices.Chunk(all, requestsSize) {
			c := &call{keys: []string{s.requestsKey(l)}, args: first(l)}
			for _, r := range page {
				c.args = append(c.args, each(r)...)
			}
			calls = append(calls, c)
		}
	}
	return calls
}
