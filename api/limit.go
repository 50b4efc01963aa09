package api

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/latchkey-sso/latchkey/broker"
)

// limitAddresses holds each address to its limit, before anything of its request
// is read. Clicks are left to limitFailures.
func (s *Server) limitAddresses(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if isClick(c) {
			return next(c)
		}
		if wait := s.cfg.AddressLimit.Take(c.Request().Context(), limiterKey(c.RealIP())); wait > 0 {
			return slowDown(wait, nil)
		}
		return next(c)
	}
}

// limitFailures counts against the limit of an address only what nobody vouches for,
// and what is over the limit of an account or a server, because a server that was taken
// over has any number of right tokens: all clicks of a server come from one address, and
// so does whatever a tenant of that server sends. Over the limit a failure is answered with a slow_down, whatever it
// was, and a click still gets in (see overLimit).
func (s *Server) limitFailures(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		err := next(c)
		ctx := c.Request().Context()
		switch reason := broker.ReasonOf(err); {
		case reason == broker.ReasonInvalidRequest, reason == broker.ReasonAccessDenied, reason == broker.ReasonSlowDown:
		case ctx.Err() != nil: // hung up: whoever does not wait for the refusal is not spared it
		default:
			return err
		}
		if wait := s.cfg.AddressLimit.Take(context.WithoutCancel(ctx), limiterKey(c.RealIP())); wait > 0 && err != nil {
			return slowDown(wait, err)
		}
		return err
	}
}

// overLimit reports whether the address of a request has used up its limit, as far as
// this broker knows. It counts nothing.
func (s *Server) overLimit(c echo.Context) bool {
	return s.cfg.AddressLimit.Wait(limiterKey(c.RealIP())) > 0
}

func isClick(c echo.Context) bool {
	return c.Request().Method == http.MethodPost && strings.HasSuffix(c.Path(), autologinRoute)
}

func slowDown(wait time.Duration, cause error) error {
	return &broker.Error{Reason: broker.ReasonSlowDown, RetryAfter: wait, Err: cause}
}

// limiterKey is the address, or of IPv6 the /64 that one host has.
func limiterKey(address string) string { return network(address, 64) }

// network is an IPv4 address itself, and the network of so many bits of an IPv6 one.
func network(address string, bits int) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	if ip = ip.Unmap(); ip.Is4() {
		return ip.String()
	}
	prefix, err := ip.Prefix(bits)
	if err != nil {
		return address
	}
	return prefix.String()
}
