package cpanelfake_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/latchkey-sso/latchkey/api/cpanelfake"
)

func TestTokenNeverPrints(t *testing.T) {
	token := cpanelfake.NewToken(secret)
	l := link(t)
	type hidden struct{ token cpanelfake.Token }
	values := map[string]any{
		"the token":                  token,
		"a pointer to it":            &token,
		"a link":                     l,
		"a list of links":            []cpanelfake.Link{l},
		"an unexported field":        hidden{token},
		"a map of unexported fields": map[string]hidden{"a": {token}},
		"a field error":              stateWith(t, l).SetToken(user, app, cpanelfake.Token{}),
	}
	for name, value := range values {
		t.Run(name, func(t *testing.T) {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%p"} {
				// The format is a variable because vet knows that some verbs do not fit.
				if got := fmt.Sprintf(verb, value); leaks(got) {
					t.Errorf("%s printed the secret: %s", verb, got)
				}
			}
			if got, _ := json.Marshal(value); leaks(string(got)) {
				t.Errorf("JSON holds the secret: %s", got)
			}
			var log bytes.Buffer
			slog.New(slog.NewTextHandler(&log, nil)).Info("x", "value", value)
			slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "value", value)
			if leaks(log.String()) {
				t.Errorf("the log holds the secret: %s", log.String())
			}
		})
	}
}

func leaks(text string) bool {
	return strings.Contains(text, secret) ||
		strings.Contains(strings.ToLower(text), fmt.Sprintf("%x", secret)) ||
		strings.Contains(text, fmt.Sprint([]byte(secret)))
}

func TestTokenKeepsItsSecret(t *testing.T) {
	tests := []struct {
		name        string
		a, b        cpanelfake.Token
		equal, zero bool
	}{
		{"the same secret twice", cpanelfake.NewToken("a"), cpanelfake.NewToken("a"), true, false},
		{"two secrets", cpanelfake.NewToken("a"), cpanelfake.NewToken("b"), false, false},
		{"the empty secret is the zero token", cpanelfake.NewToken(""), cpanelfake.Token{}, true, true},
		{"a secret and none", cpanelfake.NewToken("a"), cpanelfake.Token{}, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.a.Equal(tt.b); got != tt.equal {
				t.Errorf("Equal: got %v, want %v", got, tt.equal)
			}
			if got := tt.a.IsZero(); got != tt.zero {
				t.Errorf("IsZero: got %v, want %v", got, tt.zero)
			}
		})
	}
	if got := cpanelfake.NewToken(secret).Reveal(); got != secret {
		t.Errorf("Reveal: got %q, want %q", got, secret)
	}
}
