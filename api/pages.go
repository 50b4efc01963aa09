package api

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"
	"golang.org/x/text/language"

	"github.com/latchkey-sso/latchkey/broker"
)

//go:embed templates/* locales/*.json
var files embed.FS

// keySetCaching lets portals keep the key set for broker.KeySetMaxAge.
var keySetCaching = fmt.Sprintf("public, max-age=%d", int(broker.KeySetMaxAge.Seconds()))

// pages renders what a person sees, in one of ten languages.
type pages struct {
	template *template.Template
	style    template.CSS
	script   template.JS
	matcher  language.Matcher
	locales  []locale // in the order of matcher
}

type locale struct {
	tag   language.Tag
	texts map[string]string
}

func newPages() (*pages, error) {
	t, err := template.ParseFS(files, "templates/page.html")
	if err != nil {
		return nil, fmt.Errorf("parse page template: %w", err)
	}
	style, err := files.ReadFile("templates/page.css")
	if err != nil {
		return nil, fmt.Errorf("read page style: %w", err)
	}
	script, err := files.ReadFile("templates/page.js")
	if err != nil {
		return nil, fmt.Errorf("read page script: %w", err)
	}
	p := &pages{template: t, style: template.CSS(style), script: template.JS(script)}
	names, err := files.ReadDir("locales")
	if err != nil {
		return nil, fmt.Errorf("list locales: %w", err)
	}
	for _, name := range names {
		content, err := files.ReadFile("locales/" + name.Name())
		if err != nil {
			return nil, fmt.Errorf("read locale: %w", err)
		}
		l := locale{tag: language.Make(strings.TrimSuffix(path.Base(name.Name()), ".json"))}
		if err := json.Unmarshal(content, &l.texts); err != nil {
			return nil, fmt.Errorf("locale %s: %w", name.Name(), err)
		}
		p.locales = append(p.locales, l)
	}
	// The matcher falls back on its first language.
	slices.SortStableFunc(p.locales, func(a, b locale) int {
		switch {
		case a.tag == language.English:
			return -1
		case b.tag == language.English:
			return 1
		}
		return 0
	})
	var tags []language.Tag
	for _, l := range p.locales {
		tags = append(tags, l.tag)
	}
	p.matcher = language.NewMatcher(tags)
	return p, nil
}

func (p *pages) locale(r *http.Request) locale {
	_, index := language.MatchStrings(p.matcher, wellFormed(r.Header.Get("Accept-Language")))
	return p.locales[index]
}

// wellFormed drops what is malformed in an Accept-Language header, because the
// parser would drop all of it.
func wellFormed(header string) string {
	elements := strings.Split(header, ",")
	return strings.Join(slices.DeleteFunc(elements[:min(len(elements), 20)], func(element string) bool {
		_, _, err := language.ParseAcceptLanguage(element)
		return err != nil
	}), ",")
}

// page is what the template shows.
type page struct {
	Lang, Dir    string
	Title, Text  string
	Nonce        string
	Style        template.CSS
	Script       template.JS
	Form         *form
	WaysOn       []wayOn
	PanelHint    string
	SupportCode  string
	SupportLabel string
	SupportHint  string
}

type form struct {
	Action string
	Button string
	// Submit lets the script press the button.
	Submit bool
	Fields []formField
}

type formField struct{ Name, Value string }

type wayOn struct{ URL, Text string }

// kinds of page: the names of their texts in the locales.
const (
	pageConfirm  = "confirm"
	pageHandover = "handover"
)

// clickAgain are the pages where another click in cPanel may help and the text
// does not say so.
var clickAgain = []string{"unavailable", "slow_down", "error"}

func (s *Server) newPage(c echo.Context, kind string) (page, locale) {
	l := s.pages.locale(c.Request())
	return page{
		Lang: l.tag.String(), Dir: l.texts["lang.dir"],
		Title: l.texts[kind+".title"], Text: l.texts[kind+".text"],
		Nonce: newNonce(), Style: s.pages.style, Script: s.pages.script,
	}, l
}

func (s *Server) render(c echo.Context, status int, p page, formAction ...string) error {
	var out bytes.Buffer
	if err := s.pages.template.Execute(&out, p); err != nil {
		return fmt.Errorf("render page: %w", err)
	}
	if len(formAction) == 0 {
		formAction = []string{"'none'"}
	}
	h := c.Response().Header()
	h.Set("Content-Security-Policy", pagePolicy(p.Nonce, formAction...))
	h.Set("Content-Language", p.Lang)
	h.Add("Vary", "Accept-Language")
	return c.HTMLBlob(status, out.Bytes())
}

// confirmPage has one button, which a script presses in a page that somebody
// looks at.
func (s *Server) confirmPage(c echo.Context, token broker.OneTimeToken) error {
	p, l := s.newPage(c, pageConfirm)
	p.Form = s.loginForm(token, l.texts["confirm.button"])
	p.Form.Submit = s.cfg.Confirm != ConfirmAlways
	return s.render(c, http.StatusOK, p, "'self'")
}

func (s *Server) loginForm(token broker.OneTimeToken, button string) *form {
	return &form{
		Action: s.cfg.PublicURL + "/login", Button: button,
		Fields: []formField{{tokenField, token.Reveal()}},
	}
}

func (s *Server) handoverPage(c echo.Context, h broker.FormPost) error {
	p, l := s.newPage(c, pageHandover)
	p.Form = &form{
		Action: h.LoginURL, Button: l.texts["handover.button"], Submit: true,
		Fields: []formField{{"assertion", h.Assertion.Reveal()}, {"target_link_uri", h.TargetLinkURI}},
	}
	return s.render(c, http.StatusOK, p, h.Origin)
}

// failurePage tells a person what happened and how to go on.
func (s *Server) failurePage(c echo.Context, err error, row public, refusal *broker.Error) {
	p, l := s.newPage(c, row.page)
	p.SupportCode = requestID(c)
	p.SupportLabel, p.SupportHint = l.texts["support_code"], l.texts["support_hint"]
	if slices.Contains(clickAgain, row.page) {
		p.PanelHint = l.texts["panel_hint"]
	}
	urls := []string{refusal.WayOn}
	if refusal.WayOn == "" {
		urls = s.cfg.Domain.WaysOn()
	}
	for _, u := range urls {
		parsed, err := url.Parse(u)
		if err != nil || parsed.Host == "" {
			continue
		}
		text := strings.ReplaceAll(l.texts["portal_link"], "{host}", parsed.Host)
		if !slices.ContainsFunc(p.WaysOn, func(w wayOn) bool { return w.Text == text }) {
			p.WaysOn = append(p.WaysOn, wayOn{URL: u, Text: text})
		}
	}
	var formAction []string
	if again, ok := errors.AsType[*retryable](err); ok {
		p.Form = s.loginForm(again.token, l.texts["unavailable.button"])
		formAction = []string{"'self'"}
	}
	if s.render(c, row.status, p, formAction...) != nil {
		c.Response().Header().Set("Content-Security-Policy", closedPolicy)
		_ = c.String(http.StatusInternalServerError, internalError.sentence)
	}
}

func acceptsHTML(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}
