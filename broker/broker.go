package broker

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"time"
)

// Server is one cPanel & WHM host that may post for its accounts.
type Server struct {
	// SourceIPs says from where; empty means from anywhere with a valid token.
	SourceIPs []netip.Prefix
}

// Config is what a Broker needs. Every field without "optional" must be set.
type Config struct {
	// PublicURL is where browsers and servers find us, without a slash at its
	// end. It is the `iss` of assertions.
	PublicURL string
	// OneTimeTokenTTL is how long a one-time URL works.
	OneTimeTokenTTL time.Duration
	// LinkTokenMaxAge is the age at which a link token is due to be replaced: by a
	// provisioner, during the click that shows it. Without one it is accepted for
	// as long again, then refused. 0 = never.
	LinkTokenMaxAge time.Duration
	// StoreTimeout bounds every call of the store.
	StoreTimeout time.Duration
	// Servers are those that may post, by id.
	Servers map[string]Server
	// Catalogue returns the current revision, Keys the current signing keys.
	// Both are called for each request and must not block.
	Catalogue func() *Catalogue
	Keys      func() *KeyRing
	// Controls returns what sign-on is switched off for, the time by the clock by
	// which controls are set, and whether both are known to be no older than
	// MaxControlsAge. That clock is one for all brokers, and the time is never ahead
	// of it. Controls is called for each request and must not block.
	Controls func() (controls *Controls, now time.Time, fresh bool)

	SignOns SignOns
	// AccountLimit and ServerLimit bound the sign-ons of one account, by its
	// String, and of all accounts of one server, by its id. Optional.
	AccountLimit, ServerLimit *Limiter
	// Slots is how many clicks are worked on at once, and how many redemptions: who
	// finds none free soon is told to come again. Redemptions have slots of their
	// own, because a person stands behind each who has come half the way already.
	// 0 sets no bound.
	Slots int
	// Rotations is optional.
	Rotations Rotations
	// RotationLimit bounds the rotations that clicks ask for, by the account's String: a
	// superseded token never stops asking. A click beyond it is answered as if no
	// provisioner were there. Optional.
	RotationLimit *Limiter
	Audit         Audit
	// Now is this broker's own clock: for the ages of link tokens and the times of
	// assertions.
	Now func() time.Time
	// Random is the source of tokens: crypto/rand.Reader.
	Random io.Reader
}

// MaxControlsAge is how old the known controls may be. Nobody is signed on by older
// ones: a block that cannot be seen must not be got round by cutting us off from
// it.
const MaxControlsAge = 5 * time.Second

// Broker signs people on. It is safe for concurrent use.
type Broker struct {
	cfg      Config
	attempts *attempts

	clicks, redemptions slots
	doubted             slots // for clicks, beside those of clicks
}

// New returns a Broker.
func New(cfg Config) *Broker {
	return &Broker{
		cfg: cfg, attempts: newAttempts(cfg.Now),
		clicks: newSlots(cfg.Slots), redemptions: newSlots(cfg.Slots), doubted: newSlots(doubtedSlots),
	}
}

// KeySet returns the public keys as a JWK Set.
func (b *Broker) KeySet() []byte { return b.cfg.Keys().KeySet() }

// WaysOn returns the portals' own login pages.
func (b *Broker) WaysOn() []string { return b.cfg.Catalogue().WaysOn() }

// SignOns keeps accounts with their links, and one-time tokens. Implementations
// do not repeat a call on their own unless its effect is the same: Issue writes
// the same record again, Redeem knows its claimant. Both return within the
// context's deadline, and an error of any other kind than those named means
// that nothing is known about the effect.
type SignOns interface {
	// Issue checks the link token and the subscriber and keeps the one-time
	// token, in one atomic step and one round trip. It returns a *DeniedError
	// when the check fails, after the same work as when it does not; nothing is
	// written then.
	Issue(ctx context.Context, in Issue) (Issued, error)
	// Redeem takes a one-time token in one atomic step and one round trip: of
	// any number of calls over any number of processes, those of exactly one
	// claimant are Granted or Repeated. A token lives and dies with the primary
	// that issued it: a copy that outlived its process or its rule is Expired.
	Redeem(ctx context.Context, in Redeem) (Redemption, error)
}

// Rotations has link tokens replaced by a provisioner.
type Rotations interface {
	// RequestRotation asks for new tokens for the account's links, from now on. While
	// such a request waits, asking again changes nothing; one that is being done is
	// then done once more.
	RequestRotation(ctx context.Context, a Account) error
	// Served reports whether a provisioner is there to do it within seconds. It is
	// asked for each click and must not block.
	Served() bool
}

// Issue is the input of SignOns.Issue.
type Issue struct {
	Link       Link
	LinkToken  Digest
	Subscriber string
	// NotBefore refuses link tokens that were made earlier; zero accepts all.
	NotBefore time.Time
	// CheckOnly does everything but keep the one-time token.
	CheckOnly bool
	// Token was made for the account of Link.
	Token OneTimeToken
	TTL   time.Duration
	// Redeemer must be the same at redemption; to all others the token does
	// not exist.
	Redeemer string
	Grant    Grant
}

// Issued is what SignOns.Issue knows of the link token that it accepted.
type Issued struct {
	// Created is when the link token was made, to the second.
	Created time.Time
}

// DeniedError is why SignOns.Issue refused. The cause is for the audit alone.
type DeniedError struct{ Cause Cause }

func (e *DeniedError) Error() string { return "denied: " + string(e.Cause) }

// Cause tells an operator what stands behind ReasonAccessDenied or ReasonSlowDown.
type Cause string

// The causes.
const (
	CauseNoLink     Cause = "no such link"
	CauseToken      Cause = "wrong link token"
	CauseSubscriber Cause = "wrong subscriber"
	CauseAged       Cause = "link token past its maximum age"
	CauseSuperseded Cause = "superseded link token"
	CauseServer     Cause = "server not in the configuration"
	CauseSource     Cause = "source address not allowed for the server"

	CauseAccountLimit Cause = "limit of the account"
	CauseServerLimit  Cause = "limit of the server"
)

// Grant is what a one-time token is worth.
type Grant struct {
	// Token is the digest of the one-time token itself: a grant that comes back
	// for another token is refused.
	Token      Digest
	Link       Link
	Subscriber string
	// IssuedAt is when the server asked for it, to the millisecond, by the clock by
	// which controls are set: those that ended later keep it from working.
	IssuedAt time.Time
}

// Redeem is the input of SignOns.Redeem.
type Redeem struct {
	Token    OneTimeToken
	Redeemer string
	// Claim names the claimant, ProxyClaim (may be zero) the request itself when
	// a trusted proxy named it. Whoever brings either again is the same claimant.
	Claim      Claim
	ProxyClaim Claim
	// At is now, and becomes Redemption.RedeemedAt when the token is granted.
	At time.Time
}

// Outcome says what became of a redemption.
type Outcome uint8

// The outcomes. Only Granted and Repeated let somebody in.
const (
	// Unknown: there is no such token for this redeemer.
	Unknown Outcome = iota
	// Granted: this call took the token.
	Granted
	// Repeated: an earlier call of the same claimant took it.
	Repeated
	// Used: another claimant took it.
	Used
	// Expired: it is past its lifetime or was issued by another primary.
	Expired
)

// Redemption is what SignOns.Redeem found.
type Redemption struct {
	Outcome Outcome
	// Grant is set unless the outcome is Unknown.
	Grant Grant
	// ClaimedBy is the Claim.ID that took the token, when somebody did.
	ClaimedBy string
	// RedeemedAt is when it was taken, to the second; zero when it was not.
	RedeemedAt time.Time
}

// Origin says where a request came from, for limits and for the audit.
type Origin struct {
	RequestID string
	// Address is the client's, after trusted proxies were taken off.
	Address netip.Addr
}

// errStaleControls: it is not known what sign-on is switched off for.
var errStaleControls = errors.New("the controls could not be read for some time")

// controls returns the controls and the time by their clock, or ReasonUnavailable
// when they may be too old.
func (b *Broker) controls() (*Controls, time.Time, error) {
	controls, now, fresh := b.cfg.Controls()
	if !fresh {
		return nil, time.Time{}, &Error{Reason: ReasonUnavailable, Err: errStaleControls}
	}
	return controls, now, nil
}

// storeCall bounds one call of the store and turns what it cannot answer into
// ReasonUnavailable.
func storeCall[T any](ctx context.Context, b *Broker, call func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, b.cfg.StoreTimeout)
	defer cancel()
	result, err := call(ctx)
	if err == nil {
		return result, nil
	}
	if _, denied := errors.AsType[*DeniedError](err); denied {
		return result, err
	}
	return result, &Error{Reason: ReasonUnavailable, Err: err}
}
