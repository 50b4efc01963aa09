package corpus

import (
	_ "embed"
	"encoding/json"
	"fmt"
)

// Format is the version of the file's format. It changes when a reader of the former
// format would judge wrongly; further members are no such change.
const Format = 1

//go:embed assertions.json
var file string

// Corpus is a broker, a portal and a moment, and the assertions to be judged there.
type Corpus struct {
	Format   int    `json:"format"`
	About    string `json:"about"`
	Issuer   string `json:"issuer"`   // the broker's public URL, for iss
	Audience string `json:"audience"` // the portal's name at the broker, for aud
	Origin   string `json:"origin"`   // the portal's own, for target_link_uri
	Now      int64  `json:"now"`      // the verifier's clock, seconds since 1970
	Limits   Limits `json:"limits"`
	// JWKS is a JWK Set (RFC 7517 section 5). Three of its keys a broker could have
	// published; the others (a curve, a size and a use that are not for assertions, and a
	// type that nobody knows) are there to be refused.
	JWKS  json.RawMessage `json:"jwks"`
	Cases []Case          `json:"cases"`
}

// Limits are what the cases take for granted where a verifier has a choice.
type Limits struct {
	Leeway    int64 `json:"leeway"`    // seconds between two clocks that are still allowed
	Life      int64 `json:"life"`      // seconds, the longest exp - iat
	ID        int   `json:"id"`        // bytes, the longest sub and jti
	Assertion int   `json:"assertion"` // bytes, the longest assertion
}

// Case is one assertion and what is to become of it.
type Case struct {
	Name   string `json:"name"`  // unique
	Group  string `json:"group"` // what it is about: alg, kid, aud, ...
	Accept bool   `json:"accept"`
	Why    string `json:"why"`
	Rule   string `json:"rule"` // the section that says so; "Latchkey" for our own rules
	// Subject and TargetLinkURI are what an accepted assertion says.
	Subject       string `json:"sub,omitempty"`
	TargetLinkURI string `json:"target_link_uri,omitempty"`
	Assertion     string `json:"assertion"`
}

// Read returns the corpus.
func Read() (*Corpus, error) {
	c := new(Corpus)
	if err := json.Unmarshal([]byte(file), c); err != nil {
		return nil, fmt.Errorf("read assertions.json: %w", err)
	}
	if c.Format != Format {
		return nil, fmt.Errorf("read assertions.json: format %d, want %d", c.Format, Format)
	}
	return c, nil
}
