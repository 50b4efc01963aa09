package cpanelfake

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// frame is what every page shows around its own content.
type frame struct {
	Title  string
	Root   string // relative way to the handler's root
	Server string
}

type accountsView struct {
	frame
	Accounts []accountRow
}

type accountRow struct {
	Account
	Links int // visible ones
}

type accountView struct {
	frame
	Account  Account
	Sections []section
}

type section struct {
	Label string
	Tiles []tile
}

type tile struct {
	LabelParts []string // a narrow tile may break the line between two
	Path       string   // the app as one segment of a path
	HasIcon    bool
	Initial    string // stands in for a missing icon
}

type problemView struct {
	frame
	Status   int
	Heading  string
	Sentence string
	Account  string // whose page leads on; empty leads to the list
}

func (s *Server) frame(r *http.Request, title string) frame {
	return frame{Title: title, Root: rootOf(r.URL.EscapedPath()), Server: s.name}
}

func (s *Server) accountsView(r *http.Request) accountsView {
	view := accountsView{frame: s.frame(r, "Accounts")}
	for _, a := range s.state.Accounts() {
		// An account removed since then is listed without links, once.
		links, _ := s.state.Links(a.User)
		view.Accounts = append(view.Accounts, accountRow{Account: a, Links: len(visible(links))})
	}
	return view
}

func (s *Server) accountView(r *http.Request) (accountView, error) {
	user := r.PathValue("user")
	account, err := s.state.Account(user)
	if err != nil {
		return accountView{}, err
	}
	if account.Suspended {
		return accountView{}, ErrSuspended
	}
	groups, err := s.state.Groups(user)
	if err != nil {
		return accountView{}, err
	}
	links, err := s.state.Links(user)
	if err != nil {
		return accountView{}, err
	}
	title := account.Domain
	if title == "" {
		title = account.User
	}
	return accountView{frame: s.frame(r, title), Account: account, Sections: sections(groups, visible(links))}, nil
}

func visible(links []Link) []Link {
	var shown []Link
	for _, l := range links {
		if !l.Hide {
			shown = append(shown, l)
		}
	}
	return shown
}

// sections gathers the links under their groups. Links of no known group come
// last, and a group without links is left out.
func sections(groups []Group, links []Link) []section {
	const other = "Other"
	all := make([]section, 0, len(groups)+1)
	place := make(map[string]int, len(groups))
	for _, g := range groups {
		place[g.ID] = len(all)
		all = append(all, section{Label: g.Label})
	}
	all = append(all, section{Label: other})
	for _, l := range links {
		i, ok := place[l.GroupID]
		if !ok {
			i = len(all) - 1
		}
		all[i].Tiles = append(all[i].Tiles, tile{
			LabelParts: strings.SplitAfter(l.Label, "/"),
			Path:       url.PathEscape(l.App),
			HasIcon:    l.Base64PNGImage != "",
			Initial:    initial(l.Label),
		})
	}
	shown := all[:0]
	for _, sec := range all {
		if len(sec.Tiles) > 0 {
			shown = append(shown, sec)
		}
	}
	return shown
}

func initial(label string) string {
	r, _ := utf8.DecodeRuneInString(label)
	return string(unicode.ToUpper(r))
}

// problemView is the one place that turns errors into what people read.
func (s *Server) problemView(r *http.Request, err error) problemView {
	view := problemView{Status: http.StatusInternalServerError, Heading: "Something went wrong", Sentence: "The server could not make this page. Please try again."}
	user := r.PathValue("user")
	if _, err := s.state.Account(user); err == nil {
		view.Account = user
	}
	switch {
	case errors.Is(err, ErrUnknownAccount):
		view.Status, view.Heading, view.Sentence = http.StatusNotFound, "No such account", "This server has no account of that name."
	case errors.Is(err, ErrUnknownLink):
		view.Status, view.Heading, view.Sentence = http.StatusNotFound, "No such link", "This account has no link of that name. It may have been removed since the page was loaded."
	case errors.Is(err, ErrSuspended):
		view.Status, view.Heading, view.Sentence = http.StatusForbidden, "Account suspended", "This account is suspended, so its control panel cannot be opened."
		view.Account = ""
	case errors.Is(err, errNowhere):
		view.Status, view.Heading, view.Sentence = http.StatusBadGateway, "There is nowhere to go", "The service behind this link did not answer with a page to open, and the link has no address of its own. Please try again later."
	case errors.Is(err, errNoPage):
		view.Status, view.Heading, view.Sentence = http.StatusNotFound, "No such page", "There is nothing at this address."
	}
	if m, ok := errors.AsType[methodError](err); ok {
		view.Status, view.Heading, view.Sentence = http.StatusMethodNotAllowed, "Not possible here", "This address answers "+m.allow+" only."
	}
	view.frame = s.frame(r, view.Heading)
	return view
}
