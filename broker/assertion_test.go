package broker_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"

	"github.com/latchkey-sso/latchkey/broker"
)

// read verifies an assertion as a strict portal does and returns its claims.
func read(t *testing.T, w *world, algorithm, audience string, a broker.Assertion) (map[string]any, map[string]any) {
	t.Helper()
	keys := ok(keyfunc.NewJWKSetJSON(w.broker.KeySet()))(t)
	token, err := jwt.Parse(a.Reveal(), keys.Keyfunc,
		jwt.WithValidMethods([]string{algorithm}), jwt.WithIssuer(publicURL), jwt.WithAudience(audience),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithTimeFunc(w.clock))
	if err != nil {
		t.Fatalf("a portal refuses the assertion: %v", err)
	}
	return token.Header, token.Claims.(jwt.MapClaims)
}

func TestAssertionAsAPortalReadsIt(t *testing.T) {
	for _, algorithm := range algorithms {
		t.Run(algorithm, func(t *testing.T) {
			w := newWorld(t)
			key := generate(t, algorithm, noon.Add(-time.Hour))
			w.setKeys(key)
			token := w.issue(invoices)
			w.advance(30 * time.Second)
			handover := ok(w.login(token, newClaim(t)))(t)
			if handover.LoginURL != "https://portal.example.com/sso/latchkey" || handover.TargetLinkURI != "https://portal.example.com/invoices?open=1" {
				t.Errorf("handover: got %+v", handover)
			}

			header, claims := read(t, w, algorithm, "https://portal.example.com", handover.Assertion)
			wantHeader := map[string]any{"typ": "latchkey+jwt", "alg": algorithm, "kid": key.ID}
			if !reflect.DeepEqual(header, wantHeader) {
				t.Errorf("header: got %v, want %v", header, wantHeader)
			}
			jti, _ := claims["jti"].(string)
			if len(jti) != 22 {
				t.Errorf("jti: got %q, want 128 bits in base64url", jti)
			}
			delete(claims, "jti")
			issued, redeemed := float64(noon.Unix()), float64(noon.Unix()+30)
			want := map[string]any{
				"iss": publicURL, "aud": "https://portal.example.com", "sub": aSubscriber,
				"iat": redeemed, "nbf": redeemed, "exp": redeemed + 60, "auth_time": issued,
				"amr": []any{"cpanel"}, "acr": "urn:latchkey:acr:panel-access",
				"cpanel":          map[string]any{"server": "web01", "user": "bob", "app": "latchkey_invoices"},
				"target_link_uri": "https://portal.example.com/invoices?open=1",
			}
			if !reflect.DeepEqual(map[string]any(claims), want) {
				t.Errorf("claims:\ngot  %v\nwant %v", claims, want)
			}
		})
	}
}

func TestAssertionIDIsThatOfTheToken(t *testing.T) {
	w := newWorld(t)
	id := func(token broker.OneTimeToken, claim broker.Claim) any {
		t.Helper()
		handover := ok(w.login(token, claim))(t)
		_, claims := read(t, w, "EdDSA", "https://portal.example.com", handover.Assertion)
		return claims["jti"]
	}
	one, other, claim := w.issue(invoices), w.issue(invoices), newClaim(t)
	first := id(one, claim)
	w.advance(5 * time.Second)
	if repeat := id(one, claim); repeat != first {
		t.Errorf("jti of a repeat: got %v, want %v", repeat, first)
	}
	wantExpiry := w.clock().Add(-5 * time.Second).Add(broker.AssertionLifetime).Unix()
	_, claims := read(t, w, "EdDSA", "https://portal.example.com", ok(w.login(one, claim))(t).Assertion)
	if got := claims["exp"]; got != float64(wantExpiry) {
		t.Errorf("exp of a repeat: got %v, want %v, that of the first", got, wantExpiry)
	}
	if second := id(other, claim); second == first {
		t.Errorf("jti of another token: got %v again", second)
	}
}

func TestExchangeAnswersTheClaimsThatItSigns(t *testing.T) {
	w := newWorld(t)
	token := w.issue(cart)
	w.advance(7 * time.Second)
	got := ok(w.exchange("shop", token, newClaim(t)))(t)
	_, claims := read(t, w, "EdDSA", "https://shop.example.com", got.Assertion)
	var plain map[string]any
	if err := json.Unmarshal(ok(json.Marshal(got.Claims))(t), &plain); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(plain, map[string]any(claims)) {
		t.Errorf("claims and assertion differ:\ngot  %v\nwant %v", plain, claims)
	}
	if got.Claims.Subject != aSubscriber || got.Claims.Audience != "https://shop.example.com" ||
		got.Claims.TargetLinkURI != "https://shop.example.com/cart" || got.Claims.AuthTime != noon.Unix() {
		t.Errorf("claims: got %+v", got.Claims)
	}
}

func TestAssertionsAreSignedByTheKeyOfTheHour(t *testing.T) {
	w := newWorld(t)
	old, young := generate(t, "ES256", noon.Add(-time.Hour)), generate(t, "EdDSA", noon)
	w.setKeys(young, old)
	for _, tt := range []struct {
		name  string
		after time.Duration
		key   *broker.Key
	}{
		{"before the overlap", 0, old},
		{"after the overlap", broker.KeyOverlap, young},
	} {
		w.advance(tt.after)
		handover := ok(w.login(w.issue(invoices), newClaim(t)))(t)
		header, _ := read(t, w, tt.key.Algorithm, "https://portal.example.com", handover.Assertion)
		if header["kid"] != tt.key.ID {
			t.Errorf("%s: got kid %v, want %s", tt.name, header["kid"], tt.key.ID)
		}
	}
}

// A token is issued by the clock of the controls, and redeemed by the broker's own.
func TestNobodySignedInAfterTheAssertion(t *testing.T) {
	for _, tt := range []struct {
		name                   string
		ahead                  time.Duration
		wantIssued, wantSignIn time.Duration
	}{
		{"behind", -30 * time.Second, -20 * time.Second, -20 * time.Second},
		{"ahead", 30 * time.Second, 40 * time.Second, 0},
	} {
		w := newWorld(t)
		other := w.another(tt.ahead)
		token := w.issue(invoices)
		w.advance(10 * time.Second)
		handover := ok(other.Login(t.Context(), broker.LoginRequest{Token: token, Claim: newClaim(t), From: inside}))(t)
		w.setClock(w.clock().Add(tt.ahead)) // the portal's clock is that of the broker
		_, claims := read(t, w, "EdDSA", "https://portal.example.com", handover.Assertion)
		issued, signIn := float64(noon.Add(tt.wantIssued).Unix()), float64(noon.Add(tt.wantSignIn).Unix())
		if claims["iat"] != issued || claims["auth_time"] != signIn {
			t.Errorf("%s: got iat %.0f and auth_time %.0f, want %.0f and %.0f", tt.name, claims["iat"], claims["auth_time"], issued, signIn)
		}
	}
}
