package portal

import (
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/golang-jwt/jwt/v5"
)

// What is in this file is about reading: two programs that read one assertion
// differently may sign in two different customers. encoding/json, by which the JWT
// library reads, takes the last of two members of one name, takes "Sub" for "sub",
// and makes one replacement character of all that is not UTF-8. The JSON package
// used here (the coming version 2 of it) refuses or tells apart all three.

// wellFormed refuses assertions that the JWT library would read with leniency. What
// is in the claims is left to signedClaims.
func wellFormed(raw string) error {
	// The decoder of base64 skips line ends.
	if strings.ContainsAny(raw, "\r\n") {
		return errors.New("assertion has line ends")
	}
	first, _, _ := strings.Cut(raw, ".")
	header, err := base64.RawURLEncoding.Strict().DecodeString(first)
	if err != nil || !jsontext.Value(header).IsValid() {
		return errors.New("header is not strict JSON")
	}
	return nil
}

// signedClaims are claims for the JWT library, strictly read.
type signedClaims struct{ claims }

// UnmarshalJSON refuses doubled names, at every depth, and what is not UTF-8.
func (c *signedClaims) UnmarshalJSON(text []byte) error {
	return json.Unmarshal(text, &c.claims)
}

func (c *signedClaims) GetIssuer() (string, error)                   { return c.Issuer, nil }
func (c *signedClaims) GetSubject() (string, error)                  { return c.Subject, nil }
func (c *signedClaims) GetAudience() (jwt.ClaimStrings, error)       { return c.Audience, nil }
func (c *signedClaims) GetIssuedAt() (*jwt.NumericDate, error)       { return c.IssuedAt.date(), nil }
func (c *signedClaims) GetNotBefore() (*jwt.NumericDate, error)      { return c.NotBefore.date(), nil }
func (c *signedClaims) GetExpirationTime() (*jwt.NumericDate, error) { return c.Expires.date(), nil }

// maxSeconds is the end of the year 9999.
const maxSeconds = 253402300799

// seconds is a NumericDate of RFC 7519 section 2: a number and no text with a number
// in it, of seconds since 1970, perhaps with a fraction. The library's own type takes
// text too, and of a number that is large enough makes a time that is long past.
type seconds struct{ time.Time }

// UnmarshalJSON refuses times before 1970 and after the year 9999.
func (s *seconds) UnmarshalJSON(text []byte) error {
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil || f < 0 || f > maxSeconds {
		return errors.New("is not a time")
	}
	s.Time = time.UnixMilli(int64(f * 1000))
	return nil
}

func (s *seconds) date() *jwt.NumericDate {
	if s == nil {
		return nil
	}
	return &jwt.NumericDate{Time: s.Time}
}
