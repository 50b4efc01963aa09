package broker

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
)

// Digest stands for a secret wherever it is stored or compared: SHA-256 over a
// word for the kind of secret and the secret. The secrets that Latchkey makes
// have 256 random bits, so a digest needs no salt.
type Digest [sha256.Size]byte

// String returns the first 12 hexadecimal digits: enough to follow a token
// through a log, useless to redeem it.
func (d Digest) String() string { return hex.EncodeToString(d[:6]) }

func digest(kind, text string) Digest {
	return sha256.Sum256([]byte("latchkey " + kind + "\x00" + text))
}

// LinkToken is the secret that WHM keeps with a link and posts to us.
type LinkToken struct{ Secret }

// NewLinkToken makes a link token of 256 bits from random: 43 characters of
// base64url, safe in a shell and in a form.
func NewLinkToken(random io.Reader) (LinkToken, error) {
	text, err := randomText(random)
	if err != nil {
		return LinkToken{}, fmt.Errorf("make link token: %w", err)
	}
	return LinkToken{NewSecret(text)}, nil
}

// Digest returns what is stored of the link token.
func (t LinkToken) Digest() Digest { return digest("link token", t.Reveal()) }

// OneTimeToken is the secret inside a one-time URL: the tag of its account and
// 256 random bits, together 46 characters of base64url.
type OneTimeToken struct{ Secret }

const oneTimeTokenLength = tagLength + 43

// NewOneTimeToken makes a one-time token for an account.
func NewOneTimeToken(random io.Reader, account Account) (OneTimeToken, error) {
	text, err := randomText(random)
	if err != nil {
		return OneTimeToken{}, fmt.Errorf("make one-time token: %w", err)
	}
	return OneTimeToken{NewSecret(account.Tag() + text)}, nil
}

// ParseOneTimeToken accepts what has the form of a one-time token. Anything
// else cannot have been issued: ReasonTokenUnknown.
func ParseOneTimeToken(text string) (OneTimeToken, error) {
	if len(text) != oneTimeTokenLength || !isBase64URL(text) {
		return OneTimeToken{}, &Error{Reason: ReasonTokenUnknown}
	}
	return OneTimeToken{NewSecret(text)}, nil
}

// Tag returns the tag of the account that the token was issued for.
func (t OneTimeToken) Tag() string {
	text := t.Reveal()
	return text[:min(tagLength, len(text))]
}

// Digest returns what is stored of the one-time token.
func (t OneTimeToken) Digest() Digest { return digest("one-time token", t.Reveal()) }

// Claim names who redeems: the same claimant may repeat itself after a lost
// reply, everyone else finds the token used. It is a secret between the
// claimant and us; only its digest is stored. Claims of different kinds are
// never equal, whatever their texts.
type Claim struct {
	Secret
	kind claimKind
}

type claimKind string

const (
	browserClaim claimKind = "browser"
	portalClaim  claimKind = "portal"
	proxyClaim   claimKind = "proxy"
)

const (
	minClaim = 16
	maxClaim = 128
)

// NewClaim makes the claim of a browser, of 256 random bits.
func NewClaim(random io.Reader) (Claim, error) {
	text, err := randomText(random)
	if err != nil {
		return Claim{}, fmt.Errorf("make claim: %w", err)
	}
	return Claim{NewSecret(text), browserClaim}, nil
}

// ParseClaim reads the claim that a browser has kept.
func ParseClaim(text string) (Claim, bool) { return parseClaim(text, browserClaim) }

// ParsePortalClaim reads the claim that a portal's back end has chosen.
func ParsePortalClaim(text string) (Claim, bool) { return parseClaim(text, portalClaim) }

// parseClaim accepts 16 to 128 characters of base64url, dots included.
func parseClaim(text string, kind claimKind) (Claim, bool) {
	if len(text) < minClaim || len(text) > maxClaim {
		return Claim{}, false
	}
	for i := range len(text) {
		if text[i] != '.' && !isBase64URL(text[i:i+1]) {
			return Claim{}, false
		}
	}
	return Claim{NewSecret(text), kind}, true
}

// ProxyClaim is the claim of one request that a trusted proxy has named, and may
// send twice. The id is in logs and on pages, so it counts only where the proxy
// itself brings it.
func ProxyClaim(requestID string) Claim { return Claim{NewSecret(requestID), proxyClaim} }

// ID is what is stored and audited of a claim: 128 bits of its digest in
// hexadecimal. That of no claim is empty.
func (c Claim) ID() string {
	if c.IsZero() {
		return ""
	}
	sum := digest("claim of a "+string(c.kind), c.Reveal())
	return hex.EncodeToString(sum[:16])
}

func randomText(random io.Reader) (string, error) {
	var bits [32]byte
	if _, err := io.ReadFull(random, bits[:]); err != nil {
		return "", fmt.Errorf("read random bits: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(bits[:]), nil
}

func isBase64URL(text string) bool {
	for i := range len(text) {
		c := text[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}
