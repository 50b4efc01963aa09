package api

import (
	"crypto/rand"
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"github.com/latchkey-sso/latchkey/broker"
)

func (s *Server) postExchange(c echo.Context) error {
	request, err := s.bindExchange(c)
	if err != nil {
		return err
	}
	defer working(c.Request().Context())()
	exchanged, err := s.cfg.Domain.Exchange(c.Request().Context(), request)
	if err != nil {
		return err
	}
	c.Response().Header().Set("Pragma", "no-cache") // RFC 6749 section 5.1
	return c.JSON(http.StatusOK, struct {
		broker.Claims
		Assertion string `json:"assertion"`
	}{exchanged.Claims, exchanged.Assertion.Reveal()})
}

// bindExchange reads the client from HTTP Basic or from the form, never from
// both (RFC 6749 section 2.3).
func (s *Server) bindExchange(c echo.Context) (broker.ExchangeRequest, error) {
	request := broker.ExchangeRequest{ProxyClaim: s.proxyClaim(c), From: origin(c)}
	form, err := bindForm(c.Request())
	if err != nil {
		return request, err
	}
	bind := binder{body: form}
	request.Token = bind.fromBody(tokenField)
	clientID, secret := bind.fromBody("client_id"), bind.fromBody("client_secret")
	claimID := bind.fromBody("claim_id")
	if bind.err != nil {
		return request, bind.err
	}
	if request.Token == "" {
		return request, broker.Invalid(tokenField, "is missing")
	}
	if user, password, ok := basicClient(c.Request()); ok {
		if secret != "" || clientID != "" && clientID != user {
			return request, broker.Invalid("client_secret", "must not be in the form when HTTP Basic is used")
		}
		clientID, secret = user, password
	}
	request.ClientID, request.ClientSecret = clientID, broker.NewSecret(secret)
	request.Claim, err = exchangeClaim(claimID)
	return request, err
}

// basicClient decodes what RFC 6749 section 2.3.1 encodes as a form first.
func basicClient(r *http.Request) (id, secret string, ok bool) {
	user, password, ok := r.BasicAuth()
	if !ok {
		return "", "", false
	}
	id, err := url.QueryUnescape(user)
	if err != nil {
		id = user
	}
	secret, err = url.QueryUnescape(password)
	if err != nil {
		secret = password
	}
	return id, secret, true
}

// exchangeClaim is named by the portal's back end, so that it may repeat a call
// whose reply was lost; a call without one cannot be repeated.
func exchangeClaim(claimID string) (broker.Claim, error) {
	if claimID == "" {
		return broker.NewClaim(rand.Reader)
	}
	claim, ok := broker.ParsePortalClaim(claimID)
	if !ok {
		return claim, broker.Invalid("claim_id", "must be 16 to 128 letters, digits, hyphens, underscores or dots")
	}
	return claim, nil
}

func (s *Server) getKeySet(c echo.Context) error {
	c.Response().Header().Set("Cache-Control", keySetCaching)
	return c.Blob(http.StatusOK, "application/jwk-set+json", s.cfg.Domain.KeySet())
}
