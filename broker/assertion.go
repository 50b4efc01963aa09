package broker

import (
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// AssertionType is the `typ` header of an assertion: a token made for another
// purpose can then never pass for one (RFC 8725 section 3.11).
const AssertionType = "latchkey+jwt"

// AssertionLifetime is the time between `iat` and `exp`.
const AssertionLifetime = 60 * time.Second

// PanelAccess is the `acr` of every assertion: the click proves access to the
// account's control panel, which may be shared, and not who clicked. A portal
// should ask for more before money moves.
const PanelAccess = "urn:latchkey:acr:panel-access"

// Claims are what an assertion says. The JSON names are those of RFC 7519 and
// OpenID Connect Core section 2.
type Claims struct {
	Issuer   string `json:"iss"`
	Audience string `json:"aud"`
	// Subject is the subscriber_unique_id.
	Subject string `json:"sub"`
	// ID, and the times below, are the same each time one claimant repeats a
	// redemption: a portal which takes each `jti` once until `exp` lets nobody in
	// twice.
	ID string `json:"jti"`
	// The times are in seconds since 1970. AuthTime is when the cPanel server
	// asked for the one-time URL, and never after IssuedAt.
	IssuedAt  int64 `json:"iat"`
	NotBefore int64 `json:"nbf"`
	Expires   int64 `json:"exp"`
	AuthTime  int64 `json:"auth_time"`
	// Methods is ["cpanel"], Class is PanelAccess.
	Methods []string    `json:"amr"`
	Class   string      `json:"acr"`
	Panel   PanelClaims `json:"cpanel"`
	// TargetLinkURI is the page that was clicked: the portal's origin and the
	// link's path.
	TargetLinkURI string `json:"target_link_uri"`
}

// PanelClaims say which link was clicked.
type PanelClaims struct {
	Server string `json:"server"`
	User   string `json:"user"`
	App    string `json:"app"`
}

func (b *Broker) claims(g Grant, d *Destination, redeemed time.Time) Claims {
	id := digest("assertion id", string(g.Token[:]))
	return Claims{
		Issuer:    b.cfg.PublicURL,
		Audience:  d.Portal.Audience,
		Subject:   g.Subscriber,
		ID:        encodeSegment(id[:16]),
		IssuedAt:  redeemed.Unix(),
		NotBefore: redeemed.Unix(),
		Expires:   redeemed.Add(AssertionLifetime).Unix(),
		// Of two clocks; a portal refuses who signed in after the assertion was made.
		AuthTime:      earlier(g.IssuedAt, redeemed).Unix(),
		Methods:       []string{"cpanel"},
		Class:         PanelAccess,
		Panel:         PanelClaims{Server: g.Link.Server, User: g.Link.User, App: g.Link.App},
		TargetLinkURI: d.TargetLinkURI,
	}
}

// Assertion is a signed JWT in compact form (RFC 7515 section 7.1). Whoever has
// it can sign in for a minute, so it is a secret.
type Assertion struct{ Secret }

func (k *Key) sign(c Claims) (Assertion, error) {
	token := jwt.NewWithClaims(k.method, signedClaims{c})
	token.Header["typ"] = AssertionType
	token.Header["kid"] = k.ID
	signed, err := token.SignedString(k.private)
	if err != nil {
		return Assertion{}, fmt.Errorf("sign assertion with key %s: %w", k.ID, err)
	}
	return Assertion{NewSecret(signed)}, nil
}

// signedClaims lets Claims be signed; nothing here reads assertions, so the
// getters that a reader would use are those of the empty set.
type signedClaims struct{ Claims }

func (signedClaims) GetExpirationTime() (*jwt.NumericDate, error) { return nil, nil }
func (signedClaims) GetIssuedAt() (*jwt.NumericDate, error)       { return nil, nil }
func (signedClaims) GetNotBefore() (*jwt.NumericDate, error)      { return nil, nil }
func (signedClaims) GetIssuer() (string, error)                   { return "", nil }
func (signedClaims) GetSubject() (string, error)                  { return "", nil }
func (signedClaims) GetAudience() (jwt.ClaimStrings, error)       { return nil, nil }
