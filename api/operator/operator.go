// Package operator is the HTTP that operators and their load balancers call, on
// a listener of its own that is not for the public.
package operator

import (
	"context"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/latchkey-sso/latchkey/api"
)

// Ready says whether the broker can serve. It must return within a second or so
// and its error is shown to the operator, so it holds no secret.
type Ready func(ctx context.Context) error

// New returns the operators' handler:
//
//	GET /healthz/live   200 while the process runs
//	GET /healthz/ready  200 while it can serve, else 503
func New(ready Ready) http.Handler {
	e := echo.New()
	e.IPExtractor = echo.ExtractIPDirect()
	e.Pre(func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			api.SetSecureHeaders(c.Response().Header())
			return next(c)
		}
	})
	live := func(c echo.Context) error { return c.JSON(http.StatusOK, health{Status: "ok"}) }
	check := func(c echo.Context) error {
		ctx, cancel := context.WithTimeout(c.Request().Context(), time.Second)
		defer cancel()
		if err := ready(ctx); err != nil {
			return c.JSON(http.StatusServiceUnavailable, health{Status: "unavailable", Reason: err.Error()})
		}
		return c.JSON(http.StatusOK, health{Status: "ok"})
	}
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		e.Add(method, "/healthz/live", live)
		e.Add(method, "/healthz/ready", check)
	}
	return e
}

type health struct {
	Status string `json:"status"`
	Reason string `json:"reason,omitempty"`
}
