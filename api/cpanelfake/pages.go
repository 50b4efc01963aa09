package cpanelfake

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"html/template"
	"io"
	"net/http"
	"strings"
	"time"
)

var (
	//go:embed templates
	files embed.FS

	//go:embed style.css
	styleSheet []byte

	accountsPage = page("accounts.html")
	accountPage  = page("account.html")
	problemPage  = page("problem.html")
)

func page(name string) *template.Template {
	return template.Must(template.New(name).ParseFS(files, "templates/layout.html", "templates/"+name))
}

// Handler returns the pages of the server:
//
//	GET /                  the accounts
//	GET /{user}/           one account's links as tiles
//	GET /{user}/go/{app}   a click: 303 to its end, or 502 with a page when there is nowhere to go
//	GET /{user}/icon/{app} the picture of a link
//	GET /style.css
//
// All links are relative, so the handler also works under a prefix that
// http.StripPrefix takes away. A click is answered when it has ended: give the
// http.Server around it a WriteTimeout of some minutes, or none.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.serve(s.accounts))
	mux.HandleFunc("GET /style.css", serveStyle)
	mux.HandleFunc("GET /{user}", s.serve(s.withSlash))
	mux.HandleFunc("GET /{user}/{$}", s.serve(s.account))
	mux.HandleFunc("GET /{user}/icon/{app}", s.serve(s.icon))
	mux.HandleFunc("GET /{user}/go/{app}", s.serve(s.click))
	// A click has effects, so the HEAD that a GET pattern would bring is refused.
	mux.HandleFunc("HEAD /{user}/go/{app}", s.serve(func(http.ResponseWriter, *http.Request) error {
		return methodError{allow: "GET"}
	}))
	mux.HandleFunc("/", s.serve(func(_ http.ResponseWriter, r *http.Request) error {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			return methodError{allow: "GET, HEAD"}
		}
		return errNoPage
	}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		setSecurityHeaders(w.Header())
		mux.ServeHTTP(w, r)
	})
}

func setSecurityHeaders(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
	h.Set("Cache-Control", "no-store")
}

func (s *Server) accounts(w http.ResponseWriter, r *http.Request) error {
	return render(w, http.StatusOK, accountsPage, s.accountsView(r))
}

// withSlash leads to the address on which the relative links of the page are built.
func (s *Server) withSlash(w http.ResponseWriter, r *http.Request) error {
	account, err := s.state.Account(r.PathValue("user"))
	if err != nil {
		return err
	}
	seeOther(w, "./"+account.User+"/")
	return nil
}

func (s *Server) account(w http.ResponseWriter, r *http.Request) error {
	view, err := s.accountView(r)
	if err != nil {
		return err
	}
	return render(w, http.StatusOK, accountPage, view)
}

func (s *Server) click(w http.ResponseWriter, r *http.Request) error {
	out, err := s.Click(r.Context(), r.PathValue("user"), r.PathValue("app"))
	if err != nil {
		return err
	}
	if out.Kind == Nowhere {
		return errNowhere
	}
	seeOther(w, out.Location)
	return nil
}

func (s *Server) icon(w http.ResponseWriter, r *http.Request) error {
	link, err := s.clickable(r.PathValue("user"), r.PathValue("app"))
	if err != nil {
		return err
	}
	data := link.icon()
	if data == nil {
		return errNoPage
	}
	w.Header().Set("Content-Type", "image/png")
	serveBytes(w, r, data)
	return nil
}

func serveStyle(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	serveBytes(w, r, styleSheet)
}

// serveBytes lets the browser keep the content and ask whether it is still right.
func serveBytes(w http.ResponseWriter, r *http.Request, data []byte) {
	digest := sha256.Sum256(data)
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("ETag", `"`+hex.EncodeToString(digest[:16])+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}

// seeOther writes no body: http.Redirect would repeat a one-time URL in it, and
// would make a relative location absolute without the prefix that was stripped.
func seeOther(w http.ResponseWriter, location string) {
	w.Header().Set("Location", location)
	w.WriteHeader(http.StatusSeeOther)
}

var (
	errNoPage  = errors.New("no such page")
	errNowhere = errors.New("the click ends nowhere")
)

type methodError struct{ allow string }

func (methodError) Error() string { return "method not allowed" }

// serve turns what a page returns into the page that says so.
func (s *Server) serve(h func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := h(w, r)
		if err == nil {
			return
		}
		if m, ok := errors.AsType[methodError](err); ok {
			w.Header().Set("Allow", m.allow)
		}
		view := s.problemView(r, err)
		if err := render(w, view.Status, problemPage, view); err != nil {
			http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		}
	}
}

// render writes nothing before the whole page has been made.
func render(w http.ResponseWriter, status int, t *template.Template, view any) error {
	var buf bytes.Buffer
	if err := t.ExecuteTemplate(&buf, "layout", view); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	// A browser that has gone is nobody's problem.
	_, _ = io.Copy(w, &buf)
	return nil
}

// rootOf returns the relative way from the page at path to the handler's root.
func rootOf(path string) string {
	depth := strings.Count(path, "/") - 1
	if depth <= 0 {
		return "./"
	}
	return strings.Repeat("../", depth)
}
