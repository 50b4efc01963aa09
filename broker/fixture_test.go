package broker_test

import (
	"context"
	"crypto/rand"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/embedded"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

const (
	publicURL   = "https://sso.example.com"
	aSubscriber = "1234"
	maxAge      = 90 * 24 * time.Hour
)

var (
	noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	bob  = broker.Account{Server: "web01", User: "bob"}
	// The links of bob: two that a browser redeems, two that portals redeem.
	invoices = broker.Link{Account: bob, App: "latchkey_invoices"}
	billing  = broker.Link{Account: bob, App: "latchkey_billing"}
	cart     = broker.Link{Account: bob, App: "latchkey_cart"}
	tickets  = broker.Link{Account: bob, App: "latchkey_tickets"}
	// closed is switched off, unlisted is not in the catalogue.
	closed   = broker.Link{Account: bob, App: "latchkey_closed"}
	unlisted = broker.Link{Account: bob, App: "latchkey_unlisted"}
	// strange stands on a server that is not in the configuration, fenced on one
	// that may post from few addresses.
	strange = broker.Link{Account: broker.Account{Server: "web09", User: "bob"}, App: "latchkey_invoices"}
	fenced  = broker.Link{Account: broker.Account{Server: "web02", User: "bob"}, App: "latchkey_invoices"}

	inside = broker.Origin{RequestID: "r1", Address: netip.MustParseAddr("192.0.2.7")}
)

func portals() []broker.Portal {
	return []broker.Portal{
		{
			ID: "portal", Handoff: broker.HandoffFormPost, LoginURL: "https://portal.example.com/sso/latchkey",
			FallbackURL: "https://portal.example.com/login?next={path}", Audience: "https://portal.example.com",
		},
		{
			ID: "shop", Handoff: broker.HandoffExchange, LoginURL: "https://shop.example.com/sso?tenant=7",
			FallbackURL: "https://shop.example.com/login", Audience: "https://shop.example.com",
			ClientID: "shop-client", ClientSecret: broker.NewSecret("shop-secret"),
		},
		{
			ID: "desk", Handoff: broker.HandoffExchange, LoginURL: "https://desk.example.com/sso",
			Audience: "https://desk.example.com", ClientID: "desk-client", ClientSecret: broker.NewSecret("desk-secret"),
		},
	}
}

func definitions() []broker.LinkDefinition {
	return []broker.LinkDefinition{
		{ID: "invoices", Enabled: true, Order: 10, Portal: "portal", Path: "/invoices?open=1"},
		{ID: "billing", Enabled: true, Order: 20, Portal: "portal", Path: "/billing"},
		{ID: "cart", Enabled: true, Order: 30, Portal: "shop", Path: "/cart"},
		{ID: "tickets", Enabled: true, Order: 40, Portal: "desk", Path: "/tickets"},
		{ID: "closed", Enabled: false, Order: 50, Portal: "portal", Path: "/closed"},
	}
}

// world is a broker over the embedded store, with a clock that is moved by hand.
type world struct {
	t     *testing.T
	redis *embedded.Redis // nil over a real one
	store *store.Store
	audit *recorder
	// linkTokens are those of bob and of strange and fenced.
	linkTokens map[broker.Link]broker.LinkToken
	broker     *broker.Broker

	mu        sync.Mutex
	now       time.Time
	catalogue *broker.Catalogue
	keys      *broker.KeyRing
	controls  *broker.Controls
	stale     bool // the controls are not known to be fresh
}

// newWorld makes a world; change may replace parts of the configuration, among
// them the store that cfg.SignOns holds at first.
func newWorld(t *testing.T, change ...func(*broker.Config)) *world {
	t.Helper()
	r, err := embedded.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	w := newWorldOver(t, r.Client(), change...)
	w.redis = r
	return w
}

// newCrowdedWorld makes a world for many sign-ons. In the long form it is over a real
// Redis: the embedded one looks at all keys with each command.
func newCrowdedWorld(t *testing.T, change ...func(*broker.Config)) *world {
	t.Helper()
	if !storetest.Long {
		return newWorld(t, change...)
	}
	return newWorldOver(t, storetest.StartRedis(t).Client(), change...)
}

func newWorldOver(t *testing.T, client redis.UniversalClient, change ...func(*broker.Config)) *world {
	t.Helper()
	w := &world{
		t: t, store: store.New(store.Config{Client: client, KeyPrefix: "latchkey:"}),
		audit: &recorder{}, linkTokens: map[broker.Link]broker.LinkToken{}, now: noon,
	}
	for _, link := range []broker.Link{invoices, billing, cart, tickets, closed, unlisted, strange, fenced} {
		token := ok(broker.NewLinkToken(rand.Reader))(t)
		w.linkTokens[link] = token
		record := store.LinkRecord{Link: link, Subscriber: aSubscriber, Token: token.Digest(), Created: noon}
		if err := w.store.PutLink(t.Context(), record, false); err != nil {
			t.Fatal(err)
		}
	}
	cfg := w.config(w.store)
	for _, c := range change {
		c(&cfg)
	}
	w.broker = broker.New(cfg)
	return w
}

// newStubWorld makes a world over functions, for tests in a bubble of time.
func newStubWorld(t *testing.T, s broker.SignOns, timeout time.Duration) *world {
	t.Helper()
	token := ok(broker.NewLinkToken(rand.Reader))(t)
	w := &world{t: t, audit: &recorder{}, now: noon, linkTokens: map[broker.Link]broker.LinkToken{invoices: token}}
	cfg := w.config(s)
	cfg.StoreTimeout = timeout
	w.broker = broker.New(cfg)
	return w
}

func (w *world) config(s broker.SignOns) broker.Config {
	w.t.Helper()
	w.revise(definitions()...)
	w.setKeys(generate(w.t, "EdDSA", noon.Add(-time.Hour)))
	return broker.Config{
		PublicURL: publicURL, OneTimeTokenTTL: 120 * time.Second, LinkTokenMaxAge: maxAge, StoreTimeout: time.Second,
		Servers: map[string]broker.Server{
			"web01": {},
			"web02": {SourceIPs: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/28"), netip.MustParsePrefix("2001:db8::/64")}},
		},
		Catalogue: w.currentCatalogue, Keys: w.currentKeys, Controls: w.currentControls, SignOns: s, Audit: w.audit, Now: w.clock, Random: rand.Reader,
	}
}

// another is a second broker over the same store, whose own clock is ahead.
func (w *world) another(ahead time.Duration) *broker.Broker {
	w.t.Helper()
	cfg := w.config(w.store)
	cfg.Now = func() time.Time { return w.clock().Add(ahead) }
	return broker.New(cfg)
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) currentCatalogue() *broker.Catalogue {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.catalogue
}

func (w *world) currentKeys() *broker.KeyRing {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.keys
}

func (w *world) currentControls() (*broker.Controls, time.Time, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.controls, w.now, !w.stale
}

// control puts these controls in force, and no others.
func (w *world) control(list ...broker.Control) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.controls = broker.NewControls(list)
}

func (w *world) setStale(stale bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stale = stale
}

// setClock sets the clock of the broker and of the controls.
func (w *world) setClock(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = now
}

// advance moves the clock of the broker and of the store.
func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	w.now = w.now.Add(d)
	w.mu.Unlock()
	w.redis.Advance(d)
}

// revise puts another revision of the catalogue in force.
func (w *world) revise(links ...broker.LinkDefinition) {
	w.t.Helper()
	c := ok(broker.NewCatalogue("latchkey_", broker.Group{ID: "latchkey", Label: "Billing & Support"}, portals(), links))(w.t)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.catalogue = c
}

func (w *world) setKeys(keys ...*broker.Key) {
	w.t.Helper()
	ring := ok(broker.NewKeyRing(keys...))(w.t)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.keys = ring
}

// click is what the server of a link posts.
func (w *world) click(link broker.Link) broker.AutologinRequest {
	return broker.AutologinRequest{Link: link, Token: w.linkTokens[link], Subscriber: aSubscriber, From: inside}
}

// issue clicks a link and returns the one-time token; the events of it are
// forgotten.
func (w *world) issue(link broker.Link) broker.OneTimeToken {
	w.t.Helper()
	answer := ok(w.broker.Autologin(w.t.Context(), w.click(link)))(w.t)
	w.audit.take()
	return tokenIn(w.t, answer)
}

func (w *world) login(token broker.OneTimeToken, claim broker.Claim) (broker.FormPost, error) {
	return w.broker.Login(w.t.Context(), broker.LoginRequest{Token: token, Claim: claim, From: inside})
}

// exchange redeems as the back end of a portal of portals().
func (w *world) exchange(portal string, token broker.OneTimeToken, claim broker.Claim) (broker.Exchanged, error) {
	return w.broker.Exchange(w.t.Context(), broker.ExchangeRequest{
		ClientID: portal + "-client", ClientSecret: broker.NewSecret(portal + "-secret"),
		Token: token.Reveal(), Claim: claim, From: inside,
	})
}

// recorder is an Audit that keeps its events.
type recorder struct {
	mu     sync.Mutex
	events []broker.Event
}

func (r *recorder) Record(_ context.Context, e broker.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

// take returns the events since the last call.
func (r *recorder) take() []broker.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	events := r.events
	r.events = nil
	return events
}

// wantEvents compares all events since the last look.
func (w *world) wantEvents(want ...broker.Event) {
	w.t.Helper()
	if got := w.audit.take(); !slices.Equal(got, want) {
		w.t.Errorf("audit:\ngot  %+v\nwant %+v", got, want)
	}
}

// signOns is a store of functions.
type signOns struct {
	issue  func(context.Context, broker.Issue) (broker.Issued, error)
	redeem func(context.Context, broker.Redeem) (broker.Redemption, error)
}

func (s signOns) Issue(ctx context.Context, in broker.Issue) (broker.Issued, error) {
	return s.issue(ctx, in)
}

func (s signOns) Redeem(ctx context.Context, in broker.Redeem) (broker.Redemption, error) {
	return s.redeem(ctx, in)
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

func newClaim(t testing.TB) broker.Claim {
	t.Helper()
	return ok(broker.NewClaim(rand.Reader))(t)
}

func generate(t testing.TB, algorithm string, made time.Time) *broker.Key {
	t.Helper()
	return ok(broker.GenerateKey(algorithm, rand.Reader, made))(t)
}

// wantRefusal compares an error with want, its private cause apart.
func wantRefusal(t *testing.T, err error, want broker.Error) {
	t.Helper()
	got, isRefusal := err.(*broker.Error)
	if !isRefusal {
		t.Errorf("got error %v (%T), want a refusal %v", err, err, &want)
		return
	}
	public := *got
	public.Err = nil
	if public != want {
		t.Errorf("got refusal %+v, want %+v", public, want)
	}
}
