package api_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/api"
	"github.com/latchkey-sso/latchkey/broker"
)

// burst lets an address make so many requests and then none.
func burst(n int) func(*api.Config) {
	return func(c *api.Config) {
		c.AddressLimit = broker.NewLimiter(broker.LimiterConfig{
			Scope: broker.LimitAddress, Limit: broker.Limit{Rate: 1e-9, Burst: n}, Now: time.Now,
		})
	}
}

func from(r *http.Request, peer string) *http.Request {
	r.RemoteAddr = peer
	return r
}

func TestAfterABurstAnAddressIsSlowedDown(t *testing.T) {
	d := &domain{}
	s := newServer(t, d, burst(3))
	for i := range 3 {
		if a := s.send(t, autologin()); a.status != 200 {
			t.Fatalf("request %d: got %d, want 200", i+1, a.status)
		}
	}
	a := s.send(t, autologin())
	if a.status != 429 {
		t.Fatalf("request 4: got %d %s, want 429", a.status, a.body)
	}
	if p := a.problem(t); p.Error != "slow_down" || p.RequestID != a.header.Get("X-Request-Id") {
		t.Errorf("got %+v, want slow_down with the request id", p)
	}
	if got := a.header.Get("Retry-After"); got != "60" {
		t.Errorf("Retry-After: got %q, want 60, the longest wait that is told", got)
	}
	// The limit is one for all routes, and each answers in its caller's form.
	if page := s.send(t, navigation(loginPath)); page.status != 429 || !strings.Contains(page.body, "<h1>Too many requests</h1>") {
		t.Errorf("/login: got %d %s, want the page of a 429", page.status, page.body)
	}
	if page := s.send(t, get(loginPath)); page.status != 429 || !strings.Contains(page.body, "<h1>Too many requests</h1>") {
		t.Errorf("/login without an Accept header: got %d %s, want the page of a 429", page.status, page.body)
	}
	posted := autologin()
	posted.Header.Set("Accept", "text/html")
	for name, r := range map[string]*http.Request{
		"autologin that takes HTML": posted, "exchange": exchange(), "key set": get("/.well-known/jwks.json"), "not found": get("/nothing"), "wrong method": get("/autologin"),
	} {
		if a := s.send(t, r); a.status != 429 || a.problem(t).Error != "slow_down" {
			t.Errorf("%s: got %d %s, want 429 slow_down", name, a.status, a.body)
		}
	}
	if got := d.calls(); got != 3 {
		t.Errorf("the domain was called %d times, want 3", got)
	}
	if a := s.send(t, from(autologin(), "192.0.2.2:1")); a.status != 200 {
		t.Errorf("another address: got %d, want 200", a.status)
	}
}

func TestWithoutARateThereIsNoLimit(t *testing.T) {
	s := newServer(t, &domain{}, func(c *api.Config) {
		c.AddressLimit = broker.NewLimiter(broker.LimiterConfig{Limit: broker.Limit{Burst: 1}, Now: time.Now})
	})
	for range 20 {
		if a := s.send(t, autologin()); a.status != 200 {
			t.Fatalf("got %d, want 200", a.status)
		}
	}
}

func TestNeighboursShareALimit(t *testing.T) {
	tests := []struct {
		name, first, second string
		shared              bool
	}{
		{"the same IPv4 address", "192.0.2.1:1", "192.0.2.1:2", true},
		{"IPv4 neighbours", "192.0.2.1:1", "192.0.2.2:1", false},
		{"the same /64", "[2001:db8:1:2::1]:1", "[2001:db8:1:2:ffff:ffff:ffff:ffff]:1", true},
		{"another /64", "[2001:db8:1:2::1]:1", "[2001:db8:1:3::1]:1", false},
		{"the same /64 with a zone", "[fe80::1%eth0]:1", "[fe80::2%eth1]:1", true},
		{"mapped IPv4 neighbours", "[::ffff:192.0.2.1]:1", "[::ffff:192.0.2.2]:1", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newServer(t, &domain{}, burst(1))
			if a := s.send(t, from(autologin(), test.first)); a.status != 200 {
				t.Fatalf("first: got %d, want 200", a.status)
			}
			if a := s.send(t, from(autologin(), test.second)); (a.status == 429) != test.shared {
				t.Errorf("second: got %d, want them to share a limit: %v", a.status, test.shared)
			}
		})
	}
}

// TestTheLimitFollowsTheTrueOrigin: whoever forges headers uses up the limit
// of their own address, and of no other.
func TestTheLimitFollowsTheTrueOrigin(t *testing.T) {
	for _, test := range origins {
		t.Run(test.name, func(t *testing.T) {
			s := newServer(t, &domain{}, burst(1), behindProxies)
			r := from(autologin(), test.peer)
			r.Header["X-Forwarded-For"] = test.forwarded
			if a := s.send(t, r); a.status != 200 {
				t.Fatalf("first: got %d, want 200", a.status)
			}
			direct := netip.AddrPortFrom(netip.MustParseAddr(test.want), 9).String()
			if a := s.send(t, from(autologin(), direct)); a.status != 429 {
				t.Errorf("from %s itself: got %d, want 429", test.want, a.status)
			}
			for _, forged := range []string{"203.0.113.9", "203.0.113.200"} {
				if a := s.send(t, from(autologin(), forged+":9")); a.status != 200 {
					t.Errorf("from %s, which was only named: got %d, want 200", forged, a.status)
				}
			}
		})
	}
}
