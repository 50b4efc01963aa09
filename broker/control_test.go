package broker_test

import (
	"strings"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
)

func target(scope broker.ControlScope, name string) broker.ControlTarget {
	return broker.ControlTarget{Scope: scope, Name: name}
}

// everyTarget are the controls that concern bob's invoices; elsewhere are those that
// do not.
var (
	everyTarget = []broker.ControlTarget{
		target(broker.ScopeSubscriber, aSubscriber), target(broker.ScopeAccount, "web01/bob"), target(broker.ScopeApp, invoices.App),
		target(broker.ScopeServer, "web01"), target(broker.ScopeEverything, ""),
	}
	elsewhere = []broker.ControlTarget{
		target(broker.ScopeSubscriber, "12345"), target(broker.ScopeAccount, "web02/bob"), target(broker.ScopeApp, billing.App),
		target(broker.ScopeServer, "web02"), target(broker.ScopeServer, aSubscriber), target(broker.ScopeSubscriber, "web01"),
	}
)

func TestAControlEndsSignOn(t *testing.T) {
	for _, of := range everyTarget {
		t.Run(of.String(), func(t *testing.T) {
			w := newWorld(t)
			outstanding, taken, claim := w.issue(invoices), w.issue(invoices), newClaim(t)
			if _, err := w.login(taken, claim); err != nil {
				t.Fatal(err)
			}
			w.audit.take()
			w.control(broker.Control{Target: of, At: w.clock()})

			answer, err := w.broker.Autologin(t.Context(), w.click(invoices))
			wantRefusal(t, err, broker.Error{Reason: broker.ReasonSignOnDisabled})
			if !answer.RedirectURL.IsZero() {
				t.Error("got a one-time URL beside the refusal")
			}
			refused := event(broker.EventDisabled, invoices, w.clock())
			refused.Control = of.String()
			w.wantEvents(refused)

			for name, token := range map[string]broker.OneTimeToken{"outstanding": outstanding, "taken by the same claimant": taken} {
				handover, err := w.login(token, claim)
				wantRefusal(t, err, broker.Error{Reason: broker.ReasonSignOnDisabled, WayOn: wayOn})
				wantNoFormPost(t, handover)
				want := redemption(w, broker.EventDisabled, invoices, "portal", token, claim.ID(), claim.ID())
				want.Control = of.String()
				t.Log(name)
				w.wantEvents(want)
			}

			w.control()
			if _, err := w.broker.Autologin(t.Context(), w.click(invoices)); err != nil {
				t.Errorf("without the control: %v", err)
			}
		})
	}
}

func TestControlsOfOthersEndNothing(t *testing.T) {
	w := newWorld(t)
	var list []broker.Control
	for _, of := range elsewhere {
		list = append(list, broker.Control{Target: of, At: noon})
	}
	w.control(list...)
	if _, err := w.login(w.issue(invoices), newClaim(t)); err != nil {
		t.Error(err)
	}
}

// Whoever has no valid link token learns nothing of controls.
func TestAControlIsShownToValidLinkTokensOnly(t *testing.T) {
	w := newWorld(t)
	w.control(broker.Control{Target: target(broker.ScopeEverything, "")})
	click := w.click(invoices)
	click.Token = w.linkTokens[billing]
	_, err := w.broker.Autologin(t.Context(), click)
	wantRefusal(t, err, broker.Error{Reason: broker.ReasonAccessDenied})
}

func TestAPauseEndsByItselfAndItsTokensStayDead(t *testing.T) {
	w := newWorld(t)
	before := w.issue(invoices)
	w.control(broker.Control{Target: target(broker.ScopeServer, "web01"), At: noon, Until: noon.Add(time.Minute)})
	w.advance(time.Minute - time.Second)
	if _, err := w.broker.Autologin(t.Context(), w.click(invoices)); broker.ReasonOf(err) != broker.ReasonSignOnDisabled {
		t.Errorf("a second before its end: got %v, want sign_on_disabled", err)
	}
	w.advance(time.Second)
	after := w.issue(invoices)
	if _, err := w.login(after, newClaim(t)); err != nil {
		t.Errorf("at its end: %v", err)
	}
	if _, err := w.login(before, newClaim(t)); broker.ReasonOf(err) != broker.ReasonTokenExpired {
		t.Errorf("a token from before the pause: got %v, want token_expired: another click works", err)
	}
	events := w.audit.take()
	if last := events[len(events)-1]; last.Kind != broker.EventExpired || last.Control != "server web01" {
		t.Errorf("audit: got %+v, want it to name the control that has ended", last)
	}
}

// What a broker takes for the time has no say in controls: a pause ends everywhere at
// once, a token from before a block stays dead, and one from after it works.
func TestControlsAreJudgedByOneClock(t *testing.T) {
	w := newWorld(t)
	brokers := map[string]*broker.Broker{"right": w.broker, "ahead": w.another(30 * time.Second), "behind": w.another(-30 * time.Second)}
	click := func(by string) broker.OneTimeToken {
		t.Helper()
		return tokenIn(t, ok(brokers[by].Autologin(t.Context(), w.click(invoices)))(t))
	}
	type pair struct{ issuer, redeemer string }
	issued := func() map[pair]broker.OneTimeToken {
		tokens := map[pair]broker.OneTimeToken{}
		for issuer := range brokers {
			for redeemer := range brokers {
				tokens[pair{issuer, redeemer}] = click(issuer)
			}
		}
		return tokens
	}
	wantRedeemed := func(what string, tokens map[pair]broker.OneTimeToken, want broker.Reason) {
		t.Helper()
		for at, token := range tokens {
			_, err := brokers[at.redeemer].Login(t.Context(), broker.LoginRequest{Token: token, Claim: newClaim(t), From: inside})
			if got := broker.ReasonOf(err); got != want {
				t.Errorf("%s, issued by %s and redeemed by %s: got %v, want %v", what, at.issuer, at.redeemer, got, want)
			}
		}
	}
	pause := broker.Control{Target: target(broker.ScopeServer, "web01"), At: noon.Add(time.Second), Until: noon.Add(10*time.Second + 300*time.Millisecond)}
	before := issued()
	w.advance(10 * time.Second)
	// By brokers that do not know yet of the pause.
	unknowing := issued()
	w.advance(299 * time.Millisecond)
	w.control(pause)
	for by, b := range brokers {
		if _, err := b.Autologin(t.Context(), w.click(invoices)); broker.ReasonOf(err) != broker.ReasonSignOnDisabled {
			t.Errorf("%s, a millisecond before the end: got %v, want sign_on_disabled", by, err)
		}
	}
	w.advance(time.Millisecond)
	after := issued()
	wantRedeemed("a token from before the pause", before, broker.ReasonTokenExpired)
	wantRedeemed("a token from within the pause", unknowing, broker.ReasonTokenExpired)
	wantRedeemed("a token from the very end", after, 0)
}

// Where the clock of the controls went back, what is in force counts.
func TestAClockThatWentBackLetsNobodyThroughAPause(t *testing.T) {
	w := newWorld(t)
	token := w.issue(invoices)
	w.setClock(noon.Add(-time.Hour))
	w.control(broker.Control{Target: target(broker.ScopeServer, "web01"), At: w.clock(), Until: w.clock().Add(time.Minute)})
	if _, err := w.login(token, newClaim(t)); broker.ReasonOf(err) != broker.ReasonSignOnDisabled {
		t.Errorf("got %v, want sign_on_disabled", err)
	}
}

// Without fresh controls nobody is signed on, and nothing is consumed.
func TestStaleControlsSignNobodyOn(t *testing.T) {
	w := newWorld(t)
	token, claim := w.issue(invoices), newClaim(t)
	desk := w.issue(tickets)
	w.setStale(true)
	answer, err := w.broker.Autologin(t.Context(), w.click(invoices))
	if err != nil || answer.RetryAfter == 0 || !answer.RedirectURL.IsZero() {
		t.Errorf("click: got %+v, %v, want retry", answer, err)
	}
	if _, err := w.login(token, claim); broker.ReasonOf(err) != broker.ReasonUnavailable {
		t.Errorf("login: got %v, want unavailable", err)
	}
	if _, err := w.exchange("desk", desk, claim); broker.ReasonOf(err) != broker.ReasonUnavailable {
		t.Errorf("exchange: got %v, want unavailable", err)
	}
	w.setStale(false)
	if _, err := w.login(token, newClaim(t)); err != nil {
		t.Errorf("login with fresh controls: %v", err)
	}
	if _, err := w.exchange("desk", desk, claim); err != nil {
		t.Errorf("exchange with fresh controls: %v", err)
	}
}

func TestControlTargets(t *testing.T) {
	for _, of := range append(everyTarget, elsewhere...) {
		got, err := broker.ParseControlTarget(of.String())
		if err != nil || got != of {
			t.Errorf("%q: got %v, %v", of, got, err)
		}
	}
	for _, text := range []string{
		"", "everything web01", "server", "server ", "server web01/bob", "account web01", "account web01/", "account /bob", "account web01/bob/x",
		"app a b", "subscriber", "subscriber \n", "planet earth", "Server web01", "server " + strings.Repeat("a", 65),
	} {
		if got, err := broker.ParseControlTarget(text); broker.ReasonOf(err) != broker.ReasonInvalidRequest {
			t.Errorf("%q: got %+v, %v, want invalid_request", text, got, err)
		}
	}
}

func TestListOfControls(t *testing.T) {
	var list []broker.Control
	for _, of := range append(elsewhere, everyTarget...) {
		list = append(list, broker.Control{Target: of, Author: "short", Until: noon}, broker.Control{Target: of, Author: "longest"},
			broker.Control{Target: of, Author: "long", Until: noon.Add(time.Hour)})
	}
	var got []string
	for _, c := range broker.NewControls(list).List() {
		if c.Author != "longest" {
			t.Errorf("%s: got the one of %s, want the longest", c.Target, c.Author)
		}
		got = append(got, c.Target.String())
	}
	want := "subscriber 1234, subscriber 12345, subscriber web01, account web01/bob, account web02/bob, " +
		"app latchkey_billing, app latchkey_invoices, server 1234, server web01, server web02, everything"
	if strings.Join(got, ", ") != want {
		t.Errorf("got %s\nwant %s", strings.Join(got, ", "), want)
	}
}
