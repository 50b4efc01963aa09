package cpanelfake

import (
	"crypto/subtle"
	"fmt"
	"io"
)

const redacted = "[link token]"

// Token is a link token, the secret that a server keeps with a link and posts to
// the broker. It prints as redacted in every format and in JSON; Reveal gives the
// secret. The zero Token is empty.
//
// The secret sits behind a pointer because fmt calls no methods on the unexported
// fields of a struct: a string there would be printed as it is.
type Token struct {
	_      [0]func() // == would compare addresses: use Equal
	secret *string
}

// NewToken wraps a secret.
func NewToken(secret string) Token {
	if secret == "" {
		return Token{}
	}
	return Token{secret: &secret}
}

// Reveal returns the secret itself.
func (t Token) Reveal() string {
	if t.secret == nil {
		return ""
	}
	return *t.secret
}

// IsZero tells whether there is no secret.
func (t Token) IsZero() bool { return t.secret == nil }

// Equal tells whether both hold the same secret.
func (t Token) Equal(other Token) bool {
	return subtle.ConstantTimeCompare([]byte(t.Reveal()), []byte(other.Reveal())) == 1
}

// String returns the same words for every token.
func (t Token) String() string { return redacted }

// Format writes the same words under every verb.
func (t Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText gives JSON, and whatever else asks, the same words.
func (t Token) MarshalText() ([]byte, error) { return []byte(redacted), nil }
