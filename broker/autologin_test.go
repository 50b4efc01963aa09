package broker_test

import (
	"crypto/rand"
	"errors"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

func event(kind broker.EventKind, link broker.Link, at time.Time) broker.Event {
	return broker.Event{Kind: kind, At: at, From: inside, Link: link, Subscriber: aSubscriber}
}

func TestAClickGetsAOneTimeURL(t *testing.T) {
	tests := []struct {
		name   string
		link   broker.Link
		portal string
		want   string // before the token
	}{
		{"form_post leads to us", invoices, "portal", publicURL + "/login?one_time_token="},
		{"exchange leads to the portal and keeps its query", cart, "shop", "https://shop.example.com/sso?tenant=7&one_time_token="},
		{"exchange without a query", tickets, "desk", "https://desk.example.com/sso?one_time_token="},
	}
	for _, tt := range tests {
		w := newWorld(t)
		answer := ok(w.broker.Autologin(t.Context(), w.click(tt.link)))(t)
		if got := answer.RedirectURL.Reveal(); !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s: got %q, want it to begin with %q", tt.name, got, tt.want)
		}
		if answer.RetryAfter != 0 || answer.Attempt != 0 {
			t.Errorf("%s: got retry %v of attempt %d beside the redirect", tt.name, answer.RetryAfter, answer.Attempt)
		}
		token := tokenIn(t, answer)
		if token.Tag() != bob.Tag() {
			t.Errorf("%s: tag: got %q, want %q", tt.name, token.Tag(), bob.Tag())
		}
		want := event(broker.EventIssued, tt.link, noon)
		want.Portal, want.Token = tt.portal, token.Digest().String()
		w.wantEvents(want)
	}
	w := newWorld(t)
	u := ok(url.Parse(ok(w.broker.Autologin(t.Context(), w.click(cart)))(t).RedirectURL.Reveal()))(t)
	if got := u.Query(); got.Get("tenant") != "7" || len(got) != 2 || len(got["one_time_token"]) != 1 {
		t.Errorf("query of the portal's URL: got %v, want its tenant and one token", got)
	}
}

func TestAutologinURL(t *testing.T) {
	want := "https://sso.example.com/autologin?server=web01&user=bob&app=latchkey_billing"
	if got := broker.AutologinURL(publicURL, billing); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	odd := broker.Link{Account: broker.Account{Server: "a&b=c", User: "d#e f"}, App: "g%h"}
	query := ok(url.Parse(broker.AutologinURL(publicURL, odd)))(t).Query()
	if query.Get("server") != odd.Server || query.Get("user") != odd.User || query.Get("app") != odd.App || len(query) != 3 {
		t.Errorf("query of %s: got %v", odd, query)
	}
}

func TestAMalformedClickReachesNobody(t *testing.T) {
	tests := []struct {
		name   string
		change func(*broker.AutologinRequest)
		field  string
	}{
		{"no server", func(r *broker.AutologinRequest) { r.Link.Server = "" }, "server"},
		{"bad user", func(r *broker.AutologinRequest) { r.Link.User = "b/ob" }, "user"},
		{"bad app", func(r *broker.AutologinRequest) { r.Link.App = "/subscriber" }, "app"},
		{"no token", func(r *broker.AutologinRequest) { r.Token = broker.LinkToken{} }, "token"},
		{"long token", func(r *broker.AutologinRequest) {
			r.Token = broker.LinkToken{Secret: broker.NewSecret(strings.Repeat("a", broker.MaxToken+1))}
		}, "token"},
		{"no subscriber", func(r *broker.AutologinRequest) { r.Subscriber = "" }, "subscriber_unique_id"},
		{"negative attempt", func(r *broker.AutologinRequest) { r.Attempt = -1 }, "attempt"},
		{"fourth attempt", func(r *broker.AutologinRequest) { r.Attempt = 4 }, "attempt"},
	}
	w := newWorld(t)
	for _, tt := range tests {
		r := w.click(invoices)
		tt.change(&r)
		_, err := w.broker.Autologin(t.Context(), r)
		refusal, is := err.(*broker.Error)
		if !is || refusal.Reason != broker.ReasonInvalidRequest || refusal.Field != tt.field {
			t.Errorf("%s: got %v, want an invalid %s", tt.name, err, tt.field)
		}
	}
	w.wantEvents()
}

// Every refusal looks the same from outside and has its cause in the audit.
func TestDenials(t *testing.T) {
	wrong := ok(broker.NewLinkToken(rand.Reader))(t)
	outside := netip.MustParseAddr("198.51.100.1")
	tests := []struct {
		name   string
		link   broker.Link
		after  time.Duration
		change func(*broker.AutologinRequest)
		cause  broker.Cause
	}{
		{"no such account", invoices, 0, func(r *broker.AutologinRequest) { r.Link.User = "eve" }, broker.CauseNoLink},
		{"no such app", invoices, 0, func(r *broker.AutologinRequest) { r.Link.App = "latchkey_profile" }, broker.CauseNoLink},
		{"token of another link", invoices, 0, func(r *broker.AutologinRequest) { r.Link.App = billing.App }, broker.CauseToken},
		{"wrong token", invoices, 0, func(r *broker.AutologinRequest) { r.Token = wrong }, broker.CauseToken},
		{"wrong subscriber", invoices, 0, func(r *broker.AutologinRequest) { r.Subscriber = "1235" }, broker.CauseSubscriber},
		{"link token past twice its age", invoices, 2*maxAge + time.Second, nil, broker.CauseAged},
		{"server not in the configuration", strange, 0, nil, broker.CauseServer},
		{"server not in the configuration, wrong token", strange, 0, func(r *broker.AutologinRequest) { r.Token = wrong }, broker.CauseServer},
		{"address outside", fenced, 0, func(r *broker.AutologinRequest) { r.From.Address = outside }, broker.CauseSource},
		{"address unknown", fenced, 0, func(r *broker.AutologinRequest) { r.From.Address = netip.Addr{} }, broker.CauseSource},
		{"address outside, wrong token", fenced, 0, func(r *broker.AutologinRequest) { r.From.Address, r.Token = outside, wrong }, broker.CauseToken},
		{"app switched off, wrong token", closed, 0, func(r *broker.AutologinRequest) { r.Token = wrong }, broker.CauseToken},
		{"app not in the catalogue, wrong token", unlisted, 0, func(r *broker.AutologinRequest) { r.Token = wrong }, broker.CauseToken},
		{"app switched off, wrong subscriber", closed, 0, func(r *broker.AutologinRequest) { r.Subscriber = "1235" }, broker.CauseSubscriber},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.advance(tt.after)
			before := storetest.Dump(t, w.redis.Client())
			r := w.click(tt.link)
			if tt.change != nil {
				tt.change(&r)
			}
			answer, err := w.broker.Autologin(t.Context(), r)
			wantRefusal(t, err, broker.Error{Reason: broker.ReasonAccessDenied})
			if !answer.RedirectURL.IsZero() || answer.RetryAfter != 0 {
				t.Errorf("got answer %+v beside the refusal", answer)
			}
			w.wantEvents(broker.Event{
				Kind: broker.EventDenied, At: w.clock(), From: r.From, Link: r.Link, Subscriber: r.Subscriber, Cause: tt.cause,
			})
			if after := storetest.Dump(t, w.redis.Client()); after != before {
				t.Errorf("a refused click wrote to the store:\nbefore %s\nafter  %s", before, after)
			}
		})
	}
}

func TestSourceAddresses(t *testing.T) {
	tests := []struct {
		name, address string
		want          bool
	}{
		{"first of the range", "192.0.2.0", true},
		{"last of the range", "192.0.2.15", true},
		{"past the range", "192.0.2.16", false},
		{"IPv6 inside", "2001:db8::1", true},
		{"IPv6 outside", "2001:db8:0:1::1", false},
		{"IPv4 mapped into IPv6, inside", "::ffff:192.0.2.7", true},
		{"IPv4 mapped into IPv6, outside", "::ffff:192.0.2.16", false},
		{"loopback", "127.0.0.1", false},
	}
	w := newWorld(t)
	for _, tt := range tests {
		r := w.click(fenced)
		r.From.Address = netip.MustParseAddr(tt.address)
		_, err := w.broker.Autologin(t.Context(), r)
		if got := err == nil; got != tt.want {
			t.Errorf("%s: got error %v, want let in %v", tt.name, err, tt.want)
		}
		r.Link, r.Token = invoices, w.linkTokens[invoices]
		if _, err := w.broker.Autologin(t.Context(), r); err != nil {
			t.Errorf("%s at a server without source_ips: %v", tt.name, err)
		}
	}
}

func TestDisabledAppsAreShownToValidLinkTokensOnly(t *testing.T) {
	for name, link := range map[string]broker.Link{"switched off": closed, "not in the catalogue": unlisted} {
		w := newWorld(t)
		before := storetest.Dump(t, w.redis.Client())
		_, err := w.broker.Autologin(t.Context(), w.click(link))
		wantRefusal(t, err, broker.Error{Reason: broker.ReasonSignOnDisabled})
		w.wantEvents(event(broker.EventDisabled, link, noon))
		if after := storetest.Dump(t, w.redis.Client()); after != before {
			t.Errorf("%s: a one-time token was kept:\n%s", name, after)
		}
	}
}

func TestAgeOfLinkTokens(t *testing.T) {
	tests := []struct {
		name   string
		maxAge time.Duration
		age    time.Duration
		want   []broker.EventKind
	}{
		{"new", maxAge, 0, []broker.EventKind{broker.EventIssued}},
		{"at its maximum age", maxAge, maxAge, []broker.EventKind{broker.EventIssued}},
		{"past its maximum age", maxAge, maxAge + time.Second, []broker.EventKind{broker.EventAged, broker.EventIssued}},
		{"at twice its maximum age", maxAge, 2 * maxAge, []broker.EventKind{broker.EventAged, broker.EventIssued}},
		{"past twice its maximum age", maxAge, 2*maxAge + time.Second, []broker.EventKind{broker.EventDenied}},
		{"ten years old without a maximum", 0, 87600 * time.Hour, []broker.EventKind{broker.EventIssued}},
	}
	for _, tt := range tests {
		w := newWorld(t, func(c *broker.Config) { c.LinkTokenMaxAge = tt.maxAge })
		w.advance(tt.age)
		_, err := w.broker.Autologin(t.Context(), w.click(invoices))
		events := w.audit.take()
		var kinds []broker.EventKind
		for _, e := range events {
			kinds = append(kinds, e.Kind)
		}
		if !slices.Equal(kinds, tt.want) {
			t.Errorf("%s: got events %q, want %q", tt.name, kinds, tt.want)
		}
		if denied := tt.want[0] == broker.EventDenied; (broker.ReasonOf(err) == broker.ReasonAccessDenied) != denied || (err != nil) != denied {
			t.Errorf("%s: got error %v, want denied %v", tt.name, err, denied)
		}
		if tt.want[0] == broker.EventAged {
			if want := event(broker.EventAged, invoices, w.clock()); events[0] != want {
				t.Errorf("%s: got event %+v, want %+v", tt.name, events[0], want)
			}
		}
	}
}

func TestNoRandomnessNoToken(t *testing.T) {
	broken := errors.New("no entropy")
	w := newWorld(t, func(c *broker.Config) { c.Random = iotest.ErrReader(broken) })
	answer, err := w.broker.Autologin(t.Context(), w.click(invoices))
	if !errors.Is(err, broken) || broker.ReasonOf(err) != 0 || !answer.RedirectURL.IsZero() {
		t.Errorf("got answer %+v, error %v, want an error without a reason", answer, err)
	}
}
