package config

import (
	"encoding/base64"
	"encoding/hex"
	"net/netip"
	"net/url"
	"regexp"
	"strings"

	"github.com/latchkey-sso/latchkey/broker"
)

// The values of Server.Product.
const (
	ProductCPanel    = "cpanel"
	ProductWPSquared = "wpsquared"
)

// Server is one cPanel & WHM or WP Squared host.
type Server struct {
	// ID is the server's name in URLs and logs: ^[a-z0-9][a-z0-9.-]{0,62}$, unique.
	ID      string `koanf:"id"`
	Product string `koanf:"product" default:"cpanel" choices:"cpanel,wpsquared"`
	// URL is WHM's address, https, without path. Without a port it is given 2087,
	// where WHM listens; a service subdomain needs its :443 written out. For the
	// provisioner only.
	URL string `koanf:"url"`
	// User owns the API token. For the provisioner only.
	User string `koanf:"user" default:"root"`
	// TokenFile holds the WHM API token; or LATCHKEY_SERVERS_<ID>_TOKEN. For the
	// provisioner only.
	TokenFile string `koanf:"token_file" is:"path"`
	// CAFile has the PEM certificates to trust; PinSHA256 is the SHA-256 of the
	// server's own certificate, in hex or base64. At most one of them; neither
	// means the system's certificates.
	CAFile    string `koanf:"ca_file" is:"path"`
	PinSHA256 string `koanf:"pin_sha256"`
	// HookSecretFile holds what the server's hooks prove themselves with, at least
	// 16 characters; or LATCHKEY_SERVERS_<ID>_HOOK_SECRET. Empty for a server that
	// sends none. For the provisioner only.
	HookSecretFile string `koanf:"hook_secret_file" is:"path"`
	// SourceIPs may post for this server; empty for anyone with a valid token.
	// IPs or CIDRs in the file.
	SourceIPs []netip.Prefix `koanf:"source_ips"`

	// Token is loaded for RoleProvisioner.
	Token broker.Secret `koanf:"-"`
	// HookSecret is loaded for RoleProvisioner; it may be empty.
	HookSecret broker.Secret `koanf:"-"`
}

const whmPort = ":2087"

var serverID = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{0,62}$`)

// Pin is PinSHA256 in binary; ok is false when there is none.
func (s Server) Pin() (pin [32]byte, ok bool) {
	text := strings.TrimSpace(s.PinSHA256)
	raw, err := hex.DecodeString(strings.ReplaceAll(text, ":", ""))
	if err != nil || len(raw) != len(pin) {
		raw, err = base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	}
	if err != nil || len(raw) != len(pin) {
		return pin, false
	}
	return [32]byte(raw), true
}

// derive makes SourceIPs nil when it is empty, and fills in the port of WHM.
func (s *Server) derive() {
	if len(s.SourceIPs) == 0 {
		s.SourceIPs = nil
	}
	s.URL = strings.TrimRight(s.URL, "/")
	u, err := url.Parse(s.URL)
	if err != nil || u.Hostname() == "" || u.Path != "" || strings.ContainsAny(s.URL, "?#") {
		return // it is for the rules to complain
	}
	if u.Port() == "" && !strings.HasSuffix(u.Host, ":") {
		s.URL += whmPort
	}
}

func (c *checker) servers() {
	if len(c.cfg.Servers) == 0 && c.role != 0 {
		c.problem("servers", "list each server that may post, e.g. `- id: web01`")
	}
	ids, variables, hookSecrets := seen{}, seen{}, seen{}
	for i, s := range c.cfg.Servers {
		key := item("servers", i)
		if c.id(key+".id", s.ID, serverID, "a-z, 0-9, . and -, beginning with a letter or digit, at most 63", ids, key) {
			// Its other variable differs in its last words only: they meet when these do.
			c.variable(key+".id", serverTokenVariable(s.ID), variables)
		}
		c.whm(key, s)
		c.hookSecret(key, s, hookSecrets)
		if s.PinSHA256 != "" {
			if _, ok := s.Pin(); !ok {
				c.problem(key+".pin_sha256", "must be a SHA-256 in hex (64 digits) or base64 (44 characters)")
			}
			if s.CAFile != "" {
				c.problem(key+".pin_sha256", "goes without ca_file: keep the one that you mean")
			}
		}
	}
}

func (c *checker) whm(key string, s Server) {
	needed := c.role.has(RoleProvisioner)
	if s.URL != "" || needed {
		c.webURL(key+".url", s.URL, urlRule{
			noQuery: true, noPath: true, missing: "WHM's address, e.g. https://web01.example.com:2087",
		})
	}
	if !needed {
		return
	}
	switch {
	case s.User == "":
		c.problem(key+".user", "is required: the WHM user that owns the API token, e.g. root")
	case !oneWord(s.User) || strings.Contains(s.User, ":"):
		c.problem(key+".user", "must be the WHM user's name alone, without spaces and colons, not %s", quote(s.User))
	}
	switch token := s.Token.Reveal(); {
	case token == "":
		c.problem(key+".token_file", "is required: give a file with a WHM API token%s", orVariable(s.ID, serverTokenVariable))
	case !oneWord(token) || strings.Contains(token, ":"):
		// WHM would answer 403, and count that as an attack.
		c.problem(key+".token_file", "is no WHM API token: keep the token alone, without spaces, colons and the user's name")
	}
	if s.CAFile != "" {
		c.certificates(key+".ca_file", s.CAFile)
	}
}

// hookSecret checks what goes into a header, and into a line of the hook's own
// configuration on the server.
func (c *checker) hookSecret(key string, s Server, secrets seen) {
	key += ".hook_secret_file"
	secret := s.HookSecret.Reveal()
	if secret == "" {
		return
	}
	if !oneWord(secret) {
		c.problem(key, "the secret may have letters, digits and punctuation of ASCII only, and no spaces: make one with `openssl rand -hex 32`")
		return
	}
	c.secretLength(key, secret)
	if first, taken := secrets[secret]; taken {
		c.warn(key, "is the secret of %s too, so that each can report for the other: give each server its own", first)
		return
	}
	secrets[secret] = key
}

// oneWord reports whether a text has nothing but ASCII that one can see.
func oneWord(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' })
}
