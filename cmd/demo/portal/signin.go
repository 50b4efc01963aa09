package portal

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
)

const maxBody = 64 << 10 // bytes; an assertion and a target fit in a third of it

const formType = "application/x-www-form-urlencoded"

// formPost is POST /sso/latchkey: the broker's page posts an assertion through the
// customer's browser.
func (p *Portal) formPost(w http.ResponseWriter, r *http.Request) error {
	form, err := readForm(w, r, "assertion")
	if err != nil {
		return refuse(err)
	}
	c, err := p.verifier.verify(r.Context(), form.value)
	if errors.Is(err, errNoKeys) {
		return unavailable(err)
	} else if err != nil {
		return refuse(err)
	}
	if form.hasTarget && form.target != c.TargetLinkURI {
		return refuse(errors.New("target_link_uri is not the one that was signed"))
	}
	return p.signIn(w, r, c, "form_post")
}

// signIn is the end of both hand-overs: c is verified, the rest is where to, once
// only, a new session, and off to the page.
func (p *Portal) signIn(w http.ResponseWriter, r *http.Request, c *claims, handoff string) error {
	page, err := localPage(p.cfg.PublicURL, c.TargetLinkURI)
	if err != nil {
		return refuse(fmt.Errorf("target_link_uri %w", err))
	}
	switch err := p.spent.take(c.ID, c.Expires.Add(leeway)); {
	case errors.Is(err, errSpent):
		return refuse(err)
	case err != nil:
		return unavailable(err)
	}
	in := SignIn{
		Subscriber: c.Subject,
		Server:     c.CPanel.Server,
		User:       c.CPanel.User,
		App:        c.CPanel.App,
		Page:       page,
		Handoff:    handoff,
	}
	p.sessions.start(w, r, in, c.ACR)
	p.cfg.SignedIn(in)
	p.redirect(w, r, page)
	return nil
}

type form struct {
	value     string
	target    string
	hasTarget bool
}

// readForm reads a body with exactly one field of the given name and at most one
// target_link_uri. What is in the query string does not count.
func readForm(w http.ResponseWriter, r *http.Request, field string) (form, error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != formType {
		return form{}, errors.New("the body is not a form")
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if err := r.ParseForm(); err != nil {
		return form{}, errors.New("the form cannot be read") // err may quote from it
	}
	values, targets := r.PostForm[field], r.PostForm["target_link_uri"]
	if len(values) != 1 || values[0] == "" {
		return form{}, fmt.Errorf("want one field %s, got %d", field, len(values))
	}
	if len(targets) > 1 {
		return form{}, errors.New("more than one target_link_uri")
	}
	f := form{value: values[0], hasTarget: len(targets) == 1}
	if f.hasTarget {
		f.target = targets[0]
	}
	return f, nil
}
