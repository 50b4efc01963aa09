package portal

import (
	"errors"
	"net/http"
)

// problem is why a visitor did not get in: for the visitor the words of its kind,
// for the operator the reason.
type problem struct {
	kind   kind
	reason error
}

func (p *problem) Error() string { return p.reason.Error() }
func (p *problem) Unwrap() error { return p.reason }

type kind int

const (
	kindUnknown     kind = iota // a fault of ours
	kindRefused                 // the sign-in does not count
	kindMisfit                  // broker and portal do not fit together
	kindUnavailable             // not now
	kindForeign                 // another site tried to press our button
)

func refuse(reason error) error      { return &problem{kindRefused, reason} }
func misfit(reason error) error      { return &problem{kindMisfit, reason} }
func unavailable(reason error) error { return &problem{kindUnavailable, reason} }
func foreign(reason error) error     { return &problem{kindForeign, reason} }

// words are what a visitor reads. Nothing of the reason is in them: who tries
// stolen assertions would learn from it, a customer would not.
type words struct {
	status int
	title  string
	text   string
}

func wordsFor(err error) words {
	var p *problem
	if !errors.As(err, &p) {
		p = &problem{kind: kindUnknown}
	}
	switch p.kind {
	case kindRefused:
		return words{http.StatusForbidden, "This sign-in did not work",
			"A sign-in from cPanel works once and for a short time. Go back to cPanel and click the link again."}
	case kindMisfit:
		return words{http.StatusBadGateway, "We could not sign you in",
			"Something between cPanel and this portal is not set up right. It is not your doing, and we have been told."}
	case kindUnavailable:
		return words{http.StatusServiceUnavailable, "Not right now",
			"We could not check your sign-in just now. Wait a moment, go back to cPanel and click the link again."}
	case kindForeign:
		return words{http.StatusForbidden, "That came from another site",
			"For your safety we do this only when you ask for it on one of our own pages."}
	default:
		return words{http.StatusInternalServerError, "Something went wrong here",
			"It is not your doing. Please try again in a moment."}
	}
}
