package app_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/latchkey-sso/latchkey/api/whm/whmfake"
	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// The whole system does all that it can, well and badly, at its most talkative.
// Every secret in it is a canary, and none of them, in any encoding, is in a log, an
// error, the output of a command, an answer that does not exist to carry it, or the
// store.
func TestNoSecretComesOut(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.operate()
	s.startDaemon()
	s.signOn()
	s.report()
	s.misuse()
	s.end()

	for _, o := range s.outputs {
		if o.name == "the broker's log" && !strings.Contains(o.text, `"msg":"redeemed"`) || o.name == "the store with all links" && !strings.Contains(o.text, "bob") || o.name == "the daemon's log" && !strings.Contains(o.text, `"msg":"hook"`) {
			t.Errorf("%s has nothing of what was done: %.2000s", o.name, o.text)
		}
	}
	if len(s.outputs) < 40 || len(s.canaries) < 20 {
		t.Errorf("got %d outputs and %d secrets, want more to look at", len(s.outputs), len(s.canaries))
	}
	for _, leak := range leaks(s.outputs, s.canaries) {
		t.Error(leak)
	}
}

// operate sets everything up, with the commands that an operator has.
func (s *system) operate() {
	for _, line := range []string{
		"broker config check", "broker config show", "broker keys new", "broker keys list",
		"provisioner servers check", "provisioner plan", "provisioner apply", "provisioner apply -o json", "provisioner verify", "provisioner catalogue show", "provisioner catalogue export", "provisioner catalogue history", "provisioner rotate --all", "provisioner plan -o json",
		"broker controls block subscriber 99", "broker controls list", "broker links list", "broker links list -o json",
	} {
		s.command(line)
	}
	s.guardKeys()
	added := s.command("broker links add --server web01 --user carol --app billing --subscriber 77 -o json")
	var link struct{ Token string }
	if err := json.Unmarshal([]byte(added), &link); err != nil {
		s.t.Fatalf("links add: %v: %s", err, added)
	}
	s.guard("link token added by hand", link.Token)
	s.outputs[len(s.outputs)-1].may = []string{"link token added by hand"} // it is printed once
	s.command("broker links remove --server web01 --user carol --app billing --yes")
	s.guardLinks("link token")
	s.command("provisioner rotate --all")
	s.guardLinks("rotated link token")
}

// guardLinks adds the link tokens that the server has now.
func (s *system) guardLinks(name string) {
	s.t.Helper()
	links, err := s.panel.State().Links("bob")
	if err != nil || len(links) == 0 {
		s.t.Fatalf("bob has no links: %v", err)
	}
	for _, l := range links {
		s.guard(name, l.Token.Reveal())
	}
}

// click asks for a one-time token of bob's, and guards it.
func (s *system) click(app, name string) (token string) {
	s.t.Helper()
	link, err := s.panel.State().Link("bob", app)
	if err != nil {
		s.t.Fatal(err)
	}
	form := url.Values{"token": {link.Token.Reveal()}, "subscriber_unique_id": {"1234"}}
	body := s.request(http.MethodPost, link.AutologinTokenURL, form, nil, name)
	_, rest, _ := strings.Cut(body, "one_time_token=")
	token, _, _ = strings.Cut(rest, `"`)
	s.guard(name, token)
	return token
}

const (
	canaryCookie = "CANARY-cookie-0123456789"
	canaryClaim  = "CANARY-claim-of-the-portal-0123456789"
)

// signOn signs bob on in every way, and then in every wrong way.
func (s *system) signOn() {
	s.guard("claim cookie", canaryCookie)
	s.guard("claim of the portal", canaryClaim)
	browser := map[string]string{"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Cookie": "__Host-latchkey_claim=" + canaryCookie, "Accept": "text/html"}
	login := s.url + "/login?one_time_token="

	token := s.click("latchkey_billing", "one-time token")
	s.request(http.MethodGet, login+token, nil, nil, "one-time token") // the page with the button
	page := s.request(http.MethodGet, login+token, nil, browser, "assertion")
	_, rest, _ := strings.Cut(page, `name="assertion" value="`)
	assertion, _, _ := strings.Cut(rest, `"`)
	s.guardAssertion("assertion", assertion)
	s.request(http.MethodGet, login+token, nil, map[string]string{"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}) // used
	s.request(http.MethodGet, login+token+"x", nil, browser)
	s.request(http.MethodPut, login+token, nil, browser)
	s.request(http.MethodGet, s.url+"/"+token+"?one_time_token="+token, nil, browser)

	exchanged := s.click("latchkey_tickets", "exchanged one-time token")
	form := url.Values{"one_time_token": {exchanged}, "client_id": {"support"}, "client_secret": {s.canary("client secret")}, "claim_id": {canaryClaim}}
	var answer struct{ Assertion string }
	_ = json.Unmarshal([]byte(s.request(http.MethodPost, s.url+"/exchange", form, nil, "exchanged assertion")), &answer)
	s.guardAssertion("exchanged assertion", answer.Assertion)
	form.Set("claim_id", canaryClaim+"-2")
	s.request(http.MethodPost, s.url+"/exchange", form, nil)
	form.Set("client_secret", s.canary("client secret")[1:])
	s.request(http.MethodPost, s.url+"/exchange", form, nil)
	s.request(http.MethodPost, s.url+"/exchange", form, map[string]string{"Authorization": "Bearer " + s.canary("client secret")})

	wrong := url.Values{"token": {"CANARY-wrong-link-token-0123456789"}, "subscriber_unique_id": {"1234"}}
	s.guard("wrong link token", wrong.Get("token"))
	for _, link := range []broker.Link{bobs("latchkey_billing"), bobs("latchkey_" + wrong.Get("token")[:20])} {
		s.request(http.MethodPost, broker.AutologinURL(s.url, link), wrong, nil)
		s.request(http.MethodPost, broker.AutologinURL(s.url, link)+"&token="+wrong.Get("token"), wrong, nil)
	}
	wrong.Set("token", wrong.Get("token")+"\x00")
	s.request(http.MethodPost, broker.AutologinURL(s.url, bobs("latchkey_billing")), wrong, nil)
	raw(s.t, s.url, "GET /login?one_time_token="+token+"%zz HTTP/1.1\r\nHost: x\r\nCookie: __Host-latchkey_claim="+canaryCookie+"\r\n\r\n")
	raw(s.t, s.url, "GET /login?one_time_token="+token+" HTTP/7.7\r\n"+canaryCookie+"\r\n\r\n")
}

// guardAssertion leaves out the header, which is the same in all.
func (s *system) guardAssertion(name, assertion string) {
	s.t.Helper()
	parts := strings.Split(assertion, ".")
	if len(parts) != 3 {
		s.t.Fatalf("%s: got %q, want one", name, assertion)
	}
	s.guard(name, parts[2])
}

func (s *system) canary(name string) string {
	s.t.Helper()
	for _, c := range s.canaries {
		if c.name == name {
			return c.secret
		}
	}
	s.t.Fatalf("there is no %s", name)
	return ""
}

// report posts hooks to the daemon, true ones and others.
func (s *system) report() {
	for _, body := range []string{
		`{"server":"web01","event":"Accounts::Create","user":"bob","password":"CANARY-password-of-bob"}`, `{"server":"CANARY-password-of-bob"`, `{"server":"CANARY-password-of-bob","event":"x","user":"y"}`,
	} {
		for _, secret := range []string{s.canary("hook secret"), s.canary("hook secret") + "x"} {
			r, err := http.NewRequest(http.MethodPost, "http://"+s.hooks+"/hooks/whm", strings.NewReader(body))
			if err != nil {
				s.t.Fatal(err)
			}
			_, answer := do(s.t, r, map[string]string{"Authorization": "Bearer " + secret, "Content-Type": "application/json"})
			s.keep("the answer to a hook", answer)
		}
	}
	eventually(s.t, "the daemon has looked at bob", func() bool { return s.said(`"msg":"end: list accounts`) })
	s.guard("password in a hook", "CANARY-password-of-bob")
}

// misuse lets everything fail that can: a server that repeats what it is told, wrong
// secrets, a store that does not let us in.
func (s *system) misuse() {
	for _, kind := range []whmfake.FaultKind{whmfake.Status, whmfake.HTMLPage, whmfake.HalfJSON, whmfake.Redirect, whmfake.FailAt} {
		s.whm.SetFault(whmfake.Always(whmfake.Fault{Kind: kind}))
		s.command("provisioner servers check")
		s.command("provisioner rotate --all")
	}
	s.whm.SetFault(nil)
	for _, secret := range []struct{ name, variable, command string }{
		{"wrong Redis password", "LATCHKEY_STORE_PASSWORD", "provisioner plan"},
		{"wrong Redis password", "LATCHKEY_STORE_PASSWORD", "broker links list"},
		{"wrong bearer", "LATCHKEY_SUBSCRIBERS_HTTP_BEARER", "provisioner plan"},
		{"wrong WHM token", "LATCHKEY_SERVERS_WEB01_TOKEN", "provisioner servers check"},
		{"wrong WHM token", "LATCHKEY_SERVERS_WEB01_TOKEN", "broker config show"},
		{"wrong client secret", "LATCHKEY_PORTALS_SUPPORT_CLIENT_SECRET", "broker config show"},
	} {
		text := "CANARY-" + strings.ReplaceAll(secret.name, " ", "-") + "-0123456789"
		s.guard(secret.name, text)
		s.command(secret.command, secret.variable+"="+text)
	}
	s.command("provisioner catalogue import default")
	s.command("provisioner verify --repair")
	s.command("provisioner log")
	s.command("provisioner log --level debug -o json")
	s.keep("the store with all links", storetest.Dump(s.t, s.redis))
	s.command("provisioner remove --all --yes")
}

// The twin: a secret that is planted, in whichever form, is found.
func TestPlantedSecretsAreFound(t *testing.T) {
	const secret = "CANARY~planted+secret/0123456789"
	tests := []struct{ name, text string }{
		{"as it is", "x" + secret + "x"},
		{"without its end", "x" + secret[:25] + "..."},
		{"without its begin", "..." + secret[10:]},
		{"in a URL", "https://example.com/?a=" + url.QueryEscape(secret) + "&b"},
		{"in HTTP Basic", "Basic " + base64.StdEncoding.EncodeToString([]byte("support:"+secret))},
		{"in another HTTP Basic", "Basic " + base64.StdEncoding.EncodeToString([]byte("user:"+secret+"."))},
		{"within base64 of URLs", base64.RawURLEncoding.EncodeToString([]byte("a" + secret + "bc"))},
		{"in hex", hex.EncodeToString([]byte("x" + secret))},
		{"in capital hex", strings.ToUpper(hex.EncodeToString([]byte(secret + "x")))},
	}
	for _, test := range tests {
		c := []canary{{"planted secret", secret}}
		if got := leaks([]output{{name: "a log", text: "before " + test.text + " after"}}, c); len(got) == 0 {
			t.Errorf("%s: nothing was found in %s", test.name, test.text)
		}
		if got := leaks([]output{{"a log", test.text, []string{"planted secret"}}, {name: "another", text: "CANARY"}}, c); len(got) != 0 {
			t.Errorf("%s: got %v, want nothing where it may be", test.name, got)
		}
	}
}
