package api_test

import (
	"context"
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

func keySet() *http.Request { return get("/.well-known/jwks.json") }

func TestAfterABurstAnAddressIsSlowedDown(t *testing.T) {
	d := &domain{}
	s := newServer(t, d, burst(3))
	for i := range 3 {
		if a := s.send(t, exchange()); a.status != 200 {
			t.Fatalf("request %d: got %d, want 200", i+1, a.status)
		}
	}
	a := s.send(t, exchange())
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
	malformed := post("/autologin", formType, "%zz")
	malformed.Header.Set("Accept", "text/html")
	d.refuse(&broker.Error{Reason: broker.ReasonAccessDenied})
	for name, r := range map[string]*http.Request{
		"malformed autologin that takes HTML": malformed, "wrong autologin": autologin(), "exchange": exchange(), "key set": keySet(),
		"not found": get("/nothing"), "wrong method": get("/autologin"), "not quite autologin": post("/x/autologin", formType, ""),
	} {
		if a := s.send(t, r); a.status != 429 || a.problem(t).Error != "slow_down" {
			t.Errorf("%s: got %d %s, want 429 slow_down", name, a.status, a.body)
		}
	}
	if got := d.calls(); got != 4 {
		t.Errorf("the domain was called %d times, want 4: thrice before, and for the wrong autologin", got)
	}
	if a := s.send(t, from(keySet(), "192.0.2.2:1")); a.status != 200 {
		t.Errorf("another address: got %d, want 200", a.status)
	}
}

// Of clicks only those count that nobody vouches for or that are over a limit, and a click whose link token is
// right gets in from an address that is over its limit.
func TestOnlyFailedClicksCount(t *testing.T) {
	refusal := func(reason broker.Reason) func(broker.AutologinRequest) (broker.Answer, error) {
		return func(broker.AutologinRequest) (broker.Answer, error) {
			return broker.Answer{}, &broker.Error{Reason: reason, RetryAfter: time.Second}
		}
	}
	hungUp := func(r *http.Request) *http.Request {
		ctx, cancel := context.WithCancel(r.Context())
		cancel()
		return r.WithContext(ctx)
	}
	malformed := func(*http.Request) *http.Request { return post("/autologin?"+linkQuery, formType, "%zz") }
	retry := func(broker.AutologinRequest) (broker.Answer, error) {
		return broker.Answer{RetryAfter: time.Second, Attempt: 1}, nil
	}
	tests := []struct {
		name   string
		does   func(broker.AutologinRequest) (broker.Answer, error)
		change func(*http.Request) *http.Request
		status int
		counts bool
	}{
		{"signed on", nil, nil, 200, false},
		{"come again", retry, nil, 200, false},
		{"come again, hung up", retry, hungUp, 200, true},
		{"not now", refusal(broker.ReasonUnavailable), nil, 503, false},
		{"not now, hung up", refusal(broker.ReasonUnavailable), hungUp, 503, true},
		{"switched off", refusal(broker.ReasonSignOnDisabled), nil, 403, false},
		{"too many of the account", refusal(broker.ReasonSlowDown), nil, 429, true},
		{"our own failure", func(broker.AutologinRequest) (broker.Answer, error) { return broker.Answer{}, errPrivate }, nil, 500, false},
		{"denied", refusal(broker.ReasonAccessDenied), nil, 401, true},
		{"malformed for the broker", refusal(broker.ReasonInvalidRequest), nil, 400, true},
		{"malformed", nil, malformed, 400, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := &domain{autologin: test.does}
			s := newServer(t, d, burst(2))
			send := func() answer {
				r := autologin()
				if test.change != nil {
					r = test.change(r)
				}
				return s.send(t, r)
			}
			for range 2 {
				if a := send(); a.status != test.status {
					t.Fatalf("within the limit: got %d %s, want %d", a.status, a.body, test.status)
				}
			}
			if a := s.send(t, keySet()); (a.status == 429) != test.counts {
				t.Errorf("the key set afterwards: got %d, want the two to count: %v", a.status, test.counts)
			}
			s.send(t, keySet()) // now it is over the limit, either way
			want := test.status
			if test.counts && want != 200 {
				want = 429
			}
			if a := send(); a.status != want {
				t.Errorf("over the limit: got %d %s, want %d", a.status, a.body, want)
			}
			d.autologin = nil
			d.forget()
			if a := s.send(t, autologin()); a.status != 200 || len(d.autologins) != 1 || !d.autologins[0].Doubted {
				t.Errorf("a click over the limit: got %d, %+v; want 200, and the domain told of the doubt", a.status, d.autologins)
			}
			if a := s.send(t, from(autologin(), "192.0.2.2:1")); a.status != 200 || d.autologins[1].Doubted {
				t.Errorf("a click from another address: got %d, %+v; want 200, and no doubt", a.status, d.autologins[1])
			}
		})
	}
}

// Over its limit an address learns of a failure only that it was one.
func TestOverTheLimitFailuresLookAlike(t *testing.T) {
	d := &domain{}
	s := newServer(t, d, burst(1))
	s.send(t, keySet())
	d.refuse(&broker.Error{Reason: broker.ReasonAccessDenied})
	denied, malformed := s.send(t, autologin()), s.send(t, post("/autologin", formType, "%zz"))
	for _, a := range []answer{denied, malformed} {
		id := a.header.Get("X-Request-Id")
		if want := `{"error":"slow_down","error_description":"There were too many requests.","request_id":"` + id + `"}`; strings.TrimSpace(a.body) != want || a.status != 429 || a.header.Get("Retry-After") != "60" {
			t.Errorf("got %d %s, Retry-After %q; want 429 %s and 60", a.status, a.body, a.header.Get("Retry-After"), want)
		}
	}
}

func TestWithoutARateThereIsNoLimit(t *testing.T) {
	s := newServer(t, &domain{}, func(c *api.Config) {
		c.AddressLimit = broker.NewLimiter(broker.LimiterConfig{Limit: broker.Limit{Burst: 1}, Now: time.Now})
	})
	for range 20 {
		if a := s.send(t, keySet()); a.status != 200 {
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
			if a := s.send(t, from(keySet(), test.first)); a.status != 200 {
				t.Fatalf("first: got %d, want 200", a.status)
			}
			if a := s.send(t, from(keySet(), test.second)); (a.status == 429) != test.shared {
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
			r := from(keySet(), test.peer)
			r.Header["X-Forwarded-For"] = test.forwarded
			if a := s.send(t, r); a.status != 200 {
				t.Fatalf("first: got %d, want 200", a.status)
			}
			direct := netip.AddrPortFrom(netip.MustParseAddr(test.want), 9).String()
			if a := s.send(t, from(keySet(), direct)); a.status != 429 {
				t.Errorf("from %s itself: got %d, want 429", test.want, a.status)
			}
			for _, forged := range []string{"203.0.113.9", "203.0.113.200"} {
				if a := s.send(t, from(keySet(), forged+":9")); a.status != 200 {
					t.Errorf("from %s, which was only named: got %d, want 200", forged, a.status)
				}
			}
		})
	}
}
