package reconcile

import (
	"context"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
)

// Journal keeps operations and their logs over restarts.
type Journal interface {
	// Begin keeps a new operation and returns its number, counted from 1. After an
	// error the operation may have been kept; asked again, there may be two.
	Begin(ctx context.Context, o Operation) (int64, error)
	// Log adds entries to an operation, in their order.
	Log(ctx context.Context, operation int64, entries []Entry) error
	// Pulse says that an operation goes on, for ttl from now (a millisecond or more).
	// One that neither has ended nor goes on was killed.
	Pulse(ctx context.Context, operation int64, ttl time.Duration) error
	// End keeps how an operation ended; its ID says which.
	End(ctx context.Context, o Operation) error
}

// OperationKind is what an operation is for.
type OperationKind string

// The kinds.
const (
	OperationApply     OperationKind = "apply"
	OperationRemove    OperationKind = "remove"
	OperationRotate    OperationKind = "rotate"
	OperationRepair    OperationKind = "repair"
	OperationReconcile OperationKind = "reconcile" // single accounts, on request
)

// OperationState is how far an operation is.
type OperationState string

// The states.
const (
	StateRunning     OperationState = "running"
	StateDone        OperationState = "done"
	StateFailed      OperationState = "failed" // some items failed
	StateInterrupted OperationState = "interrupted"
)

// Operation is one provisioning run.
type Operation struct {
	ID      int64          `json:"id"`
	Kind    OperationKind  `json:"kind"`
	State   OperationState `json:"state"`
	By      string         `json:"by"`
	Started time.Time      `json:"started"`
	// Ended is zero while it runs.
	Ended time.Time `json:"ended,omitzero"`
	// Servers are those that it was limited to; empty means all.
	Servers []string `json:"servers,omitempty"`
	// Apps are the links that it was limited to; empty means all.
	Apps []string `json:"apps,omitempty"`
	// TrustStore: it did not look at what stands on the servers.
	TrustStore bool `json:"trust_store,omitempty"`
	// Revision is that of the catalogue that it applied.
	Revision int    `json:"revision,omitempty"`
	Counts   Counts `json:"counts"`
}

// Counts sums up what was done.
type Counts struct {
	Created   int `json:"created"`
	Changed   int `json:"changed"`
	Rotated   int `json:"rotated"`
	Removed   int `json:"removed"`
	Unchanged int `json:"unchanged"`
	Failed    int `json:"failed"`
	// FailedServers counts servers that were given up; their accounts are not in
	// Failed.
	FailedServers int `json:"failed_servers,omitempty"`
	// Skipped counts accounts without a subscriber.
	Skipped int `json:"skipped"`
	// Missing counts accounts that have a subscriber and are not on their server.
	Missing int `json:"missing,omitempty"`
	// Foreign counts links that were left alone because they are not ours.
	Foreign int `json:"foreign"`
}

// Level says how much an entry matters.
type Level string

// The levels, from the least: those that operators know from WHMCS.
const (
	LevelDebug       Level = "debug"       // start and end of steps
	LevelInformation Level = "information" // a server without support for integration links
	LevelNotice      Level = "notice"      // no server supports them; something was left alone
	LevelWarning     Level = "warning"     // what WHM or the network answered
)

// Levels returns all levels from the least to the most severe.
func Levels() []Level {
	return []Level{LevelDebug, LevelInformation, LevelNotice, LevelWarning}
}

// Entry is one line of an operation's log. Fields that do not apply are empty.
type Entry struct {
	At      time.Time `json:"at,omitzero"`
	Level   Level     `json:"level"`
	Server  string    `json:"server,omitempty"`
	User    string    `json:"user,omitempty"`
	App     string    `json:"app,omitempty"`
	Message string    `json:"message"`
}

// Subscriptions is where accounts' subscribers come from.
type Subscriptions interface {
	// Read calls row for every row of the source, in its order, without holding
	// them all. It stops at the first error of row and returns it. Its own
	// errors say where in the source they stand and what to do, and hold no
	// secret of the source.
	Read(ctx context.Context, row func(Subscription) error) error
}

// Subscription says whose an account is. Its values are as the source has them:
// not yet checked.
type Subscription struct {
	Account    broker.Account
	Subscriber string
	// Where is the place in the source for people: "accounts.csv:17", "row 17".
	Where string
}
