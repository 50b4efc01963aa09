package hooks

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"go.uber.org/zap"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

// Path is where the handler takes reports.
const Path = "/hooks/whm"

// Requests is the queue that reports end in.
type Requests interface {
	// Add keeps requests: all of them, or it returns an error and the server is
	// told that they were not accepted; for reconcile.ErrQueueFull, to slow down. It is called once for a report and never
	// again, with a context that ends after 2 s, by many goroutines at once.
	Add(ctx context.Context, requests ...reconcile.Request) error
}

var _ Requests = reconcile.Requests(nil)

// Config is what the handler needs. Every field is required.
type Config struct {
	// Secrets are what servers prove themselves with, by server id. A server
	// whose secret is empty is refused.
	Secrets map[string]broker.Secret
	// Requests is where reports are queued.
	Requests Requests
	// Now is the clock that calls are counted by.
	Now func() time.Time
	// Log gets a line for each call. It holds nothing of the body but the names
	// of the server, the event and the accounts, and those only once they are
	// known to be such.
	Log *zap.Logger
}

const (
	maxBody     = 64 << 10
	addDeadline = 2 * time.Second
)

// New returns the handler for POST /hooks/whm. It sets no time-outs of a
// connection: serve it with api.HTTPServer. Each server may make 50 requests a
// second, 500 at once.
//
//	202  queued
//	400  the body is malformed; error_description names the member
//	401  the secret is not that of the server
//	413  the body is larger than 64 KiB
//	415  the body is not JSON
//	429  too many requests of this server, or too many of its reports wait; see Retry-After
//	503  the queue did not answer within 2 s or refused
func New(cfg Config) http.Handler {
	h := &handler{cfg: cfg, callers: newCallers(cfg.Secrets)}
	e := echo.New()
	e.HTTPErrorHandler = answerError
	e.IPExtractor = echo.ExtractIPDirect()
	e.Pre(h.logCalls, secureHeaders, h.recovered())
	e.POST(Path, h.post)
	// Without a route of its own, echo answers OPTIONS with 204.
	e.OPTIONS(Path, func(echo.Context) error { return echo.ErrMethodNotAllowed })
	return e
}

type handler struct {
	cfg     Config
	callers callers
}

func (h *handler) post(c echo.Context) error {
	shown, err := h.callers.recognise(c.Request().Header)
	if err != nil {
		return err
	}
	r, err := bind(c)
	if err != nil {
		return err
	}
	if err := h.callers.admit(r.server, shown, h.cfg.Now()); err != nil {
		return err
	}
	requests, err := r.requests()
	if err != nil {
		return err
	}
	c.Set(reportKey, r)
	if err := h.add(c.Request().Context(), requests); err != nil {
		return err
	}
	return c.JSON(http.StatusAccepted, accepted{Status: "accepted"})
}

// reportKey keeps a report for the log once everything in it is known to be a
// name.
const reportKey = "latchkey.report"

type accepted struct {
	Status string `json:"status"`
}

func (h *handler) add(ctx context.Context, requests []reconcile.Request) error {
	ctx, cancel := context.WithTimeout(ctx, addDeadline)
	defer cancel()
	err := h.cfg.Requests.Add(ctx, requests...)
	switch {
	case errors.Is(err, reconcile.ErrQueueFull):
		return queueFull(fmt.Errorf("queue the requests of a hook: %w", err))
	case err != nil:
		return unavailable(fmt.Errorf("queue the requests of a hook: %w", err))
	}
	return nil
}

// logCalls writes one line a call.
func (h *handler) logCalls(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		err := next(c)
		if err != nil {
			c.Error(err) // answers
		}
		fields := []zap.Field{zap.Int("status", c.Response().Status), zap.String("address", c.RealIP())}
		if r, known := c.Get(reportKey).(report); known {
			fields = append(fields, zap.String("server", r.server), zap.String("event", r.event), zap.String("user", r.user))
			if r.newUser != "" {
				fields = append(fields, zap.String("new_user", r.newUser))
			}
		}
		log := h.cfg.Log.Info
		if err != nil {
			fields = append(fields, zap.Error(err))
		}
		if c.Response().Status >= http.StatusInternalServerError || errors.Is(err, reconcile.ErrQueueFull) {
			log = h.cfg.Log.Warn
		}
		log("hook", fields...)
		return nil
	}
}

func (h *handler) recovered() echo.MiddlewareFunc {
	return middleware.RecoverWithConfig(middleware.RecoverConfig{
		DisableErrorHandler: true, // logCalls answers
		LogErrorFunc: func(_ echo.Context, err error, stack []byte) error {
			h.cfg.Log.Error("panic", zap.Error(err), zap.ByteString("stack", stack))
			return fmt.Errorf("panic: %w", err)
		},
	})
}
