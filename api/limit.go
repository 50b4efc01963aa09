package api

import (
	"net/netip"

	"github.com/labstack/echo/v4"

	"github.com/latchkey-sso/latchkey/broker"
)

// limitAddresses holds each address to its limit, before anything of its request
// is read.
func (s *Server) limitAddresses(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if wait := s.cfg.AddressLimit.Take(c.Request().Context(), limiterKey(c.RealIP())); wait > 0 {
			return &broker.Error{Reason: broker.ReasonSlowDown, RetryAfter: wait}
		}
		return next(c)
	}
}

// limiterKey is the address, or of IPv6 the /64 that one customer has.
func limiterKey(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	if ip = ip.Unmap(); ip.Is4() {
		return ip.String()
	}
	prefix, err := ip.Prefix(64)
	if err != nil {
		return address
	}
	return prefix.String()
}
