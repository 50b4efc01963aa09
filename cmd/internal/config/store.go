package config

import (
	"strings"

	"github.com/latchkey-sso/latchkey/broker"
)

// The values of Store.Mode.
const (
	StoreStandalone = "standalone"
	StoreSentinel   = "sentinel"
	StoreCluster    = "cluster"
	StoreEmbedded   = "embedded"
)

// Store says which Redis keeps the state. Broker and provisioner must be given the
// same.
type Store struct {
	// Mode: embedded runs inside the process and keeps nothing over a restart, so
	// it is refused for RoleProvisioner alone.
	Mode string `koanf:"mode" default:"standalone" choices:"standalone,sentinel,cluster,embedded" help:"kind of Redis"`
	// Addresses are host:port: of the server, of the Sentinels, or of some nodes
	// of the cluster. Required except when embedded.
	Addresses []string `koanf:"addresses" default:"127.0.0.1:6379" help:"host:port of Redis, of the Sentinels, or of cluster nodes"`
	// SentinelMaster is the name of the master that the Sentinels watch.
	SentinelMaster string `koanf:"sentinel_master" help:"name of the master that the Sentinels watch"`
	// Username is the Redis ACL user; empty for the default user.
	Username string `koanf:"username" help:"Redis ACL user; empty for the default user"`
	// PasswordFile holds the password; or LATCHKEY_STORE_PASSWORD.
	PasswordFile string   `koanf:"password_file" is:"path" help:"file with the Redis password (or LATCHKEY_STORE_PASSWORD)"`
	TLS          StoreTLS `koanf:"tls"`
	// Replicas must have a redemption before it counts, with broker.durability
	// replicated: 1 to 9. It should be all replicas that may be promoted.
	Replicas int `koanf:"replicas" default:"1" help:"with durability replicated: replicas that must have a redemption, 1 to 9; set it to all that may be promoted"`
	// KeyPrefix begins every key in Redis: at most 64 printable characters, none
	// of which means something in a pattern or a hash tag.
	KeyPrefix string `koanf:"key_prefix" default:"latchkey:" help:"begins every key in Redis"`

	// Password is empty when Redis asks for none.
	Password broker.Secret `koanf:"-"`
}

// StoreTLS is TLS towards Redis.
type StoreTLS struct {
	Enabled bool `koanf:"enabled" default:"false" help:"speak TLS with Redis"`
	// CAFile has the PEM certificates to trust; empty for the system's.
	CAFile string `koanf:"ca_file" is:"path" help:"PEM certificates to trust; empty for the system's"`
}

func (c *checker) store() {
	s := c.cfg.Store
	if s.Mode == StoreEmbedded && c.role == RoleProvisioner {
		c.problem("store.mode", "embedded is not for the provisioner: such a store lives inside one process, and no broker would see it: use a Redis")
	} else if s.Mode == StoreEmbedded {
		c.warn("store.mode", "embedded keeps nothing: links, tokens and controls are gone when the process ends; use it for trials only")
	} else if len(s.Addresses) == 0 {
		c.problem("store.addresses", `is required for mode %s: list host:port, e.g. ["127.0.0.1:6379"]`, s.Mode)
	}
	c.count("store.replicas", s.Replicas, 9)
	for i, address := range s.Addresses {
		c.hostPort(item("store.addresses", i), address, true)
	}
	switch {
	case s.Mode == StoreSentinel && s.SentinelMaster == "":
		c.problem("store.sentinel_master", "is required for mode sentinel: give the master's name as in sentinel.conf, e.g. mymaster")
	case s.Mode != StoreSentinel && s.SentinelMaster != "":
		c.warn("store.sentinel_master", "has no effect in mode %s: remove it or set store.mode to sentinel", s.Mode)
	}
	c.keyPrefix(s.KeyPrefix)
	if s.TLS.CAFile != "" {
		if !s.TLS.Enabled {
			c.warn("store.tls.ca_file", "has no effect while store.tls.enabled is false")
		} else if c.role != 0 {
			c.certificates("store.tls.ca_file", s.TLS.CAFile)
		}
	}
}

func (c *checker) keyPrefix(prefix string) {
	const key = "store.key_prefix"
	if len(prefix) > 64 {
		c.problem(key, "must have at most 64 characters, has %d", len(prefix))
	}
	for _, r := range prefix {
		if r <= ' ' || r > '~' || strings.ContainsRune(`{}*?[]\`, r) {
			c.problem(key, `must be printable ASCII without spaces and without { } * ? [ ] \: remove %q`, r)
			return
		}
	}
}
