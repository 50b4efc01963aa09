package broker

import (
	"context"
	"errors"
	"time"
)

// LoginRequest is a browser's redemption of a one-time URL.
type LoginRequest struct {
	Token OneTimeToken
	Claim Claim
	// ProxyClaim is zero unless a trusted proxy named the request.
	ProxyClaim Claim
	From       Origin
}

// FormPost is what a page of ours posts to the portal.
type FormPost struct {
	// LoginURL is the portal's, from the configuration.
	LoginURL string
	// Origin is that of LoginURL: the only one that the form may go to.
	Origin        string
	Assertion     Assertion
	TargetLinkURI string
}

// Login redeems a one-time token for the browser that brought it. Errors are
// *Error with ReasonTokenUnknown, ReasonTokenExpired, ReasonTokenUsed,
// ReasonSignOnDisabled or ReasonUnavailable; after the last the same claim may
// be tried again.
func (b *Broker) Login(ctx context.Context, r LoginRequest) (FormPost, error) {
	free, err := b.redemptions.take(ctx)
	if err != nil {
		return FormPost{}, err
	}
	defer free()
	claims, destination, err := b.redeem(ctx, Redeem{
		Token: r.Token, Redeemer: redeemerBrowser, Claim: r.Claim, ProxyClaim: r.ProxyClaim,
	}, r.From)
	if err != nil {
		return FormPost{}, err
	}
	assertion, err := b.sign(claims)
	if err != nil {
		return FormPost{}, err
	}
	return FormPost{
		LoginURL: destination.Portal.LoginURL, Origin: destination.Origin,
		Assertion: assertion, TargetLinkURI: destination.TargetLinkURI,
	}, nil
}

// ExchangeRequest is a redemption by a portal's back end.
type ExchangeRequest struct {
	ClientID     string
	ClientSecret Secret
	// Token is what the browser brought to the portal, unchecked.
	Token      string
	Claim      Claim
	ProxyClaim Claim
	From       Origin
}

// Exchanged is the answer to a portal's back end: the claims and the same
// claims signed.
type Exchanged struct {
	Claims    Claims
	Assertion Assertion
}

// Exchange redeems a one-time token for an authenticated portal. Errors are
// those of Login and ReasonInvalidClient.
func (b *Broker) Exchange(ctx context.Context, r ExchangeRequest) (Exchanged, error) {
	portal, ok := b.cfg.Catalogue().authenticate(r.ClientID, r.ClientSecret)
	if !ok {
		b.record(ctx, Event{Kind: EventClientDenied, From: r.From, Portal: portal.ID})
		return Exchanged{}, &Error{Reason: ReasonInvalidClient}
	}
	token, err := ParseOneTimeToken(r.Token)
	if err != nil {
		return Exchanged{}, err
	}
	free, err := b.redemptions.take(ctx)
	if err != nil {
		return Exchanged{}, err
	}
	defer free()
	claims, _, err := b.redeem(ctx, Redeem{
		Token: token, Redeemer: redeemerPortal(portal.ID), Claim: r.Claim, ProxyClaim: r.ProxyClaim,
	}, r.From)
	if err != nil {
		return Exchanged{}, err
	}
	assertion, err := b.sign(claims)
	return Exchanged{Claims: claims, Assertion: assertion}, err
}

func (b *Broker) sign(c Claims) (Assertion, error) {
	return b.cfg.Keys().Signing(b.cfg.Now()).sign(c)
}

func (b *Broker) redeem(ctx context.Context, in Redeem, from Origin) (Claims, *Destination, error) {
	// Whoever does not know the controls consumes nothing.
	if _, _, err := b.controls(); err != nil {
		return Claims{}, nil, err
	}
	in.At = b.cfg.Now()
	found, err := storeCall(ctx, b, func(ctx context.Context) (Redemption, error) { return b.cfg.SignOns.Redeem(ctx, in) })
	if err != nil {
		return Claims{}, nil, err
	}
	token, claim := in.Token.Digest(), in.Claim.ID()
	if found.Outcome != Unknown && found.Grant.Token != token {
		b.record(ctx, Event{Kind: EventMismatch, From: from, Token: token.String(), Claim: claim})
		return Claims{}, nil, errors.New("the store answered with the grant of another token")
	}
	// Asked again: what was switched off meanwhile counts.
	controls, now, err := b.controls()
	if err != nil {
		return Claims{}, nil, err
	}
	// Where the clock went back since the token was issued, what is in force counts.
	made := earlier(found.Grant.IssuedAt, now)
	control, off := controls.find(found.Grant.Link, found.Grant.Subscriber, made)
	destination, listed := b.cfg.Catalogue().Lookup(found.Grant.Link.App)
	event := Event{
		From: from, Link: found.Grant.Link, Subscriber: found.Grant.Subscriber,
		Token: token.String(), Claim: claim, ClaimedBy: found.ClaimedBy,
	}
	refusal := &Error{}
	if listed {
		event.Portal, refusal.WayOn = destination.Portal.ID, destination.FallbackURL
	}
	switch {
	case found.Outcome == Unknown:
		return Claims{}, nil, &Error{Reason: ReasonTokenUnknown}
	case found.Outcome == Used:
		event.Kind, refusal.Reason = EventReplayed, ReasonTokenUsed
	case found.Outcome == Expired, found.Outcome == Repeated && !in.At.Before(found.RedeemedAt.Add(AssertionLifetime)):
		// A repetition gets the first assertion again, which is worth nothing now.
		event.Kind, refusal.Reason = EventExpired, ReasonTokenExpired
	case off && !control.InForce(now):
		// From before a control that has ended: another click works.
		event.Kind, refusal.Reason, event.Control = EventExpired, ReasonTokenExpired, control.Target.String()
	case off:
		event.Kind, refusal.Reason, event.Control = EventDisabled, ReasonSignOnDisabled, control.Target.String()
	case !listed || !destination.Enabled || destination.Portal.redeemer() != in.Redeemer:
		// Switched off or moved to another portal since the token was issued.
		event.Kind, refusal.Reason = EventDisabled, ReasonSignOnDisabled
	case found.Outcome == Repeated:
		event.Kind = EventRepeated
	case found.Outcome == Granted:
		event.Kind = EventRedeemed
	default:
		return Claims{}, nil, errors.New("the store answered with an outcome that is not known")
	}
	b.record(ctx, event)
	if refusal.Reason != 0 {
		return Claims{}, nil, refusal
	}
	return b.claims(found.Grant, destination, found.RedeemedAt), destination, nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
