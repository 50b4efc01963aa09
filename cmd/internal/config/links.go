package config

import (
	"net/url"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/latchkey-sso/latchkey/broker"
)

// Group is the group in cPanel's interface that holds our links.
type Group struct {
	// ID: ^[a-z0-9_]{1,64}$.
	ID string `koanf:"id" default:"latchkey" help:"id of the group that holds our links"`
	// Label: 1 to 64 characters, no apostrophe.
	Label string `koanf:"label" default:"Billing & Support" help:"what customers read above our links"`
	// Order sorts the group among cPanel's own; 0 or more.
	Order int `koanf:"order" default:"1" help:"place of the group among cPanel's own"`
}

// Link is one definition of the catalogue.
type Link struct {
	// ID: ^[a-z0-9_]{1,64}$, unique. App, its name on WHM, is AppPrefix+ID and has
	// at most 64 characters.
	ID      string `koanf:"id"`
	Enabled bool   `koanf:"enabled" default:"true"`
	// Label: 1 to 64 characters, no apostrophe.
	Label string `koanf:"label"`
	// Implements is the purpose that cPanel knows the link by: billing,
	// customer_service, support, upgrade; other words ^[a-z0-9_]+$ vary by server.
	// Required.
	Implements string `koanf:"implements"`
	// Order sorts the link in its group; 0 or more.
	Order int `koanf:"order" default:"0"`
	// IconFile is a PNG of at most 64 KB; empty for the built-in icon.
	IconFile string `koanf:"icon_file" is:"path"`
	// Portal and Path are the destination. Path begins with / and may have a query.
	Portal string `koanf:"portal"`
	Path   string `koanf:"path"`
}

const maxName = 64 // characters of an app, an id or a label

var (
	linkID        = regexp.MustCompile(`^[a-z0-9_]{1,64}$`)
	appPrefix     = regexp.MustCompile(`^[a-z0-9_]{1,32}$`)
	purpose       = regexp.MustCompile(`^[a-z0-9_]+$`)
	knownPurposes = []string{"billing", "customer_service", "support", "upgrade"}
)

func (c *checker) catalogue() {
	prefixOK := appPrefix.MatchString(c.cfg.AppPrefix)
	switch {
	case !prefixOK:
		c.problem("app_prefix", "must be 1 to 32 of a-z, 0-9 and _, not %s", quote(c.cfg.AppPrefix))
	case strings.HasPrefix(c.cfg.AppPrefix, "group_"):
		c.problem("app_prefix", "must not begin with group_, which WHM keeps for groups")
		prefixOK = false
	}
	if !linkID.MatchString(c.cfg.Group.ID) {
		c.problem("group.id", "must be 1 to 64 of a-z, 0-9 and _, not %s", quote(c.cfg.Group.ID))
	}
	c.label("group.label", c.cfg.Group.Label)
	c.order("group.order", c.cfg.Group.Order)

	ids := seen{}
	for i, l := range c.cfg.Links {
		key := item("links", i)
		ok := c.id(key+".id", l.ID, linkID, "a-z, 0-9 and _, at most 64", ids, key)
		if app := c.cfg.App(l); ok && prefixOK && !c.found.isBroken("app_prefix") {
			if len(app) > maxName {
				c.problem(key+".id", "makes the app %s of %d characters and WHM takes %d: shorten it or app_prefix", quote(app), len(app), maxName)
			}
			if strings.HasPrefix(app, "group_") {
				c.problem(key+".id", "makes the app %s, and WHM keeps names that begin with group_ for groups", quote(app))
			}
		}
		c.label(key+".label", l.Label)
		c.order(key+".order", l.Order)
		c.implements(key+".implements", l.Implements)
		if l.IconFile != "" && c.role != 0 {
			c.icon(key+".icon_file", l.IconFile)
		}
		c.destination(key, l)
	}
}

func (c *checker) label(key, label string) {
	switch {
	case strings.TrimSpace(label) == "":
		c.problem(key, "is required: the words that customers read")
	case strings.Contains(label, "'"):
		c.problem(key, "must not contain an apostrophe, which WHM refuses: reword it or use ’")
	case utf8.RuneCountInString(label) > maxName:
		c.problem(key, "must have at most %d characters, has %d", maxName, utf8.RuneCountInString(label))
	}
}

func (c *checker) order(key string, order int) {
	if order < 0 || order > 1e6 {
		c.problem(key, "must be from 0 to 1000000, not %d", order)
	}
}

func (c *checker) implements(key, word string) {
	if word == "" {
		c.problem(key, "is required: one of %s", strings.Join(knownPurposes, ", "))
		return
	}
	if !purpose.MatchString(word) {
		c.problem(key, "must be one of %s (or another word of a-z, 0-9 and _ that your servers know), not %s", strings.Join(knownPurposes, ", "), quote(word))
		return
	}
	if near := closest(word, knownPurposes); near != "" && near != word {
		c.warn(key, "%s is no word that every server knows; did you mean %s?", quote(word), near)
	}
}

func (c *checker) destination(key string, l Link) {
	switch {
	case l.Portal == "":
		c.problem(key+".portal", "is required: the id of one of the portals")
	case !c.found.isBroken("portals"):
		c.knownPortal(key+".portal", l.Portal)
	}
	path := key + ".path"
	u, err := url.Parse(l.Path)
	switch {
	case l.Path == "":
		c.problem(path, "is required: where in the portal the link leads, e.g. /invoices")
	case !strings.HasPrefix(l.Path, "/"):
		c.problem(path, "must begin with /, not %s: the portal's host comes from its login_url", quote(l.Path))
	case strings.HasPrefix(l.Path, "//"), strings.HasPrefix(l.Path, `/\`):
		c.problem(path, "must not begin with %s, which browsers take for another host", l.Path[:2])
	case strings.Contains(l.Path, "#"):
		c.problem(path, "must not have a fragment (#...): it does not survive the way through the portal's sign-in")
	case broker.SpecialInPath(l.Path) != "":
		special := broker.SpecialInPath(l.Path)
		c.problem(path, "must have %q percent-encoded, as %s: portals refuse it", special, url.PathEscape(special))
	case err != nil || u.Host != "" || u.Scheme != "":
		c.problem(path, "is not a valid path: percent-encode what is special in %s", quote(l.Path))
	}
}

func (c *checker) knownPortal(key, id string) {
	var ids []string
	for i, p := range c.cfg.Portals {
		if p.ID == id {
			return
		}
		if c.found.isBroken(item("portals", i) + ".id") {
			return // the one that is meant may be the one that could not be read
		}
		if p.ID != "" {
			ids = append(ids, p.ID)
		}
	}
	if len(ids) == 0 {
		c.problem(key, "%s is not listed in portals", quote(id))
		return
	}
	c.problem(key, "%s is not listed in portals, which has %s", quote(id), strings.Join(ids, ", "))
}
