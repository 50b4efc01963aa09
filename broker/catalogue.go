package broker

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// Handoff is how a browser that was signed on reaches its portal.
type Handoff string

// The handoffs that are built in.
const (
	// HandoffFormPost posts a signed assertion to the portal's login URL from
	// a page of ours.
	HandoffFormPost Handoff = "form_post"
	// HandoffExchange sends the browser to the portal's login URL with the
	// one-time token, which the portal's back end exchanges.
	HandoffExchange Handoff = "exchange"
)

// Portal is a relying party: where browsers end up.
type Portal struct {
	ID      string
	Handoff Handoff
	// LoginURL receives the assertion or the one-time token. Its origin is the
	// portal's origin.
	LoginURL string
	// FallbackURL is the portal's own login page; "{path}" in it is replaced
	// by the percent-encoded path of the destination.
	FallbackURL string
	// Audience is the `aud` of assertions for this portal.
	Audience string
	// ClientID and ClientSecret authenticate the portal's back end (exchange).
	ClientID     string
	ClientSecret Secret
}

// Group is the heading under which an account's links stand in cPanel.
type Group struct {
	ID    string `json:"id"`
	Label string `json:"label"`
	Order int    `json:"order"`
}

// LinkDefinition is one row of the catalogue.
type LinkDefinition struct {
	// ID is the app without its prefix.
	ID      string `json:"id"`
	Enabled bool   `json:"enabled"`
	Label   string `json:"label"`
	// Implements is the appkey that WHM wants: billing, customer_service,
	// support or upgrade (get_users_links lists them).
	Implements string `json:"implements,omitempty"`
	// Order sorts links within their group, ascending.
	Order int `json:"order"`
	// Icon is a PNG; 48 by 48 pixels look right in cPanel.
	Icon []byte `json:"icon_png,omitempty"`
	// Portal is the id of the portal that Path belongs to.
	Portal string `json:"portal"`
	// Path begins with a slash and may have a query; see SpecialInPath.
	Path string `json:"path"`
}

// Destination is where a link leads, worked out once when the catalogue is
// made.
type Destination struct {
	App     string
	Link    LinkDefinition
	Portal  *Portal
	Enabled bool
	// Origin is the portal's: scheme, host and port of its login URL.
	Origin string
	// TargetLinkURI is Origin and the link's path, query kept.
	TargetLinkURI string
	// FallbackURL is the portal's own login page for this path.
	FallbackURL string
	// exchangeURL is the portal's login URL up to the value of one_time_token.
	exchangeURL string
}

// Catalogue is one revision of the links that an operator wants. It does not
// change after NewCatalogue and may be shared.
type Catalogue struct {
	Group Group
	// Prefix begins every app name of ours.
	Prefix string

	ordered  []*Destination
	byApp    map[string]*Destination
	portals  []*Portal
	byID     map[string]*Portal
	byClient map[string]*Portal
}

// NewCatalogue works out the destinations. Its error joins every problem.
func NewCatalogue(prefix string, group Group, portals []Portal, links []LinkDefinition) (*Catalogue, error) {
	c := &Catalogue{
		Group:    group,
		Prefix:   prefix,
		byApp:    make(map[string]*Destination, len(links)),
		byID:     make(map[string]*Portal, len(portals)),
		byClient: make(map[string]*Portal, len(portals)),
	}
	var problems []error
	for _, p := range portals {
		problems = append(problems, c.addPortal(p))
	}
	for _, l := range links {
		problems = append(problems, c.addLink(l))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	slices.SortStableFunc(c.ordered, func(a, b *Destination) int { return cmp.Compare(a.Link.Order, b.Link.Order) })
	return c, nil
}

func (c *Catalogue) addPortal(p Portal) error {
	var problems []error
	problem := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("portal %q: "+format, append([]any{p.ID}, args...)...))
	}
	if err := checkName("id", p.ID, maxPortal); err != nil {
		problem("%w", err)
	}
	if _, double := c.byID[p.ID]; double {
		problem("is there twice")
	}
	if u, err := url.Parse(p.LoginURL); err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		problem("login_url must be an absolute URL")
	}
	if p.Audience == "" {
		problem("audience is missing")
	}
	switch p.Handoff {
	case HandoffFormPost:
	case HandoffExchange:
		if p.ClientID == "" || p.ClientSecret.IsZero() {
			problem("handoff exchange needs client_id and client_secret")
		}
		if _, double := c.byClient[p.ClientID]; double {
			problem("client_id %q is taken by another portal", p.ClientID)
		}
		c.byClient[p.ClientID] = &p
	default:
		problem("handoff %q is not known", p.Handoff)
	}
	c.byID[p.ID] = &p
	c.portals = append(c.portals, &p)
	return errors.Join(problems...)
}

const maxPortal = 64

func (c *Catalogue) addLink(l LinkDefinition) error {
	var problems []error
	problem := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("link %q: "+format, append([]any{l.ID}, args...)...))
	}
	app := c.Prefix + l.ID
	if err := checkName("app", app, MaxApp); err != nil {
		problem("%w", err)
	}
	if _, double := c.byApp[app]; double {
		problem("is there twice")
	}
	path, err := url.Parse(l.Path)
	if err != nil || path.IsAbs() || path.Host != "" || path.Fragment != "" || !strings.HasPrefix(l.Path, "/") {
		problem("path must begin with one slash and be a valid path with or without a query")
		path = &url.URL{}
	} else if special := SpecialInPath(l.Path); special != "" {
		problem("path must have %q percent-encoded: %s", special, url.PathEscape(special))
	}
	portal, ok := c.byID[l.Portal]
	if !ok {
		problem("there is no portal %q", l.Portal)
		return errors.Join(problems...)
	}
	login, err := url.Parse(portal.LoginURL)
	if err != nil {
		login = &url.URL{} // addPortal has told
	}
	origin := login.Scheme + "://" + login.Host
	d := &Destination{
		App: app, Link: l, Portal: portal, Enabled: l.Enabled,
		Origin: origin, TargetLinkURI: origin + path.String(), FallbackURL: portal.fallback(l.Path),
		exchangeURL: beforeToken(login),
	}
	c.byApp[app] = d
	c.ordered = append(c.ordered, d)
	return errors.Join(problems...)
}

// SpecialInPath returns the first character of a link's path or query that has to be
// percent-encoded there, "" if there is none: whatever is not printable ASCII, a space,
// and those that browsers and portals read in several ways. A portal's check refuses
// an assertion that leads to a page with one of them.
func SpecialInPath(path string) string {
	for i, r := range path {
		if r <= ' ' || r >= 0x7f || strings.ContainsRune(`\"<>`, r) {
			_, size := utf8.DecodeRuneInString(path[i:])
			return path[i : i+size]
		}
	}
	return ""
}

func (p *Portal) fallback(path string) string {
	escaped := strings.ReplaceAll(url.QueryEscape(path), "+", "%20")
	return strings.ReplaceAll(p.FallbackURL, "{path}", escaped)
}

// beforeToken returns a login URL, its query kept, to which only the value of
// one_time_token is to be added. A one_time_token that it has is dropped.
func beforeToken(login *url.URL) string {
	query := login.Query()
	query.Del(oneTimeTokenField)
	before := *login
	before.Fragment, before.RawFragment = "", ""
	before.RawQuery = query.Encode()
	if before.RawQuery != "" {
		before.RawQuery += "&"
	}
	before.RawQuery += oneTimeTokenField + "="
	return before.String()
}

// Lookup finds where an app leads.
func (c *Catalogue) Lookup(app string) (*Destination, bool) {
	d, ok := c.byApp[app]
	return d, ok
}

// Destinations returns all links by their order.
func (c *Catalogue) Destinations() []*Destination { return slices.Clone(c.ordered) }

// WaysOn returns the login page of every portal, for a person of whom nothing
// else is known.
func (c *Catalogue) WaysOn() []string {
	var urls []string
	for _, p := range c.portals {
		if u := p.fallback("/"); u != "" && !slices.Contains(urls, u) {
			urls = append(urls, u)
		}
	}
	return urls
}

// authenticate finds the portal of a client. The time it takes does not depend
// on how much of the secret is right.
func (c *Catalogue) authenticate(clientID string, secret Secret) (*Portal, bool) {
	portal, known := c.byClient[clientID]
	if !known {
		portal = &Portal{}
	}
	want := sha256.Sum256([]byte(portal.ClientSecret.Reveal()))
	got := sha256.Sum256([]byte(secret.Reveal()))
	match := subtle.ConstantTimeCompare(want[:], got[:]) == 1
	return portal, known && match
}

// redeemer is stored with a one-time token: who may redeem it.
func (p *Portal) redeemer() string {
	if p.Handoff == HandoffExchange {
		return redeemerPortal(p.ID)
	}
	return redeemerBrowser
}

const redeemerBrowser = "browser"

func redeemerPortal(id string) string { return "portal:" + id }
