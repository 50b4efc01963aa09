package broker

import (
	"errors"
	"fmt"
	"time"
)

// Reason says why a request was not served. The list is closed: package api
// keeps one table that gives each Reason its status and public sentence.
type Reason uint8

// The reasons. Their numbers carry no meaning and are not stored.
const (
	// ReasonInvalidRequest: a field is missing, doubled, too long or badly
	// encoded. Error.Field and Error.Problem say which and how.
	ReasonInvalidRequest Reason = iota + 1
	// ReasonAccessDenied: no such link, a wrong link token or a wrong
	// subscriber; nobody outside can tell which.
	ReasonAccessDenied
	// ReasonSignOnDisabled: the operator switched this sign-on off.
	ReasonSignOnDisabled
	// ReasonSlowDown: too many requests; Error.RetryAfter says how long to wait.
	ReasonSlowDown
	// ReasonUnavailable: not now, perhaps soon. Nothing was consumed for good.
	ReasonUnavailable
	// ReasonTokenUnknown: no one-time token of this name, or not for this redeemer.
	ReasonTokenUnknown
	// ReasonTokenExpired: the one-time token is past its lifetime, the primary that
	// issued it is gone, or its claimant repeats itself too late.
	ReasonTokenExpired
	// ReasonTokenUsed: another claimant has redeemed the one-time token.
	ReasonTokenUsed
	// ReasonInvalidClient: a portal's client id or secret is wrong (RFC 6749
	// section 5.2, invalid_client).
	ReasonInvalidClient
)

// Reasons returns every Reason, for tables that must be complete.
func Reasons() []Reason {
	return []Reason{
		ReasonInvalidRequest, ReasonAccessDenied, ReasonSignOnDisabled, ReasonSlowDown,
		ReasonUnavailable, ReasonTokenUnknown, ReasonTokenExpired, ReasonTokenUsed, ReasonInvalidClient,
	}
}

func (r Reason) String() string {
	switch r {
	case ReasonInvalidRequest:
		return "invalid_request"
	case ReasonAccessDenied:
		return "access_denied"
	case ReasonSignOnDisabled:
		return "sign_on_disabled"
	case ReasonSlowDown:
		return "slow_down"
	case ReasonUnavailable:
		return "unavailable"
	case ReasonTokenUnknown:
		return "token_unknown"
	case ReasonTokenExpired:
		return "token_expired"
	case ReasonTokenUsed:
		return "token_used"
	case ReasonInvalidClient:
		return "invalid_client"
	}
	return fmt.Sprintf("reason(%d)", uint8(r))
}

// Error is a refusal with its Reason. Field, Problem, WayOn and RetryAfter may
// be shown to whoever asked; Err is for the log only.
type Error struct {
	Reason Reason
	// Field names the field that ReasonInvalidRequest is about.
	Field string
	// Problem is a sentence about Field without its value: "is missing".
	Problem string
	// WayOn is where a person can go instead: the portal's own login page for
	// the destination asked for. Empty when the destination is not known.
	WayOn string
	// RetryAfter is set with ReasonSlowDown.
	RetryAfter time.Duration
	// Err is the private cause.
	Err error
}

func (e *Error) Error() string {
	text := e.Reason.String()
	if e.Field != "" {
		text += ": " + e.Field + " " + e.Problem
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

func (e *Error) Unwrap() error { return e.Err }

// Invalid returns a ReasonInvalidRequest about one field. The problem never
// repeats the value.
func Invalid(field, problem string) *Error {
	return &Error{Reason: ReasonInvalidRequest, Field: field, Problem: problem}
}

// ReasonOf returns the Reason inside err, or 0 when err has none.
func ReasonOf(err error) Reason {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Reason
	}
	return 0
}
