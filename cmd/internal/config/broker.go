package config

import (
	"math"
	"net/netip"
	"os"
	"time"
)

// The values of Broker.Confirm.
const (
	ConfirmAuto   = "auto"
	ConfirmAlways = "always"
	ConfirmNever  = "never"
)

// The values of Broker.Durability.
const (
	DurabilityLocal      = "local"
	DurabilityReplicated = "replicated"
)

// Broker configures `broker serve`. The provisioner reads PublicURL and
// LinkTokenMaxAge only.
type Broker struct {
	// Listen is where cPanel servers and browsers arrive, host:port.
	Listen string `koanf:"listen" default:":8080" help:"host:port for cPanel servers and browsers"`
	// OperatorListen is where operators and their balancers ask for health.
	OperatorListen string `koanf:"operator_listen" default:"127.0.0.1:8081" help:"host:port for operators: health"`
	// TLS with both files empty means plain HTTP, for behind a balancer.
	TLS ListenerTLS `koanf:"tls"`
	// PublicURL is the address that servers and browsers use, without a slash at
	// its end. https, or http for a loopback host. Required.
	PublicURL string `koanf:"public_url" help:"address that servers and browsers use, e.g. https://sso.example.com"`
	// OneTimeTokenTTL: 10s to 10m.
	OneTimeTokenTTL time.Duration `koanf:"one_time_token_ttl" default:"120s" help:"lifetime of a one-time token, 10s to 10m"`
	// LinkTokenMaxAge is the age at which a daemon of the provisioner replaces a
	// link token; without one it is refused at twice the age. 0 for no limit, else
	// 1h or more.
	LinkTokenMaxAge time.Duration `koanf:"link_token_max_age" default:"2160h" help:"age at which a daemon of the provisioner replaces a link token, 1h or more; without one it is refused at twice the age; 0 for never"`
	// TrustedProxies may say who the client is. IPs or CIDRs in the file.
	TrustedProxies []netip.Prefix `koanf:"trusted_proxies" help:"IPs or CIDRs of the proxies whose forwarding headers count"`
	// SigningKeysDir must exist for RoleBroker.
	SigningKeysDir string `koanf:"signing_keys_dir" default:"/etc/latchkey/keys" is:"path" help:"directory of the signing keys"`
	// Confirm says when the browser gets a page with a button before it redeems.
	Confirm string `koanf:"confirm" default:"auto" choices:"auto,always,never" help:"when to ask before signing in"`
	// Durability says when a redemption counts: local binds one-time tokens to the
	// Redis process that issued them, and those in flight die with a failover;
	// replicated waits until Store.Replicas have it, and refuses while they do not
	// answer.
	Durability string `koanf:"durability" default:"local" choices:"local,replicated" help:"local: one-time tokens in flight die with a failover of Redis; replicated: a redemption counts once store.replicas have it"`
	Limits     Limits `koanf:"limits"`
	// DrainDelay is how long readiness is off before the listeners close: 0s to 5s.
	DrainDelay time.Duration `koanf:"drain_delay" default:"2s" help:"how long readiness is off before listeners close, 0s to 5s"`
	LogLevel   string        `koanf:"log_level" default:"info" choices:"debug,info,warn,error" help:"least severe level that is logged"`
}

// Limits guard the public listener.
type Limits struct {
	// Addresses count with every request, but with a click only when it is malformed,
	// denied, or over the limit of its account or server, or its caller hangs up;
	// accounts and servers with every sign-on whose link token is right.

	// PerAddressRate is in requests per second and source address; 0 for no limit.
	PerAddressRate float64 `koanf:"per_address_rate" default:"50" help:"requests per second and source address, of clicks only those that are malformed, denied, over another limit or hung up; 0 for no limit"`
	// PerAddressBurst is in requests; at least 1 when there is a rate.
	PerAddressBurst int `koanf:"per_address_burst" default:"200" help:"requests that one source address may send at once"`
	// PerAccountRate is in sign-ons per second and cPanel account; 0 for no limit.
	PerAccountRate float64 `koanf:"per_account_rate" default:"1" help:"sign-ons per second and cPanel account; 0 for no limit"`
	// PerAccountBurst is in sign-ons; at least 1 when there is a rate.
	PerAccountBurst int `koanf:"per_account_burst" default:"30" help:"sign-ons of one cPanel account at once"`
	// PerServerRate is in sign-ons per second of all accounts of a server; 0 for no
	// limit.
	PerServerRate float64 `koanf:"per_server_rate" default:"20" help:"sign-ons per second of all accounts of a server; 0 for no limit"`
	// PerServerBurst is in sign-ons; at least 1 when there is a rate.
	PerServerBurst int `koanf:"per_server_burst" default:"400" help:"sign-ons of all accounts of a server at once"`
}

func (c *checker) broker() {
	b := c.cfg.Broker
	c.listenerTLS("broker.tls", b.TLS, RoleBroker)
	if b.PublicURL != "" {
		c.webURL("broker.public_url", b.PublicURL, urlRule{noQuery: true, loopbackHTTP: true})
	} else if c.role != 0 {
		c.problem("broker.public_url", "is required: the address that servers and browsers use, e.g. https://sso.example.com")
	}
	c.between("broker.one_time_token_ttl", b.OneTimeTokenTTL, 10*time.Second, 10*time.Minute)
	if age := b.LinkTokenMaxAge; age < 0 || age > 0 && age < time.Hour {
		c.problem("broker.link_token_max_age", "must be 0 (never) or at least 1h, not %s", duration(age))
	}
	c.between("broker.drain_delay", b.DrainDelay, 0, 5*time.Second)
	for i, proxy := range b.TrustedProxies {
		if proxy.Bits() == 0 {
			c.warn(item("broker.trusted_proxies", i), "trusts every address there is: anyone can then claim to be another client; list your proxies only")
		}
	}
	if c.role.has(RoleBroker) {
		c.keysDir(b.SigningKeysDir)
	}
	if b.Durability == DurabilityReplicated && c.cfg.Store.Mode == StoreEmbedded {
		c.problem("broker.durability", "replicated needs a Redis with replicas, and store.mode is embedded: set it to local")
	}
	c.limits(b.Limits)
}

func (c *checker) keysDir(dir string) {
	const key = "broker.signing_keys_dir"
	if dir == "" {
		c.problem(key, "is required: the directory where `broker keys new` puts signing keys")
		return
	}
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		c.problem(key, "%s: %s; `broker keys new` creates it with a first key", dir, cause(err))
	case !info.IsDir():
		c.problem(key, "%s is not a directory", dir)
	case info.Mode().Perm()&0o002 != 0:
		c.warn(key, "%s can be written by everyone on this machine: chmod 700 it", dir)
	}
}

func (c *checker) limits(l Limits) {
	c.limit("per_address", "requests", l.PerAddressRate, l.PerAddressBurst)
	c.limit("per_account", "sign-ons", l.PerAccountRate, l.PerAccountBurst)
	c.limit("per_server", "sign-ons", l.PerServerRate, l.PerServerBurst)
}

func (c *checker) limit(name, of string, rate float64, burst int) {
	const least = 0.001
	if rate < 0 || rate > 0 && rate < least || rate > 1e6 || math.IsNaN(rate) {
		c.problem("broker.limits."+name+"_rate", "must be 0 (no limit) or from %v to 1000000 %s per second", least, of)
	}
	if burst < 0 || burst > 1e6 || rate > 0 && burst == 0 {
		c.problem("broker.limits."+name+"_burst", "must be from 1 to 1000000 %s: with a rate and a burst of 0 nothing passes", of)
	}
}

func (c *checker) between(key string, d, least, most time.Duration) {
	if d < least || d > most {
		c.problem(key, "must be from %s to %s, not %s", duration(least), duration(most), duration(d))
	}
}
