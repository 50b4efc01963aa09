package config

import (
	"net/url"
	"regexp"
	"strings"

	"github.com/latchkey-sso/latchkey/broker"
)

// The values of Portal.Handoff. HandoffWHMCS is not in this version.
const (
	HandoffFormPost = "form_post"
	HandoffExchange = "exchange"
	HandoffWHMCS    = "whmcs"
)

// Portal is a place where browsers end up signed in.
type Portal struct {
	// ID is what links name: ^[a-z0-9][a-z0-9_-]{0,31}$, unique.
	ID      string `koanf:"id"`
	Handoff string `koanf:"handoff" default:"form_post" choices:"form_post,exchange,whmcs"`
	// LoginURL is where the browser is sent. https, or http for a loopback host.
	LoginURL string `koanf:"login_url"`
	// FallbackURL is the link's `url`, used when sign-on is not available; {path}
	// in it stands for the link's path, percent-encoded. Default: the front page
	// of LoginURL's host.
	FallbackURL string `koanf:"fallback_url"`
	// Audience is the assertion's `aud`. Default: the origin of LoginURL.
	Audience string `koanf:"audience"`
	// ClientID and the secret are the portal's own credentials at /exchange;
	// required for exchange. Client ids are unique.
	ClientID string `koanf:"client_id"`
	// ClientSecretFile holds at least 16 characters; or
	// LATCHKEY_PORTALS_<ID>_CLIENT_SECRET.
	ClientSecretFile string `koanf:"client_secret_file" is:"path"`

	// ClientSecret is loaded for RoleBroker.
	ClientSecret broker.Secret `koanf:"-"`
}

// unreserved are the characters that form encoding leaves alone. RFC 6749 section
// 2.3.1 wants client ids and secrets form-encoded inside HTTP Basic, and many
// clients do not do that: with these both are right.
const unreserved = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~"

var portalID = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,31}$`)

// derive fills in what follows from the login URL.
func (p *Portal) derive() {
	u, err := url.Parse(p.LoginURL)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return
	}
	if p.Audience == "" {
		p.Audience = origin(u)
	}
	if p.FallbackURL == "" {
		p.FallbackURL = origin(u) + "/"
	}
}

// origin is the URL's origin as RFC 6454 section 6.2 writes it.
func origin(u *url.URL) string {
	host := strings.ToLower(u.Host)
	if port := u.Port(); u.Scheme == "https" && port == "443" || u.Scheme == "http" && port == "80" {
		host = strings.TrimSuffix(host, ":"+port)
	}
	return u.Scheme + "://" + host
}

func (c *checker) portals() {
	if len(c.cfg.Portals) == 0 && c.role != 0 {
		c.problem("portals", "list at least one portal, e.g. `- id: portal` with its login_url")
	}
	ids, clients, variables := seen{}, seen{}, seen{}
	for i, p := range c.cfg.Portals {
		key := item("portals", i)
		if c.id(key+".id", p.ID, portalID, "a-z, 0-9, _ and -, beginning with a letter or digit, at most 32", ids, key) {
			c.variable(key+".id", portalSecretVariable(p.ID), variables)
		}
		if p.Handoff == HandoffWHMCS {
			c.problem(key+".handoff", "whmcs is not in this version: use form_post or exchange")
		}
		c.webURL(key+".login_url", p.LoginURL, urlRule{
			loopbackHTTP: true, missing: "the portal's page that takes the sign-in, e.g. https://portal.example.com/sso/latchkey",
		})
		if p.FallbackURL != "" {
			c.webURL(key+".fallback_url", p.FallbackURL, urlRule{loopbackHTTP: true, pathVariable: true})
		}
		if p.ClientID != "" {
			c.clientID(key+".client_id", p.ClientID, clients)
		}
		c.exchange(key, p)
	}
}

func (c *checker) exchange(key string, p Portal) {
	if p.Handoff == HandoffExchange && p.ClientID == "" {
		c.problem(key+".client_id", "is required for handoff exchange: the name by which the portal authenticates")
	}
	if !c.role.has(RoleBroker) {
		return
	}
	secret := p.ClientSecret.Reveal()
	switch {
	case secret == "" && p.Handoff == HandoffExchange:
		c.problem(key+".client_secret_file", "is required for handoff exchange: give a file with it%s", orVariable(p.ID, portalSecretVariable))
	case strings.Trim(secret, unreserved) != "":
		c.problem(key+".client_secret_file", "the secret may have letters, digits, dots, underscores, hyphens and tildes only, because HTTP clients encode others in different ways: make one with `openssl rand -hex 32`")
	case secret != "":
		c.secretLength(key+".client_secret_file", secret)
	}
}

func (c *checker) clientID(key, id string, clients seen) {
	for _, r := range id {
		if !strings.ContainsRune(unreserved, r) {
			c.problem(key, "may have letters, digits, dots, underscores, hyphens and tildes only: remove %q", r)
			return
		}
	}
	if first, ok := clients[id]; ok {
		c.problem(key, "%s is taken by %s: each portal needs a client id of its own", quote(id), first)
		return
	}
	clients[id] = key
}
