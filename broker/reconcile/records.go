package reconcile

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
)

// Records keeps what we know of every account's links: who the subscriber is,
// which link tokens are accepted, and what was last written on the server.
type Records interface {
	// Accounts names the accounts that have records, of one server, or of all
	// when server is empty, in no order and each at least once. It walks through
	// the store in small steps; what changes meanwhile may be missed.
	Accounts(ctx context.Context, server string) iter.Seq2[broker.Account, error]
	// Load returns the records of accounts, in their order. An account without
	// records has a Record with nothing but its Account.
	Load(ctx context.Context, accounts []broker.Account) ([]Record, error)
	// Write applies changes: those of one account in their order and in one
	// atomic step, those of several accounts side by side. It returns an error
	// for each account, in their order. ErrFenced means that a later worker has
	// written to the account; nothing was changed then. ErrLost means that all was
	// changed but what it is about. After other errors it is not known whether the
	// changes were made; the same changes may be sent again.
	Write(ctx context.Context, fence Fence, changes []AccountChanges) []error
}

// ErrFenced: the worker's lease has gone to another one.
var ErrFenced = errors.New("another worker has taken over the server")

// ErrLost: the store has lost a token that was prepared there, and does not say that
// the account belongs to whom the token was made for. It is not accepted; the link is
// written anew by whoever comes next.
var ErrLost = errors.New("the store has lost the token that was written on the server; the next run writes another one")

// Fence orders the workers of a server: each lease has a larger one than all
// before it.
type Fence uint64

// Record is what the store knows of one account.
type Record struct {
	Account    broker.Account
	Subscriber string
	Group      GroupRecord
	// Links are by app.
	Links map[string]LinkRecord
}

// Empty reports whether there is nothing about the account.
func (r Record) Empty() bool { return len(r.Links) == 0 && r.Group.ID == "" && r.Subscriber == "" }

// GroupRecord is the group that we made for an account; its ID is empty when we
// made none.
type GroupRecord struct {
	ID      string
	Written Fingerprint
}

// LinkRecord is what the store knows of one link.
type LinkRecord struct {
	// Confirmed: a link token is known to stand on the server. It is not when the
	// first writing of the link was not finished, or when all tokens were
	// superseded because the subscriber changed.
	Confirmed bool
	// Created is when that token was made, to the second.
	Created time.Time
	// Generation counts the tokens that were confirmed.
	Generation int
	// Written is what was last confirmed to stand on the server; zero for a link
	// that was registered by hand.
	Written Fingerprint
	// Pending is the number of tokens that were prepared and neither confirmed
	// nor dropped: somebody was stopped in the middle.
	Pending int
}

// Fingerprint tells whether what stands on a server is what is wanted: 40 bits of
// a digest over the fields that were written. The zero Fingerprint matches nothing.
type Fingerprint [5]byte

// IsZero reports whether nothing is known.
func (f Fingerprint) IsZero() bool { return f == Fingerprint{} }

// AccountChanges are the changes of one account.
type AccountChanges struct {
	Account broker.Account
	Changes []Change
}

// Change is one change of an account's records.
type Change struct {
	Kind ChangeKind
	// App is the link's; of ChangePrepare, ChangePromote, ChangeDrop, ChangeForget.
	App string
	// Token is of ChangePrepare, ChangePromote, ChangeDrop.
	Token broker.Digest
	// Created is when the token was made; of ChangePrepare and ChangePromote.
	Created time.Time
	// Written is of ChangePrepare and ChangePromote (what stands on the server with
	// this token) and of ChangeGroup.
	Written Fingerprint
	// Subscriber is of ChangeSubscriber and ChangePromote (whom the token was made
	// for).
	Subscriber string
	// GroupID is of ChangeGroup.
	GroupID string
}

// ChangeKind says what a Change does.
type ChangeKind uint8

// The kinds.
const (
	// ChangeSubscriber sets whose the account is. When it was somebody else's,
	// every token of the account stops working in the same step, and clicks with
	// them are asked to come again.
	ChangeSubscriber ChangeKind = iota + 1
	// ChangePrepare makes a token accepted beside the confirmed one, before it is
	// written on the server.
	ChangePrepare
	// ChangePromote makes a prepared token the confirmed one, and supersedes
	// all others of the link. A token that is confirmed already stays so, and one
	// that was superseded stays that. One of which nothing is known (the store lost it
	// when it failed over) is confirmed as well when the account is its Subscriber's,
	// and is ErrLost otherwise.
	ChangePromote
	// ChangeDrop takes a prepared token back that has surely not been written.
	ChangeDrop
	// ChangeForget removes a link with its tokens, and the account with its last
	// link when it has no group either.
	ChangeForget
	// ChangeGroup records the group that was written on the server.
	ChangeGroup
	// ChangeForgetGroup removes that record.
	ChangeForgetGroup
)

// Leases let one worker at a time work on a server.
type Leases interface {
	// Acquire takes the lease of a server for ttl, in one atomic step. It returns
	// a *HeldError while somebody else has it.
	Acquire(ctx context.Context, server, holder string, ttl time.Duration) (Lease, error)
	// Renew prolongs a lease to ttl from now. ErrFenced means that it was lost.
	Renew(ctx context.Context, l Lease, ttl time.Duration) error
	// Epochs returns how often each of the servers has been worked on by now, in one
	// round trip.
	Epochs(ctx context.Context, servers []string) (map[string]Epoch, error)
	// Release gives a lease back. One that was lost is left to its holder.
	Release(ctx context.Context, l Lease) error
}

// Lease is the right to work on a server.
type Lease struct {
	Server string
	Holder string
	Fence  Fence
}

// Epoch is a server's at one moment.
type Epoch struct {
	// Fence is that of the last lease; 0 when there never was one.
	Fence Fence
	// Held: somebody has the lease.
	Held bool
}

// before reports whether nobody has worked on the server between the epoch and a
// lease.
func (e Epoch) before(l Lease) bool { return !e.Held && l.Fence == e.Fence+1 }

// HeldError says who works on a server.
type HeldError struct {
	Server string
	Holder string
	// For is how long the lease lasts unless it is renewed.
	For time.Duration
}

func (e *HeldError) Error() string { return e.Server + " is being worked on by " + e.Holder }

// Request asks for the work on one account, from whoever holds the lease of its
// server.
type Request struct {
	Account broker.Account
	Kind    RequestKind
	// Due is since when it is to be done, by the clock of the store, and tells it from
	// the same request that was added again. Requests sets it; Add does not read it.
	Due time.Time
}

// Lane returns where the request waits.
func (r Request) Lane() Lane { return Lane{Server: r.Account.Server, Kind: r.Kind} }

// RequestKind says what is asked for.
type RequestKind string

// The kinds.
const (
	// RequestRotate: new tokens for all links of the account, for all that are known
	// when the work begins. How old a token is does not matter, because two machines
	// cannot tell by their clocks which came first, it or the request. A token that
	// was made a moment ago is replaced once more, which costs no click.
	RequestRotate RequestKind = "rotate"
	// RequestReconcile: bring the account to what is wanted, and look at the
	// server in detail.
	RequestReconcile RequestKind = "reconcile"
)

// Lane is where the requests of one kind for one server wait, in no other's way.
type Lane struct {
	Server string
	Kind   RequestKind
}

// ErrQueueFull: as many requests of the kind wait for the server as may.
var ErrQueueFull = errors.New("too many requests wait for the server already")

// Requests is the queue of Requests. It has each kind once per account. All times
// are by its own clock, whatever the clocks of those show who add and do them.
type Requests interface {
	// Add keeps requests that are to be done at once, each lane's in one atomic step.
	// One that waits already keeps its place in its lane; of those that were put off,
	// a rotation keeps its time and a reconciliation is due now. The error is
	// ErrQueueFull when not all found room; the others are kept all the same.
	Add(ctx context.Context, requests ...Request) error
	// Due returns the requests of lanes whose time has come, those of a lane together,
	// the earliest first, and at most limit of each. With an error it returns those of
	// the lanes that could be read.
	Due(ctx context.Context, lanes []Lane, limit int) ([]Request, error)
	// Done removes requests that were not added again since Due returned them.
	Done(ctx context.Context, requests ...Request) error
	// PutOff makes requests that were not added again since Due returned them due
	// after wait, a microsecond or more.
	PutOff(ctx context.Context, wait time.Duration, requests ...Request) error
}
