package api

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"go.uber.org/zap"

	"github.com/latchkey-sso/latchkey/broker"
)

// closedPolicy is the Content-Security-Policy of everything that is no page.
const closedPolicy = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

// SetSecureHeaders sets what every answer carries, to browsers, portals and servers
// alike.
func SetSecureHeaders(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", closedPolicy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Robots-Tag", "noindex, nofollow")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=()")
}

// secureHeaders sets what every public answer carries; pages widen the policy.
func (s *Server) secureHeaders(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		h := c.Response().Header()
		SetSecureHeaders(h)
		if s.https {
			h.Set("Strict-Transport-Security", "max-age=63072000")
		}
		return next(c)
	}
}

// pagePolicy lets a page run its own script and style and send its form to the
// named origins.
func pagePolicy(nonce string, formAction ...string) string {
	return "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; img-src data:; " +
		"script-src 'nonce-" + nonce + "'; style-src 'nonce-" + nonce + "'; " +
		"form-action " + strings.Join(formAction, " ")
}

func newNonce() string {
	var bits [16]byte
	_, _ = rand.Read(bits[:]) // never fails: crypto/rand documentation, Read
	return base64.RawURLEncoding.EncodeToString(bits[:])
}

// logRequests writes one line a request. It names the route and never the URL,
// whose query may hold a one-time token.
func (s *Server) logRequests(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		start := time.Now()
		err := next(c)
		if err != nil {
			c.Error(err) // answers
		} else {
			err, _ = c.Get(answeredKey).(error)
		}
		route := c.Path()
		if route == "" {
			route = "none"
		}
		fields := []zap.Field{
			zap.String("method", methodName(c.Request().Method)),
			zap.String("route", route),
			zap.Int("status", c.Response().Status),
			zap.Duration("took", time.Since(start)),
			zap.String("address", c.RealIP()),
			zap.String("request_id", requestID(c)),
		}
		log := s.cfg.Log.Info
		if refusal, ok := errors.AsType[*broker.Error](err); ok {
			fields = append(fields, zap.Stringer("reason", refusal.Reason))
			if refusal.Field != "" {
				fields = append(fields, zap.String("field", refusal.Field), zap.String("problem", refusal.Problem))
			}
			if refusal.Reason == broker.ReasonUnavailable {
				log = s.cfg.Log.Warn
				fields = append(fields, zap.Error(refusal.Err))
			}
		} else if c.Response().Status >= 500 {
			log = s.cfg.Log.Error
			fields = append(fields, zap.Error(err))
		}
		log("request", fields...)
		return nil
	}
}

// methodName keeps what a client invents out of the log.
func methodName(method string) string {
	switch method {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE":
		return method
	}
	return "other"
}
