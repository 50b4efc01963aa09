package broker_test

import (
	"context"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
)

const wayOn = "https://portal.example.com/login?next=%2Finvoices%3Fopen%3D1"

// redemption is the event of a token of a link.
func redemption(w *world, kind broker.EventKind, link broker.Link, portal string, token broker.OneTimeToken, by, claimed string) broker.Event {
	e := event(kind, link, w.clock())
	e.Portal, e.Token, e.Claim, e.ClaimedBy = portal, token.Digest().String(), by, claimed
	return e
}

func TestLoginIsForOneClaimant(t *testing.T) {
	w := newWorld(t)
	token, first, second := w.issue(invoices), newClaim(t), newClaim(t)
	steps := []struct {
		name  string
		claim broker.Claim
		kind  broker.EventKind
	}{
		{"first claimant", first, broker.EventRedeemed},
		{"first claimant again", first, broker.EventRepeated},
		{"second claimant", second, broker.EventReplayed},
		{"second claimant again", second, broker.EventReplayed},
		{"first claimant after the second", first, broker.EventRepeated},
	}
	for _, s := range steps {
		handover, err := w.login(token, s.claim)
		if s.kind == broker.EventReplayed {
			wantRefusal(t, err, broker.Error{Reason: broker.ReasonTokenUsed, WayOn: wayOn})
			wantNoFormPost(t, handover)
		} else if err != nil || handover.Assertion.IsZero() {
			t.Errorf("%s: got error %v, want a handover", s.name, err)
		}
		w.wantEvents(redemption(w, s.kind, invoices, "portal", token, s.claim.ID(), first.ID()))
	}
}

func wantNoFormPost(t *testing.T, h broker.FormPost) {
	t.Helper()
	if h.LoginURL != "" || h.TargetLinkURI != "" || !h.Assertion.IsZero() {
		t.Errorf("got a handover to %q beside the refusal", h.LoginURL)
	}
}

func TestLifetimeOfAOneTimeToken(t *testing.T) {
	w := newWorld(t)
	token, late, claim := w.issue(invoices), w.issue(invoices), newClaim(t)
	w.advance(119 * time.Second)
	if _, err := w.login(token, claim); err != nil {
		t.Errorf("at 119 s: %v", err)
	}
	w.audit.take()
	w.advance(2 * time.Second)
	expired := broker.Error{Reason: broker.ReasonTokenExpired, WayOn: wayOn}
	handover, err := w.login(late, claim)
	wantRefusal(t, err, expired)
	wantNoFormPost(t, handover)
	w.wantEvents(redemption(w, broker.EventExpired, invoices, "portal", late, claim.ID(), ""))
	_, err = w.login(token, claim)
	wantRefusal(t, err, expired)
	w.wantEvents(redemption(w, broker.EventExpired, invoices, "portal", token, claim.ID(), claim.ID()))
	other := newClaim(t)
	_, err = w.login(token, other)
	wantRefusal(t, err, broker.Error{Reason: broker.ReasonTokenUsed, WayOn: wayOn})
	w.wantEvents(redemption(w, broker.EventReplayed, invoices, "portal", token, other.ID(), claim.ID()))
}

// The lifetime is the store's to judge: brokers whose clocks are 30 s apart agree.
func TestLifetimeDoesNotDependOnTheClockOfABroker(t *testing.T) {
	for _, ahead := range []time.Duration{30 * time.Second, -30 * time.Second} {
		w := newWorld(t)
		other := w.another(ahead)
		redeem := func(token broker.OneTimeToken) broker.Reason {
			_, err := other.Login(t.Context(), broker.LoginRequest{Token: token, Claim: newClaim(t), From: inside})
			return broker.ReasonOf(err)
		}
		early, late := w.issue(invoices), w.issue(invoices)
		w.advance(119 * time.Second)
		if got := redeem(early); got != 0 {
			t.Errorf("%v ahead, at 119 s: got %v, want it accepted", ahead, got)
		}
		w.advance(2 * time.Second)
		if got := redeem(late); got != broker.ReasonTokenExpired {
			t.Errorf("%v ahead, at 121 s: got %v, want token_expired", ahead, got)
		}
	}
}

// A repetition gets the first assertion, so it is of no use when that has expired.
func TestARepetitionEndsWithTheAssertion(t *testing.T) {
	w := newWorld(t)
	token, claim := w.issue(invoices), newClaim(t)
	for _, s := range []struct {
		after time.Duration
		want  broker.Reason
	}{{0, 0}, {59 * time.Second, 0}, {time.Second, broker.ReasonTokenExpired}} {
		w.advance(s.after)
		if _, err := w.login(token, claim); broker.ReasonOf(err) != s.want {
			t.Errorf("%v later: got %v, want %v", s.after, err, s.want)
		}
	}
}

func TestUnknownTokens(t *testing.T) {
	w := newWorld(t)
	unknown := broker.Error{Reason: broker.ReasonTokenUnknown}
	text := w.issue(invoices).Reveal()
	changed := text[:45] + "B" // the last character has four bits: none ends so
	tokens := map[string]string{"never issued": canary, "last character changed": changed, "another tag": "zz9" + text[3:]}
	for name, text := range tokens {
		token := ok(broker.ParseOneTimeToken(text))(t)
		handover, err := w.login(token, newClaim(t))
		wantRefusal(t, err, unknown)
		wantNoFormPost(t, handover)
		if _, err := w.exchange("shop", token, newClaim(t)); broker.ReasonOf(err) != broker.ReasonTokenUnknown {
			t.Errorf("exchange, %s: got %v, want token_unknown", name, err)
		}
	}
	_, err := w.broker.Exchange(t.Context(), broker.ExchangeRequest{
		ClientID: "shop-client", ClientSecret: broker.NewSecret("shop-secret"), Token: "no token", Claim: newClaim(t),
	})
	wantRefusal(t, err, unknown)
	w.wantEvents()
}

func TestTokensAreForTheirRedeemer(t *testing.T) {
	redeemers := map[string]func(*world, broker.OneTimeToken, broker.Claim) error{
		"browser": func(w *world, token broker.OneTimeToken, c broker.Claim) error {
			_, err := w.login(token, c)
			return err
		},
		"shop": func(w *world, token broker.OneTimeToken, c broker.Claim) error {
			_, err := w.exchange("shop", token, c)
			return err
		},
		"desk": func(w *world, token broker.OneTimeToken, c broker.Claim) error {
			_, err := w.exchange("desk", token, c)
			return err
		},
	}
	tests := map[string]struct {
		link   broker.Link
		portal string
	}{"browser": {invoices, "portal"}, "shop": {cart, "shop"}, "desk": {tickets, "desk"}}
	for owner, tt := range tests {
		for thief, try := range redeemers {
			if thief == owner {
				continue
			}
			w := newWorld(t)
			token, claim := w.issue(tt.link), newClaim(t)
			wantRefusal(t, try(w, token, newClaim(t)), broker.Error{Reason: broker.ReasonTokenUnknown})
			w.wantEvents()
			if err := redeemers[owner](w, token, claim); err != nil {
				t.Errorf("%s after %s tried: %v", owner, thief, err)
			}
			w.wantEvents(redemption(w, broker.EventRedeemed, tt.link, tt.portal, token, claim.ID(), claim.ID()))
			// Once it was taken it does not exist for others either.
			wantRefusal(t, try(w, token, claim), broker.Error{Reason: broker.ReasonTokenUnknown})
		}
	}
}

func TestExchangeIsForOneClaimant(t *testing.T) {
	w := newWorld(t)
	token, first, second := w.issue(cart), newClaim(t), newClaim(t)
	got := ok(w.exchange("shop", token, first))(t)
	again := ok(w.exchange("shop", token, first))(t)
	if got.Claims.ID != again.Claims.ID || got.Claims.Subject != aSubscriber {
		t.Errorf("repeat: got %+v, want %+v", again.Claims, got.Claims)
	}
	w.audit.take()
	other, err := w.exchange("shop", token, second)
	wantRefusal(t, err, broker.Error{Reason: broker.ReasonTokenUsed, WayOn: "https://shop.example.com/login"})
	if !other.Assertion.IsZero() || other.Claims.Subject != "" {
		t.Errorf("got %+v beside the refusal", other)
	}
	w.wantEvents(redemption(w, broker.EventReplayed, cart, "shop", token, second.ID(), first.ID()))
}

func TestClientsMustAuthenticate(t *testing.T) {
	tests := []struct{ name, client, secret string }{
		{"wrong secret", "shop-client", "shop-secreT"},
		{"no secret", "shop-client", ""},
		{"secret of another portal", "shop-client", "desk-secret"},
		{"longer secret", "shop-client", "shop-secret "},
		{"unknown client", "nobody", "shop-secret"},
		{"unknown client without secret", "nobody", ""},
		{"neither", "", ""},
		{"portal id instead of client id", "shop", "shop-secret"},
		{"portal without a client", "portal", ""},
	}
	w := newWorld(t)
	token := w.issue(cart)
	for _, tt := range tests {
		got, err := w.broker.Exchange(t.Context(), broker.ExchangeRequest{
			ClientID: tt.client, ClientSecret: broker.NewSecret(tt.secret), Token: token.Reveal(), Claim: newClaim(t), From: inside,
		})
		wantRefusal(t, err, broker.Error{Reason: broker.ReasonInvalidClient})
		if !got.Assertion.IsZero() {
			t.Errorf("%s: got an assertion", tt.name)
		}
		events := w.audit.take()
		if len(events) != 1 || events[0].Kind != broker.EventClientDenied || events[0].From != inside || !events[0].At.Equal(noon) {
			t.Errorf("%s: got events %+v, want one of a denied client", tt.name, events)
		}
	}
	if _, err := w.exchange("shop", token, newClaim(t)); err != nil {
		t.Errorf("the token was consumed by a client that was refused: %v", err)
	}
}

func TestCatalogueCountsAtRedemption(t *testing.T) {
	off, moved, elsewhere := definitions(), definitions(), definitions()
	off[0].Enabled = false
	moved[0].Portal = "shop"
	elsewhere[0].Path = "/elsewhere"
	tests := []struct {
		name  string
		links []broker.LinkDefinition
		want  broker.Error // zero when let in
		event broker.Event
	}{
		{"switched off", off, broker.Error{Reason: broker.ReasonSignOnDisabled, WayOn: wayOn}, broker.Event{Portal: "portal"}},
		{"removed", definitions()[1:], broker.Error{Reason: broker.ReasonSignOnDisabled}, broker.Event{}},
		{
			"moved to a portal that redeems by itself", moved,
			broker.Error{Reason: broker.ReasonSignOnDisabled, WayOn: "https://shop.example.com/login"}, broker.Event{Portal: "shop"},
		},
		{"other path", elsewhere, broker.Error{}, broker.Event{}},
	}
	for _, tt := range tests {
		w := newWorld(t)
		token, claim := w.issue(invoices), newClaim(t)
		w.revise(tt.links...)
		handover, err := w.login(token, claim)
		if tt.want == (broker.Error{}) {
			if err != nil || handover.TargetLinkURI != "https://portal.example.com/elsewhere" {
				t.Errorf("%s: got %q, error %v, want the new destination", tt.name, handover.TargetLinkURI, err)
			}
			continue
		}
		wantRefusal(t, err, tt.want)
		wantNoFormPost(t, handover)
		w.wantEvents(redemption(w, broker.EventDisabled, invoices, tt.event.Portal, token, claim.ID(), claim.ID()))
	}
}

func TestExchangePortalThatLostTheLink(t *testing.T) {
	w := newWorld(t)
	token := w.issue(cart)
	links := definitions()
	links[2].Portal = "desk"
	w.revise(links...)
	got, err := w.exchange("shop", token, newClaim(t))
	wantRefusal(t, err, broker.Error{Reason: broker.ReasonSignOnDisabled})
	if !got.Assertion.IsZero() {
		t.Error("the former portal got an assertion")
	}
	if _, err := w.exchange("desk", token, newClaim(t)); broker.ReasonOf(err) != broker.ReasonTokenUnknown {
		t.Errorf("the new portal with an old token: got %v, want token_unknown", err)
	}
}

// swapped answers each redemption with a grant of its choice.
func swapped(inner broker.SignOns, grant func() broker.Grant) broker.SignOns {
	return signOns{issue: inner.Issue, redeem: func(ctx context.Context, in broker.Redeem) (broker.Redemption, error) {
		found, err := inner.Redeem(ctx, in)
		found.Grant = grant()
		return found, err
	}}
}

func TestAGrantOfAnotherTokenLetsNobodyIn(t *testing.T) {
	var grant broker.Grant
	w := newWorld(t, func(c *broker.Config) { c.SignOns = swapped(c.SignOns, func() broker.Grant { return grant }) })
	claim := newClaim(t)
	mismatch := func(token broker.OneTimeToken) broker.Event {
		return broker.Event{Kind: broker.EventMismatch, At: noon, From: inside, Token: token.Digest().String(), Claim: claim.ID()}
	}
	others := map[string]broker.Grant{
		"of another subscriber": {Token: w.issue(invoices).Digest(), Link: invoices, Subscriber: "9999", IssuedAt: noon},
		"of none":               {},
		"without its digest":    {Link: invoices, Subscriber: aSubscriber, IssuedAt: noon},
	}
	for name, other := range others {
		grant = other
		token := w.issue(invoices)
		for _, outcome := range []string{"granted", "repeated"} {
			handover, err := w.login(token, claim)
			if err == nil || broker.ReasonOf(err) != 0 {
				t.Errorf("grant %s, %s: got error %v, want one without a reason", name, outcome, err)
			}
			wantNoFormPost(t, handover)
			w.wantEvents(mismatch(token))
		}
		token = w.issue(cart)
		got, err := w.exchange("shop", token, claim)
		if err == nil || !got.Assertion.IsZero() || got.Claims.Subject != "" {
			t.Errorf("grant %s, exchange: got %+v, error %v, want nothing", name, got.Claims, err)
		}
		w.wantEvents(mismatch(token))
	}
}

func TestAnUnknownOutcomeLetsNobodyIn(t *testing.T) {
	w := newWorld(t, func(c *broker.Config) {
		inner := c.SignOns
		c.SignOns = signOns{issue: inner.Issue, redeem: func(ctx context.Context, in broker.Redeem) (broker.Redemption, error) {
			found, err := inner.Redeem(ctx, in)
			found.Outcome = broker.Expired + 1
			return found, err
		}}
	})
	handover, err := w.login(w.issue(invoices), newClaim(t))
	if err == nil || broker.ReasonOf(err) != 0 {
		t.Errorf("got error %v, want one without a reason", err)
	}
	wantNoFormPost(t, handover)
	w.wantEvents()
}
