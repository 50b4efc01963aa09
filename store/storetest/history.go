package storetest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/latchkey-sso/latchkey/broker"
)

// History records what was asked of one-time tokens and what came back, over any
// number of clients. It is safe for concurrent use.
type History struct {
	start time.Time

	mu  sync.Mutex
	ops []porcupine.Operation
}

// NewHistory returns an empty one.
func NewHistory() *History { return &History{start: time.Now()} }

// Asked is one call about one token. Texts identify; they need not be secrets.
type Asked struct {
	Token string
	// Claim is who wants to redeem; empty for the issuing of the token.
	Claim string
}

// Answered is what the caller learnt.
type Answered struct {
	Reply Reply
	// By is who has used the token, for UsedBy.
	By string
}

// Reply is the kind of an answer.
type Reply int

// The replies.
const (
	// Maybe: a time-out, a broken connection or another error. It has happened, or
	// happens later, or never.
	Maybe Reply = iota
	// Issued: the token is there.
	Issued
	// LetIn: the claimant was let in, for the first time or again.
	LetIn
	// UsedBy: somebody else was let in before.
	UsedBy
	// Gone: the token is expired, or not known.
	Gone
)

func (r Reply) String() string {
	return [...]string{"maybe", "issued", "let in", "used by", "gone"}[r]
}

// Call makes a call and records it.
func (h *History) Call(asked Asked, call func() Answered) {
	from := time.Since(h.start)
	answered := call()
	h.Add(asked, answered, from, time.Since(h.start))
}

// Add records a call that somebody else has made, from one time to another, both
// counted from whatever is the same for all calls.
func (h *History) Add(asked Asked, answered Answered, from, to time.Duration) {
	if answered.Reply == Maybe {
		to = math.MaxInt64 // it may happen at any time from now on
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, porcupine.Operation{Input: asked, Call: int64(from), Output: answered, Return: int64(to)})
}

// Over returns sign-ons whose calls are recorded.
func (h *History) Over(s broker.SignOns) broker.SignOns { return recorded{s, h} }

type recorded struct {
	signOns broker.SignOns
	history *History
}

func (r recorded) Issue(ctx context.Context, in broker.Issue) (issued broker.Issued, err error) {
	r.history.Call(Asked{Token: tokenName(in.Token)}, func() Answered {
		if issued, err = r.signOns.Issue(ctx, in); err != nil {
			return Answered{Reply: Maybe}
		}
		return Answered{Reply: Issued}
	})
	return issued, err
}

func (r recorded) Redeem(ctx context.Context, in broker.Redeem) (found broker.Redemption, err error) {
	r.history.Call(Asked{Token: tokenName(in.Token), Claim: in.Claim.ID()}, func() Answered {
		if found, err = r.signOns.Redeem(ctx, in); err != nil {
			return Answered{Reply: Maybe}
		}
		switch found.Outcome {
		case broker.Granted, broker.Repeated:
			return Answered{Reply: LetIn}
		case broker.Used:
			return Answered{Reply: UsedBy, By: found.ClaimedBy}
		}
		return Answered{Reply: Gone}
	})
	return found, err
}

func tokenName(t broker.OneTimeToken) string {
	d := t.Digest()
	return fmt.Sprintf("%x", d[:6])
}

// Rule says what is to be expected of tokens that are gone.
type Rule int

const (
	// GoneForGood: a token that was gone for one is gone for all.
	GoneForGood Rule = iota
	// GoneForSome: during a split, a token that the new primary does not honour may
	// still be redeemed at the former one. Of all claimants one is let in all the
	// same.
	GoneForSome
)

// token is the state of one token.
type token struct {
	issued, gone bool
	// by is who was let in.
	by string
}

// model is what one-time tokens promise, in the form that porcupine checks: every
// call takes effect at one instant between its call and its return.
func model(rule Rule) porcupine.Model {
	tokens := porcupine.NondeterministicModel{
		Partition: perToken,
		Init:      func() []any { return []any{token{}} },
		Step: func(state, input, output any) []any {
			return step(rule, state.(token), input.(Asked), output.(Answered))
		},
		DescribeOperation: func(input, output any) string { return describe(input.(Asked), output.(Answered)) },
	}
	return tokens.ToModel()
}

// step returns what a token may be after a call; nothing when the answer is wrong.
func step(rule Rule, before token, asked Asked, answered Answered) []any {
	after := before
	if asked.Claim == "" {
		after.issued = true
	} else if before.issued && !before.gone && (before.by == "" || before.by == asked.Claim) {
		after.by = asked.Claim
	}
	switch answered.Reply {
	case Maybe:
		return []any{before, after}
	case Issued:
		return []any{after}
	case LetIn:
		if after.by == asked.Claim && !before.gone {
			return []any{after}
		}
	case UsedBy:
		if before.by == answered.By && answered.By != asked.Claim && before.by != "" {
			return []any{before}
		}
	case Gone:
		before.gone = before.gone || before.issued && rule == GoneForGood
		return []any{before}
	}
	return nil
}

func perToken(ops []porcupine.Operation) [][]porcupine.Operation {
	of := map[string][]porcupine.Operation{}
	for _, op := range ops {
		name := op.Input.(Asked).Token
		of[name] = append(of[name], op)
	}
	return slices.Collect(maps.Values(of))
}

// Verdict is what a History shows.
type Verdict struct {
	Tokens, Calls, Maybes int
	// LetIn is how many tokens let somebody in, Doubles how many let in two.
	LetIn, Doubles int
	// Wrong are the tokens whose calls cannot be explained by the rule, with their
	// calls; the doubles are among them.
	Wrong []string
}

func (v Verdict) String() string {
	return fmt.Sprintf("%d tokens, %d calls (%d without an answer), %d let in, %d doubles, %d that cannot be explained",
		v.Tokens, v.Calls, v.Maybes, v.LetIn, v.Doubles, len(v.Wrong))
}

// Check holds the history against a rule.
func (h *History) Check(rule Rule) Verdict {
	h.mu.Lock()
	defer h.mu.Unlock()
	v := Verdict{Calls: len(h.ops)}
	m := model(rule)
	for _, ops := range perToken(h.ops) {
		v.Tokens++
		in := map[string]struct{}{}
		for _, op := range ops {
			switch op.Output.(Answered).Reply {
			case Maybe:
				v.Maybes++
			case LetIn:
				in[op.Input.(Asked).Claim] = struct{}{}
			}
		}
		if len(in) > 0 {
			v.LetIn++
		}
		if len(in) > 1 {
			v.Doubles++
		}
		if !porcupine.CheckOperations(m, ops) {
			v.Wrong = append(v.Wrong, tell(ops))
		}
	}
	return v
}

// Want ends the test unless the history follows the rule, and has let somebody in.
func (h *History) Want(t testing.TB, rule Rule) {
	t.Helper()
	v := h.Check(rule)
	t.Log(v)
	if v.LetIn == 0 {
		t.Error("nobody was let in, so this shows nothing")
	}
	for _, calls := range v.Wrong[:min(len(v.Wrong), 3)] {
		t.Error("these calls about one token have no explanation:\n" + calls)
	}
}

// tell writes the calls about one token down, in the order in which they began.
func tell(ops []porcupine.Operation) string {
	ops = slices.SortedFunc(slices.Values(ops), func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	var out strings.Builder
	for _, op := range ops {
		end := "never"
		if op.Return != math.MaxInt64 {
			end = fmt.Sprint(time.Duration(op.Return))
		}
		fmt.Fprintf(&out, "%12v to %-12v %s\n", time.Duration(op.Call), end, describe(op.Input.(Asked), op.Output.(Answered)))
	}
	return out.String()
}

func describe(asked Asked, answered Answered) string {
	what := "issue"
	if asked.Claim != "" {
		what = "redeem as " + asked.Claim
	}
	return strings.TrimSpace(fmt.Sprint(asked.Token, ": ", what, ": ", answered.Reply, " ", answered.By))
}
