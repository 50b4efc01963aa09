// Package storetest holds what tests of the store share: a real redis-server on
// a free port, and the conformance suite that every kind of Redis must pass.
package storetest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/latchkey-sso/latchkey/store"
)

// Missing ends a test whose server is not installed: it is skipped, saying what
// is missing, and fails where CI is set.
func Missing(t testing.TB, what, install string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is missing, and CI must not skip this test: %s", what, install)
	}
	t.Skipf("NOT TESTED: %s is missing (%s)", what, install)
}

// FreePort returns a TCP port of 127.0.0.1 that was free a moment ago. It stays
// below the range from which the system takes ports for outgoing connections,
// so that none of those takes it meanwhile.
func FreePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		port := 15_000 + rand.IntN(17_000)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		_ = l.Close()
		return port
	}
	t.Fatal("find a free port: a hundred ports were taken")
	return 0
}

// RedisServer is a real redis-server of one test.
type RedisServer struct {
	Addr string
	// Dir holds its snapshots.
	Dir string

	t    testing.TB
	args []string
	// clusterPort is where the nodes of a cluster talk; 0 elsewhere.
	clusterPort int
	cmd         *exec.Cmd
	log         *bytes.Buffer
}

// StartRedis starts redis-server without persistence; args are further options
// like "--appendonly", "yes". It ends with the test.
func StartRedis(t testing.TB, args ...string) *RedisServer {
	t.Helper()
	return startServer(t, FreePort(t), append(standalone(), args...)...)
}

func standalone() []string {
	return []string{"--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"}
}

// StartSentinel starts a Sentinel on a configuration file, which it rewrites.
func StartSentinel(t testing.TB, file string) *RedisServer {
	t.Helper()
	return startServer(t, FreePort(t), "--sentinel", file)
}

// StartRedisFile starts redis-server on a configuration file; args override it.
func StartRedisFile(t testing.TB, file string, args ...string) *RedisServer {
	t.Helper()
	return startServer(t, FreePort(t), append([]string{file}, args...)...)
}

func startServer(t testing.TB, port int, args ...string) *RedisServer {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		Missing(t, "redis-server", "apt-get install redis-server")
	}
	r := &RedisServer{Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), Dir: t.TempDir(), t: t}
	listen := []string{"--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", r.Dir}
	if slices.Contains(args, "--cluster-enabled") { // else the nodes talk at port + 10000, which may be taken
		r.clusterPort = FreePort(t)
		listen = append(listen, "--cluster-port", strconv.Itoa(r.clusterPort))
	}
	switch {
	case args[0] == "--sentinel": // its file comes first
		r.args = append([]string{args[1], "--sentinel"}, listen...)
	case !strings.HasPrefix(args[0], "--"):
		r.args = slices.Concat(args[:1], listen, args[1:])
	default:
		r.args = append(listen, args...)
	}
	r.Start()
	t.Cleanup(r.Kill)
	return r
}

// Start starts the server again after Kill and waits until it answers.
func (r *RedisServer) Start() {
	r.t.Helper()
	r.log = new(bytes.Buffer)
	r.cmd = exec.Command("redis-server", r.args...)
	r.cmd.Stdout, r.cmd.Stderr = r.log, r.log
	DieWithTest(r.cmd)
	if err := r.cmd.Start(); err != nil {
		r.t.Fatalf("start redis-server: %v", err)
	}
	client := redis.NewClient(&redis.Options{Addr: r.Addr, MaxRetries: -1})
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		// Whoever asks who we are is there, too.
		if err := client.Ping(ctx).Err(); err == nil || redis.HasErrorPrefix(err, "NOAUTH") {
			return
		}
		select {
		case <-ctx.Done():
			r.t.Fatalf("redis-server does not answer on %s:\n%s", r.Addr, r.log)
		case <-tick.C:
		}
	}
}

// Kill ends the server at once, as a crash does, also a hung one.
func (r *RedisServer) Kill() {
	if r.cmd == nil {
		return
	}
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
	r.cmd = nil
}

// Options returns how a store reaches the server.
func (r *RedisServer) Options() store.Options {
	return store.Options{Mode: store.Standalone, Addresses: []string{r.Addr}}
}

// clientTimeout: a test's Redis shares the processor with all other tests.
const clientTimeout = 5 * time.Second

// Client returns a client made by store.Open, closed with the test.
func (r *RedisServer) Client() redis.UniversalClient {
	r.t.Helper()
	o := r.Options()
	o.Timeout = clientTimeout
	client, err := store.Open(o)
	if err != nil {
		r.t.Fatalf("open store: %v", err)
	}
	r.t.Cleanup(func() { _ = client.Close() })
	return client
}

// Advance makes every key as old as if time had passed, and so the members of sorted
// sets, whose scores are times in microseconds.
func Advance(t testing.TB, client redis.UniversalClient, d time.Duration) {
	t.Helper()
	ctx := context.Background()
	for _, key := range Keys(t, client) {
		for _, z := range sortedSet(ctx, client, key) {
			if err := client.ZIncrBy(ctx, key, -float64(d.Microseconds()), z).Err(); err != nil {
				t.Fatalf("advance time: %v", err)
			}
		}
		left, err := client.PTTL(ctx, key).Result()
		if err != nil {
			t.Fatalf("advance time: %v", err)
		}
		if left < 0 {
			continue
		}
		if err := client.PExpire(ctx, key, left-d).Err(); err != nil {
			t.Fatalf("advance time: %v", err)
		}
	}
}

// sortedSet returns the members of a key, none when it is no sorted set.
func sortedSet(ctx context.Context, client redis.UniversalClient, key string) []string {
	if client.Type(ctx, key).Val() != "zset" {
		return nil
	}
	return client.ZRange(ctx, key, 0, -1).Val()
}

// Waiting returns the requests that wait in any queue, due or not, in the order of
// their times: "rotate web01/bob".
func Waiting(t testing.TB, client redis.UniversalClient) []string {
	t.Helper()
	var all []redis.Z
	for _, key := range Keys(t, client) {
		_, lane, is := strings.Cut(key, "requests:{")
		if !is {
			continue
		}
		server, kind, _ := strings.Cut(lane, "}")
		members, err := client.ZRangeWithScores(context.Background(), key, 0, -1).Result()
		if err != nil {
			t.Fatalf("list requests: %v", err)
		}
		for _, z := range members {
			all = append(all, redis.Z{Score: z.Score, Member: fmt.Sprintf("%s %s/%s", kind, server, z.Member)})
		}
	}
	slices.SortFunc(all, func(a, b redis.Z) int { return cmp.Compare(a.Score, b.Score) })
	names := make([]string, len(all))
	for i, z := range all {
		names[i] = fmt.Sprint(z.Member)
	}
	return names
}

// Empty removes every key.
func Empty(t testing.TB, client redis.UniversalClient) {
	t.Helper()
	err := onPrimaries(client, func(ctx context.Context, primary redis.UniversalClient) error {
		return primary.FlushDB(ctx).Err()
	})
	if err != nil {
		t.Fatalf("remove every key: %v", err)
	}
}

// Keys returns every key, of all primaries, in order.
func Keys(t testing.TB, client redis.UniversalClient) []string {
	t.Helper()
	var mu sync.Mutex
	var keys []string
	err := onPrimaries(client, func(ctx context.Context, primary redis.UniversalClient) error {
		found, err := primary.Keys(ctx, "*").Result()
		mu.Lock()
		defer mu.Unlock()
		keys = append(keys, found...)
		return err
	})
	if err != nil {
		t.Fatalf("list keys: %v", err)
	}
	slices.Sort(keys)
	return keys
}

// onPrimaries calls f for the server, or for all primaries of a cluster at once.
func onPrimaries(client redis.UniversalClient, f func(context.Context, redis.UniversalClient) error) error {
	ctx := context.Background()
	cluster, is := client.(interface {
		ForEachMaster(context.Context, func(context.Context, *redis.Client) error) error
	})
	if !is {
		return f(ctx, client)
	}
	return cluster.ForEachMaster(ctx, func(ctx context.Context, primary *redis.Client) error { return f(ctx, primary) })
}

// Dump returns every key with its value, for tests that look for what must not
// be there.
func Dump(t testing.TB, client redis.UniversalClient) string {
	t.Helper()
	ctx := context.Background()
	var out strings.Builder
	for _, key := range Keys(t, client) {
		value, err := valueOf(ctx, client, key)
		if errors.Is(err, redis.Nil) {
			continue // expired meanwhile
		}
		if err != nil {
			t.Fatalf("dump %q: %v", key, err)
		}
		fmt.Fprintf(&out, "%s = %v\n", key, value)
	}
	return out.String()
}

func valueOf(ctx context.Context, client redis.UniversalClient, key string) (any, error) {
	switch kind, err := client.Type(ctx, key).Result(); {
	case err != nil:
		return nil, err
	case kind == "string":
		return client.Get(ctx, key).Result()
	case kind == "hash":
		return client.HGetAll(ctx, key).Result()
	case kind == "list":
		return client.LRange(ctx, key, 0, -1).Result()
	case kind == "zset":
		return client.ZRangeWithScores(ctx, key, 0, -1).Result()
	case kind == "none":
		return nil, redis.Nil
	default:
		return nil, fmt.Errorf("its type %s is not known here", kind)
	}
}
