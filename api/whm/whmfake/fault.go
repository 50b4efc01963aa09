package whmfake

import (
	"fmt"
	"sync/atomic"
	"time"
)

// Request is what a Rule sees of a request: names only.
type Request struct {
	// Function is what was called, "batch" for a batch.
	Function string
	// Functions are those of the commands of a batch, in their order.
	Functions []string
	// User is the account of the call, or of the first command of a batch.
	User string
	// N is the number of the request since the server was made, from 1.
	N int
}

// Commands is how many commands the request has: 1 unless it is a batch.
func (r Request) Commands() int {
	if r.Functions != nil {
		return len(r.Functions)
	}
	return 1
}

// FaultKind is what goes wrong with a request.
type FaultKind string

// The kinds. Where a kind says "after executing", everything that was asked for
// has been done.
const (
	NoFault   FaultKind = ""
	Status    FaultKind = "status"     // an HTML page with Fault.Status, nothing executed
	Forbidden FaultKind = "forbidden"  // the 403 of a wrong token
	Redirect  FaultKind = "redirect"   // a 302 to Fault.Location, nothing executed
	HTMLPage  FaultKind = "html page"  // an HTML page with 200, nothing executed
	Hang      FaultKind = "hang"       // no answer until the client goes or the server closes, nothing executed
	NoReply   FaultKind = "no reply"   // the connection ends, nothing executed
	Slow      FaultKind = "slow"       // Fault.Delay more, then all is well
	LostReply FaultKind = "lost reply" // the connection ends after executing
	LateHang  FaultKind = "late hang"  // like Hang, after executing
	HalfJSON  FaultKind = "half JSON"  // the first half of the answer as if it were all, after executing
	HalfBody  FaultKind = "half body"  // the connection ends in the middle of the answer, after executing
	EmptyBody FaultKind = "empty body" // 200 without a body, after executing
	FailAt    FaultKind = "fail at"    // the command at Fault.At of a batch fails, the rest is executed
	GarbageAt FaultKind = "garbage at" // the answer at Fault.At of a batch is no envelope, after executing
	StopAt    FaultKind = "stop at"    // a batch ends after Fault.At commands and answers so many
	SurplusAt FaultKind = "surplus at" // the answer of a batch has an entry more than it had commands
)

// Fault is something that goes wrong with one request. The zero Fault is nothing.
type Fault struct {
	Kind FaultKind
	// Status is that of the kind Status, 503 where it is 0.
	Status int
	// Location is that of the kind Redirect.
	Location string
	// At is a position in a batch, from 0. The call of a single function has the
	// position 0.
	At int
	// Delay is that of the kind Slow.
	Delay time.Duration
}

// String names the fault.
func (f Fault) String() string {
	switch f.Kind {
	case NoFault:
		return "none"
	case Status:
		return fmt.Sprintf("status %d", f.status())
	case FailAt, GarbageAt, StopAt:
		return fmt.Sprintf("%s %d", f.Kind, f.At)
	}
	return string(f.Kind)
}

func (f Fault) status() int {
	if f.Status == 0 {
		return 503
	}
	return f.Status
}

// Rule picks the Fault of a request. It is called by many requests at once.
type Rule func(Request) Fault

// Always is a Rule: the same for every request.
func Always(f Fault) Rule { return func(Request) Fault { return f } }

// Once is a Rule: the first request that it sees.
func Once(f Fault) Rule { return Nth(1, f) }

// Nth is a Rule: the n-th request that it sees, from 1.
func Nth(n int, f Fault) Rule {
	var seen atomic.Int64
	return func(Request) Fault {
		if seen.Add(1) == int64(n) {
			return f
		}
		return Fault{}
	}
}

// Sequence is a Rule: the faults one after the other, a request each, then none.
func Sequence(faults ...Fault) Rule {
	var seen atomic.Int64
	return func(Request) Fault {
		if n := seen.Add(1); n <= int64(len(faults)) {
			return faults[n-1]
		}
		return Fault{}
	}
}

// On is a Rule that shows rule only the requests that call the function, alone or
// in a batch.
func On(function string, rule Rule) Rule {
	return func(r Request) Fault {
		if r.Function == function {
			return rule(r)
		}
		for _, f := range r.Functions {
			if f == function {
				return rule(r)
			}
		}
		return Fault{}
	}
}
