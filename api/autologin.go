package api

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/latchkey-sso/latchkey/broker"
)

func (s *Server) postAutologin(c echo.Context) error {
	request, err := bindAutologin(c)
	if err != nil {
		return err
	}
	defer working(c.Request().Context())()
	request.Doubted = s.overLimit(c)
	answer, err := s.cfg.Domain.Autologin(c.Request().Context(), request)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, answerBody(answer))
}

// answerBody is the JSON that cPanel servers read (WHM API 1 documentation,
// create_integration_link, autologin_token_url).
func answerBody(a broker.Answer) any {
	if a.RedirectURL.IsZero() {
		return struct {
			Retry   int `json:"retry"`
			Attempt int `json:"attempt"`
		}{int(a.RetryAfter.Seconds()), a.Attempt}
	}
	return struct {
		RedirectURL string `json:"redirect_url"`
	}{a.RedirectURL.Reveal()}
}

// bindAutologin joins the URL's values, which the provisioner wrote, and the
// body's, which the server posts.
func bindAutologin(c echo.Context) (broker.AutologinRequest, error) {
	request := broker.AutologinRequest{From: origin(c)}
	query, err := bindQuery(c.Request())
	if err != nil {
		return request, err
	}
	body, err := bindBody(c.Request(), "app", "token", "user", "subscriber_unique_id", "attempt")
	if err != nil {
		return request, err
	}
	bind := binder{query: query, body: body}
	request.Link.Server = bind.fromQuery("server")
	request.Link.App = bind.agreed("app")
	request.Link.User = bind.agreed("user")
	request.Token = broker.LinkToken{Secret: broker.NewSecret(bind.fromBody("token"))}
	request.Subscriber = bind.fromBody("subscriber_unique_id")
	request.Attempt = bind.attempt()
	return request, bind.err
}

// binder collects fields and keeps the first problem.
type binder struct {
	query, body fields
	err         error
}

func (b *binder) from(f fields, name string) string {
	value, err := f.one(name)
	if b.err == nil {
		b.err = err
	}
	return value
}

func (b *binder) fromQuery(name string) string { return b.from(b.query, name) }
func (b *binder) fromBody(name string) string  { return b.from(b.body, name) }

// agreed returns a value that the URL has, or the body, or both alike.
func (b *binder) agreed(name string) string {
	fromURL, fromBody := b.fromQuery(name), b.fromBody(name)
	switch {
	case fromBody == "":
		return fromURL
	case fromURL != "" && fromURL != fromBody && b.err == nil:
		b.err = broker.Invalid(name, "in the body differs from the one in the URL")
	}
	return fromBody
}

// attempt returns 0 when the server does not say.
func (b *binder) attempt() int {
	text := strings.TrimSpace(b.fromBody("attempt"))
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if (err != nil || n < 1 || n > broker.MaxAttempts) && b.err == nil {
		b.err = broker.Invalid("attempt", "must be 1, 2 or 3")
	}
	return n
}
