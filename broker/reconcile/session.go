package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
)

const (
	// storeGrace bounds writing down what a server has done.
	storeGrace = 10 * time.Second
	// stopGrace is how long requests that are on their way may take when we are
	// asked to stop.
	stopGrace = 15 * time.Second
)

// session is one run's work on one server, from a seat.
type session struct {
	*seat
	cfg   *Config
	host  Host
	order Order
	soft  context.Context // ends when no new work is to be begun, nor a request sent again
	slots chan struct{}   // bounds calls of the store; shared by all sessions
}

// stopped says why ctx has ended, or that we were asked to stop.
func (s *session) stopped(ctx context.Context) error {
	cause := context.Cause(ctx)
	if cause == nil {
		cause = context.Cause(s.soft)
	}
	return fmt.Errorf("stopped: %w", cause)
}

// pause waits before something is asked again.
func (s *session) pause(ctx context.Context, d time.Duration) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.soft, cancel)()
	return s.cfg.Wait(ctx, d)
}

// write changes records, and sends again what the store has not acknowledged. lost
// are accounts with a token that the store has lost (ErrLost).
func (s *session) write(ctx context.Context, changes []AccountChanges) (lost []broker.Account, err error) {
	changes = slices.DeleteFunc(changes, func(c AccountChanges) bool { return len(c.Changes) == 0 })
	err = s.cfg.patiently(ctx, func() error {
		var left []AccountChanges
		var failure error
		for i, err := range s.writeOnce(ctx, changes) {
			switch {
			case errors.Is(err, ErrFenced):
				s.halt(err)
				return err
			case errors.Is(err, ErrLost):
				lost = append(lost, changes[i].Account)
			case err != nil:
				left, failure = append(left, changes[i]), err
			}
		}
		changes = left
		return failure
	})
	if err != nil {
		return lost, fmt.Errorf("write to the store: %w", err)
	}
	return lost, nil
}

func (s *session) writeOnce(ctx context.Context, changes []AccountChanges) []error {
	if len(changes) == 0 {
		return nil
	}
	s.slots <- struct{}{}
	defer func() { <-s.slots }()
	return s.cfg.Records.Write(ctx, s.lease.Fence, changes)
}

func (s *session) load(ctx context.Context, accounts []broker.Account) (records []Record, err error) {
	err = s.cfg.patiently(ctx, func() error {
		s.slots <- struct{}{}
		defer func() { <-s.slots }()
		records, err = s.cfg.Records.Load(ctx, accounts)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the store: %w", err)
	}
	return records, nil
}

// plan looks at accounts on the server, as much as planning them needs, and plans
// them. An account is planned as soon as all that it needs is known: the fields of
// its links are kept no longer, because a server that was taken over has many.
func (s *session) plan(ctx context.Context, records []Record) ([]Plan, error) {
	seen := make([]observed, len(records))
	if err := s.list(ctx, records, seen); err != nil {
		return nil, err
	}
	plans := make([]Plan, len(records))
	open := make([]int, len(records)) // questions that are not answered
	var questions []Command
	var of []int // records, one for each question
	for i, r := range records {
		plan, need := s.planOne(r, seen[i])
		plans[i], open[i] = plan, len(need)
		for _, app := range need {
			questions = append(questions, Command{Function: GetLink, User: r.Account.User, App: app})
			of = append(of, i)
		}
	}
	for len(questions) > 0 {
		n := min(len(questions), s.cfg.CommandsPerRequest)
		replies, err := s.runAll(ctx, questions[:n])
		if err != nil {
			return nil, err
		}
		for q, i := range of[:n] {
			seen[i].look(questions[q].App, replies[q])
			if open[i]--; open[i] > 0 {
				continue
			}
			plan, need := s.planOne(records[i], seen[i])
			if len(need) > 0 {
				return nil, fmt.Errorf("plan of %s: it needs to look at %d links again", records[i].Account, len(need))
			}
			plans[i], seen[i] = plan, observed{}
		}
		questions, of = questions[n:], of[n:]
	}
	return plans, nil
}

func (s *session) planOne(r Record, seen observed) (Plan, []string) {
	subscriber, _ := s.order.Directory.Subscriber(r.Account)
	return planAccount(s.order.Wanted, s.order.Policy, r, subscriber, seen)
}

// list asks the server what links, and where needed what groups, accounts have.
func (s *session) list(ctx context.Context, records []Record, seen []observed) error {
	var questions []Command
	for _, r := range records {
		if s.trusts(r) {
			continue
		}
		questions = append(questions, Command{Function: ListLinks, User: r.Account.User})
		if s.asksGroups(r) {
			questions = append(questions, Command{Function: ListGroups, User: r.Account.User})
		}
	}
	replies, err := s.runAll(ctx, questions)
	if err != nil {
		return err
	}
	next := func() Reply {
		reply := replies[0]
		replies = replies[1:]
		return reply
	}
	for i, r := range records {
		if s.trusts(r) {
			continue
		}
		links := next()
		seen[i] = observed{looked: true, apps: links.Names, failed: links.Err}
		if s.asksGroups(r) {
			groups := next()
			seen[i].asked, seen[i].groups = true, groups.Names
			seen[i].failed = cmp.Or(links.Err, groups.Err)
		}
	}
	return nil
}

// trusts reports whether an account needs no look at the server. Where something is
// to be added, others may have the name: there the store alone is never enough.
func (s *session) trusts(r Record) bool {
	if !s.order.Policy.TrustStore {
		return false
	}
	if _, owned := s.order.Directory.Subscriber(r.Account); !owned {
		return true // nothing is done to it
	}
	for _, app := range s.order.Wanted.apps {
		if _, known := r.Links[app]; !known && s.order.Policy.covers(app) {
			return false
		}
	}
	return len(s.order.Wanted.apps) == 0 || r.Group.ID == s.order.Wanted.Group.ID
}

// asksGroups: before a group is written under a name for the first time, it is
// looked whether somebody else has it; and when all is removed, whether one stays
// that is not known as ours.
func (s *session) asksGroups(r Record) bool {
	p, w := s.order.Policy, s.order.Wanted
	if p.Remove {
		return len(p.Apps) == 0 && r.Group.Written.IsZero()
	}
	if _, owned := s.order.Directory.Subscriber(r.Account); !owned || p.Rotate || p.keepsGroup(r, w) || len(w.apps) == 0 {
		return false
	}
	return p.Deep || r.Group.ID != w.Group.ID
}

// runAll is run for any number of commands, in requests of the usual size.
func (s *session) runAll(ctx context.Context, commands []Command) ([]Reply, error) {
	var replies []Reply
	for batch := range slices.Chunk(commands, s.cfg.CommandsPerRequest) {
		if err := s.soft.Err(); err != nil {
			return nil, err
		}
		got, err := s.run(ctx, batch)
		if err != nil {
			return nil, err
		}
		replies = append(replies, got...)
	}
	return replies, nil
}

func (s *session) entry(level Level, user, app, message string) Entry {
	return Entry{At: s.cfg.Now(), Level: level, Server: s.lease.Server, User: user, App: app, Message: message}
}
