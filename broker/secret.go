package broker

import (
	"fmt"
	"log/slog"
)

const redacted = "[redacted]"

// Secret is a text that must not be seen: it prints as "[redacted]" in every
// format of fmt, in JSON, in YAML and in structured logs. Reveal is the only
// way to the text, so that a reader finds every use of it by name.
//
// The text is behind a pointer because fmt does not ask the methods of values
// that it finds in unexported fields: it prints an address then. Secrets are
// therefore not comparable with ==; compare digests.
type Secret struct {
	_    [0]func() // not comparable
	text *string
}

// NewSecret keeps text as a secret.
func NewSecret(text string) Secret { return Secret{text: &text} }

// Reveal returns the text itself.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsZero reports whether there is no text.
func (s Secret) IsZero() bool { return s.Reveal() == "" }

// Format implements fmt.Formatter: whatever the verb, the text stays hidden.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// String implements fmt.Stringer.
func (s Secret) String() string { return redacted }

// MarshalText implements encoding.TextMarshaler, which JSON, YAML and zap use.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }
