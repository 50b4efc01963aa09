package storetest

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/latchkey-sso/latchkey/store"
)

const (
	clusterShards = 3
	clusterSlots  = 16384
)

// RedisCluster is a Redis Cluster of three primaries with a replica each. A primary
// that is silent for 500 ms is replaced by its replica.
type RedisCluster struct {
	// Nodes are first the primaries and then, in the same order, their replicas, as
	// they are at first.
	Nodes []*RedisServer

	t testing.TB
}

// StartCluster starts one whose nodes keep what kind says. It returns when every node
// knows the whole of it and all replicas follow, and ends with the test.
func StartCluster(t testing.TB, kind Persistence) *RedisCluster {
	t.Helper()
	c := &RedisCluster{t: t}
	for range 2 * clusterShards {
		c.Nodes = append(c.Nodes, StartRedis(t, append([]string{
			"--cluster-enabled", "yes", "--cluster-node-timeout", "500", "--cluster-replica-validity-factor", "0",
			"--repl-diskless-sync-delay", "0",
		}, kind.Args()...)...))
	}
	for i, n := range c.Nodes {
		// Nodes that have met with the same epoch would settle that first.
		c.do(n, "CLUSTER", "SET-CONFIG-EPOCH", i+1)
		if i < clusterShards {
			c.do(n, "CLUSTER", "ADDSLOTSRANGE", i*clusterSlots/clusterShards, (i+1)*clusterSlots/clusterShards-1)
		}
		for _, other := range c.Nodes[:i] { // all with all: gossip would take seconds
			host, port, _ := net.SplitHostPort(other.Addr)
			c.do(n, "CLUSTER", "MEET", host, port, other.clusterPort)
		}
	}
	c.await("the nodes to know each other", func(nodes []clusterNode) bool { return len(nodes) == len(c.Nodes) })
	for i, n := range c.Nodes[clusterShards:] {
		c.do(n, "CLUSTER", "REPLICATE", c.id(c.Nodes[i]))
	}
	c.WaitReady()
	return c
}

// Options returns how a store reaches it.
func (c *RedisCluster) Options() store.Options {
	o := store.Options{Mode: store.Cluster}
	for _, n := range c.Nodes {
		o.Addresses = append(o.Addresses, n.Addr)
	}
	return o
}

// Slot returns the slot of a key.
func (c *RedisCluster) Slot(key string) int {
	c.t.Helper()
	slot, err := strconv.Atoi(c.do(c.Nodes[0], "CLUSTER", "KEYSLOT", key))
	if err != nil {
		c.t.Fatalf("slot of %q: %v", key, err)
	}
	return slot
}

// PrimaryOf returns the node that has a slot, as all nodes see it.
func (c *RedisCluster) PrimaryOf(slot int) *RedisServer {
	c.t.Helper()
	var primary *RedisServer
	await(c.t, "the nodes to agree on a slot", func(ctx context.Context) bool {
		primary = nil
		for _, n := range c.alive() {
			for _, seen := range clusterNodes(ctx, n) {
				if !seen.primary || !seen.has(slot) {
					continue
				}
				owner := c.at(seen.addr)
				if primary != nil && primary != owner {
					return false
				}
				primary = owner
			}
		}
		return primary != nil
	})
	return primary
}

// ReplicaOf returns the living replica of a primary.
func (c *RedisCluster) ReplicaOf(primary *RedisServer) *RedisServer {
	c.t.Helper()
	id := c.id(primary)
	for _, n := range c.alive() {
		for _, seen := range clusterNodes(context.Background(), n) {
			if seen.myself && seen.follows == id {
				return n
			}
		}
	}
	c.t.Fatalf("the primary %s has no living replica", primary.Addr)
	return nil
}

// TakeOver makes a replica the primary at once, without asking anybody: what the
// former primary has not passed on yet is lost.
func (c *RedisCluster) TakeOver(replica *RedisServer) {
	c.t.Helper()
	c.do(replica, "CLUSTER", "FAILOVER", "TAKEOVER")
}

// MoveSlot moves a slot with its keys to another primary.
func (c *RedisCluster) MoveSlot(slot int, to *RedisServer) {
	c.t.Helper()
	from := c.PrimaryOf(slot)
	c.do(to, "CLUSTER", "SETSLOT", slot, "IMPORTING", c.id(from))
	c.do(from, "CLUSTER", "SETSLOT", slot, "MIGRATING", c.id(to))
	client := redis.NewClient(plain(from.Addr))
	defer client.Close()
	host, port, _ := net.SplitHostPort(to.Addr)
	for {
		keys, err := client.ClusterGetKeysInSlot(context.Background(), slot, 100).Result()
		if err != nil {
			c.t.Fatalf("keys in slot %d: %v", slot, err)
		}
		if len(keys) == 0 {
			break
		}
		command := []any{"MIGRATE", host, port, "", 0, 5000, "KEYS"}
		for _, key := range keys {
			command = append(command, key)
		}
		c.do(from, command...)
	}
	id := c.id(to)
	c.do(to, "CLUSTER", "SETSLOT", slot, "NODE", id) // first, so that the slot is never nobody's
	for _, n := range c.alive() {
		if strings.Contains(c.do(n, "INFO", "replication"), "role:master") {
			c.do(n, "CLUSTER", "SETSLOT", slot, "NODE", id)
		}
	}
	if now := c.PrimaryOf(slot); now != to {
		c.t.Fatalf("slot %d is at %s, want %s", slot, now.Addr, to.Addr)
	}
}

// WaitReady waits until all living nodes see the same three primaries, every slot has
// one, and all replicas follow.
func (c *RedisCluster) WaitReady() {
	c.t.Helper()
	c.await("the cluster to be ready", func(nodes []clusterNode) bool {
		slots, primaries := 0, 0
		for _, n := range nodes {
			if n.primary && !n.failed {
				primaries++
				for _, r := range n.slots {
					slots += r[1] - r[0] + 1
				}
			}
		}
		return primaries == clusterShards && slots == clusterSlots
	})
	await(c.t, "the nodes to be in order", func(ctx context.Context) bool {
		for _, n := range c.alive() {
			client := redis.NewClient(plain(n.Addr))
			info, state := client.Info(ctx, "replication").Val(), client.ClusterInfo(ctx).Val()
			_ = client.Close()
			if !strings.Contains(state, "cluster_state:ok") ||
				!strings.Contains(info, "role:master") && !strings.Contains(info, "master_link_status:up") {
				return false
			}
		}
		return true
	})
}

// await waits until all living nodes see what is wanted.
func (c *RedisCluster) await(what string, done func([]clusterNode) bool) {
	c.t.Helper()
	await(c.t, what, func(ctx context.Context) bool {
		for _, n := range c.alive() {
			if !done(clusterNodes(ctx, n)) {
				return false
			}
		}
		return true
	})
}

func (c *RedisCluster) alive() []*RedisServer {
	return slices.DeleteFunc(slices.Clone(c.Nodes), func(n *RedisServer) bool { return n.cmd == nil })
}

func (c *RedisCluster) at(addr string) *RedisServer {
	for _, n := range c.Nodes {
		if n.Addr == addr {
			return n
		}
	}
	c.t.Fatalf("no node of the cluster is at %s", addr)
	return nil
}

func (c *RedisCluster) id(n *RedisServer) string {
	c.t.Helper()
	return c.do(n, "CLUSTER", "MYID")
}

// do sends a command to one node and returns what it says.
func (c *RedisCluster) do(n *RedisServer, command ...any) string {
	c.t.Helper()
	client := redis.NewClient(plain(n.Addr))
	defer client.Close()
	said, err := client.Do(context.Background(), command...).Result()
	if err != nil {
		c.t.Fatalf("%v at %s: %v", command, n.Addr, err)
	}
	return fmt.Sprint(said)
}

// clusterNode is what one node says of another, or of itself.
type clusterNode struct {
	id, addr                string
	myself, primary, failed bool
	// follows is the id of a replica's primary.
	follows string
	// slots are ranges, both ends included.
	slots [][2]int
}

func (n clusterNode) has(slot int) bool {
	return slices.ContainsFunc(n.slots, func(r [2]int) bool { return r[0] <= slot && slot <= r[1] })
}

// clusterNodes returns what a node says of the cluster; nothing when it is down.
func clusterNodes(ctx context.Context, of *RedisServer) []clusterNode {
	client := redis.NewClient(plain(of.Addr))
	defer client.Close()
	var nodes []clusterNode
	for line := range strings.Lines(client.ClusterNodes(ctx).Val()) {
		field := strings.Fields(line)
		addr, _, _ := strings.Cut(field[1], "@")
		flags := strings.Split(field[2], ",")
		n := clusterNode{
			id: field[0], addr: addr, follows: field[3],
			myself: slices.Contains(flags, "myself"), primary: slices.Contains(flags, "master"), failed: slices.Contains(flags, "fail"),
		}
		if slices.Contains(flags, "handshake") {
			continue
		}
		for _, text := range field[8:] {
			if strings.HasPrefix(text, "[") { // on the move
				continue
			}
			first, last, several := strings.Cut(text, "-")
			if !several {
				last = first
			}
			a, _ := strconv.Atoi(first)
			b, _ := strconv.Atoi(last)
			n.slots = append(n.slots, [2]int{a, b})
		}
		nodes = append(nodes, n)
	}
	return nodes
}
