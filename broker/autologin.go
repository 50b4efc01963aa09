package broker

import (
	"context"
	"errors"
	"net/netip"
	"net/url"
	"slices"
	"time"
)

// MaxAttempts is how often a cPanel server asks for one click.
const MaxAttempts = 3

// AutologinRequest is what a cPanel server posts when an account's user clicks
// a link.
type AutologinRequest struct {
	Link       Link
	Token      LinkToken
	Subscriber string
	// Attempt is 1 to MaxAttempts, or 0 when the server does not say.
	Attempt int
	From    Origin
	// Doubted: too much that came from the same address has failed lately. A few such
	// requests are worked on at a time, the others come again. So is it with accounts
	// and servers that are known to be over their limit.
	Doubted bool
}

// Answer is either a redirect or, when RedirectURL is empty, the wish to be
// asked again.
type Answer struct {
	// RedirectURL carries a one-time token.
	RedirectURL Secret
	// RetryAfter is in whole seconds, 1 to 5.
	RetryAfter time.Duration
	// Attempt is the number of the attempt that this answers.
	Attempt int
}

// Autologin answers a click: it checks the link token and hands out a one-time
// URL. While the store is away, or this broker has too much to do, the first two
// attempts of a click are asked to come again and the third is ReasonUnavailable. A link token that is past its age
// or was superseded is asked to come again as well, when a provisioner is there to
// replace it meanwhile and RotationLimit allows. Other errors are *Error with ReasonInvalidRequest,
// ReasonAccessDenied, ReasonSignOnDisabled or ReasonSlowDown.
func (b *Broker) Autologin(ctx context.Context, r AutologinRequest) (Answer, error) {
	if err := r.validate(); err != nil {
		return Answer{}, err
	}
	answer, err := b.signOn(ctx, r)
	if ReasonOf(err) != ReasonUnavailable {
		if answer.RetryAfter == 0 {
			b.attempts.forget(r)
		}
		return answer, err
	}
	attempt := b.attempts.next(r)
	b.record(ctx, Event{Kind: EventNotNow, From: r.From, Link: r.Link, Subscriber: r.Subscriber, Attempt: attempt, Err: err})
	if attempt >= MaxAttempts {
		return Answer{}, err
	}
	return Answer{RetryAfter: retryAfter(attempt), Attempt: attempt}, nil
}

// signOn issues or, where a fresh link token can be had, rotates.
func (b *Broker) signOn(ctx context.Context, r AutologinRequest) (Answer, error) {
	if r.Doubted || b.limited(r.Link.Account) != nil {
		free, err := b.doubted.take(ctx)
		if err != nil {
			return Answer{}, err
		}
		defer free()
	}
	free, err := b.clicks.take(ctx)
	if err != nil {
		return Answer{}, err
	}
	defer free()
	answer, err := b.issue(ctx, r, b.cfg.Rotations != nil && b.cfg.Rotations.Served())
	stale, is := errors.AsType[*staleError](err)
	if !is {
		return answer, err
	}
	if b.cfg.RotationLimit.Take(ctx, r.Link.Account.String()) > 0 {
		return b.issue(ctx, r, false)
	}
	return b.rotate(ctx, r, stale.cause)
}

// staleError: the link token is the right one of former days.
type staleError struct{ cause Cause }

func (e *staleError) Error() string { return "stale: " + string(e.cause) }

// rotate has the account's link tokens replaced and asks the server to come
// again, with the fresh one. The last attempt of a click is answered as if there
// were no provisioner: an aged token is accepted for one more maximum age.
func (b *Broker) rotate(ctx context.Context, r AutologinRequest, cause Cause) (Answer, error) {
	if _, err := storeCall(ctx, b, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, b.cfg.Rotations.RequestRotation(ctx, r.Link.Account)
	}); err != nil {
		return Answer{}, err
	}
	attempt := b.attempts.next(r)
	b.record(ctx, Event{Kind: EventRotation, From: r.From, Link: r.Link, Subscriber: r.Subscriber, Cause: cause, Attempt: attempt})
	if attempt >= MaxAttempts {
		return b.issue(ctx, r, false)
	}
	return Answer{RetryAfter: retryAfter(attempt), Attempt: attempt}, nil
}

// retryAfter makes the three attempts span four seconds, longer than a Sentinel
// failover takes.
func retryAfter(attempt int) time.Duration {
	if attempt == 1 {
		return time.Second
	}
	return 3 * time.Second
}

func (r AutologinRequest) validate() error {
	if err := r.Link.Validate(); err != nil {
		return err
	}
	if err := checkText("token", r.Token.Reveal(), MaxToken); err != nil {
		return err
	}
	if err := ValidateSubscriber(r.Subscriber); err != nil {
		return err
	}
	if r.Attempt < 0 || r.Attempt > MaxAttempts {
		return Invalid("attempt", "must be 1, 2 or 3")
	}
	return nil
}

// issue does the same work for every link token, known or not: what stands
// between a caller and a sign-on beside its token is judged after the store
// has checked the token. With fresh, a stale token of a link that could sign on is
// a *staleError.
func (b *Broker) issue(ctx context.Context, r AutologinRequest, fresh bool) (Answer, error) {
	now := b.cfg.Now()
	controls, asked, err := b.controls()
	if err != nil {
		return Answer{}, err
	}
	control, off := controls.find(r.Link, r.Subscriber, asked)
	destination, listed := b.cfg.Catalogue().Lookup(r.Link.App)
	enabled := listed && destination.Enabled && !off
	source := b.sourceCause(r.Link.Server, r.From.Address)
	tooMany := b.limited(r.Link.Account)
	fresh = fresh && enabled && source == ""

	token, err := NewOneTimeToken(b.cfg.Random, r.Link.Account)
	if err != nil {
		return Answer{}, err
	}
	in := Issue{
		Link: r.Link, LinkToken: r.Token.Digest(), Subscriber: r.Subscriber,
		NotBefore: b.oldestLinkToken(now, fresh),
		CheckOnly: !enabled || source != "" || tooMany != nil,
		Token:     token, TTL: b.cfg.OneTimeTokenTTL,
		Grant: Grant{Token: token.Digest(), Link: r.Link, Subscriber: r.Subscriber, IssuedAt: asked},
	}
	if listed {
		in.Redeemer = destination.Portal.redeemer()
	}
	issued, err := storeCall(ctx, b, func(ctx context.Context) (Issued, error) { return b.cfg.SignOns.Issue(ctx, in) })
	if err == nil && source != "" {
		err = &DeniedError{Cause: source}
	}
	if denied, ok := errors.AsType[*DeniedError](err); ok {
		if fresh && (denied.Cause == CauseAged || denied.Cause == CauseSuperseded) {
			return Answer{}, &staleError{denied.Cause}
		}
		if source == CauseServer {
			denied = &DeniedError{Cause: source} // no link can be known of such a server
		}
		b.record(ctx, Event{Kind: EventDenied, From: r.From, Link: r.Link, Subscriber: r.Subscriber, Cause: denied.Cause})
		return Answer{}, &Error{Reason: ReasonAccessDenied, Err: err}
	}
	if err != nil {
		return Answer{}, err
	}
	event := Event{From: r.From, Link: r.Link, Subscriber: r.Subscriber}
	if b.aged(issued.Created, now) {
		event.Kind = EventAged
		b.record(ctx, event)
	}
	if !enabled {
		event.Kind = EventDisabled
		if off {
			event.Control = control.Target.String()
		}
		b.record(ctx, event)
		return Answer{}, &Error{Reason: ReasonSignOnDisabled}
	}
	// Only now, so that nobody without a link token uses up anybody's limit, or
	// learns that it is used up. The one-time token of a click that is refused here
	// is told to nobody.
	if tooMany == nil {
		tooMany = b.count(ctx, r.Link.Account)
	}
	if tooMany != nil {
		event.Kind, event.Cause = EventSlowedDown, tooMany.cause
		b.record(ctx, event)
		return Answer{}, &Error{Reason: ReasonSlowDown, RetryAfter: tooMany.wait}
	}
	event.Kind, event.Portal, event.Token = EventIssued, destination.Portal.ID, in.Grant.Token.String()
	b.record(ctx, event)
	return Answer{RedirectURL: b.oneTimeURL(destination, token)}, nil
}

// overLimit says which limit is used up, and for how long.
type overLimit struct {
	cause Cause
	wait  time.Duration
}

// limited returns the limit that is known to be used up, or nil. It counts nothing.
func (b *Broker) limited(a Account) *overLimit {
	if wait := b.cfg.AccountLimit.Wait(a.String()); wait > 0 {
		return &overLimit{CauseAccountLimit, wait}
	}
	if wait := b.cfg.ServerLimit.Wait(a.Server); wait > 0 {
		return &overLimit{CauseServerLimit, wait}
	}
	return nil
}

// count counts one sign-on of the account and its server, or returns the limit that
// it is over.
func (b *Broker) count(ctx context.Context, a Account) *overLimit {
	if wait := b.cfg.AccountLimit.Take(ctx, a.String()); wait > 0 {
		return &overLimit{CauseAccountLimit, wait}
	}
	if wait := b.cfg.ServerLimit.Take(ctx, a.Server); wait > 0 {
		return &overLimit{CauseServerLimit, wait}
	}
	return nil
}

// sourceCause says why a server may not post from an address, or nothing.
func (b *Broker) sourceCause(server string, from netip.Addr) Cause {
	s, known := b.cfg.Servers[server]
	if !known {
		return CauseServer
	}
	contains := func(p netip.Prefix) bool { return p.Contains(from.Unmap()) }
	if len(s.SourceIPs) > 0 && !slices.ContainsFunc(s.SourceIPs, contains) {
		return CauseSource
	}
	return ""
}

func (b *Broker) aged(created, now time.Time) bool {
	return b.cfg.LinkTokenMaxAge > 0 && now.Sub(created) > b.cfg.LinkTokenMaxAge
}

func (b *Broker) oldestLinkToken(now time.Time, fresh bool) time.Time {
	age := b.cfg.LinkTokenMaxAge
	if age <= 0 {
		return time.Time{}
	}
	if !fresh {
		age *= 2
	}
	return now.Add(-age)
}

// oneTimeURL is ours, or for the exchange the portal's own.
func (b *Broker) oneTimeURL(d *Destination, t OneTimeToken) Secret {
	before := b.cfg.PublicURL + "/login?" + oneTimeTokenField + "="
	if d.Portal.Handoff == HandoffExchange {
		before = d.exchangeURL
	}
	return NewSecret(before + t.Reveal())
}

// oneTimeTokenField is the query parameter of a one-time URL.
const oneTimeTokenField = "one_time_token"

// AutologinURL is the autologin_token_url that is written into a link. Its query
// names the link, for servers whose post does not.
func AutologinURL(publicURL string, l Link) string {
	return publicURL + "/autologin?server=" + url.QueryEscape(l.Server) +
		"&user=" + url.QueryEscape(l.User) + "&app=" + url.QueryEscape(l.App)
}
