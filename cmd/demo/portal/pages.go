package portal

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode"
)

// layout is what every page has.
type layout struct {
	Company string
	Title   string
	Account *accountView // nil if nobody is signed in
	Notice  *noticeView
}

type accountView struct {
	Name     string
	Initials string
	Session  session
	Page     string // path and query that the browser asked for
	Nav      []navGroup
	Content  content
}

type navGroup struct {
	Title string
	Pages []navPage
}

type navPage struct {
	Path, Title string
	Current     bool
}

type noticeView struct {
	Status int
	Text   []string
	Button string // with a token: a button that redeems it
	Token  string
	Links  []link
}

type link struct{ Href, Text string }

// page is GET for any path: the page of that path for whoever is signed in, the way
// to the login page for everybody else.
func (p *Portal) page(w http.ResponseWriter, r *http.Request) error {
	s, ok := p.sessions.get(r)
	asked := pathAndQuery(r.URL)
	if !ok {
		p.redirect(w, r, "/login?next="+url.QueryEscape(asked))
		return nil
	}
	name := p.cfg.Customers[s.Subscriber]
	if name == "" {
		name = "customer " + s.Subscriber
	}
	c := contentOf(r.URL.Path)
	return p.render(w, http.StatusOK, "account", layout{
		Title: c.Title,
		Account: &accountView{
			Name:     name,
			Initials: initials(name),
			Session:  s,
			Page:     asked,
			Nav:      navigationFor(r.URL.Path),
			Content:  c,
		},
	})
}

// login is GET /login. A real portal asks for a password here, and for a customer
// whose link does not work this is the way in.
func (p *Portal) login(w http.ResponseWriter, r *http.Request) error {
	next := localPath(r.URL.Query().Get("next"))
	if _, ok := p.sessions.get(r); ok {
		p.redirect(w, r, next)
		return nil
	}
	n := &noticeView{
		Status: http.StatusOK,
		Text: []string{
			"This sample portal has no passwords. Come from cPanel: open your control panel and click one of the links under Billing & Support.",
		},
		Links: p.wayToPanel(),
	}
	if next != "/" {
		n.Text = append(n.Text, "The page you asked for, "+next+", is there once you are signed in.")
		n.Links = append(n.Links, link{"/login?next=" + url.QueryEscape(next), "I am signed in by now"})
	}
	return p.render(w, http.StatusOK, "notice", layout{Title: "Sign in", Notice: n})
}

// logout is POST /logout.
func (p *Portal) logout(w http.ResponseWriter, r *http.Request) error {
	p.sessions.end(w, r)
	p.redirect(w, r, "/login")
	return nil
}

// confirm is the page that asks before a token is used.
func (p *Portal) confirm(token string) layout {
	return layout{Title: "You are nearly there", Notice: &noticeView{
		Status: http.StatusOK,
		Text:   []string{"Your sign-in from cPanel is ready. It works once, so we wait until you ask for it."},
		Button: "Sign in",
		Token:  token,
	}}
}

// notice is the page of a problem, with a way on.
func (p *Portal) notice(words words) layout {
	return layout{Title: words.title, Notice: &noticeView{
		Status: words.status,
		Text:   []string{words.text},
		Links:  append(p.wayToPanel(), link{"/login", "Sign in to the portal"}),
	}}
}

func (p *Portal) wayToPanel() []link {
	if p.cfg.PanelURL == "" {
		return nil
	}
	return []link{{p.cfg.PanelURL, "Open cPanel"}}
}

// render writes nothing but whole pages.
func (p *Portal) render(w http.ResponseWriter, status int, name string, l layout) error {
	l.Company = p.cfg.Company
	var page bytes.Buffer
	if err := p.templates[name].ExecuteTemplate(&page, "layout", l); err != nil {
		return fmt.Errorf("render %s: %w", name, err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = page.WriteTo(w)
	return nil
}

// navigationFor lists the pages of the catalogue.
func navigationFor(path string) []navGroup {
	groups := make([]navGroup, 0, 3)
	for _, c := range catalogue() {
		if len(groups) == 0 || groups[len(groups)-1].Title != c.Group {
			groups = append(groups, navGroup{Title: c.Group})
		}
		g := &groups[len(groups)-1]
		g.Pages = append(g.Pages, navPage{Path: c.Path, Title: c.Title, Current: c.Path == path})
	}
	return groups
}

// contentOf never fails: a path that the catalogue does not know gets a page that
// is named for it.
func contentOf(path string) content {
	for _, c := range append(catalogue(), overview()) {
		if c.Path == path {
			return c
		}
	}
	return content{Path: path, Title: headingOf(path), Lead: "This sample portal has nothing more to show here."}
}

// headingOf makes "Payment methods" of "/billing/payment-methods".
func headingOf(path string) string {
	path = strings.TrimRight(path, "/")
	words := strings.FieldsFunc(path[strings.LastIndexByte(path, '/')+1:], func(r rune) bool {
		return r == '-' || r == '_' || !unicode.IsPrint(r) || r == unicode.ReplacementChar
	})
	heading := []rune(strings.Join(words, " "))
	if len(heading) == 0 {
		return "Overview"
	}
	if len(heading) > 60 {
		heading = append(heading[:60], '…')
	}
	heading[0] = unicode.ToUpper(heading[0])
	return string(heading)
}

func initials(name string) string {
	var letters []rune
	for _, word := range strings.Fields(name) {
		letters = append(letters, unicode.ToUpper([]rune(word)[0]))
	}
	if len(letters) > 2 {
		letters = []rune{letters[0], letters[len(letters)-1]}
	}
	return string(letters)
}
