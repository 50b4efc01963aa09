package config

import (
	"net"
	"time"
	"unicode/utf8"
)

// Provisioner configures `provisioner`. Its interval, its listener and its log
// level are for the daemon, `provisioner run`.
type Provisioner struct {
	// Listen is where WHM's hooks report accounts that changed, host:port. Empty
	// for no listener: changes are then found at the interval.
	Listen string `koanf:"listen" help:"host:port for WHM hooks; empty for none"`
	// TLS with both files empty means plain HTTP, for behind a proxy: the hooks
	// themselves speak https only.
	TLS ListenerTLS `koanf:"tls"`
	// Interval is how often everything is reconciled: 1m to 168h.
	Interval time.Duration `koanf:"interval" default:"1h" help:"how often everything is reconciled, 1m to 168h"`
	// RequestsPerServer are on their way to one server at once: 1 to 32.
	RequestsPerServer int `koanf:"requests_per_server" default:"4" help:"requests that are on their way to one server at once, 1 to 32"`
	// CommandsPerRequest are put into one request: 1 to 200.
	CommandsPerRequest int `koanf:"commands_per_request" default:"48" help:"WHM functions that are called in one request, 1 to 200"`
	// RequestsPerSecond is for each server: up to 1000, 0 for no limit.
	RequestsPerSecond float64 `koanf:"requests_per_second" default:"20" help:"requests per second and server, up to 1000; 0 for no limit"`
	// RequestTimeout is how long a request may take: 1s to 5m.
	RequestTimeout time.Duration `koanf:"request_timeout" default:"30s" help:"how long a request to a server may take, 1s to 5m"`
	// Author names who publishes revisions of the catalogue; a file replaces its own
	// author's only. At most 64 characters; empty for user@host.
	Author   string `koanf:"author" help:"who publishes the links, as the history names it; empty for user@host"`
	LogLevel string `koanf:"log_level" default:"info" choices:"debug,info,warn,error" help:"least severe level that is logged"`
}

func (c *checker) provisioner() {
	p := c.cfg.Provisioner
	c.listenerTLS("provisioner.tls", p.TLS, RoleProvisioner)
	c.hooksInClear(p)
	c.between("provisioner.interval", p.Interval, time.Minute, 7*24*time.Hour)
	c.count("provisioner.requests_per_server", p.RequestsPerServer, 32)
	c.count("provisioner.commands_per_request", p.CommandsPerRequest, 200)
	if !(p.RequestsPerSecond >= 0 && p.RequestsPerSecond <= 1000) {
		c.problem("provisioner.requests_per_second", "must be from 0 (no limit) to 1000, not %g", p.RequestsPerSecond)
	}
	c.between("provisioner.request_timeout", p.RequestTimeout, time.Second, 5*time.Minute)
	if n := utf8.RuneCountInString(p.Author); n > maxName {
		c.problem("provisioner.author", "must have at most %d characters, has %d", maxName, n)
	}
}

// hooksInClear warns of a listener that others can reach without TLS. Only the
// provisioner says so: on the brokers' machines it would be noise.
func (c *checker) hooksInClear(p Provisioner) {
	if p.Listen == "" || p.TLS != (ListenerTLS{}) || !c.role.has(RoleProvisioner) {
		return
	}
	if host, _, err := net.SplitHostPort(p.Listen); err == nil && !loopback(host) {
		c.warn("provisioner.listen", "takes hooks without TLS from other machines, and hooks carry a secret: give provisioner.tls or put a TLS proxy in front")
	}
}

// count checks a number of which there must be one at least.
func (c *checker) count(key string, n, most int) {
	if n < 1 || n > most {
		c.problem(key, "must be from 1 to %d, not %d", most, n)
	}
}
