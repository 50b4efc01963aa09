package reconcile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
)

// The order of every write, which makes it safe to be stopped anywhere:
//
//  1. The new token is prepared in the store: it is accepted beside the former.
//  2. WHM is asked to write the link with it.
//  3. When WHM says that it is done, the token is promoted.
//
// Whichever token the server has in between is accepted. Removing goes the other
// way: from the server first, then from the store.

// action is one command with what the store is to know before and after it.
type action struct {
	step    Step
	command *Command // nil when only the store changes
	before  []Change
	done    []Change // WHM said that it is done
	refused []Change // WHM said that it is not
}

// job is a Plan made ready to be done.
type job struct {
	plan    Plan
	record  Record // that the plan was made by
	first   []Change
	actions []action
}

func (j *job) commands() int {
	n := 0
	for _, a := range j.actions {
		if a.command != nil {
			n++
		}
	}
	return n
}

// prepare turns a plan into commands, with a new token for every link that is
// written.
func prepare(w *Wanted, plan Plan, record Record, random io.Reader, now time.Time) (*job, error) {
	j := &job{plan: plan, record: record}
	if plan.keptGroup != "" {
		w = w.inGroup(plan.keptGroup)
	}
	if !plan.Skipped && plan.Subscriber != "" && plan.Subscriber != record.Subscriber && len(plan.Steps) > 0 {
		j.first = append(j.first, Change{Kind: ChangeSubscriber, Subscriber: plan.Subscriber})
	}
	if plan.othersGroup {
		j.first = append(j.first, Change{Kind: ChangeGroup, GroupID: w.Group.ID})
	}
	for _, step := range plan.Steps {
		a, err := prepareStep(w, plan, record, step, random, now)
		if err != nil {
			return nil, err
		}
		j.actions = append(j.actions, a)
	}
	return j, nil
}

func prepareStep(w *Wanted, plan Plan, record Record, step Step, random io.Reader, now time.Time) (action, error) {
	user := plan.Account.User
	a := action{step: step}
	switch step.Kind {
	case StepCreateGroup:
		a.command = &Command{Function: CreateGroup, User: user, Group: w.Group}
		if record.Group.ID == "" {
			a.before = []Change{{Kind: ChangeGroup, GroupID: w.Group.ID, Written: intended}}
			a.refused = []Change{{Kind: ChangeForgetGroup}}
		}
		a.done = []Change{{Kind: ChangeGroup, GroupID: w.Group.ID, Written: w.groupFingerprint()}}
	case StepRemoveGroup, StepForgetGroup:
		if step.Kind == StepRemoveGroup {
			a.command = &Command{Function: RemoveGroup, User: user, Group: broker.Group{ID: step.Group}}
		}
		if step.Group == record.Group.ID && (step.Group == w.Group.ID || !createsGroup(plan) && !plan.othersGroup) {
			a.done = []Change{{Kind: ChangeForgetGroup}}
		}
	case StepRemove, StepForget:
		if step.Kind == StepRemove {
			a.command = &Command{Function: RemoveLink, User: user, App: step.App}
		}
		a.done = []Change{{Kind: ChangeForget, App: step.App}}
	case StepCreate, StepChange, StepRotate:
		token, err := broker.NewLinkToken(random)
		if err != nil {
			return a, err
		}
		link := broker.Link{Account: plan.Account, App: step.App}
		written := w.fingerprint(link, plan.Subscriber)
		a.command = &Command{Function: CreateLink, User: user, App: step.App, Link: w.fields(link, plan.Subscriber), Token: token}
		if step.Kind == StepRotate {
			a.command = &Command{Function: UpdateToken, User: user, App: step.App, Token: token}
			written = record.Links[step.App].Written
		}
		change := func(kind ChangeKind) []Change {
			return []Change{{Kind: kind, App: step.App, Token: token.Digest(), Created: now, Written: written, Subscriber: plan.Subscriber}}
		}
		a.before, a.done, a.refused = change(ChangePrepare), change(ChangePromote), change(ChangeDrop)
	default:
		return a, fmt.Errorf("plan of %s: step %q is not known", plan.Account, step.Kind)
	}
	return a, nil
}

// createsGroup: a group under another name takes the record of the former.
func createsGroup(plan Plan) bool {
	for _, s := range plan.Steps {
		if s.Kind == StepCreateGroup {
			return true
		}
	}
	return false
}

// pack gathers jobs into batches of about most commands. The commands of an
// account stay together and in order, unless they alone are more.
func pack(jobs []*job, most int) [][]*job {
	var batches [][]*job
	var batch []*job
	size := 0
	for _, j := range jobs {
		n := j.commands()
		if len(batch) > 0 && size+n > most {
			batches, batch, size = append(batches, batch), nil, 0
		}
		batch, size = append(batch, j), size+n
	}
	if len(batch) > 0 {
		batches = append(batches, batch)
	}
	return batches
}

// outcome is what became of one action.
type outcome struct {
	job  *job
	step Step
	err  error
}

// apply does the jobs of one batch: store, server, store. An error means that the
// session cannot go on; the outcomes tell what was done all the same.
func (s *session) apply(ctx context.Context, jobs []*job) ([]outcome, error) {
	defer s.lock(jobs)()
	jobs, overtaken, err := s.begin(ctx, jobs)
	if err != nil {
		return nil, err
	}
	var commands []Command
	for _, j := range jobs {
		for _, a := range j.actions {
			if a.command != nil {
				commands = append(commands, *a.command)
			}
		}
	}
	replies, failure := s.runSplit(ctx, commands)
	outcomes, after := settle(jobs, replies)
	for _, j := range overtaken {
		outcomes = append(outcomes, outcome{job: j, err: errOvertaken})
	}
	// What the server has done is written down also while we are being stopped.
	keep, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeGrace)
	defer cancel()
	lost, err := s.write(keep, after)
	for i, o := range outcomes {
		if o.err == nil && o.step.writesToken() && slices.Contains(lost, o.job.plan.Account) {
			outcomes[i].err = ErrLost
		}
	}
	if err != nil {
		return outcomes, err
	}
	return outcomes, failure
}

// errOvertaken: what was planned for an account is not done, because somebody else of
// this process has changed it meanwhile, and knows more.
var errOvertaken = errors.New("overtaken by what was done meanwhile")

// begin writes into the store what it is to know before the server does. It returns
// the jobs that are still to be done, and those that are not.
func (s *session) begin(ctx context.Context, jobs []*job) (left, overtaken []*job, err error) {
	s.writing.RLock()
	defer s.writing.RUnlock()
	changed, err := s.changed(ctx, jobs)
	if err != nil {
		return nil, nil, err
	}
	var before []AccountChanges
	for _, j := range jobs {
		if changed[j] || s.overtaken(j) {
			overtaken = append(overtaken, j)
			continue
		}
		left = append(left, j)
		c := AccountChanges{Account: j.plan.Account, Changes: j.first}
		for _, a := range j.actions {
			c.Changes = append(c.Changes, a.before...)
		}
		before = append(before, c)
	}
	_, err = s.write(ctx, before)
	return left, overtaken, err
}

// overtaken reports whether a job's account was changed by somebody who has read a
// later list of customers. A rotation knows no subscriber but the one of the record
// that it has read.
func (s *session) overtaken(j *job) bool {
	user := j.plan.Account.User
	if s.order.Policy.Rotate {
		return s.handedOver(user, j.plan.Subscriber)
	}
	return s.order.Directory != nil && s.outdated(user, s.order.known())
}

// changed names the jobs that found a group of somebody else's, or none, and whose
// records are not any more what the plan was made by: a group may have been made here
// meanwhile. Whose it is must be noted once and for all.
func (s *session) changed(ctx context.Context, jobs []*job) (map[*job]bool, error) {
	var accounts []broker.Account
	var of []*job
	for _, j := range jobs {
		if j.plan.othersGroup || j.record.Group.ID == "" && createsGroup(j.plan) {
			accounts, of = append(accounts, j.plan.Account), append(of, j)
		}
	}
	if len(of) == 0 {
		return nil, nil
	}
	records, err := s.load(ctx, accounts)
	if err != nil {
		return nil, err
	}
	changed := map[*job]bool{}
	for i, j := range of {
		changed[j] = !reflect.DeepEqual(records[i], j.record)
	}
	return changed, nil
}

// settle puts replies, in the order of the jobs' commands, beside their actions
// and works out what the store is to know.
func settle(jobs []*job, replies []Reply) ([]outcome, []AccountChanges) {
	var outcomes []outcome
	var changes []AccountChanges
	for _, j := range jobs {
		c := AccountChanges{Account: j.plan.Account}
		for _, a := range j.actions {
			var err error
			if a.command != nil {
				err, replies = replies[0].Err, replies[1:]
			}
			switch {
			case err == nil:
				c.Changes = append(c.Changes, a.done...)
			case surelyNot(err):
				c.Changes = append(c.Changes, a.refused...)
			}
			outcomes = append(outcomes, outcome{j, a.step, err})
		}
		changes = append(changes, c)
	}
	return outcomes, changes
}

// surelyNot reports whether a command was certainly not executed.
func surelyNot(err error) bool {
	f, ok := errors.AsType[*Failure](err)
	return ok && !f.Maybe
}
