package portal

import (
	"context"
	"crypto/sha256"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"time"
)

//go:embed templates static
var files embed.FS

// Portal is the sample portal. It is an http.Handler, has no goroutine of its own
// and keeps everything in memory.
type Portal struct {
	cfg       Config
	verifier  *verifier
	spent     *spent
	sessions  *sessions
	exchanger *exchanger
	templates map[string]*template.Template
	handler   http.Handler
}

var _ http.Handler = (*Portal)(nil)

// New makes a portal. It does not call the broker: keys are fetched when the first
// customer arrives, by calls that end with ctx. The error names every problem of
// the Config.
func New(ctx context.Context, c Config) (*Portal, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("portal: %w", err)
	}
	p := &Portal{
		cfg:       c,
		verifier:  newVerifier(ctx, c),
		spent:     &spent{now: c.Now, max: maxSpent, until: make(map[[sha256.Size]byte]time.Time)},
		sessions:  newSessions(c),
		exchanger: &exchanger{url: c.ExchangeURL, id: c.ClientID, secret: c.ClientSecret, client: c.HTTPClient},
		templates: make(map[string]*template.Template),
	}
	for _, name := range []string{"account", "notice"} {
		t, err := template.ParseFS(files, "templates/layout.html", "templates/"+name+".html")
		if err != nil {
			return nil, fmt.Errorf("portal: %w", err)
		}
		p.templates[name] = t
	}
	p.handler = p.routes()
	return p, nil
}

// ServeHTTP answers one request.
func (p *Portal) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; "+
		"form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=()")
	// Not no-referrer: browsers would then send "Origin: null" with our own forms.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	if p.cfg.secure() {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
	p.handler.ServeHTTP(w, r)
}

func (p *Portal) routes() http.Handler {
	own := http.NewCrossOriginProtection()
	own.SetDenyHandler(p.handle(func(_ http.ResponseWriter, r *http.Request) error {
		return foreign(fmt.Errorf("%s %q came from another site", r.Method, r.URL.Path))
	}))
	mux := http.NewServeMux()
	// The one path that other sites may post to: what it is sent proves itself.
	mux.Handle("POST /sso/latchkey", p.handle(p.formPost))
	if p.cfg.ExchangeURL != "" {
		mux.Handle("GET /sso/exchange", p.handle(p.exchangeGet))
		mux.Handle("POST /sso/exchange", own.Handler(p.handle(p.exchangePost)))
	}
	mux.Handle("GET /login", p.handle(p.login))
	mux.Handle("POST /logout", own.Handler(p.handle(p.logout)))
	mux.Handle("GET /", p.handle(p.page))
	mux.Handle("GET /style.css", asset("static/style.css", "text/css; charset=utf-8"))
	mux.Handle("GET /icon.svg", asset("static/icon.svg", "image/svg+xml"))
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

// handle turns an error into a page: its words and status come from the list of
// problems, its reason goes to Config.Refused.
func (p *Portal) handle(h func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := h(w, r)
		if err == nil {
			return
		}
		p.cfg.Refused(err)
		words := wordsFor(err)
		if words.status == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "5")
		}
		if p.render(w, words.status, "notice", p.notice(words)) != nil {
			http.Error(w, "Something went wrong here.", http.StatusInternalServerError)
		}
	}
}

// redirect sends the browser to a page of this portal, always by its full URL: a
// path that starts with two slashes would be another host.
func (p *Portal) redirect(w http.ResponseWriter, r *http.Request, page string) {
	http.Redirect(w, r, p.cfg.PublicURL+page, http.StatusSeeOther)
}

func asset(name, kind string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=300")
		w.Header().Set("Content-Type", kind)
		http.ServeFileFS(w, r, files, name)
	}
}
