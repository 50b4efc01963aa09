package storetest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/store"
)

// Subject is a store under test, empty at first.
type Subject struct {
	Store  *store.Store
	Client redis.UniversalClient
	// Advance lets time pass for the records.
	Advance func(time.Duration)
}

// test is one promise.
type test struct {
	name string
	run  func(*testing.T, Subject)
}

// Run shows that a store keeps the promises of its ports. start is called for
// each test.
func Run(t *testing.T, start func(*testing.T) Subject) {
	for _, tt := range slices.Concat(signOns(), byHand(), changes(), unfinished(), accounts(), leases(), requests(), journal(), longLogs(), catalogue(), controls()) {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, start(t)) })
	}
}

func signOns() []test {
	return []test{
		{"a token is granted once and repeated for its claimant only", grantedOnce},
		{"the grant comes back as it was issued", grantUnchanged},
		{"each refusal has its cause and writes nothing", refusals},
		{"check only writes nothing", checkOnly},
		{"a token is accepted at 119 s and refused at 121 s", lifetime},
		{"a used token is told apart until its record goes", tombstone},
		{"a token of another redeemer does not exist and is not consumed", otherRedeemer},
		{"a request that a proxy repeats is the same claimant", proxyRepeats},
		{"an issue sent twice forgets no redemption", issuedTwice},
		{"of many racing claimants one wins", race},
		{"nothing secret is stored", nothingSecret},
		{"a token of a former version is expired", formerVersion},
	}
}

const (
	ttl       = 120 * time.Second
	redeemer  = "browser"
	aCustomer = "1234"
)

var aLink = broker.Link{Account: broker.Account{Server: "web01", User: "bob"}, App: "latchkey_billing"}

// must returns v or ends the test: must[T](t)(f()).
func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func newLinkToken(t *testing.T) broker.LinkToken {
	return must[broker.LinkToken](t)(broker.NewLinkToken(rand.Reader))
}

func newClaim(t *testing.T) broker.Claim { return must[broker.Claim](t)(broker.NewClaim(rand.Reader)) }

func newToken(t *testing.T, account broker.Account) broker.OneTimeToken {
	return must[broker.OneTimeToken](t)(broker.NewOneTimeToken(rand.Reader, account))
}

var (
	created    = time.Unix(1_790_000_000, 0)
	redeemedAt = created.Add(2 * time.Hour)
)

// register keeps aLink and returns its token.
func register(t *testing.T, s Subject) broker.LinkToken {
	t.Helper()
	token := newLinkToken(t)
	record := store.LinkRecord{Link: aLink, Subscriber: aCustomer, Token: token.Digest(), Created: created}
	if err := s.Store.PutLink(t.Context(), record, false); err != nil {
		t.Fatalf("put link: %v", err)
	}
	return token
}

func issueInput(t *testing.T, link broker.LinkToken) broker.Issue {
	return issueInputFor(t, aLink, link)
}

func issueInputFor(t *testing.T, of broker.Link, link broker.LinkToken) broker.Issue {
	token := newToken(t, of.Account)
	return broker.Issue{
		Link: of, LinkToken: link.Digest(), Subscriber: aCustomer, Token: token, TTL: ttl, Redeemer: redeemer,
		Grant: broker.Grant{Token: token.Digest(), Link: of, Subscriber: aCustomer, IssuedAt: created.Add(time.Hour + time.Millisecond)},
	}
}

func issue(t *testing.T, s Subject) broker.Issue {
	t.Helper()
	in := issueInput(t, register(t, s))
	issued := must[broker.Issued](t)(s.Store.Issue(t.Context(), in))
	if !issued.Created.Equal(created) {
		t.Fatalf("link token created at: got %v, want %v", issued.Created, created)
	}
	return in
}

func redeem(t *testing.T, s Subject, token broker.OneTimeToken, claim broker.Claim) broker.Redemption {
	t.Helper()
	return must[broker.Redemption](t)(s.Store.Redeem(t.Context(), broker.Redeem{Token: token, Redeemer: redeemer, Claim: claim, At: redeemedAt}))
}

func wantOutcome(t *testing.T, what string, got broker.Redemption, want broker.Outcome, by string) {
	t.Helper()
	if got.Outcome != want || got.ClaimedBy != by {
		t.Errorf("%s: got outcome %d claimed by %q, want %d by %q", what, got.Outcome, got.ClaimedBy, want, by)
	}
}

func grantedOnce(t *testing.T, s Subject) {
	in := issue(t, s)
	first, second := newClaim(t), newClaim(t)
	if _, err := s.Store.Redeem(t.Context(), broker.Redeem{Token: in.Token, Redeemer: redeemer, At: redeemedAt}); err == nil {
		t.Error("without a claim: got no error")
	}
	wantOutcome(t, "first claim", redeem(t, s, in.Token, first), broker.Granted, first.ID())
	wantOutcome(t, "first claim again", redeem(t, s, in.Token, first), broker.Repeated, first.ID())
	wantOutcome(t, "second claim", redeem(t, s, in.Token, second), broker.Used, first.ID())
	wantOutcome(t, "first claim after the second", redeem(t, s, in.Token, first), broker.Repeated, first.ID())
	if got := redeem(t, s, in.Token, first).RedeemedAt; !got.Equal(redeemedAt) {
		t.Errorf("redeemed at: got %v, want %v", got, redeemedAt)
	}
	wantOutcome(t, "a token that was never issued", redeem(t, s, newToken(t, aLink.Account), first), broker.Unknown, "")
}

func grantUnchanged(t *testing.T, s Subject) {
	register(t, s)
	strange := "a|b||\"ü\"\\|1"
	link := broker.Link{Account: broker.Account{Server: "web-02.x", User: "al_ice"}, App: "latchkey_x"}
	token := newLinkToken(t)
	record := store.LinkRecord{Link: link, Subscriber: strange, Token: token.Digest(), Created: created}
	if err := s.Store.PutLink(t.Context(), record, false); err != nil {
		t.Fatal(err)
	}
	in := issueInputFor(t, link, token)
	in.Subscriber, in.Grant.Subscriber = strange, strange
	must[broker.Issued](t)(s.Store.Issue(t.Context(), in))
	if got := redeem(t, s, in.Token, newClaim(t)); got.Grant != in.Grant {
		t.Errorf("grant: got %+v, want %+v", got.Grant, in.Grant)
	}
}

func refusals(t *testing.T, s Subject) {
	token := register(t, s)
	before := Dump(t, s.Client)
	tests := []struct {
		name   string
		change func(*broker.Issue)
		want   broker.Cause
	}{
		{"unknown server", func(in *broker.Issue) { in.Link.Server = "web09" }, broker.CauseNoLink},
		{"unknown user", func(in *broker.Issue) { in.Link.User = "eve" }, broker.CauseNoLink},
		{"unknown app", func(in *broker.Issue) { in.Link.App = "latchkey_other" }, broker.CauseNoLink},
		{"wrong token", func(in *broker.Issue) { in.LinkToken = newLinkToken(t).Digest() }, broker.CauseToken},
		{"wrong subscriber", func(in *broker.Issue) { in.Subscriber = "1235" }, broker.CauseSubscriber},
		{"aged token", func(in *broker.Issue) { in.NotBefore = created.Add(time.Second) }, broker.CauseAged},
	}
	for _, tt := range tests {
		in := issueInput(t, token)
		tt.change(&in)
		in.Token = newToken(t, in.Link.Account)
		_, err := s.Store.Issue(t.Context(), in)
		denied, ok := errors.AsType[*broker.DeniedError](err)
		if !ok || denied.Cause != tt.want {
			t.Errorf("%s: got error %v, want cause %q", tt.name, err, tt.want)
		}
	}
	in := issueInput(t, token)
	in.NotBefore, in.CheckOnly = created, true
	must[broker.Issued](t)(s.Store.Issue(t.Context(), in)) // as old as allowed
	if after := Dump(t, s.Client); after != before {
		t.Errorf("a refused request wrote to Redis:\nbefore %s\nafter  %s", before, after)
	}
}

func checkOnly(t *testing.T, s Subject) {
	in := issueInput(t, register(t, s))
	in.CheckOnly = true
	must[broker.Issued](t)(s.Store.Issue(t.Context(), in))
	wantOutcome(t, "token of a check", redeem(t, s, in.Token, newClaim(t)), broker.Unknown, "")
}

func lifetime(t *testing.T, s Subject) {
	early, late := issue(t, s), broker.Issue{}
	s.Advance(119 * time.Second)
	claim := newClaim(t)
	wantOutcome(t, "at 119 s", redeem(t, s, early.Token, claim), broker.Granted, claim.ID())

	must[bool](t)(s.Store.RemoveLink(t.Context(), aLink))
	late = issue(t, s)
	s.Advance(121 * time.Second)
	wantOutcome(t, "at 121 s", redeem(t, s, late.Token, claim), broker.Expired, "")
	wantOutcome(t, "its own claimant after the lifetime", redeem(t, s, early.Token, claim), broker.Expired, claim.ID())
	s.Advance(store.Retention)
	wantOutcome(t, "after the record is gone", redeem(t, s, late.Token, claim), broker.Unknown, "")
}

func tombstone(t *testing.T, s Subject) {
	in := issue(t, s)
	first := newClaim(t)
	redeem(t, s, in.Token, first)
	s.Advance(119 * time.Second)
	wantOutcome(t, "second claim at 119 s", redeem(t, s, in.Token, newClaim(t)), broker.Used, first.ID())
	s.Advance(ttl)
	wantOutcome(t, "second claim after the lifetime", redeem(t, s, in.Token, newClaim(t)), broker.Used, first.ID())
}

func otherRedeemer(t *testing.T, s Subject) {
	in := issue(t, s)
	claim := newClaim(t)
	other := broker.Redeem{Token: in.Token, Redeemer: "portal:support", Claim: claim, At: redeemedAt}
	wantOutcome(t, "another redeemer", must[broker.Redemption](t)(s.Store.Redeem(t.Context(), other)), broker.Unknown, "")
	wantOutcome(t, "its own redeemer", redeem(t, s, in.Token, claim), broker.Granted, claim.ID())
	wantOutcome(t, "another redeemer later", must[broker.Redemption](t)(s.Store.Redeem(t.Context(), other)), broker.Unknown, "")
}

func proxyRepeats(t *testing.T, s Subject) {
	in := issue(t, s)
	try := func(claim broker.Claim, requestID string) broker.Redemption {
		t.Helper()
		call := broker.Redeem{Token: in.Token, Redeemer: redeemer, Claim: claim, At: redeemedAt}
		if requestID != "" {
			call.ProxyClaim = broker.ProxyClaim(requestID)
		}
		return must[broker.Redemption](t)(s.Store.Redeem(t.Context(), call))
	}
	first, second := newClaim(t), newClaim(t)
	wantOutcome(t, "first request", try(first, "request-number-1"), broker.Granted, first.ID())
	wantOutcome(t, "the proxy repeats it, without a cookie", try(second, "request-number-1"), broker.Repeated, first.ID())
	wantOutcome(t, "the browser asks again", try(first, "request-number-2"), broker.Repeated, first.ID())
	wantOutcome(t, "another request of another browser", try(second, "request-number-2"), broker.Used, first.ID())
	wantOutcome(t, "another browser without a proxy", try(second, ""), broker.Used, first.ID())
	cookie, ok := broker.ParseClaim("request-number-1")
	if !ok {
		t.Fatal("the request id has not the form of a cookie: this shows nothing")
	}
	wantOutcome(t, "a cookie made of the request id", try(cookie, ""), broker.Used, first.ID())

	direct := issue2(t, s)
	call := broker.Redeem{Token: direct, Redeemer: redeemer, Claim: first, At: redeemedAt}
	must[broker.Redemption](t)(s.Store.Redeem(t.Context(), call))
	call.Claim = second
	wantOutcome(t, "no proxy at first and none later", must[broker.Redemption](t)(s.Store.Redeem(t.Context(), call)), broker.Used, first.ID())
}

// issue2 issues another token for a fresh link.
func issue2(t *testing.T, s Subject) broker.OneTimeToken {
	t.Helper()
	must[bool](t)(s.Store.RemoveLink(t.Context(), aLink))
	return issue(t, s).Token
}

func issuedTwice(t *testing.T, s Subject) {
	in := issueInput(t, register(t, s))
	must[broker.Issued](t)(s.Store.Issue(t.Context(), in))
	claim := newClaim(t)
	redeem(t, s, in.Token, claim)
	must[broker.Issued](t)(s.Store.Issue(t.Context(), in))
	wantOutcome(t, "another claim after the late copy", redeem(t, s, in.Token, newClaim(t)), broker.Used, claim.ID())
}

func race(t *testing.T, s Subject) {
	token := register(t, s)
	for range 50 {
		in := issueInput(t, token)
		must[broker.Issued](t)(s.Store.Issue(t.Context(), in))
		const racers = 8
		outcomes := make([]broker.Redemption, racers)
		errs := make([]error, racers)
		start := make(chan struct{})
		var wg sync.WaitGroup
		for i := range racers {
			claim := newClaim(t)
			wg.Go(func() {
				<-start
				outcomes[i], errs[i] = s.Store.Redeem(context.Background(), broker.Redeem{Token: in.Token, Redeemer: redeemer, Claim: claim, At: redeemedAt})
			})
		}
		close(start)
		wg.Wait()
		granted := 0
		for i, o := range outcomes {
			switch {
			case errs[i] != nil:
				t.Fatal(errs[i])
			case o.Outcome == broker.Granted:
				granted++
			case o.Outcome != broker.Used:
				t.Errorf("a loser got outcome %d, want used", o.Outcome)
			}
		}
		if granted != 1 {
			t.Fatalf("granted %d times, want once", granted)
		}
	}
}

func nothingSecret(t *testing.T, s Subject) {
	token := register(t, s)
	in := issueInput(t, token)
	must[broker.Issued](t)(s.Store.Issue(t.Context(), in))
	claim := newClaim(t)
	redeem(t, s, in.Token, claim)
	dump := Dump(t, s.Client)
	if !strings.Contains(dump, claim.ID()) {
		t.Fatalf("the dump does not have the claim's digest, so it shows nothing:\n%s", dump)
	}
	for name, secret := range map[string]broker.Secret{
		"link token": token.Secret, "one-time token": in.Token.Secret, "claim": claim.Secret,
	} {
		for _, part := range []string{secret.Reveal(), secret.Reveal()[3:]} {
			if strings.Contains(dump, part) {
				t.Errorf("the %s is in Redis:\n%s", name, dump)
			}
		}
	}
}

// Records had "at" once, seconds by the clock of a broker: too coarse, and of another
// clock than controls.
func formerVersion(t *testing.T, s Subject) {
	in := issue(t, s)
	for _, key := range Keys(t, s.Client) {
		if !strings.Contains(key, "once:") {
			continue
		}
		record := must[string](t)(s.Client.Get(t.Context(), key).Result())
		former := strings.Replace(record, `"ms":`+fmt.Sprint(in.Grant.IssuedAt.UnixMilli()), `"at":`+fmt.Sprint(in.Grant.IssuedAt.Unix()), 1)
		if former == record {
			t.Fatalf("%s has no time of issue", key)
		}
		if err := s.Client.Set(t.Context(), key, former, redis.KeepTTL).Err(); err != nil {
			t.Fatal(err)
		}
	}
	claim := newClaim(t)
	for _, what := range []string{"first claim", "first claim again"} {
		wantOutcome(t, what, redeem(t, s, in.Token, claim), broker.Expired, claim.ID())
	}
	wantOutcome(t, "second claim", redeem(t, s, in.Token, newClaim(t)), broker.Used, claim.ID())
}
