package store

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/latchkey-sso/latchkey/broker"
)

// Mode says which kind of Redis to talk to. It is chosen, never guessed from
// the number of addresses.
type Mode string

// The modes that Open knows; package embedded is the fourth.
const (
	Standalone Mode = "standalone"
	Sentinel   Mode = "sentinel"
	Cluster    Mode = "cluster"
)

// Options says how to reach Redis.
type Options struct {
	Mode Mode
	// Addresses are host:port: the server, the Sentinels, or nodes of the
	// cluster.
	Addresses []string
	// SentinelMaster is the name under which Sentinels know the primary.
	SentinelMaster string
	Username       string
	Password       broker.Secret
	// TLS is nil for plain TCP.
	TLS *tls.Config
	// Timeout bounds dialling, reading, writing and waiting for a connection,
	// each; 0 means DefaultTimeout.
	Timeout time.Duration
}

// DefaultTimeout is short: a Redis that answers at all answers in a millisecond,
// a person is waiting, and a broker that says "retry" early serves better than
// one that hangs.
const DefaultTimeout = 200 * time.Millisecond

// PoolSize is how many connections a client has at most, to each server.
const PoolSize = 64

// clusterReload is how long a picture of the cluster may be used. A primary that is
// dead tells nobody who has taken over, so nothing else has the picture renewed.
const clusterReload = time.Second

// Open returns a client for Redis. It begins to connect, and does not wait for it.
func Open(o Options) (redis.UniversalClient, error) {
	if len(o.Addresses) == 0 {
		return nil, errors.New("there is no address of Redis")
	}
	u := universal(o)
	switch o.Mode {
	case Standalone:
		return redis.NewClient(u.Simple()), nil
	case Sentinel:
		if o.SentinelMaster == "" {
			return nil, errors.New("mode sentinel needs the name of the primary (store.sentinel_master)")
		}
		return redis.NewFailoverClient(u.Failover()), nil
	case Cluster:
		c := u.Cluster()
		c.ClusterStateReloadInterval = clusterReload
		return redis.NewClusterClient(c), nil
	}
	return nil, fmt.Errorf("store mode %q is not known", o.Mode)
}

func universal(o Options) *redis.UniversalOptions {
	timeout := cmp.Or(o.Timeout, DefaultTimeout)
	return &redis.UniversalOptions{
		Addrs:      o.Addresses,
		MasterName: o.SentinelMaster,
		Username:   o.Username,
		Password:   o.Password.Reveal(),
		TLSConfig:  o.TLS,
		Dialer:     dialer(o.TLS, timeout),

		// A call ends with its context, and is made once.
		ContextTimeoutEnabled: true,
		MaxRetries:            -1,
		DialTimeout:           timeout,
		DialerRetries:         1,
		ReadTimeout:           timeout,
		WriteTimeout:          timeout,
		PoolTimeout:           timeout,
		PoolSize:              PoolSize,
		MinIdleConns:          4,
		MaxActiveConns:        PoolSize,

		// Nothing but our commands reaches Redis.
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
}
