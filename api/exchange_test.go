package api_test

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/latchkey-sso/latchkey/broker"
)

func TestExchangeKnowsTheClient(t *testing.T) {
	const token = "one_time_token=" + tokenText
	basic := func(text string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(text)) }
	tests := []struct {
		name, authorization, body string
		id, secret                string
	}{
		{"Basic", basic("portal:secret"), token, "portal", "secret"},
		{"Basic, form-encoded", basic("a%3Ab+c:%C3%BC%25+x"), token, "a:b c", "ü% x"},
		{"Basic, not form-encoded", basic("portal:50%"), token, "portal", "50%"},
		{"Basic with a colon in the secret", basic("portal:a:b"), token, "portal", "a:b"},
		{"Basic in small letters", "basic " + basic("portal:secret")[6:], token, "portal", "secret"},
		{"Basic and the same id in the form", basic("portal:secret"), token + "&client_id=portal", "portal", "secret"},
		{"form", "", token + "&client_id=portal&client_secret=a%3Ab+c", "portal", "a:b c"},
		{"form without secret", "", token + "&client_id=portal", "portal", ""},
		{"nobody", "", token, "", ""},
		{"another scheme", "Bearer x", token, "", ""},
		{"broken Basic", "Basic !!!", token, "", ""},
		{"Basic without a colon", basic("portal"), token, "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := &domain{}
			r := post("/exchange", formType, test.body)
			if test.authorization != "" {
				r.Header.Set("Authorization", test.authorization)
			}
			if a := newServer(t, d).send(t, r); a.status != 200 || len(d.exchanges) != 1 {
				t.Fatalf("got %d %s after %d calls of the domain, want 200 after one", a.status, a.body, len(d.exchanges))
			}
			got := d.exchanges[0]
			if got.ClientID != test.id || got.ClientSecret.Reveal() != test.secret || got.Token != tokenText {
				t.Errorf("got the client %q with %q and the token %q, want %q, %q and %q",
					got.ClientID, got.ClientSecret.Reveal(), got.Token, test.id, test.secret, tokenText)
			}
		})
	}
}

func TestExchangeNamesTheFieldThatIsWrong(t *testing.T) {
	const (
		token  = "one_time_token=" + tokenText
		client = "&client_id=portal&client_secret=hostile"
	)
	tests := []struct {
		name, contentType, body string
		basic                   bool
		field                   string
	}{
		{"no token", formType, client[1:], false, "one_time_token"},
		{"an empty token", formType, "one_time_token=" + client, false, "one_time_token"},
		{"token twice", formType, token + "&" + token + client, false, "one_time_token"},
		{"Basic and a secret in the form", formType, token + client, true, "client_secret"},
		{"Basic and another id in the form", formType, token + "&client_id=hostile", true, "client_secret"},
		{"client twice", formType, token + client + "&client_id=portal", false, "client_id"},
		{"secret twice", formType, token + client + "&client_secret=hostile", false, "client_secret"},
		{"claim twice", formType, token + "&claim_id=hostile&claim_id=hostile", true, "claim_id"},
		{"bad UTF-8 in the secret", formType, token + "&client_id=portal&client_secret=%FF", false, "client_secret"},
		{"a short claim", formType, token + "&claim_id=hostile", true, "claim_id"},
		{"a long claim", formType, token + "&claim_id=" + strings.Repeat("x", 129), true, "claim_id"},
		{"a claim with other characters", formType, token + "&claim_id=hostile%2F" + claimText, true, "claim_id"},
		{"bad percent-encoding", formType, token + "&x=%zz", true, "body"},
		{"too large", formType, token + "&x=" + strings.Repeat("x", 16<<10), true, "body"},
		{"JSON", jsonType, `{"one_time_token":"` + tokenText + `"}`, true, "Content-Type"},
		{"no type", "", token, true, "Content-Type"},
		{"another charset", formType + ";charset=latin1", token, true, "Content-Type"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := &domain{}
			r := post("/exchange", test.contentType, test.body)
			if test.basic {
				r.SetBasicAuth("portal", "secret")
			}
			checkInvalid(t, newServer(t, d).send(t, r), test.field)
			if got := d.calls(); got != 0 {
				t.Errorf("the domain was called %d times, want 0", got)
			}
		})
	}
}

func TestExchangeAnswersTheClaims(t *testing.T) {
	a := newServer(t, &domain{}).send(t, exchange())
	if a.status != 200 || a.header.Get("Content-Type") != "application/json" || a.header.Get("Pragma") != "no-cache" {
		t.Fatalf("got %d %v, want 200, JSON that nobody keeps", a.status, a.header)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(a.body), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"iss": publicURL, "aud": "https://portal.example.com", "sub": "1234", "jti": "an-id",
		"iat": 1000.0, "nbf": 1000.0, "exp": 1060.0, "auth_time": 990.0, "acr": broker.PanelAccess,
		"target_link_uri": target, "assertion": assertionText,
	}
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s: got %v, want %v", name, got[name], value)
		}
	}
	if methods, ok := got["amr"].([]any); !ok || len(methods) != 1 || methods[0] != "cpanel" {
		t.Errorf(`amr: got %v, want ["cpanel"]`, got["amr"])
	}
	panel, _ := got["cpanel"].(map[string]any)
	if !maps.Equal(panel, map[string]any{"server": "web01", "user": "bob", "app": "latchkey_billing"}) {
		t.Errorf("cpanel: got %v, want the link", got["cpanel"])
	}
	if names := slices.Sorted(maps.Keys(got)); len(names) != len(want)+2 {
		t.Errorf("got the members %q, want those of an assertion and the assertion", names)
	}
}

func TestExchangeClaimIsThePortals(t *testing.T) {
	for _, id := range []string{"1234567890123456", "a.b-c_d." + claimText, strings.Repeat("x", 128)} {
		d := &domain{}
		r := claimed(named(post("/exchange", formType, "one_time_token="+tokenText+"&claim_id="+id)), "another-claim-in-a-cookie")
		newServer(t, d, behindProxies).send(t, r)
		if got := d.claim(t); got != id {
			t.Errorf("claim: got %q, want %q", got, id)
		}
	}
}

// TestExchangeOfARealToken shows the refusals of RFC 6749 section 5.2 and that
// a portal may repeat itself.
func TestExchangeOfARealToken(t *testing.T) {
	b, store := newBroker(t)
	s := newServer(t, b)
	a := s.send(t, post("/autologin?server=web01&user=bob&app=latchkey_ticket", formType, linkBody))
	_, token, found := strings.Cut(a.body, "https://desk.example.com/sso?one_time_token=")
	if !found {
		t.Fatalf("got %s, want the portal's own URL", a.body)
	}
	token = strings.TrimSuffix(token, "\"}\n")
	ask := func(token, id, secret, claim string) *http.Request {
		r := post("/exchange", formType, "one_time_token="+token+"&claim_id="+claim)
		r.SetBasicAuth(id, secret)
		return r
	}
	const right, first, second = "canary+client%3Asecret", "first-claim-of-the-portal", "second-claim-of-the-portal"
	tests := []struct {
		name    string
		request *http.Request
		status  int
		code    string
	}{
		{"wrong secret", ask(token, "portal", "wrong", first), 401, "invalid_client"},
		{"unknown client", ask(token, "eve", right, first), 401, "invalid_client"},
		{"no client", post("/exchange", formType, "one_time_token="+token), 401, "invalid_client"},
		{"unknown token", ask(tokenText, "portal", right, first), 400, "invalid_grant"},
		{"no token at all", ask("x", "portal", right, first), 400, "invalid_grant"},
		{"a browser may not redeem it", navigation("/login?one_time_token=" + token), 410, ""},
		{"granted", ask(token, "portal", right, first), 200, ""},
		{"repeated", ask(token, "portal", right, first), 200, ""},
		{"replayed", ask(token, "portal", right, second), 400, "invalid_grant"},
		{"replayed without a claim", ask(token, "portal", right, ""), 400, "invalid_grant"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { checkExchange(t, s.send(t, test.request), test.status, test.code) })
	}
	store.setFail(errPrivate)
	t.Run("store away", func(t *testing.T) {
		checkExchange(t, s.send(t, ask(token, "portal", right, first)), 503, "temporarily_unavailable")
	})
}

func checkExchange(t *testing.T, a answer, status int, code string) {
	t.Helper()
	if a.status != status {
		t.Fatalf("got %d %s, want %d", a.status, a.body, status)
	}
	if code != "" {
		if p := a.problem(t); p.Error != code || p.Description == "" {
			t.Errorf("got %+v, want the error %s", p, code)
		}
	}
	want := ""
	if status == http.StatusUnauthorized {
		want = `Basic realm="latchkey", charset="UTF-8"`
	}
	if got := a.header.Get("WWW-Authenticate"); got != want {
		t.Errorf("WWW-Authenticate: got %q, want %q", got, want)
	}
}
