package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/latchkey-sso/latchkey/broker"
)

// A listing that lacks many accounts at once speaks of a token that may not see
// them, rather than of customers that left.
const (
	manyGone      = 20
	manyGoneShare = 2 // more than one in two
)

// forgetGone removes the records of accounts that their servers have no more.
// It comes last, after all servers, and only when nothing is left to be done on
// them: an account that has moved brought its links along, and until they are
// written anew on its new server they work by the records of the old one.
func (r *Reconciler) forgetGone(soft, hard context.Context, o Order, log *operationLog, runs []*serverRun, result *Result) {
	p := o.Policy
	whole := len(o.Servers) == 0 && len(o.Accounts) == 0 && len(p.Apps) == 0 && !p.TrustStore
	everywhere := !slices.ContainsFunc(result.Servers, func(s ServerResult) bool { return s.State != ServerDone })
	complete := whole && everywhere && !log.undone() || p.Remove && len(p.Apps) == 0
	for i, w := range runs {
		server, gone := w.server, w.gone
		if len(gone) == 0 || soft.Err() != nil || p.Rotate {
			continue
		}
		s := &result.Servers[i]
		all := s.Accounts + len(gone)
		switch {
		case s.State != ServerDone:
			continue
		case !complete:
			log.add(Entry{Level: LevelNotice, Server: server, Message: fmt.Sprintf(
				"%d accounts are gone; their links are kept until a run has looked at every server and done everything there, because they may have moved", len(gone))})
			continue
		case !o.ForgetMany && !o.Policy.Remove && len(gone) > manyGone && len(gone)*manyGoneShare > all:
			s.State = ServerFailed
			s.Problem = fmt.Sprintf("%d of %d accounts seem to be gone: their links are kept; check the rights of the API token, or use --forget", len(gone), all)
			log.add(Entry{Level: LevelWarning, Server: server, Message: s.Problem})
			continue
		}
		if !p.Remove {
			gone = r.keepForTwins(w, runs, result.Servers)
		}
		switch err := r.forget(soft, hard, w.order, log, server, gone); {
		case err == nil:
		case soft.Err() != nil:
			s.State = ServerInterrupted
		default:
			s.State, s.Problem = ServerFailed, err.Error()
			log.add(Entry{Level: LevelWarning, Server: server, Message: err.Error()})
		}
	}
}

// keepForTwins returns those of a server's accounts that are gone which nobody needs
// any more. An account of the same name on another server may have come back from
// here: its record matches then, and nobody has looked at its links, which work by
// the records that are to be forgotten. So it is looked at in detail first, and
// written anew. An account without records was looked at by this run already.
func (r *Reconciler) keepForTwins(w *serverRun, runs []*serverRun, results []ServerResult) []string {
	kept := map[string]bool{}
	for i, other := range runs {
		var twins []string
		for _, user := range w.gone {
			if other != w && other.recorded[user] && !slices.Contains(other.gone, user) && !kept[user] {
				twins = append(twins, user)
			}
		}
		if len(twins) == 0 {
			continue
		}
		left, err := other.lookAgain(twins)
		if err != nil {
			left = twins
			if w.soft.Err() == nil {
				results[i].State, results[i].Problem = ServerFailed, err.Error()
				w.log.add(Entry{Level: LevelWarning, Server: other.server, Message: err.Error()})
			}
		}
		for _, user := range left {
			kept[user] = true
			w.log.add(Entry{Level: LevelNotice, Server: w.server, User: user, Message: fmt.Sprintf(
				"the account is gone; its links are kept, because those of its namesake on %s may work by them and could not be written anew", other.server)})
		}
	}
	return slices.DeleteFunc(slices.Clone(w.gone), func(user string) bool { return kept[user] })
}

// lookAgain brings users of a server to what is wanted, looking at every field, and
// returns those with which something is left to be done.
func (w *serverRun) lookAgain(users []string) (left []string, err error) {
	o := w.order
	o.Policy = Policy{Deep: true}
	var mu sync.Mutex
	o.undone = func(a broker.Account) {
		mu.Lock()
		defer mu.Unlock()
		left = append(left, a.User)
	}
	again := &serverRun{r: w.r, order: o, log: w.log, soft: w.soft, hard: w.hard, server: w.server, again: true}
	defer w.log.endServer(w.server)
	// What a dry run has planned already is looked at when it is done.
	users = slices.DeleteFunc(users, func(user string) bool { return w.planned[user] })
	err = again.seated(func(ctx context.Context, s *session) error {
		for portion := range slices.Chunk(users, w.r.cfg.CommandsPerRequest) {
			if err := again.portion(ctx, s, portion); err != nil {
				return err
			}
		}
		return w.soft.Err()
	})
	slices.Sort(left) // an account is there for each of its links
	return slices.Compact(left), err
}

// forget removes the records of users, each after the server was asked once more:
// one that still answers for the account has it.
func (r *Reconciler) forget(soft, hard context.Context, o Order, log *operationLog, server string, users []string) error {
	w := &serverRun{r: r, order: o, log: log, soft: soft, hard: hard, server: server, forgetting: true}
	defer log.endServer(server)
	return w.seated(func(ctx context.Context, s *session) error {
		for portion := range slices.Chunk(users, r.cfg.CommandsPerRequest) {
			if soft.Err() != nil {
				return soft.Err()
			}
			if err := w.forgetUsers(ctx, s, portion); err != nil {
				return err
			}
		}
		return nil
	})
}

func (w *serverRun) forgetUsers(ctx context.Context, s *session, users []string) error {
	var accounts []broker.Account
	var questions []Command
	for _, user := range users {
		accounts = append(accounts, broker.Account{Server: w.server, User: user})
		questions = append(questions, Command{Function: ListLinks, User: user})
	}
	records, err := s.load(ctx, accounts)
	if err != nil {
		return err
	}
	replies, err := s.run(ctx, questions)
	if err != nil {
		return err
	}
	var jobs []*job
	for i, record := range records {
		if answer, is := errors.AsType[*Failure](replies[i].Err); !is || !answer.Missing {
			message := "listaccts does not name the account, but the server knows it: its links are left as they are"
			if is {
				message = "listaccts does not name the account, and WHM does not say that it is gone: its links are left as they are: " + answer.Message
			}
			w.log.add(s.entry(LevelNotice, users[i], "", message))
			continue
		}
		plan := planGone(record)
		w.tell(plan)
		if w.order.DryRun {
			w.countPlan(plan)
			continue
		}
		j, err := prepare(w.order.Wanted, plan, record, w.r.cfg.Random, w.r.cfg.Now())
		if err != nil {
			return err
		}
		jobs = append(jobs, j)
	}
	outcomes, err := s.apply(ctx, jobs)
	w.settle(s, outcomes, err)
	return err
}
