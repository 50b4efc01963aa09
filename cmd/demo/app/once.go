package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"path"
	"strings"
	"time"

	"golang.org/x/net/html"
)

// visitor is a browser without a screen: it follows one sign-in hop by hop.
type visitor struct {
	client *http.Client
	out    io.Writer
	hops   int
}

// signIn walks from the account's page to the portal and returns the subscriber
// that the portal's page greets.
func (d *Demo) signIn(ctx context.Context, out io.Writer, a Account, app, wantPage string) (string, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return "", err
	}
	v := &visitor{out: out, client: &http.Client{
		Jar: jar, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	panel, ok := d.panel(a.Server)
	if !ok {
		return "", fmt.Errorf("there is no server %s", a.Server)
	}
	page, err := v.get(ctx, "account page in cPanel", panel.URL+"/"+a.User+"/", http.StatusOK)
	if err != nil {
		return "", err
	}
	click, ok := linkTo(page.body, app)
	if !ok {
		return "", fmt.Errorf("the account page has no link %s", app)
	}
	click = resolve(panel.URL+"/"+a.User+"/", click)
	answer, err := v.get(ctx, "click (the server asks the broker)", click, http.StatusSeeOther)
	if err != nil {
		return "", err
	}
	if !strings.HasPrefix(answer.location, d.BrokerURL+"/login?") {
		return "", fmt.Errorf("the server sent the browser to %s, not to the broker", withoutQuery(answer.location))
	}
	handover, err := v.get(ctx, "one-time URL", answer.location, http.StatusOK)
	if err != nil {
		return "", err
	}
	action, fields, err := formOf(handover.body)
	if err != nil {
		return "", fmt.Errorf("hand-over page: %w", err)
	}
	answer, err = v.post(ctx, "assertion to the portal", action, fields)
	if err != nil {
		return "", err
	}
	page, err = v.get(ctx, "page at the portal", resolve(action, answer.location), http.StatusOK)
	if err != nil {
		return "", err
	}
	if got := textOf(page.body, "page"); got != wantPage {
		return "", fmt.Errorf("the portal shows the page %q, want %q", got, wantPage)
	}
	return textOf(page.body, "subscriber"), nil
}

func (d *Demo) panel(id string) (Panel, bool) {
	for _, p := range d.Panels {
		if p.ID == id {
			return p, true
		}
	}
	return Panel{}, false
}

type reply struct{ body, location string }

func (v *visitor) get(ctx context.Context, what, target string, want int) (reply, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return reply{}, fmt.Errorf("%s: %w", what, err)
	}
	return v.do(what, r, want)
}

func (v *visitor) post(ctx context.Context, what, target string, fields url.Values) (reply, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, target, strings.NewReader(fields.Encode()))
	if err != nil {
		return reply{}, fmt.Errorf("%s: %w", what, err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return v.do(what, r, http.StatusSeeOther)
}

// do prints the hop without the query of its URL, which may be a secret.
func (v *visitor) do(what string, r *http.Request, want int) (reply, error) {
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	r.Header.Set("Accept", "text/html")
	response, err := v.client.Do(r)
	if err != nil {
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			err = wrapped.Err // the wrapper repeats the URL
		}
		return reply{}, fmt.Errorf("%s: %s %s: %w", what, r.Method, withoutQuery(r.URL.String()), err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return reply{}, fmt.Errorf("%s: read answer: %w", what, err)
	}
	v.hops++
	fmt.Fprintf(v.out, "%d  %d  %-4s %s  (%s)\n", v.hops, response.StatusCode, r.Method, withoutQuery(r.URL.String()), what)
	if response.StatusCode != want {
		return reply{}, fmt.Errorf("%s: status %d, want %d", what, response.StatusCode, want)
	}
	return reply{body: string(body), location: response.Header.Get("Location")}, nil
}

func withoutQuery(raw string) string {
	before, _, found := strings.Cut(raw, "?")
	if found {
		return before + "?..."
	}
	return before
}

func resolve(base, location string) string {
	b, err := url.Parse(base)
	if err != nil {
		return location
	}
	u, err := b.Parse(location)
	if err != nil {
		return location
	}
	return u.String()
}

// formOf returns the only form of a page.
func formOf(page string) (action string, fields url.Values, err error) {
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		return "", nil, err
	}
	fields = url.Values{}
	for n := range root.Descendants() {
		switch {
		case n.Type == html.ElementNode && n.Data == "form":
			action = attribute(n, "action")
		case n.Type == html.ElementNode && n.Data == "input":
			fields.Set(attribute(n, "name"), attribute(n, "value"))
		}
	}
	if action == "" {
		return "", nil, errors.New("there is no form")
	}
	return action, fields, nil
}

// linkTo returns the address of the link whose last part is app.
func linkTo(page, app string) (string, bool) {
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		return "", false
	}
	for n := range root.Descendants() {
		if href := attribute(n, "href"); n.Data == "a" && path.Base(href) == app {
			return href, true
		}
	}
	return "", false
}

// textOf returns the text of the element with an id.
func textOf(page, id string) string {
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		return ""
	}
	for n := range root.Descendants() {
		if n.Type != html.ElementNode || attribute(n, "id") != id {
			continue
		}
		var text strings.Builder
		for child := range n.Descendants() {
			if child.Type == html.TextNode {
				text.WriteString(child.Data)
			}
		}
		return strings.TrimSpace(text.String())
	}
	return ""
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}
