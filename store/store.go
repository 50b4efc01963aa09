package store

import (
	"cmp"
	"context"
	"embed"
	"fmt"
	"strings"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"

	"github.com/latchkey-sso/latchkey/broker"
)

// Retention is how long the record of a one-time token stays after its
// lifetime, only to say "expired" or "used" instead of "unknown".
const Retention = 10 * time.Minute

//go:embed scripts/*.lua
var scripts embed.FS

// Config is what a Store needs.
type Config struct {
	// Client is made by Open, or by package embedded.
	Client redis.UniversalClient
	// KeyPrefix begins every key; it has no braces.
	KeyPrefix string
	// Replicas is how many replicas must have a redemption before it counts. 0 binds
	// one-time tokens to the Redis process that issued them instead; see "Atomicity".
	// All brokers of a store must say the same.
	Replicas int
	// ReplicaTimeout is how long the replicas may take: less than the client's
	// time-out. Optional: 150 ms.
	ReplicaTimeout time.Duration
}

// Store keeps everything in Redis. It is safe for concurrent use.
type Store struct {
	client     redis.UniversalClient
	prefix     string
	durability string        // as the scripts call it
	replicas   int           // that have to confirm
	patience   time.Duration // with them

	issue, redeem, probe        *redis.Script
	change, putLink, removeLink *redis.Script
	acquire, renew              *redis.Script
	add, due, done              *redis.Script
	begin, end, log, shorten    *redis.Script
	publish, status             *redis.Script
	control, controls           *redis.Script
	// scripts are all of them.
	scripts []*redis.Script
	rates   *redis_rate.Limiter
}

// New returns a Store over a client.
func New(cfg Config) *Store {
	s := &Store{
		client: cfg.Client, prefix: cfg.KeyPrefix,
		durability: local, replicas: cfg.Replicas, patience: cmp.Or(cfg.ReplicaTimeout, replicaTimeout),
	}
	if cfg.Replicas > 0 {
		s.durability = replicated
	}
	s.rates = redis_rate.NewLimiter(rateClient{cfg.Client})
	load := func(parts ...string) *redis.Script {
		loaded := script(parts...)
		s.scripts = append(s.scripts, loaded)
		return loaded
	}
	s.issue, s.redeem, s.probe = load("issue"), load("redeem"), load("probe")
	s.change, s.putLink, s.removeLink = load("record", "change"), load("record", "putlink"), load("record", "removelink")
	s.acquire, s.renew = load("acquire"), load("renew")
	s.add, s.due, s.done = load("add"), load("due"), load("done")
	s.begin, s.end, s.log, s.shorten = load("begin"), load("end"), load("log"), load("shorten")
	s.publish, s.status = load("publish"), load("status")
	s.control, s.controls = load("control"), load("controls")
	return s
}

// script joins the files of a script. It panics when one was left out of the build.
func script(parts ...string) *redis.Script {
	var whole strings.Builder
	for _, name := range parts {
		text, err := scripts.ReadFile("scripts/" + name + ".lua")
		if err != nil {
			panic(err)
		}
		whole.Write(text)
	}
	return redis.NewScript(whole.String())
}

// LoadScripts puts the scripts into Redis (on a cluster into every primary), so that
// the first call needs no second round trip, and probes it.
func (s *Store) LoadScripts(ctx context.Context) error {
	for _, script := range s.scripts {
		if err := script.Load(ctx, s.client).Err(); err != nil {
			return fmt.Errorf("load scripts: %w", err)
		}
	}
	return s.Probe(ctx)
}

// Probe shows that Redis (of a cluster one primary) can do what issuing and
// redeeming need: it answers, runs scripts, tells its identity and takes writes.
// A replica, a full Redis and a user without the rights fail it.
func (s *Store) Probe(ctx context.Context) error {
	if err := s.probe.Run(ctx, s.client, []string{s.prefix + "{probe}", s.prefix + "{probe}hash"}).Err(); err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	return nil
}

// Close gives the connections back. Calls after it fail.
func (s *Store) Close() error { return s.client.Close() }

func (s *Store) accountKey(a broker.Account) string {
	return s.prefix + "acct:{" + a.Tag() + "}" + a.String()
}

func (s *Store) tokenKey(t broker.OneTimeToken) string {
	d := t.Digest()
	return s.prefix + "once:{" + t.Tag() + "}" + encodeDigest(d)
}
