package config

import (
	"encoding/base64"
	"encoding/hex"
	"net/netip"
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
	// URL is WHM's address, https, without path. For the provisioner only.
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
	// SourceIPs may post for this server; empty for anyone with a valid token.
	// IPs or CIDRs in the file.
	SourceIPs []netip.Prefix `koanf:"source_ips"`

	// Token is loaded for RoleProvisioner.
	Token broker.Secret `koanf:"-"`
}

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

func (c *checker) servers() {
	if len(c.cfg.Servers) == 0 && c.role != 0 {
		c.problem("servers", "list each server that may post, e.g. `- id: web01`")
	}
	ids, variables := seen{}, seen{}
	for i, s := range c.cfg.Servers {
		key := item("servers", i)
		if c.id(key+".id", s.ID, serverID, "a-z, 0-9, . and -, beginning with a letter or digit, at most 63", ids, key) {
			c.variable(key+".id", serverTokenVariable(s.ID), variables)
		}
		c.whm(key, s)
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
	if s.User == "" {
		c.problem(key+".user", "is required: the WHM user that owns the API token, e.g. root")
	}
	if s.Token.Reveal() == "" {
		c.problem(key+".token_file", "is required: give a file with a WHM API token%s", orVariable(s.ID, serverTokenVariable))
	}
	if s.CAFile != "" {
		c.certificates(key+".ca_file", s.CAFile)
	}
}
