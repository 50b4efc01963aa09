package api_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
)

// memory keeps links and one-time tokens for a real broker.
type memory struct {
	now func() time.Time

	mu     sync.Mutex
	fail   error
	calls  int
	links  map[broker.Link]memoryLink
	tokens map[broker.Digest]*memoryToken
}

type memoryLink struct {
	token      broker.Digest
	subscriber string
	created    time.Time
}

type memoryToken struct {
	grant    broker.Grant
	redeemer string
	expires  time.Time
	claim    string
	proxy    string
	at       time.Time
}

var _ broker.SignOns = (*memory)(nil)

func (m *memory) Issue(_ context.Context, in broker.Issue) (broker.Issued, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls++
	link, found := m.links[in.Link]
	switch {
	case m.fail != nil:
		return broker.Issued{}, m.fail
	case !found:
		return broker.Issued{}, &broker.DeniedError{Cause: broker.CauseNoLink}
	case link.token != in.LinkToken:
		return broker.Issued{}, &broker.DeniedError{Cause: broker.CauseToken}
	case link.subscriber != in.Subscriber:
		return broker.Issued{}, &broker.DeniedError{Cause: broker.CauseSubscriber}
	case link.created.Before(in.NotBefore):
		return broker.Issued{}, &broker.DeniedError{Cause: broker.CauseAged}
	}
	if !in.CheckOnly {
		m.tokens[in.Token.Digest()] = &memoryToken{grant: in.Grant, redeemer: in.Redeemer, expires: m.now().Add(in.TTL)}
	}
	return broker.Issued{Created: link.created}, nil
}

func (m *memory) Redeem(_ context.Context, in broker.Redeem) (broker.Redemption, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls++
	if m.fail != nil {
		return broker.Redemption{}, m.fail
	}
	token, found := m.tokens[in.Token.Digest()]
	if !found || token.redeemer != in.Redeemer {
		return broker.Redemption{Outcome: broker.Unknown}, nil
	}
	r := broker.Redemption{Grant: token.grant}
	switch {
	case !m.now().Before(token.expires):
		r.Outcome = broker.Expired
	case token.claim == "":
		token.claim, token.proxy, token.at = in.Claim.ID(), in.ProxyClaim.ID(), in.At
		r.Outcome = broker.Granted
	case token.claim == in.Claim.ID(), token.proxy != "" && token.proxy == in.ProxyClaim.ID():
		r.Outcome = broker.Repeated
	default:
		r.Outcome = broker.Used
	}
	r.ClaimedBy, r.RedeemedAt = token.claim, token.at
	return r, nil
}

func (m *memory) setFail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = err
}

func (m *memory) called() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls
}

type discard struct{}

func (discard) Record(context.Context, broker.Event) {}

const linkTokenMaxAge = 24 * time.Hour

// newBroker returns a real broker that knows some links of bob's, all with the
// link token and the subscriber 1234: latchkey_billing leads to a portal with
// form_post and latchkey_ticket to one with the exchange, latchkey_off is
// switched off. The link of old is past twice its maximum age; web02 may post
// only from 198.51.100.0/24.
func newBroker(t testing.TB) (*broker.Broker, *memory) {
	t.Helper()
	catalogue, err := broker.NewCatalogue("latchkey_", broker.Group{ID: "latchkey", Label: "Billing & Support"}, []broker.Portal{
		{
			ID: "portal", Handoff: broker.HandoffFormPost, LoginURL: portalLogin,
			FallbackURL: portalWayOn + "?next={path}", Audience: "https://portal.example.com",
		},
		{
			ID: "desk", Handoff: broker.HandoffExchange, LoginURL: "https://desk.example.com/sso",
			FallbackURL: "https://desk.example.com/", Audience: "https://desk.example.com",
			ClientID: "portal", ClientSecret: broker.NewSecret(clientSecret),
		},
	}, []broker.LinkDefinition{
		{ID: "billing", Enabled: true, Portal: "portal", Path: "/billing?tab=open"},
		{ID: "ticket", Enabled: true, Portal: "desk", Path: "/ticket"},
		{ID: "off", Portal: "portal", Path: "/off"},
	})
	if err != nil {
		t.Fatalf("NewCatalogue: %v", err)
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatalf("GenerateKey: %v", err)
	}
	key, err := broker.NewKey(private, time.Time{})
	if err != nil {
		t.Fatalf("NewKey: %v", err)
	}
	ring, err := broker.NewKeyRing(key)
	if err != nil {
		t.Fatalf("NewKeyRing: %v", err)
	}
	now := func() time.Time { return time.Unix(1_800_000_000, 0) }
	m := &memory{now: now, links: map[broker.Link]memoryLink{}, tokens: map[broker.Digest]*memoryToken{}}
	add := func(server, user, app string, age time.Duration) {
		token := broker.LinkToken{Secret: broker.NewSecret(linkToken)}
		m.links[broker.Link{Account: broker.Account{Server: server, User: user}, App: app}] = memoryLink{
			token: token.Digest(), subscriber: "1234", created: now().Add(-age),
		}
	}
	for _, app := range []string{"latchkey_billing", "latchkey_ticket", "latchkey_off"} {
		add("web01", "bob", app, 0)
	}
	add("web01", "old", "latchkey_billing", 2*linkTokenMaxAge+time.Second)
	add("web02", "bob", "latchkey_billing", 0)
	return broker.New(broker.Config{
		PublicURL: publicURL, OneTimeTokenTTL: 2 * time.Minute, LinkTokenMaxAge: linkTokenMaxAge, StoreTimeout: time.Second,
		Servers: map[string]broker.Server{
			"web01": {},
			"web02": {SourceIPs: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}},
		},
		Catalogue: func() *broker.Catalogue { return catalogue },
		Keys:      func() *broker.KeyRing { return ring },
		Controls:  func() (*broker.Controls, time.Time, bool) { return nil, now(), true },
		SignOns:   m, Audit: discard{}, Now: now, Random: rand.Reader,
	}), m
}
