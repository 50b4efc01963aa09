package subscribers

import (
	"context"
	"errors"
	"strings"
)

// hide returns err with secrets taken out of its text. Of what it wraps only the
// context's errors remain: the others would tell their text to whoever asks.
func hide(err error, secrets ...string) error {
	if err == nil {
		return nil
	}
	h := hiddenError{text: err.Error()}
	for _, secret := range secrets {
		if secret != "" {
			h.text = strings.ReplaceAll(h.text, secret, "[redacted]")
		}
	}
	for _, cause := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, cause) {
			h.cause = cause
		}
	}
	return h
}

type hiddenError struct {
	text  string
	cause error
}

func (h hiddenError) Error() string { return h.text }
func (h hiddenError) Unwrap() error { return h.cause }
