package store_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/store"
)

// Nothing listens there; a client dials as soon as it is made.
var (
	one   = []string{"127.0.0.1:1"}
	three = []string{"127.0.0.1:1", "127.0.0.2:1", "127.0.0.3:1"}
)

func TestModeDecidesTheClient(t *testing.T) {
	tests := []struct {
		mode   store.Mode
		master string
		want   string
	}{
		{store.Standalone, "", "*redis.Client"},
		{store.Standalone, "unused", "*redis.Client"},
		{store.Sentinel, "primary", "*redis.Client"},
		{store.Cluster, "", "*redis.ClusterClient"},
		{store.Cluster, "unused", "*redis.ClusterClient"},
	}
	for _, tt := range tests {
		for _, addresses := range [][]string{one, three} {
			client, err := store.Open(store.Options{Mode: tt.mode, Addresses: addresses, SentinelMaster: tt.master})
			if err != nil {
				t.Errorf("%s, %d addresses: %v", tt.mode, len(addresses), err)
				continue
			}
			if got := fmt.Sprintf("%T", client); got != tt.want {
				t.Errorf("%s, %d addresses: got %s, want %s", tt.mode, len(addresses), got, tt.want)
			}
			if plain, is := client.(*redis.Client); is {
				want := map[store.Mode]string{store.Standalone: one[0], store.Sentinel: "FailoverClient"}[tt.mode]
				if got := plain.Options().Addr; got != want {
					t.Errorf("%s: got address %q, want %q", tt.mode, got, want)
				}
			}
			_ = client.Close()
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	tests := []struct {
		name    string
		options store.Options
		want    string
	}{
		{"no address", store.Options{Mode: store.Standalone}, "there is no address of Redis"},
		{"no mode", store.Options{Addresses: one}, `store mode "" is not known`},
		{"unknown mode", store.Options{Mode: "ring", Addresses: three}, `store mode "ring" is not known`},
		{"Sentinel without a name", store.Options{Mode: store.Sentinel, Addresses: three}, "mode sentinel needs the name of the primary (store.sentinel_master)"},
	}
	for _, tt := range tests {
		client, err := store.Open(tt.options)
		if client != nil || err == nil || err.Error() != tt.want {
			t.Errorf("%s: got client %v, error %v, want %q", tt.name, client, err, tt.want)
		}
	}
}

// limits are the options that keep a call short and single.
type limits struct {
	dial, read, write, pool    time.Duration
	retries, dials             int
	contextTimeout, noIdentity bool
	poolSize, maxActive        int
	username, password         string
	tls                        bool
}

func TestClientsEndCallsEarlyAndMakeThemOnce(t *testing.T) {
	const most = 250 * time.Millisecond
	for _, mode := range []store.Mode{store.Standalone, store.Sentinel, store.Cluster} {
		client := ok(store.Open(store.Options{
			Mode: mode, Addresses: three, SentinelMaster: "primary",
			Username: "latchkey", Password: broker.NewSecret("word"), TLS: &tls.Config{ServerName: "redis.example"},
		}))(t)
		defer client.Close()
		var got limits
		switch c := client.(type) {
		case *redis.Client:
			o := c.Options()
			got = limits{
				o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout, o.MaxRetries, o.DialerRetries,
				o.ContextTimeoutEnabled, o.DisableIdentity, o.PoolSize, o.MaxActiveConns, o.Username, o.Password, o.TLSConfig != nil,
			}
		case *redis.ClusterClient:
			o := c.Options()
			got = limits{
				o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout, o.MaxRetries, o.DialerRetries,
				o.ContextTimeoutEnabled, o.DisableIdentity, o.PoolSize, o.MaxActiveConns, o.Username, o.Password, o.TLSConfig != nil,
			}
			if d := o.ClusterStateReloadInterval; d <= 0 || d > time.Second {
				t.Errorf("cluster: got a picture of it that may be %v old, want one second at most", d)
			}
			if o.ReadOnly || o.RouteByLatency || o.RouteRandomly {
				t.Errorf("cluster: got reads from replicas (%v, %v, %v), want none", o.ReadOnly, o.RouteByLatency, o.RouteRandomly)
			}
		}
		for name, d := range map[string]time.Duration{"dial": got.dial, "read": got.read, "write": got.write, "pool": got.pool} {
			if d <= 0 || d > most {
				t.Errorf("%s: %s timeout: got %v, want one up to %v", mode, name, d, most)
			}
		}
		// The client turns -1 into 0, and 0 into its default of 3.
		if got.retries > 0 || got.dials != 1 {
			t.Errorf("%s: got %d retries and %d dials, want none and one", mode, got.retries, got.dials)
		}
		if !got.contextTimeout || !got.noIdentity {
			t.Errorf("%s: got calls end with their context %v, identity off %v, want both", mode, got.contextTimeout, got.noIdentity)
		}
		if got.poolSize <= 0 || got.poolSize > 128 || got.maxActive != got.poolSize {
			t.Errorf("%s: got a pool of %d, at most %d, want both the same and at most 128", mode, got.poolSize, got.maxActive)
		}
		if got.username != "latchkey" || got.password != "word" || !got.tls {
			t.Errorf("%s: got user %q, password %q, TLS %v, want what was asked for", mode, got.username, got.password, got.tls)
		}
	}
}

func TestTimeoutOfTheOptions(t *testing.T) {
	for given, want := range map[time.Duration]time.Duration{0: store.DefaultTimeout, 5 * time.Second: 5 * time.Second} {
		client := ok(store.Open(store.Options{Mode: store.Standalone, Addresses: one, Timeout: given}))(t)
		o := client.(*redis.Client).Options()
		for name, got := range map[string]time.Duration{"dial": o.DialTimeout, "read": o.ReadTimeout, "write": o.WriteTimeout, "pool": o.PoolTimeout} {
			if got != want {
				t.Errorf("%s timeout of %v: got %v, want %v", name, given, got, want)
			}
		}
		_ = client.Close()
	}
}

// A Redis that takes connections and says nothing holds nobody longer than the
// caller wants.
func TestASilentRedisIsLeftAtTheDeadline(t *testing.T) {
	silent := ok(net.Listen("tcp", "127.0.0.1:0"))(t)
	defer silent.Close()
	for _, mode := range []store.Mode{store.Standalone, store.Sentinel, store.Cluster} {
		client := ok(store.Open(store.Options{Mode: mode, Addresses: []string{silent.Addr().String()}, SentinelMaster: "primary", Timeout: 2 * time.Second}))(t)
		s := store.New(store.Config{Client: client, KeyPrefix: keyPrefix})
		in := issueInput(t, billing, broker.LinkToken{Secret: broker.NewSecret("link token")})
		calls := map[string]func(context.Context) error{
			"issue": func(ctx context.Context) error { _, err := s.Issue(ctx, in); return err },
			"redeem": func(ctx context.Context) error {
				_, err := s.Redeem(ctx, broker.Redeem{Token: in.Token, Redeemer: "browser", Claim: newClaim(t), At: created})
				return err
			},
			"probe": s.Probe,
		}
		for name, call := range calls {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			start := time.Now()
			err := call(ctx)
			took := time.Since(start)
			cancel()
			// Without the deadline of the context it would be 2 s.
			if err == nil || took > time.Second {
				t.Errorf("%s, %s: got error %v after %v, want one after 100 ms", mode, name, err, took)
			}
		}
		_ = client.Close()
	}
}
