package api

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/latchkey-sso/latchkey/broker"
)

const tokenField = "one_time_token"

func (s *Server) getLogin(c echo.Context) error {
	query, err := bindQuery(c.Request())
	if err != nil {
		return err
	}
	token, err := bindToken(query)
	if err != nil {
		return err
	}
	if redeemsAtOnce(s.cfg.Confirm, c.Request().Header) {
		return s.redeem(c, token)
	}
	claim, err := s.claim(c)
	if err != nil {
		return err
	}
	s.keepClaim(c, claim)
	return s.confirmPage(c, token)
}

func (s *Server) postLogin(c echo.Context) error {
	form, err := bindForm(c.Request())
	if err != nil {
		return err
	}
	token, err := bindToken(form)
	if err != nil {
		return err
	}
	return s.redeem(c, token)
}

// headLogin answers link checkers; it looks at nothing.
func (s *Server) headLogin(c echo.Context) error { return c.NoContent(http.StatusOK) }

func (s *Server) optionsLogin(c echo.Context) error {
	c.Response().Header().Set(echo.HeaderAllow, "GET, HEAD, OPTIONS, POST")
	return c.NoContent(http.StatusNoContent)
}

func bindToken(f fields) (broker.OneTimeToken, error) {
	text, err := f.one(tokenField)
	if err != nil {
		return broker.OneTimeToken{}, err
	}
	if text == "" {
		return broker.OneTimeToken{}, broker.Invalid(tokenField, "is missing")
	}
	return broker.ParseOneTimeToken(text)
}

func (s *Server) redeem(c echo.Context, token broker.OneTimeToken) error {
	claim, err := s.claim(c)
	if err != nil {
		return err
	}
	defer working(c.Request().Context())()
	post, err := s.cfg.Domain.Login(c.Request().Context(), broker.LoginRequest{
		Token: token, Claim: claim, ProxyClaim: s.proxyClaim(c), From: origin(c),
	})
	if broker.ReasonOf(err) == broker.ReasonUnavailable {
		s.keepClaim(c, claim) // the browser will ask again
		return &retryable{err: err, token: token}
	}
	if err != nil {
		return err
	}
	s.dropClaim(c)
	return s.handoverPage(c, post)
}

// retryable is a failure whose page offers to try the same token again.
type retryable struct {
	err   error
	token broker.OneTimeToken
}

func (r *retryable) Error() string { return r.err.Error() }
func (r *retryable) Unwrap() error { return r.err }

// redeemsAtOnce tells a person's navigation from programs that look at a link
// before anybody clicked it (Fetch Metadata Request Headers, sections 2.1 and
// 2.2; Sec-Purpose in the Fetch standard, section 3.7).
func redeemsAtOnce(mode Confirm, h http.Header) bool {
	for _, name := range []string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"} {
		for _, value := range h.Values(name) {
			value = strings.ToLower(value)
			if strings.Contains(value, "prefetch") || strings.Contains(value, "prerender") || strings.Contains(value, "preview") {
				return false
			}
		}
	}
	switch mode {
	case ConfirmAlways:
		return false
	case ConfirmNever:
		return true
	}
	return h.Get("Sec-Fetch-Mode") == "navigate" && h.Get("Sec-Fetch-Dest") == "document" && h.Get("Sec-Purpose") == ""
}
