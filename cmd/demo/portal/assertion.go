package portal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	assertionType = "latchkey+jwt"
	maxAssertion  = 16 << 10         // bytes, before anything is parsed
	leeway        = 10 * time.Second // between the broker's clock and ours
	maxLife       = 5 * time.Minute  // exp - iat; the broker says 60 s
	maxID         = 255              // bytes of sub and jti
)

// claims are what an assertion says, and what the exchange answers.
type claims struct {
	Issuer        string           `json:"iss"`
	Subject       string           `json:"sub"`
	Audience      jwt.ClaimStrings `json:"aud"`
	ID            string           `json:"jti"`
	IssuedAt      *seconds         `json:"iat"`
	NotBefore     *seconds         `json:"nbf"`
	Expires       *seconds         `json:"exp"`
	AuthTime      *seconds         `json:"auth_time"`
	AMR           []string         `json:"amr"`
	ACR           string           `json:"acr"`
	CPanel        cpanel           `json:"cpanel"`
	TargetLinkURI string           `json:"target_link_uri"`
}

type cpanel struct {
	Server string `json:"server"`
	User   string `json:"user"`
	App    string `json:"app"`
}

// verifier checks assertions. It holds no state of its own: that an assertion is
// used only once is the business of Portal.signIn.
type verifier struct {
	parser   *jwt.Parser
	keys     *keySet
	audience string
	now      func() time.Time
}

func newVerifier(ctx context.Context, c Config) *verifier {
	return &verifier{
		keys:     &keySet{ctx: ctx, url: c.JWKSURL, client: c.HTTPClient, now: c.Now},
		audience: c.Audience,
		now:      c.Now,
		parser: jwt.NewParser(
			jwt.WithValidMethods([]string{"EdDSA", "ES256", "RS256"}),
			jwt.WithStrictDecoding(),
			jwt.WithIssuer(c.Issuer),
			jwt.WithAudience(c.Audience),
			jwt.WithExpirationRequired(),
			jwt.WithNotBeforeRequired(),
			jwt.WithIssuedAt(),
			jwt.WithLeeway(leeway),
			jwt.WithTimeFunc(c.Now),
		),
	}
}

// verify returns the claims of a valid assertion. An error that is errNoKeys means
// that it could not be checked; any other that it is not valid.
func (v *verifier) verify(ctx context.Context, raw string) (*claims, error) {
	if len(raw) > maxAssertion {
		return nil, errors.New("assertion is too long")
	}
	if err := wellFormed(raw); err != nil {
		return nil, fmt.Errorf("verify assertion: %w", err)
	}
	c := new(signedClaims)
	_, err := v.parser.ParseWithClaims(raw, c, func(t *jwt.Token) (any, error) {
		// Exactly: RFC 7515 section 4.1.9 would let us ignore case, but the broker
		// writes it one way.
		if typ, _ := t.Header["typ"].(string); typ != assertionType {
			return nil, errors.New("typ is not " + assertionType)
		}
		// RFC 7515 section 4.1.11: who does not know what is critical must refuse.
		if _, ok := t.Header["crit"]; ok {
			return nil, errors.New("crit names extensions that nobody here knows")
		}
		return v.keys.key(ctx, t)
	})
	if errors.Is(err, jwt.ErrTokenMalformed) {
		err = jwt.ErrTokenMalformed // without the JSON package's quotations from it
	}
	if err != nil {
		return nil, fmt.Errorf("verify assertion: %w", err)
	}
	if err := v.rest(&c.claims); err != nil {
		return nil, fmt.Errorf("verify assertion: %w", err)
	}
	return &c.claims, nil
}

// rest is what the library does not check.
func (v *verifier) rest(c *claims) error {
	switch {
	case len(c.Audience) != 1 || c.Audience[0] != v.audience:
		return errors.New("aud names others as well")
	case c.Subject == "" || len(c.Subject) > maxID:
		return errors.New("sub is missing or too long")
	case c.ID == "" || len(c.ID) > maxID:
		return errors.New("jti is missing or too long")
	case c.IssuedAt == nil:
		return errors.New("iat is missing")
	case !c.Expires.After(c.IssuedAt.Time) || c.Expires.Sub(c.IssuedAt.Time) > maxLife:
		return errors.New("lives too long, or ends before it begins")
	case c.AuthTime == nil:
		return errors.New("auth_time is missing")
	case c.AuthTime.After(v.now().Add(leeway)):
		return errors.New("auth_time is in the future")
	case c.TargetLinkURI == "":
		return errors.New("target_link_uri is missing")
	}
	return nil
}

// differs names the first claim in which c and o are not the same, "" if there is
// none.
func (c *claims) differs(o *claims) string {
	switch {
	case c.Issuer != o.Issuer:
		return "iss"
	case c.Subject != o.Subject:
		return "sub"
	case !slices.Equal(c.Audience, o.Audience):
		return "aud"
	case c.ID != o.ID:
		return "jti"
	case !sameTime(c.IssuedAt, o.IssuedAt):
		return "iat"
	case !sameTime(c.NotBefore, o.NotBefore):
		return "nbf"
	case !sameTime(c.Expires, o.Expires):
		return "exp"
	case !sameTime(c.AuthTime, o.AuthTime):
		return "auth_time"
	case !slices.Equal(c.AMR, o.AMR):
		return "amr"
	case c.ACR != o.ACR:
		return "acr"
	case c.CPanel != o.CPanel:
		return "cpanel"
	case c.TargetLinkURI != o.TargetLinkURI:
		return "target_link_uri"
	}
	return ""
}

func sameTime(a, b *seconds) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Equal(b.Time)
}
