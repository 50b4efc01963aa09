package storetest

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/latchkey-sso/latchkey/store"
)

// masterName is what Sentinels call the primary.
const masterName = "main"

// ReplicatedConfig says what StartReplicated starts.
type ReplicatedConfig struct {
	// Replicas is how many replicas follow the primary; 0 means 2.
	Replicas    int
	Persistence Persistence
	// Delay of what nodes say to replicas and Sentinels, whole milliseconds.
	Delay time.Duration
	// Real leaves the Sentinels the periods that they have in production. Else they
	// look and talk more often, and a failover takes one second instead of two.
	Real bool
}

// Replicated is a primary with replicas and three Sentinels, of which two have to
// agree. A primary that is silent for 500 ms is replaced.
type Replicated struct {
	// Nodes are the primary and the replicas; the first is primary at first.
	Nodes     []*Node
	Sentinels []*RedisServer

	t     testing.TB
	delay time.Duration
}

// Node is one Redis of a Replicated.
type Node struct {
	// Addr is where others find it.
	Addr string
	// Server is the process. Its own address leads there past every fault.
	Server *RedisServer
	// Peers is the way from its replicas and the Sentinels to it; clients take
	// another.
	Peers *Link
}

// StartReplicated starts one. It returns when all replicas follow and every Sentinel
// knows everyone, and ends with the test.
func StartReplicated(t testing.TB, cfg ReplicatedConfig) *Replicated {
	t.Helper()
	r := &Replicated{t: t, delay: cfg.Delay}
	if cfg.Replicas == 0 {
		cfg.Replicas = 2
	}
	for range 1 + cfg.Replicas {
		r.startNode(cfg)
	}
	await(t, "all replicas to follow", func(ctx context.Context) bool { return r.follow(ctx, r.Nodes[0]) })
	for range 3 {
		r.startSentinel(cfg.Real)
	}
	r.waitForSentinels()
	return r
}

func (r *Replicated) startNode(cfg ReplicatedConfig) {
	r.t.Helper()
	// Where the server will be known has to be known before it starts.
	port := FreePort(r.t)
	addr := fmt.Sprint("127.0.0.1:", port)
	n := &Node{Peers: StartLink(r.t, addr)}
	front := startDoor(r.t, addr, n.Peers.Addr)
	n.Addr = front.addr
	n.Peers.Delay(r.delay)
	_, announced, _ := net.SplitHostPort(n.Addr)
	args := append(standalone(), "--bind-source-addr", peerIP, "--repl-diskless-sync-delay", "0",
		"--replica-announce-ip", "127.0.0.1", "--replica-announce-port", announced)
	args = append(args, cfg.Persistence.Args()...)
	if len(r.Nodes) > 0 {
		_, primary, _ := net.SplitHostPort(r.Nodes[0].Addr)
		args = append(args, "--replicaof", "127.0.0.1 "+primary)
	}
	n.Server = startServer(r.t, port, args...)
	r.Nodes = append(r.Nodes, n)
}

func (r *Replicated) startSentinel(likeProduction bool) {
	r.t.Helper()
	_, port, _ := net.SplitHostPort(r.Nodes[0].Addr)
	file := filepath.Join(r.t.TempDir(), "sentinel.conf")
	text := fmt.Sprintf(`bind-source-addr %s
sentinel announce-ip 127.0.0.1
sentinel monitor %s 127.0.0.1 %s 2
sentinel down-after-milliseconds %[2]s 500
sentinel failover-timeout %[2]s 1000
sentinel parallel-syncs %[2]s 8
`, peerIP, masterName, port)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		r.t.Fatalf("write the file of a Sentinel: %v", err)
	}
	s := StartSentinel(r.t, file)
	if !likeProduction {
		// The period of pings has to be well below the 500 ms after which a node is down:
		// Sentinel counts from when it first hears of a node, and pings a period later.
		ctx, cancel := context.WithTimeout(context.Background(), topologyTimeout)
		defer cancel()
		err := s.Client().Do(ctx, "SENTINEL", "DEBUG", "ping-period", 200, "info-period", 100, "ask-period", 100, "publish-period", 100).Err()
		if err != nil {
			r.t.Fatalf("make a Sentinel quick (needs Redis 7.0): %v", err)
		}
	}
	r.Sentinels = append(r.Sentinels, s)
}

// Options returns how a store reaches it.
func (r *Replicated) Options() store.Options {
	o := store.Options{Mode: store.Sentinel, SentinelMaster: masterName}
	for _, s := range r.Sentinels {
		o.Addresses = append(o.Addresses, s.Addr)
	}
	return o
}

// Primary returns the node that Sentinels name as the primary, which may be down.
// It ends the test when no two Sentinels agree on one for long.
func (r *Replicated) Primary() *Node {
	r.t.Helper()
	var primary *Node
	await(r.t, "two Sentinels to agree on a primary", func(ctx context.Context) bool {
		primary = r.named(ctx)
		return primary != nil
	})
	return primary
}

// WaitForPrimary waits until two Sentinels name another node than the former primary,
// and it says itself that it is one.
func (r *Replicated) WaitForPrimary(former *Node) *Node {
	r.t.Helper()
	var primary *Node
	await(r.t, "another primary", func(ctx context.Context) bool {
		primary = r.named(ctx)
		return primary != nil && primary != former && strings.Contains(primary.replication(ctx), "role:master")
	})
	return primary
}

// WaitForReplicas waits until all other nodes follow the primary and have its data.
func (r *Replicated) WaitForReplicas() {
	r.t.Helper()
	await(r.t, "all replicas to follow", func(ctx context.Context) bool {
		primary := r.named(ctx)
		return primary != nil && r.follow(ctx, primary)
	})
}

// follow reports whether all other nodes follow a primary and have its data.
func (r *Replicated) follow(ctx context.Context, primary *Node) bool {
	_, port, _ := net.SplitHostPort(primary.Addr)
	for _, n := range r.Nodes {
		info := n.replication(ctx)
		follows := strings.Contains(info, "master_link_status:up") && strings.Contains(info, "master_port:"+port+"\r\n")
		if n != primary && !follows {
			return false
		}
	}
	return true
}

// Kill ends a node as the crash of its machine does: what it has said to its replicas
// and is still on the way is lost.
func (r *Replicated) Kill(n *Node) {
	n.Peers.Cut()
	n.Server.Kill()
}

// Restart starts a node after Kill. Sentinels make it a replica of the present
// primary.
func (r *Replicated) Restart(n *Node) {
	r.t.Helper()
	n.Server.Start()
	r.Reconnect(n)
}

// Reconnect undoes what was done to a node's way to its peers, but for the delay that
// all have. Connections that were there are closed.
func (r *Replicated) Reconnect(n *Node) {
	r.t.Helper()
	n.Peers.Restore()
	n.Peers.Delay(r.delay)
}

func (r *Replicated) waitForSentinels() {
	r.t.Helper()
	await(r.t, "the Sentinels to know each other and the replicas", func(ctx context.Context) bool {
		for _, s := range r.Sentinels {
			client := sentinelClient(s)
			known, err := client.Master(ctx, masterName).Result()
			_ = client.Close()
			if err != nil || known["num-other-sentinels"] != "2" || known["num-slaves"] != fmt.Sprint(len(r.Nodes)-1) || known["flags"] != "master" {
				return false
			}
		}
		return true
	})
}

// named returns the node that two Sentinels name as the primary, or nil.
func (r *Replicated) named(ctx context.Context) *Node {
	votes := map[string]int{}
	for _, s := range r.Sentinels {
		client := sentinelClient(s)
		addr, err := client.GetMasterAddrByName(ctx, masterName).Result()
		_ = client.Close()
		if err == nil && len(addr) == 2 {
			votes[net.JoinHostPort(addr[0], addr[1])]++
		}
	}
	for _, n := range r.Nodes {
		if votes[n.Addr] >= 2 {
			return n
		}
	}
	return nil
}

// replication is what the node says of its replication; nothing when it is down.
func (n *Node) replication(ctx context.Context) string {
	client := redis.NewClient(plain(n.Server.Addr))
	defer client.Close()
	return client.Info(ctx, "replication").Val()
}

func sentinelClient(s *RedisServer) *redis.SentinelClient {
	return redis.NewSentinelClient(plain(s.Addr))
}

func plain(addr string) *redis.Options {
	return &redis.Options{Addr: addr, MaxRetries: -1, PoolSize: 1, DialTimeout: time.Second, ReadTimeout: time.Second, DisableIdentity: true}
}

// topologyTimeout is how long a topology may take to get where a test wants it.
const topologyTimeout = 30 * time.Second

// await waits for other processes to do something.
func await(t testing.TB, what string, done func(context.Context) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), topologyTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done(ctx) {
		select {
		case <-ctx.Done():
			t.Fatalf("waited %v for %s", topologyTimeout, what)
		case <-tick.C:
		}
	}
}
