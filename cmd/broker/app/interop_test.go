package app_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/cmd/broker/app"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// python is Debian's, for which the packages below are.
const python = "/usr/bin/python3"

// verdict is what testdata/portal.py says of an assertion.
type verdict struct {
	Refused string
	Header  struct{ Alg, Typ, Kid string }
	Claims  broker.Claims
}

func verify(t *testing.T, base, audience, issuer, assertion string) verdict {
	t.Helper()
	script := filepath.Join("testdata", "portal.py")
	// The cache of test results knows only of files that this process looks at.
	for _, path := range []string{script, filepath.Join("..", "..", "..", "deploy", "portal-kit", "verify.py")} {
		if _, err := os.Stat(path); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, python, script, base+"/.well-known/jwks.json", audience, issuer)
	cmd.Env = []string{"no_proxy=*", "PYTHONDONTWRITEBYTECODE=1"}
	cmd.Stdin = strings.NewReader(assertion)
	out, err := cmd.Output()
	var v verdict
	if jsonErr := json.Unmarshal(out, &v); jsonErr != nil || (err == nil) != (v.Refused == "") {
		var stderr []byte
		if exit, ok := err.(*exec.ExitError); ok {
			stderr = exit.Stderr
		}
		t.Fatalf("portal.py: %v\n%s%s", err, out, stderr)
	}
	return v
}

// forged returns an assertion for somebody else under the same signature.
func forged(t *testing.T, assertion string) string {
	t.Helper()
	parts := strings.Split(assertion, ".")
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(payload), `"sub":"1234"`, `"sub":"1235"`, 1)
	if changed == string(payload) {
		t.Fatalf("the payload %s has no subscriber to change", payload)
	}
	parts[1] = base64.RawURLEncoding.EncodeToString([]byte(changed))
	return strings.Join(parts, ".")
}

// The portal kit's example, with a JWT library of another language, finds the key in
// our key set and accepts what we signed, whichever way it came, and nothing else.
func TestPythonAcceptsAssertions(t *testing.T) {
	t.Parallel()
	if err := exec.Command(python, "-c", "import jwt, cryptography").Run(); err != nil {
		storetest.Missing(t, "python3-jwt", "apt-get install python3-jwt python3-cryptography")
	}
	for _, algorithm := range []string{"EdDSA", "ES256", "RS256"} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			// Another key stands in the set, so that kid has to be right.
			keep(t, filepath.Join(dir, "keys"), "EdDSA", time.Now())
			key := keep(t, filepath.Join(dir, "keys"), algorithm, time.Now().Add(-time.Hour))
			text := changed(t, configFile(dir, "127.0.0.1:6379", freeAddress(t), freeAddress(t)), "store: {", "store: {mode: embedded, ")
			b := start(t, app.Options{Config: loadConfig(t, text)})
			waitReady(t, b.operators)

			page := assertionOf(t, autologin(t, b.url, "latchkey_billing", addLink(t, b.Store(), "latchkey_billing")))
			wantAccepted(t, b, "form_post", page, key, "https://portal.example.com", "latchkey_billing", "/billing")
			exchange := exchangedAssertion(t, b, addLink(t, b.Store(), "latchkey_tickets"))
			wantAccepted(t, b, "exchange", exchange, key, "https://support.example.com", "latchkey_tickets", "/tickets")

			const portal = "https://portal.example.com"
			refusals := []struct {
				name, audience, issuer, assertion string
				want                              string
			}{
				{"changed payload", portal, b.url, forged(t, page), "signature: Signature verification failed"},
				{"for another portal", "https://support.example.com", b.url, page, "aud"},
				{"of another issuer", portal, "https://sso.example.com", page, "iss"},
			}
			for _, tt := range refusals {
				if got := verify(t, b.url, tt.audience, tt.issuer, tt.assertion); got.Refused != tt.want {
					t.Errorf("%s: got %+v, want it refused with %s", tt.name, got, tt.want)
				}
			}
		})
	}
}

func exchangedAssertion(t *testing.T, b *running, link broker.LinkToken) string {
	t.Helper()
	u, err := url.Parse(autologin(t, b.url, "latchkey_tickets", link))
	if err != nil {
		t.Fatal(err)
	}
	form := url.Values{"one_time_token": {u.Query().Get("one_time_token")}, "client_id": {"support"}, "client_secret": {clientSecret}}
	status, body := postForm(t, b.url+"/exchange", form, nil)
	var answer struct{ Assertion string }
	if err := json.Unmarshal([]byte(body), &answer); err != nil || answer.Assertion == "" {
		t.Fatalf("exchange: got %d %s, want an assertion", status, body)
	}
	return answer.Assertion
}

func wantAccepted(t *testing.T, b *running, handoff, assertion string, key *broker.Key, audience, app, path string) {
	t.Helper()
	got := verify(t, b.url, audience, b.url, assertion)
	if got.Refused != "" {
		t.Errorf("%s: refused with %s, want it accepted", handoff, got.Refused)
		return
	}
	if got.Header.Typ != broker.AssertionType || got.Header.Alg != key.Algorithm || got.Header.Kid != key.ID {
		t.Errorf("%s: header: got %+v, want typ %s, alg %s, kid %s", handoff, got.Header, broker.AssertionType, key.Algorithm, key.ID)
	}
	c := got.Claims
	if c.Subject != "1234" || c.ID == "" || c.TargetLinkURI != audience+path || c.Class != broker.PanelAccess || !slices.Equal(c.Methods, []string{"cpanel"}) {
		t.Errorf("%s: claims: got %+v, want subscriber 1234 on the way to %s%s", handoff, c, audience, path)
	}
	if want := (broker.PanelClaims{Server: "web01", User: "bob", App: app}); c.Panel != want {
		t.Errorf("%s: cpanel: got %+v, want %+v", handoff, c.Panel, want)
	}
	if c.Expires-c.IssuedAt != int64(broker.AssertionLifetime.Seconds()) || c.AuthTime > c.IssuedAt || c.NotBefore > c.IssuedAt {
		t.Errorf("%s: times: got iat %d, nbf %d, exp %d, auth_time %d", handoff, c.IssuedAt, c.NotBefore, c.Expires, c.AuthTime)
	}
}
