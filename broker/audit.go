package broker

import (
	"context"
	"time"
)

// Audit keeps what happened, for the operator. Record must not block for long;
// it has no error because no sign-on depends on it.
type Audit interface {
	Record(ctx context.Context, e Event)
}

// EventKind names what happened.
type EventKind string

// The events.
const (
	// EventIssued: a server got a one-time URL.
	EventIssued EventKind = "issued"
	// EventDenied: a server was refused; Cause says why.
	EventDenied EventKind = "denied"
	// EventAged: a link token past its maximum age was accepted once more.
	EventAged EventKind = "aged link token accepted"
	// EventRotation: a link token past its age or superseded was shown (Cause), a
	// new one was asked for, and the server was told to come again.
	EventRotation EventKind = "rotation asked for"
	// EventNotNow: the store could not be asked, or too much was asked; Err says why, Attempt which
	// attempt of the click it was.
	EventNotNow EventKind = "not now"
	// EventDisabled: sign-on is switched off, by a control (Control) or for the app.
	EventDisabled EventKind = "sign-on disabled"
	// EventSlowedDown: an account or a server signed on too often; Cause says which.
	EventSlowedDown EventKind = "too many sign-ons"
	// EventRedeemed: a claimant took a one-time token.
	EventRedeemed EventKind = "redeemed"
	// EventRepeated: the same claimant took it again.
	EventRepeated EventKind = "repeated"
	// EventReplayed: another claimant tried a token that was taken.
	EventReplayed EventKind = "replayed"
	// EventExpired: somebody came too late, or from before a Control that has ended.
	EventExpired EventKind = "expired"
	// EventClientDenied: a portal's back end showed a wrong client id or secret.
	EventClientDenied EventKind = "client denied"
	// EventMismatch: the store answered with the grant of another token. Nobody
	// was let in; the store is broken.
	EventMismatch EventKind = "grant of another token"
)

// Event is one line of the audit. Fields that do not apply are empty. It has no
// secret: tokens and claims appear as digests.
type Event struct {
	Kind       EventKind
	At         time.Time
	From       Origin
	Link       Link
	Subscriber string
	Cause      Cause
	// Control is the target of the control that switched sign-on off.
	Control string
	// Portal is where the browser goes, or the client that asked, if there is one
	// of that name.
	Portal string
	// Token is the short digest of the one-time token.
	Token string
	// Claim is the Claim.ID of this request, ClaimedBy that of the one that
	// took the token.
	Claim     string
	ClaimedBy string
	// Attempt is that of EventNotNow and EventRotation.
	Attempt int
	Err     error
}

func (b *Broker) record(ctx context.Context, e Event) {
	e.At = b.cfg.Now()
	b.cfg.Audit.Record(ctx, e)
}
