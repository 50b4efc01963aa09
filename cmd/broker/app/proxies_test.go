package app_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/cmd/broker/app"
)

// spoof is what a client says of the request, where it is, and where it comes from.
type spoof struct {
	name string
	// before stands before the path in the request line.
	before string
	// host are the lines that say the host, by default the true one.
	host []string
	// headers are lines; %s is another forged address in each request.
	headers []string
	// refusedBy names who answers 400 instead: "direct", "nginx", "HAProxy".
	refusedBy []string
}

func spoofs() []spoof {
	all, proxies := []string{"direct", "nginx", "HAProxy"}, []string{"nginx", "HAProxy"}
	return []spoof{
		{name: "nothing"},
		{name: "another host", host: []string{"Host: evil.example"}},
		{name: "a port", host: []string{"Host: sso.example.com:8443"}},
		{name: "a port that is none", host: []string{"Host: sso.example.com:evil"}},
		{name: "an IPv6 host", host: []string{"Host: [::1]:99"}},
		{name: "user information", host: []string{"Host: sso.example.com@evil.example"}, refusedBy: all},
		{name: "a path in the host", host: []string{"Host: evil.example/x"}, refusedBy: all},
		{name: "a capital host", host: []string{"Host: EVIL.example."}},
		{name: "two hosts", host: []string{"Host: sso.example.com", "Host: evil.example"}, refusedBy: all},
		{name: "no host", host: []string{"X: y"}, refusedBy: all},
		{name: "an absolute target", before: "http://evil.example", host: []string{"Host: evil.example"}},
		{name: "an absolute target for another host", before: "http://evil.example", refusedBy: []string{"HAProxy"}},
		{name: "an absolute target with HTTPS and a port", before: "https://evil.example:8443", host: []string{"Host: evil.example:8443"}},
		{name: "an absolute target with user information", before: "http://sso.example.com:x@evil.example", refusedBy: proxies},
		{name: "an absolute target over IPv6", before: "http://[2001:db8::1]:99", host: []string{"Host: [2001:db8::1]:99"}},
		{name: "X-Forwarded-For", headers: []string{"X-Forwarded-For: %s"}},
		{name: "X-Forwarded-For in small letters", headers: []string{"x-forwarded-for: %s"}},
		{name: "X-Forwarded-For with a list", headers: []string{"X-Forwarded-For: %s, 10.0.0.1, 127.0.0.1"}},
		{name: "X-Forwarded-For twice", headers: []string{"X-Forwarded-For: %s", "X-Forwarded-For: %s"}},
		{name: "X-Forwarded-For folded", headers: []string{"X-Forwarded-For: 127.0.0.1", "\t, %s"}, refusedBy: []string{"nginx"}},
		{name: "X-Forwarded-For over IPv6", headers: []string{"X-Forwarded-For: [2001:db8::1]:80", "X-Forwarded-For: ::ffff:203.0.113.1"}},
		{name: "X-Forwarded-For is no name with a space", headers: []string{"X-Forwarded-For : %s"}, refusedBy: all},
		{name: "X-Forwarded-For as a header of the connection", headers: []string{"X-Forwarded-For: %s", "Connection: X-Forwarded-For, X-Request-Id, Host, close"}},
		{name: "X_Forwarded_For", headers: []string{"X_Forwarded_For: %s", "X-Forwarded_For: %s"}},
		{name: "X-Forwarded-Host", headers: []string{"X-Forwarded-Host: evil.example", "X-Forwarded-Server: evil.example", "X_Forwarded_Host: evil.example"}},
		{name: "X-Forwarded-Proto and -Port", headers: []string{"X-Forwarded-Proto: javascript", "X-Forwarded-Port: 6666", "X-Forwarded-Scheme: evil", "X-Forwarded-Ssl: off", "Front-End-Https: off"}},
		{name: "X-Forwarded-Prefix", headers: []string{"X-Forwarded-Prefix: //evil.example", "X-Script-Name: /evil"}},
		{name: "Forwarded", headers: []string{`Forwarded: for=%s;host=evil.example;proto=javascript;by="[::1]:1"`, "Forwarded: for=%s"}},
		{name: "X-Real-IP and its like", headers: []string{"X-Real-IP: %s", "X-Client-IP: %s", "True-Client-IP: %s", "CF-Connecting-IP: %s", "X-Cluster-Client-IP: %s", "Via: 1.1 evil.example"}},
		{name: "X-Original-URL", headers: []string{"X-Original-URL: /exchange", "X-Rewrite-URL: /exchange", "X-Original-Host: evil.example", "X-Host: evil.example"}},
		{name: "another method", headers: []string{"X-HTTP-Method-Override: DELETE", "X-HTTP-Method: PUT", "X-Method-Override: HEAD"}},
		{name: "a request id", headers: []string{"X-Request-Id: evil-request-id", "X_Request_Id: evil-request-id", "X-Correlation-Id: evil-request-id"}},
		{name: "an origin", headers: []string{"Origin: null", "Referer: https://evil.example/"}},
		{name: "the PROXY protocol in a header", headers: []string{"Proxy: http://evil.example", "Proxy-Connection: close", "Proxy-Authorization: Basic x"}},
	}
}

// raw writes one request of a client that lies.
func (s spoof) raw(n int, method, path, body string, headers ...string) string {
	host := s.host
	if host == nil {
		host = []string{"Host: sso.example.com"}
	}
	text := method + " " + s.before + path + " HTTP/1.1\r\n" + strings.Join(host, "\r\n") + "\r\n"
	for _, h := range append(slices.Clone(s.headers), headers...) {
		text += strings.ReplaceAll(h, "%s", fmt.Sprintf("203.0.113.%d", n)) + "\r\n"
	}
	if body != "" {
		text += fmt.Sprintf("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n", len(body))
	}
	return text + "\r\n" + body
}

const (
	spoofPublicURL = "https://sso.example.com"
	// spoofBurst is how many requests of one address wantUnmoved makes, but for the
	// two clicks that succeed, which do not count.
	spoofBurst = 5
)

// spoofed is a broker with the address that trusted proxies have.
type spoofed struct {
	*running
	billing, tickets broker.LinkToken
	log              *observer.ObservedLogs
}

func startSpoofed(t *testing.T, trusted string) spoofed {
	t.Helper()
	dir := t.TempDir()
	newKey(t, dir)
	listen, operators := freeAddress(t), freeAddress(t)
	text := changed(t, configFile(dir, "127.0.0.1:6379", listen, operators), "store: {", "store: {mode: embedded, ",
		`public_url: "http://`+listen+`"`, `public_url: "`+spoofPublicURL+`"`,
		"per_address_rate: 0,", fmt.Sprintf("per_address_rate: 0.001, per_address_burst: %d,", spoofBurst),
		"drain_delay", "trusted_proxies: ["+trusted+"]\n  drain_delay",
	)
	core, log := observer.New(zap.InfoLevel)
	b := start(t, app.Options{Config: loadConfig(t, text), Log: zap.New(core)})
	waitReady(t, b.operators)
	return spoofed{b, addLink(t, b.Store(), "latchkey_billing"), addLink(t, b.Store(), "latchkey_tickets"), log}
}

// addresses returns the address of each request in the log, and forgets them.
func (b spoofed) addresses() (all []string) {
	for _, entry := range b.log.FilterMessage("request").All() {
		all = append(all, entry.ContextMap()["address"].(string))
	}
	b.log.TakeAll()
	return all
}

func clickForm(token broker.LinkToken) string {
	return url.Values{"token": {token.Reveal()}, "subscriber_unique_id": {"1234"}}.Encode()
}

// Whatever a client says of host, address and path, through whichever proxy: the
// addresses that browsers are sent to, the assertion, the address in the log and
// the one that is limited stay what the configuration and the connection say.
func TestNothingSpoofedMoves(t *testing.T) {
	t.Parallel()
	b := startSpoofed(t, `"127.0.0.1"`)
	address := b.Addr().String()
	fronts := []func(t *testing.T) front{
		func(*testing.T) front {
			return front{name: "direct", address: address, log: func() string { return "" }}
		},
		func(t *testing.T) front { return startNginx(t, address) },
		func(t *testing.T) front { return startHAProxy(t, address, b.operators) },
	}
	for i, open := range fronts {
		t.Run([]string{"direct", "nginx", "HAProxy"}[i], func(t *testing.T) {
			f := open(t)
			for j, s := range spoofs() {
				t.Run(s.name, func(t *testing.T) { b.wantUnmoved(t, f, s, fmt.Sprintf("127.1.%d.%d", i+1, j+1)) })
			}
			if log := f.log(); strings.Contains(log, "one_time_token=") || f.tls && !strings.Contains(log, "/login") {
				t.Errorf("the log of %s has one-time tokens, or nothing at all:\n%.2000s", f.name, log)
			}
		})
	}
}

func (b spoofed) wantUnmoved(t *testing.T, f front, s spoof, from string) {
	t.Helper()
	b.log.TakeAll()
	n := 0
	send := func(method, path, body string, headers ...string) (int, string) {
		t.Helper()
		n++
		response, text := f.send(t, from, method, s.raw(n, method, path, body, headers...))
		for name, values := range response.Header {
			if joined := strings.ToLower(strings.Join(values, "\n")); strings.Contains(joined, "evil") {
				t.Errorf("%s %s: header %s: %s", method, path, name, joined)
			}
		}
		if strings.Contains(strings.ToLower(text), "evil") {
			t.Errorf("%s %s: the answer repeats what was said: %s", method, path, text)
		}
		return response.StatusCode, text
	}
	click := func(app string, token broker.LinkToken) (int, string) {
		status, text := send("POST", broker.AutologinURL("", bobs(app)), clickForm(token))
		var answer struct {
			RedirectURL string `json:"redirect_url"`
		}
		_ = json.Unmarshal([]byte(text), &answer)
		return status, answer.RedirectURL
	}
	status, billing := click("latchkey_billing", b.billing)
	if slices.Contains(s.refusedBy, f.name) {
		if seen := b.addresses(); status != http.StatusBadRequest || len(seen) > 0 {
			t.Errorf("got %d, the broker saw %v; want 400 and nothing seen", status, seen)
		}
		return
	}
	path, ours := strings.CutPrefix(billing, spoofPublicURL)
	if !ours || status != http.StatusOK || !strings.HasPrefix(path, "/login?one_time_token=") {
		t.Fatalf("redirect_url: got %d %s, want one at %s", status, billing, spoofPublicURL)
	}
	if _, tickets := click("latchkey_tickets", b.tickets); !strings.HasPrefix(tickets, "https://support.example.com/sso?one_time_token=") {
		t.Errorf("redirect_url: got %s, want the portal's own", tickets)
	}
	if status, page := send("GET", path, ""); status != 200 || !strings.Contains(page, `action="`+spoofPublicURL+`/login"`) {
		t.Errorf("the page with the button: got %d %s, want it to go to %s", status, page, spoofPublicURL)
	}
	_, page := send("GET", path, "", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document")
	wantHandover(t, page)
	if status, page := send("GET", path, "", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"); status != http.StatusGone || !strings.Contains(page, "https://portal.example.com/login") {
		t.Errorf("used: got %d %s, want the portal's way on", status, page)
	}
	if status, _ := send("HEAD", path, ""); status != 200 {
		t.Errorf("HEAD: got %d, want 200", status)
	}
	if status, _ := click("latchkey_tickets", b.billing); status != http.StatusUnauthorized {
		t.Errorf("a click with another link's token: got %d, want 401", status)
	}
	if n != spoofBurst+2 {
		t.Fatalf("got %d requests, want %d", n, spoofBurst+2)
	}
	if status, _ := send("HEAD", path, ""); status != http.StatusTooManyRequests {
		t.Errorf("after %d requests, each with another forged address: got %d, want 429", n-1, status)
	}
	seen := b.addresses()
	if slices.ContainsFunc(seen, func(a string) bool { return a != from }) || len(seen) != n {
		t.Errorf("address in the log: got %v, want %s %d times", seen, from, n)
	}
}

// wantHandover wants the page that hands bob over to the portal, and no other.
func wantHandover(t *testing.T, page string) {
	t.Helper()
	if !strings.Contains(page, `action="https://portal.example.com/sso"`) || !strings.Contains(page, `value="https://portal.example.com/billing"`) {
		t.Errorf("the page does not hand over to the portal: %s", page)
	}
	_, rest, _ := strings.Cut(page, `name="assertion" value="`)
	assertion, _, _ := strings.Cut(rest, `"`)
	parts := strings.Split(assertion, ".")
	var claims broker.Claims
	if len(parts) == 3 {
		payload, _ := base64.RawURLEncoding.DecodeString(parts[1])
		_ = json.Unmarshal(payload, &claims)
	}
	if claims.Issuer != spoofPublicURL || claims.Audience != "https://portal.example.com" || claims.Subject != "1234" {
		t.Errorf("assertion: got %+v, want it of %s for the portal about 1234", claims, spoofPublicURL)
	}
}

// The twin: a broker that trusts everybody has the forged address in its log, so
// that the test above can fail.
func TestATrustedLieIsSeen(t *testing.T) {
	t.Parallel()
	b := startSpoofed(t, `"0.0.0.0/0"`)
	f := front{name: "direct", address: b.Addr().String()}
	s := spoof{headers: []string{"X-Forwarded-For: %s"}}
	b.log.TakeAll()
	f.send(t, "127.1.0.1", "GET", s.raw(7, "GET", "/login", ""))
	if got := b.addresses(); !slices.Equal(got, []string{"203.0.113.7"}) {
		t.Errorf("address in the log: got %v, want the forged one: such a lie would not be noticed", got)
	}
}
