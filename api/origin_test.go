package api_test

import (
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"github.com/latchkey-sso/latchkey/api"
)

// behindProxies trusts 10.0.0.0/8, one host of it written as in a file, and an
// IPv6 network.
func behindProxies(c *api.Config) {
	for _, prefix := range []string{"10.0.0.0/8", "2001:db8:ffff::1/48"} {
		c.TrustedProxies = append(c.TrustedProxies, netip.MustParsePrefix(prefix))
	}
}

const (
	stranger = "192.0.2.1:1234"
	proxy    = "10.1.2.3:1234"
)

func TestRequestIDComesFromTrustedProxiesAlone(t *testing.T) {
	const given = "proxy-id_1.2345"
	tests := []struct {
		name, peer string
		ids        []string
		want       string
	}{
		{"from a proxy", proxy, []string{given}, given},
		{"from a proxy over IPv6", "[2001:db8:ffff::9]:1234", []string{given}, given},
		{"from a proxy as a mapped address", "[::ffff:10.1.2.3]:1234", []string{given}, given},
		{"from a stranger", stranger, []string{given}, ""},
		{"from a stranger over IPv6", "[2001:db8:fffe::9]:1234", []string{given}, ""},
		{"from nowhere", "@", []string{given}, ""},
		{"two of them", proxy, []string{given, given + "2"}, ""},
		{"two in one", proxy, []string{given + "," + given}, ""},
		{"none", proxy, nil, ""},
		{"empty", proxy, []string{""}, ""},
		{"too short", proxy, []string{"1234567"}, ""},
		{"shortest", proxy, []string{"12345678"}, "12345678"},
		{"longest", proxy, []string{strings.Repeat("a", 128)}, strings.Repeat("a", 128)},
		{"too long", proxy, []string{strings.Repeat("a", 129)}, ""},
		{"markup", proxy, []string{"<script>alert(1)</script>"}, ""},
		{"a new line", proxy, []string{"12345678\nforged"}, ""},
		{"a quote", proxy, []string{`12345678"`}, ""},
		{"not ASCII", proxy, []string{"1234567é"}, ""},
		{"a space", proxy, []string{"1234 5678"}, ""},
	}
	own := regexp.MustCompile(`^[a-z2-7]{4}(-[a-z2-7]{4}){3}$`)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := &domain{}
			s := newServer(t, d, behindProxies)
			r := autologin()
			r.RemoteAddr = test.peer
			r.Header["X-Request-Id"] = test.ids
			a := s.send(t, r)
			got := a.header.Get("X-Request-Id")
			switch {
			case test.want != "" && got != test.want:
				t.Errorf("got %q, want %q", got, test.want)
			case test.want == "" && !own.MatchString(got):
				t.Errorf("got %q, want one of our own", got)
			}
			if seen := d.autologins[0].From.RequestID; seen != got {
				t.Errorf("the domain saw the id %q, want %q", seen, got)
			}
			if logged := s.entries.All()[0].ContextMap()["request_id"]; logged != got {
				t.Errorf("the log has the id %q, want %q", logged, got)
			}
		})
	}
}

func TestOwnRequestIDsDiffer(t *testing.T) {
	s := newServer(t, &domain{})
	seen := map[string]bool{}
	for range 100 {
		seen[s.send(t, autologin()).header.Get("X-Request-Id")] = true
	}
	if len(seen) != 100 {
		t.Errorf("100 requests have %d ids, want 100", len(seen))
	}
}

// origins are requests with what they say of their origin, and what is true.
var origins = []struct {
	name, peer string
	forwarded  []string
	want       string
}{
	{"a stranger", stranger, nil, "192.0.2.1"},
	{"a stranger who says more", stranger, []string{"198.51.100.7"}, "192.0.2.1"},
	{"a stranger who names a proxy", stranger, []string{"10.1.2.3"}, "192.0.2.1"},
	{"a stranger who says a lot", stranger, []string{"198.51.100.7, 10.1.2.3", "10.2.2.2"}, "192.0.2.1"},
	{"a stranger over IPv6", "[2001:db8:1::5]:1234", []string{"198.51.100.7"}, "2001:db8:1::5"},
	{"loopback is not trusted by itself", "127.0.0.1:1234", []string{"198.51.100.7"}, "127.0.0.1"},
	{"private networks are not trusted by themselves", "192.168.1.1:1234", []string{"198.51.100.7"}, "192.168.1.1"},
	{"link-local networks are not trusted by themselves", "169.254.1.1:1234", []string{"198.51.100.7"}, "169.254.1.1"},
	{"a proxy that says nothing", proxy, nil, "10.1.2.3"},
	{"a proxy that says nothing in a header", proxy, []string{""}, "10.1.2.3"},
	{"behind a proxy", proxy, []string{"198.51.100.7"}, "198.51.100.7"},
	{"behind two proxies", proxy, []string{"198.51.100.7, 10.2.2.2"}, "198.51.100.7"},
	{"behind two proxies with a header each", proxy, []string{"198.51.100.7", "10.2.2.2"}, "198.51.100.7"},
	{"behind a proxy, with a forged hop", proxy, []string{"203.0.113.9, 198.51.100.7"}, "198.51.100.7"},
	{"behind a proxy, with a forged proxy", proxy, []string{"203.0.113.9, 10.9.9.9, 198.51.100.7"}, "198.51.100.7"},
	{"behind a proxy, with a forged header", proxy, []string{"203.0.113.9", "198.51.100.7"}, "198.51.100.7"},
	{"behind a proxy, with rubbish before", proxy, []string{"<script>, 198.51.100.7"}, "198.51.100.7"},
	{"rubbish from a proxy", proxy, []string{"unknown"}, "10.1.2.3"},
	{"rubbish last from a proxy", proxy, []string{"198.51.100.7, hostile"}, "10.1.2.3"},
	{"an address with a port from a proxy", proxy, []string{"198.51.100.7:80"}, "10.1.2.3"},
	{"nothing but proxies", proxy, []string{"10.3.3.3, 10.2.2.2"}, "10.3.3.3"},
	{"IPv6 behind a proxy", proxy, []string{"2001:DB8:1:0::5"}, "2001:db8:1::5"},
	{"IPv6 in brackets behind a proxy", proxy, []string{"[2001:db8:1::5]"}, "2001:db8:1::5"},
	{"a mapped address behind a proxy", proxy, []string{"::ffff:198.51.100.7"}, "198.51.100.7"},
	{"behind a proxy over IPv6", "[2001:db8:ffff::9]:1234", []string{"198.51.100.7"}, "198.51.100.7"},
	{"behind mixed proxies", "[2001:db8:ffff::9]:1234", []string{"2001:db8:1::5, 10.2.2.2"}, "2001:db8:1::5"},
}

func TestOriginIsNotForged(t *testing.T) {
	for _, test := range origins {
		t.Run(test.name, func(t *testing.T) {
			d := &domain{}
			s := newServer(t, d, behindProxies)
			login, swap := navigation(loginPath), exchange()
			for _, r := range []*http.Request{autologin(), login, swap} {
				r.RemoteAddr = test.peer
				r.Header["X-Forwarded-For"] = test.forwarded
				for _, name := range []string{"X-Real-Ip", "Forwarded", "True-Client-Ip", "Cf-Connecting-Ip", "X-Client-Ip", "X_forwarded_for"} {
					r.Header.Set(name, "203.0.113.200")
				}
				s.send(t, r)
			}
			want := netip.MustParseAddr(test.want)
			for name, got := range map[string]netip.Addr{
				"autologin": d.autologins[0].From.Address, "login": d.logins[0].From.Address, "exchange": d.exchanges[0].From.Address,
			} {
				if got != want {
					t.Errorf("%s: the domain saw %v, want %v", name, got, want)
				}
			}
			for _, entry := range s.entries.All() {
				if got := entry.ContextMap()["address"]; got != test.want {
					t.Errorf("the log has the address %q, want %q", got, test.want)
				}
			}
		})
	}
}

// TestWithoutProxiesNobodyIsTrusted is the default configuration.
func TestWithoutProxiesNobodyIsTrusted(t *testing.T) {
	for _, peer := range []string{"127.0.0.1:1", "10.1.2.3:1", "192.0.2.1:1"} {
		d := &domain{}
		r := autologin()
		r.RemoteAddr = peer
		r.Header.Set("X-Forwarded-For", "198.51.100.7")
		r.Header.Set("X-Request-Id", "forged-request-id")
		a := newServer(t, d).send(t, r)
		if got, want := d.autologins[0].From.Address, netip.MustParseAddrPort(peer).Addr(); got != want {
			t.Errorf("the domain saw %v, want %v", got, want)
		}
		if got := a.header.Get("X-Request-Id"); got == "forged-request-id" {
			t.Errorf("the peer %s set the request id", peer)
		}
	}
}

// TestAPeerWithoutAnAddress: a connection over a Unix socket.
func TestAPeerWithoutAnAddress(t *testing.T) {
	d := &domain{}
	r := autologin()
	r.RemoteAddr = "@"
	if a := newServer(t, d, behindProxies).send(t, r); a.status != http.StatusOK || d.autologins[0].From.Address.IsValid() {
		t.Errorf("got %d from %v, want 200 from no address", a.status, d.autologins[0].From.Address)
	}
}
