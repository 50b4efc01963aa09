package broker_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/latchkey-sso/latchkey/broker"
)

func TestEveryReasonHasAText(t *testing.T) {
	want := map[broker.Reason]string{
		broker.ReasonInvalidRequest: "invalid_request",
		broker.ReasonAccessDenied:   "access_denied",
		broker.ReasonSignOnDisabled: "sign_on_disabled",
		broker.ReasonSlowDown:       "slow_down",
		broker.ReasonUnavailable:    "unavailable",
		broker.ReasonTokenUnknown:   "token_unknown",
		broker.ReasonTokenExpired:   "token_expired",
		broker.ReasonTokenUsed:      "token_used",
		broker.ReasonInvalidClient:  "invalid_client",
	}
	seen := map[broker.Reason]bool{}
	for _, r := range broker.Reasons() {
		if seen[r] {
			t.Errorf("%s is twice in Reasons", r)
		}
		seen[r] = true
		if got := r.String(); got != want[r] {
			t.Errorf("reason %d: got %q, want %q", uint8(r), got, want[r])
		}
	}
	if len(seen) != len(want) {
		t.Errorf("Reasons: got %d, want %d", len(seen), len(want))
	}
	// One past the last: a reason that is not in Reasons would have a text.
	for r, text := range map[broker.Reason]string{0: "reason(0)", broker.Reason(len(want) + 1): "reason(10)"} {
		if got := r.String(); got != text {
			t.Errorf("reason %d: got %q, want %q", uint8(r), got, text)
		}
	}
}

func TestErrorText(t *testing.T) {
	tests := []struct {
		name string
		err  broker.Error
		want string
	}{
		{"reason alone", broker.Error{Reason: broker.ReasonTokenUsed}, "token_used"},
		{"with its field", *broker.Invalid("app", "is missing"), "invalid_request: app is missing"},
		{"with its cause", broker.Error{Reason: broker.ReasonUnavailable, Err: io.EOF}, "unavailable: EOF"},
		{"with both", broker.Error{Reason: broker.ReasonInvalidRequest, Field: "app", Problem: "is odd", Err: io.EOF}, "invalid_request: app is odd: EOF"},
	}
	for _, tt := range tests {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestReasonOf(t *testing.T) {
	used := &broker.Error{Reason: broker.ReasonTokenUsed}
	tests := []struct {
		name string
		err  error
		want broker.Reason
	}{
		{"no error", nil, 0},
		{"another error", io.EOF, 0},
		{"a refusal", used, broker.ReasonTokenUsed},
		{"a wrapped refusal", fmt.Errorf("login: %w", used), broker.ReasonTokenUsed},
		{"wrapped twice", fmt.Errorf("a: %w", fmt.Errorf("b: %w", used)), broker.ReasonTokenUsed},
		{"joined", errors.Join(io.EOF, used), broker.ReasonTokenUsed},
		{"the outer of two", &broker.Error{Reason: broker.ReasonAccessDenied, Err: used}, broker.ReasonAccessDenied},
		{"only its text", fmt.Errorf("login: %v", used), 0},
	}
	for _, tt := range tests {
		if got := broker.ReasonOf(tt.err); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestErrorUnwraps(t *testing.T) {
	err := error(&broker.Error{Reason: broker.ReasonAccessDenied, Err: &broker.DeniedError{Cause: broker.CauseToken}})
	denied, is := errors.AsType[*broker.DeniedError](err)
	if !is || denied.Cause != broker.CauseToken {
		t.Errorf("got cause %v, want %v", denied, broker.CauseToken)
	}
	if got, want := denied.Error(), "denied: wrong link token"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if (&broker.Error{Reason: broker.ReasonTokenUsed}).Unwrap() != nil {
		t.Error("an error without a cause unwraps to something")
	}
}
