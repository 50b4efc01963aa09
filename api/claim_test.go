package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/api"
	"github.com/latchkey-sso/latchkey/broker"
)

func claimed(r *http.Request, value string) *http.Request {
	r.Header.Set("Cookie", "other=1; "+api.ClaimCookie+"="+value)
	return r
}

const proxyID = "proxy-request-id"

func named(r *http.Request) *http.Request {
	r.RemoteAddr = proxy
	r.Header.Set("X-Request-Id", proxyID)
	return r
}

func loginPost() *http.Request { return post("/login", formType, "one_time_token="+tokenText) }

// TestWhoIsTheClaimant: a browser is known by its cookie, else it is nobody who
// was here before; a request is known by the id that a trusted proxy gave it.
func TestWhoIsTheClaimant(t *testing.T) {
	stranger := func(r *http.Request) *http.Request {
		r.Header.Set("X-Request-Id", proxyID)
		return r
	}
	tests := []struct {
		name      string
		request   func(*http.Request) *http.Request
		want      string // "" for a random claim
		wantProxy string // "" for none
	}{
		{"cookie", func(r *http.Request) *http.Request { return claimed(r, claimText) }, claimText, ""},
		{"cookie and proxy", func(r *http.Request) *http.Request { return claimed(named(r), claimText) }, claimText, proxyID},
		{"proxy", named, "", proxyID},
		{"bad cookie and proxy", func(r *http.Request) *http.Request { return claimed(named(r), "short") }, "", proxyID},
		{"request id of a stranger", stranger, "", ""},
		{"nothing", func(r *http.Request) *http.Request { return r }, "", ""},
		{"a cookie too short", func(r *http.Request) *http.Request { return claimed(r, "123456789012345") }, "", ""},
		{"a cookie too long", func(r *http.Request) *http.Request { return claimed(r, strings.Repeat("x", 129)) }, "", ""},
		{"a cookie with other characters", func(r *http.Request) *http.Request { return claimed(r, "<script>hostile</script>") }, "", ""},
		{"an empty cookie", func(r *http.Request) *http.Request { return claimed(r, "") }, "", ""},
		{"the cookie without its prefix", func(r *http.Request) *http.Request {
			r.Header.Set("Cookie", "latchkey_claim="+claimText)
			return r
		}, "", ""},
	}
	for _, test := range tests {
		for route, request := range map[string]func() *http.Request{
			"GET":      func() *http.Request { return navigation(loginPath) },
			"POST":     loginPost,
			"exchange": exchange, // a back end has no cookies
		} {
			want := test.want
			if route == "exchange" {
				want = ""
			}
			t.Run(test.name+" "+route, func(t *testing.T) {
				seen := map[string]bool{}
				for range 2 {
					d := &domain{}
					if a := newServer(t, d, behindProxies).send(t, test.request(request())); a.status != 200 {
						t.Fatalf("got %d %s, want 200", a.status, a.body)
					}
					claim, byProxy := d.claims(t)
					seen[claim.Reveal()] = true
					if byProxy.Reveal() != test.wantProxy {
						t.Errorf("the proxy's claim: got %q, want %q", byProxy.Reveal(), test.wantProxy)
					}
				}
				switch {
				case want != "" && (len(seen) != 1 || !seen[want]):
					t.Errorf("the domain saw the claims %v, want %s twice", seen, want)
				case want == "" && len(seen) != 2:
					t.Errorf("the domain saw the claims %v, want another each time", seen)
				}
				for claim := range seen {
					if _, ok := broker.ParseClaim(claim); !ok {
						t.Errorf("%q has not the form of a claim", claim)
					}
				}
			})
		}
	}
}

// claims returns the claims of the only redemption.
func (d *domain) claims(t *testing.T) (claim, byProxy broker.Claim) {
	t.Helper()
	switch {
	case len(d.logins) == 1 && len(d.exchanges) == 0:
		return d.logins[0].Claim, d.logins[0].ProxyClaim
	case len(d.exchanges) == 1 && len(d.logins) == 0:
		return d.exchanges[0].Claim, d.exchanges[0].ProxyClaim
	}
	t.Fatalf("the domain was called %d times, want once", d.calls())
	return broker.Claim{}, broker.Claim{}
}

func (d *domain) claim(t *testing.T) string {
	t.Helper()
	claim, _ := d.claims(t)
	return claim.Reveal()
}

// claimCookie returns the claim cookie that an answer sets, or nil.
func (a answer) claimCookie(t *testing.T) *http.Cookie {
	t.Helper()
	cookies := (&http.Response{Header: a.header}).Cookies()
	if len(cookies) == 0 {
		return nil
	}
	c := cookies[0]
	if len(cookies) != 1 || c.Name != api.ClaimCookie {
		t.Fatalf("got the cookies %v, want at most the claim", a.header["Set-Cookie"])
	}
	if !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
		t.Errorf("got %s, want Secure HttpOnly SameSite=Lax Path=/ and no Domain", c.Raw)
	}
	return c
}

// TestABrowserThatWillAskAgainIsKnown: the page with the button and the page to
// try again set the cookie, and what follows has the same claim.
func TestABrowserThatWillAskAgainIsKnown(t *testing.T) {
	same := func(r *http.Request) *http.Request { return r }
	asks := map[string]struct {
		change func(*http.Request) *http.Request
		want   string
	}{
		"for the first time":          {same, ""},
		"with a cookie":               {func(r *http.Request) *http.Request { return claimed(r, claimText) }, claimText},
		"with a bad cookie":           {func(r *http.Request) *http.Request { return claimed(r, "bad") }, ""},
		"through a proxy":             {named, ""},
		"through a proxy with cookie": {func(r *http.Request) *http.Request { return claimed(named(r), claimText) }, claimText},
	}
	pages := map[string]struct {
		request func() *http.Request
		err     error
		status  int
	}{
		"confirm":         {func() *http.Request { return get(loginPath) }, nil, 200},
		"unavailable":     {func() *http.Request { return navigation(loginPath) }, &broker.Error{Reason: broker.ReasonUnavailable}, 503},
		"try again fails": {loginPost, &broker.Error{Reason: broker.ReasonUnavailable}, 503},
	}
	for pageName, page := range pages {
		for askName, ask := range asks {
			t.Run(pageName+" "+askName, func(t *testing.T) {
				d := &domain{}
				if page.err != nil {
					d.refuse(page.err)
				}
				s := newServer(t, d, behindProxies)
				a := s.send(t, ask.change(page.request()))
				c := a.claimCookie(t)
				if a.status != page.status || c == nil || c.MaxAge != int((2*time.Minute).Seconds()) {
					t.Fatalf("got %d and the cookie %v, want %d and one for 120 s", a.status, c, page.status)
				}
				if strings.Contains(c.Value, proxyID) {
					t.Errorf("the cookie %q repeats the request id, which is no secret", c.Value)
				}
				if _, ok := broker.ParseClaim(c.Value); !ok || ask.want != "" && c.Value != ask.want {
					t.Errorf("the cookie has %q, want the claim %q", c.Value, ask.want)
				}
				if len(d.logins) == 1 && d.logins[0].Claim.Reveal() != c.Value {
					t.Errorf("the domain saw %q, the cookie has %q, want them equal", d.logins[0].Claim.Reveal(), c.Value)
				}
				p := parsePage(t, a)
				if p.action != publicURL+"/login" || p.inputs["one_time_token"] != tokenText || p.buttons != 1 {
					t.Fatalf("got a form to %q with %v, want the token to our own login", p.action, p.inputs)
				}

				// The browser presses the button, through another connection.
				d.login, d.logins = nil, nil
				after := s.send(t, claimed(loginPost(), c.Value))
				if after.status != 200 || d.claim(t) != c.Value {
					t.Errorf("then: got %d for %q, want 200 for %q", after.status, d.claim(t), c.Value)
				}
				if gone := after.claimCookie(t); gone == nil || gone.MaxAge >= 0 || gone.Value != "" {
					t.Errorf("then: got the cookie %v, want it taken away", gone)
				}
			})
		}
	}
}

func TestWhoWillNotAskAgainGetsNoCookie(t *testing.T) {
	tests := []struct {
		name    string
		request *http.Request
		err     error
	}{
		{"hand-over", navigation(loginPath), nil},
		{"hand-over behind a proxy", named(navigation(loginPath)), nil},
		{"used", navigation(loginPath), &broker.Error{Reason: broker.ReasonTokenUsed}},
		{"error", navigation(loginPath), errPrivate},
		{"no token", navigation("/login"), nil},
		{"unknown token", get("/login?one_time_token=x"), nil},
		{"autologin", claimed(autologin(), claimText), nil},
		{"exchange", claimed(exchange(), claimText), nil},
		{"unavailable exchange", exchange(), &broker.Error{Reason: broker.ReasonUnavailable}},
		{"key set", get("/.well-known/jwks.json"), nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := &domain{}
			if test.err != nil {
				d.refuse(test.err)
			}
			a := newServer(t, d, behindProxies).send(t, test.request)
			if got := a.header.Values("Set-Cookie"); len(got) != 0 {
				t.Errorf("got %q, want no cookie", got)
			}
		})
	}
}

// TestALostReplyBurnsNothing goes through a real broker: whoever shows the
// cookie or comes through the proxy with the same id gets the hand-over again,
// everyone else is refused.
func TestALostReplyBurnsNothing(t *testing.T) {
	asks := map[string]func() *http.Request{
		"cookie": func() *http.Request { return claimed(navigation("/"), claimText) },
		"proxy":  func() *http.Request { return named(navigation("/")) },
	}
	for name, ask := range asks {
		t.Run(name, func(t *testing.T) {
			b, _ := newBroker(t)
			s := newServer(t, b, behindProxies)
			_, token, _ := strings.Cut(s.send(t, autologin()).body, "one_time_token=")
			token = strings.TrimSuffix(token, "\"}\n")
			send := func(r *http.Request) int {
				r.URL.Path, r.URL.RawQuery = "/login", "one_time_token="+token
				return s.send(t, r).status
			}
			for i, want := range []int{200, 200} {
				if got := send(ask()); got != want {
					t.Errorf("the claimant, call %d: got %d, want %d", i+1, got, want)
				}
			}
			if got := send(navigation("/")); got != 410 {
				t.Errorf("somebody else: got %d, want 410", got)
			}
			if got := send(claimed(navigation("/"), proxyID)); got != 410 {
				t.Errorf("a cookie made of the request id: got %d, want 410", got)
			}
			if got := send(ask()); got != 200 {
				t.Errorf("the claimant after that: got %d, want 200", got)
			}
		})
	}
}
