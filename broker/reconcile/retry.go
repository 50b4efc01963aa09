package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// pauses are waited before a request is sent again. Every write of ours may be
// sent again: it has the same effect, token included.
var pauses = [...]time.Duration{time.Second, 3 * time.Second, 9 * time.Second}

// run sends commands in one request and again those for which that may help. It
// returns a Reply for each. The error means that the server is given up: its
// *Failure stands in all replies that are left.
func (s *session) run(ctx context.Context, commands []Command) ([]Reply, error) {
	replies := make([]Reply, len(commands))
	maybe := make([]bool, len(commands))
	left := make([]int, len(commands)) // positions
	for i := range left {
		left[i] = i
	}
	for try := 0; len(left) > 0; try++ {
		failure, whole := s.send(ctx, commands, left, replies)
		remember(maybe, left, replies)
		if failure != nil && (!failure.Again && failure.Scope == ScopeServer || ctx.Err() != nil) {
			return replies, failure
		}
		left = again(left, replies)
		if len(left) == 0 {
			break
		}
		if try == len(pauses) {
			if failure != nil && (whole || failure.Scope == ScopeServer) {
				return replies, fmt.Errorf("gave up after %d requests: %w", try+1, failure)
			}
			break
		}
		if err := s.pause(ctx, pauses[try]); err != nil {
			return replies, s.stopped(ctx)
		}
	}
	return replies, nil
}

// runSplit is run for commands that may be more than go into one request. It
// returns a Reply for each, also after an error.
func (s *session) runSplit(ctx context.Context, commands []Command) ([]Reply, error) {
	var replies []Reply
	for batch := range slices.Chunk(commands, s.cfg.CommandsPerRequest) {
		got, err := s.run(ctx, batch)
		replies = append(replies, got...)
		if err == nil {
			continue
		}
		for range commands[len(replies):] {
			replies = append(replies, Reply{Err: &Failure{Scope: ScopeServer, Message: "not run: " + err.Error()}})
		}
		return replies, err
	}
	return replies, nil
}

// remember keeps in the replies that a command may have been executed: what became
// of sending it again does not take that back.
func remember(maybe []bool, left []int, replies []Reply) {
	for _, at := range left {
		f, is := errors.AsType[*Failure](replies[at].Err)
		if !is {
			continue
		}
		if maybe[at] && !f.Maybe {
			kept := *f
			kept.Maybe = true
			replies[at].Err = &kept
		}
		maybe[at] = maybe[at] || f.Maybe
	}
}

// send sends the commands at the positions left, and fills in their replies. whole
// says that the request failed as a whole; the failure is that, or the first one
// that ends the work on the server.
func (s *session) send(ctx context.Context, commands []Command, left []int, replies []Reply) (failure *Failure, whole bool) {
	batch := make([]Command, len(left))
	for i, at := range left {
		batch[i] = commands[at]
	}
	got, err := s.host.Run(ctx, batch)
	if err == nil && len(got) != len(batch) {
		err = &Failure{Scope: ScopeServer, Maybe: true, Message: fmt.Sprintf("%d answers to %d commands", len(got), len(batch))}
	}
	if err != nil {
		f := asFailure(err)
		if len(batch) > 1 && f.Scope == ScopeItem && !f.Again {
			return s.sendSingly(ctx, commands, left, replies)
		}
		for _, at := range left {
			replies[at] = Reply{Err: f}
		}
		return f, true
	}
	for i, at := range left {
		replies[at] = got[i]
		if f, is := errors.AsType[*Failure](got[i].Err); is && f.Scope == ScopeServer && (failure == nil || failure.Again && !f.Again) {
			failure = f
		}
	}
	return failure, false
}

// sendSingly finds the command for which a server refused the whole batch.
func (s *session) sendSingly(ctx context.Context, commands []Command, left []int, replies []Reply) (*Failure, bool) {
	for i, at := range left {
		failure, _ := s.send(ctx, commands, []int{at}, replies)
		if failure != nil && (failure.Scope == ScopeServer && !failure.Again || ctx.Err() != nil) {
			for _, rest := range left[i+1:] {
				replies[rest] = Reply{Err: &Failure{Scope: failure.Scope, Message: "not run: " + failure.Message}}
			}
			return failure, false
		}
	}
	return nil, false
}

// asFailure makes whatever a Host returns a Failure: what is not known to have
// failed may have been done.
func asFailure(err error) *Failure {
	if f, is := errors.AsType[*Failure](err); is {
		return f
	}
	return &Failure{Scope: ScopeItem, Again: true, Maybe: true, Message: err.Error(), Err: err}
}

func again(left []int, replies []Reply) []int {
	var still []int
	for _, at := range left {
		if f, is := errors.AsType[*Failure](replies[at].Err); is && f.Again {
			still = append(still, at)
		}
	}
	return still
}

// ask repeats a question to a server like run does.
func ask[T any](ctx context.Context, s *session, question func(context.Context) (T, error)) (T, error) {
	for try := 0; ; try++ {
		answer, err := question(ctx)
		if err == nil {
			return answer, nil
		}
		f := asFailure(err)
		if !f.Again || try == len(pauses) || ctx.Err() != nil {
			return answer, f
		}
		if s.pause(ctx, pauses[try]) != nil {
			return answer, f
		}
	}
}
