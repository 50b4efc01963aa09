package store_test

import (
	"crypto/rand"
	"os"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

const keyPrefix = "latchkey:"

var (
	bob     = broker.Account{Server: "web01", User: "bob"}
	billing = broker.Link{Account: bob, App: "latchkey_billing"}
	created = time.Unix(1_790_000_000, 0)
)

func TestMain(m *testing.M) {
	storetest.Parallel()
	os.Exit(m.Run())
}

// ok ends the test when there is an error: ok(f())(t).
func ok[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// open returns a client that is closed with the test.
func open(t testing.TB, o store.Options) redis.UniversalClient {
	t.Helper()
	client := ok(store.Open(o))(t)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func newClaim(t testing.TB) broker.Claim {
	t.Helper()
	return ok(broker.NewClaim(rand.Reader))(t)
}

// register keeps a link of the subscriber 1234 and returns its link token.
func register(t testing.TB, s *store.Store, link broker.Link) broker.LinkToken {
	t.Helper()
	token := ok(broker.NewLinkToken(rand.Reader))(t)
	record := store.LinkRecord{Link: link, Subscriber: "1234", Token: token.Digest(), Created: created}
	if err := s.PutLink(t.Context(), record, false); err != nil {
		t.Fatalf("put link: %v", err)
	}
	return token
}

// issueInput is the input for a fresh one-time token.
func issueInput(t testing.TB, link broker.Link, token broker.LinkToken) broker.Issue {
	t.Helper()
	once := ok(broker.NewOneTimeToken(rand.Reader, link.Account))(t)
	return broker.Issue{
		Link: link, LinkToken: token.Digest(), Subscriber: "1234", Token: once, TTL: 120 * time.Second, Redeemer: "browser",
		Grant: broker.Grant{Token: once.Digest(), Link: link, Subscriber: "1234", IssuedAt: created},
	}
}

func issue(t testing.TB, s *store.Store, link broker.Link, token broker.LinkToken) broker.OneTimeToken {
	t.Helper()
	in := issueInput(t, link, token)
	if _, err := s.Issue(t.Context(), in); err != nil {
		t.Fatalf("issue: %v", err)
	}
	return in.Token
}

func redeem(t testing.TB, s *store.Store, token broker.OneTimeToken, claim broker.Claim) broker.Redemption {
	t.Helper()
	found, err := s.Redeem(t.Context(), broker.Redeem{Token: token, Redeemer: "browser", Claim: claim, At: created})
	if err != nil {
		t.Fatalf("redeem: %v", err)
	}
	return found
}

// wantOutcome redeems and expects an outcome.
func wantOutcome(t testing.TB, s *store.Store, name string, token broker.OneTimeToken, claim broker.Claim, want broker.Outcome) {
	t.Helper()
	if got := redeem(t, s, token, claim); got.Outcome != want {
		t.Errorf("%s: got outcome %d, want %d", name, got.Outcome, want)
	}
}
