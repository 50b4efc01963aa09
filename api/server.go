package api

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"go.uber.org/zap"

	"github.com/latchkey-sso/latchkey/broker"
)

// Confirm says when a GET of a one-time URL shows a button instead of
// redeeming.
type Confirm string

// The values of Confirm. Whatever it is, HEAD, OPTIONS, prefetch and prerender
// never redeem.
const (
	// ConfirmAuto redeems a browser's navigation and shows all others a button.
	ConfirmAuto Confirm = "auto"
	// ConfirmAlways shows everybody a button.
	ConfirmAlways Confirm = "always"
	// ConfirmNever redeems every GET.
	ConfirmNever Confirm = "never"
)

// Domain is what the handlers call: a *broker.Broker.
type Domain interface {
	Autologin(ctx context.Context, r broker.AutologinRequest) (broker.Answer, error)
	Login(ctx context.Context, r broker.LoginRequest) (broker.FormPost, error)
	Exchange(ctx context.Context, r broker.ExchangeRequest) (broker.Exchanged, error)
	KeySet() []byte
	WaysOn() []string
}

var _ Domain = (*broker.Broker)(nil)

// Config is what a Server needs.
type Config struct {
	Domain Domain
	Log    *zap.Logger
	// PublicURL is absolute and has no slash at its end. Its path, if any,
	// begins the path of every route.
	PublicURL string
	// TrustedProxies may say which address a request came from, and its id.
	TrustedProxies []netip.Prefix
	Confirm        Confirm
	// ClaimTTL is how long a browser stays a known claimant: the lifetime of a
	// one-time token.
	ClaimTTL time.Duration
	// AddressLimit bounds the requests of one address (of IPv6: one /64); of its posts
	// to /autologin it counts those that fail. Optional.
	AddressLimit *broker.Limiter
}

// Server answers cPanel servers, browsers and portals. It is an http.Handler.
type Server struct {
	cfg     Config
	proxies proxies
	https   bool
	origin  string // of PublicURL
	echo    *echo.Echo
	pages   *pages
}

// New returns a Server. It fails when PublicURL is not a URL.
func New(cfg Config) (*Server, error) {
	u, err := url.Parse(cfg.PublicURL)
	if err != nil {
		return nil, fmt.Errorf("public URL: %w", err)
	}
	pages, err := newPages()
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, proxies: cfg.TrustedProxies, https: u.Scheme == "https", origin: u.Scheme + "://" + u.Host, echo: echo.New(), pages: pages}
	s.echo.HTTPErrorHandler = s.answerError
	s.echo.IPExtractor = s.proxies.extractor()
	s.echo.Pre(s.proxies.identify, s.logRequests, s.secureHeaders, s.recovered())
	s.echo.Use(s.limitAddresses)
	s.routes(s.echo.Group(strings.TrimSuffix(u.Path, "/")))
	return s, nil
}

func (s *Server) routes(g *echo.Group) {
	g.POST(autologinRoute, s.postAutologin, s.limitFailures, bodyLimit(maxAutologinBody))
	g.POST("/exchange", s.postExchange, bodyLimit(maxFormBody))
	g.Match([]string{http.MethodGet, http.MethodHead}, "/.well-known/jwks.json", s.getKeySet)

	g.GET("/login", s.getLogin)
	g.POST("/login", s.postLogin, s.sameOrigin, bodyLimit(maxFormBody))
	g.HEAD("/login", s.headLogin)
	g.OPTIONS("/login", s.optionsLogin)
}

const autologinRoute = "/autologin"

// wantsOf says what the caller of a route reads. Whoever came to a wrong address,
// or with a wrong method, is none of the usual callers: the Accept header decides.
func wantsOf(c echo.Context, status int) wants {
	switch route := c.Path(); {
	case status == http.StatusNotFound || status == http.StatusMethodNotAllowed:
		if acceptsHTML(c.Request()) {
			return wantsPage
		}
	case strings.HasSuffix(route, "/login"):
		return wantsPage
	case strings.HasSuffix(route, "/exchange"):
		return wantsOAuth
	}
	return wantsJSON
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.echo.ServeHTTP(w, r) }

const (
	maxAutologinBody = 1 << 20
	maxFormBody      = 16 << 10
)

// bodyLimit cuts a body off; reading on fails with *http.MaxBytesError.
func bodyLimit(most int64) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			r := c.Request()
			r.Body = http.MaxBytesReader(c.Response(), r.Body, most)
			return next(c)
		}
	}
}

// sameOrigin refuses what a browser sends on behalf of another site. Browsers
// without Sec-Fetch-Site (old ones, and every browser over plain HTTP) say
// "Origin: null" when they post the form of a page of ours, because our pages
// have the referrer policy no-referrer (Fetch standard, "append a request
// Origin header"), or our origin as browsers know it, which the Host that a
// proxy sends need not be: neither is another site.
func (s *Server) sameOrigin(next echo.HandlerFunc) echo.HandlerFunc {
	protection := http.NewCrossOriginProtection()
	return func(c echo.Context) error {
		h := c.Request().Header
		from := h.Get("Origin")
		own := h.Get("Sec-Fetch-Site") == "" && (from == "null" || from == s.origin)
		if err := protection.Check(c.Request()); err != nil && !own {
			return echo.NewHTTPError(http.StatusForbidden).SetInternal(err)
		}
		return next(c)
	}
}

func (s *Server) recovered() echo.MiddlewareFunc {
	return middleware.RecoverWithConfig(middleware.RecoverConfig{
		LogErrorFunc: func(c echo.Context, err error, stack []byte) error {
			s.cfg.Log.Error("panic", zap.String("request_id", requestID(c)), zap.Error(err), zap.ByteString("stack", stack))
			return fmt.Errorf("panic: %w", err)
		},
	})
}

// maxStreams is how many requests one connection of HTTP/2 carries at once. A browser
// makes one at a time and a portal's back end a few; each more multiplies what the
// limits of connections bound (net/http allows 250).
const maxStreams = 32

// HTTPServer returns an http.Server with every time-out set. Requests are small
// and answers quick; slow clients are cut. What is no HTTP is answered by net/http
// with a fixed text and without our headers: it offers no place to add them, and
// the texts hold nothing that they would protect.
func HTTPServer(handler http.Handler, tlsConfig *tls.Config, log *zap.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		TLSConfig:         tlsConfig,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       75 * time.Second,
		MaxHeaderBytes:    16 << 10,
		// WriteTimeout ends a request of HTTP/2; a connection whose client reads
		// nothing would stay.
		HTTP2:    &http.HTTP2Config{WriteByteTimeout: 10 * time.Second, MaxConcurrentStreams: maxStreams},
		ErrorLog: zap.NewStdLog(log.Named("http")),
		// For LimitConnections.
		ConnState:   noteState,
		ConnContext: withConn,
		// OPTIONS * is answered like any other address that is not there.
		DisableGeneralOptionsHandler: true,
	}
}
