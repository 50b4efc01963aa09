package store

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Doubt is something about a primary by which links, controls or one-time tokens will
// get lost although nothing fails yet.
type Doubt struct {
	// Primary is its address; where only Sentinels know that, its port.
	Primary string
	// Problem says what is wrong and what to do, for operators.
	Problem string
}

// oldestRedis is the oldest major version that is supported.
const oldestRedis = 6

// Doubts asks every primary what it tells of itself (INFO). INFO does not tell
// whether snapshots are configured, so what is said of the append-only file holds
// with and without them.
func (s *Store) Doubts(ctx context.Context) ([]Doubt, error) {
	nodes, err := s.nodes(ctx)
	if err != nil {
		return nil, fmt.Errorf("find the primaries: %w", err)
	}
	var doubts []Doubt
	for _, node := range nodes {
		text, err := node.Info(ctx).Result()
		if err != nil {
			return doubts, fmt.Errorf("ask a primary for its settings: %w", err)
		}
		info := parseInfo(text)
		for _, problem := range problemsOf(info, s.replicas) {
			doubts = append(doubts, Doubt{Primary: primaryName(node, info), Problem: problem})
		}
	}
	return doubts, nil
}

func primaryName(node redis.Cmdable, info map[string]string) string {
	if client, is := node.(*redis.Client); is {
		// A client of Sentinels has a word here.
		if _, _, err := net.SplitHostPort(client.Options().Addr); err == nil {
			return client.Options().Addr
		}
	}
	return "port " + info["tcp_port"]
}

// parseInfo reads the lines name:value of an answer to INFO.
func parseInfo(text string) map[string]string {
	info := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, is := strings.Cut(strings.TrimSpace(line), ":"); is {
			info[name] = value
		}
	}
	return info
}

// problemsOf doubts nothing that the answer does not tell.
func problemsOf(info map[string]string, replicas int) []string {
	var problems []string
	major, _, _ := strings.Cut(info["redis_version"], ".")
	if version, err := strconv.Atoi(major); err == nil && version < oldestRedis {
		problems = append(problems, fmt.Sprintf("Redis %s is older than %d, the oldest that is supported: upgrade it", info["redis_version"], oldestRedis))
	}
	policy, limit := info["maxmemory_policy"], info["maxmemory"]
	if policy != "" && policy != "noeviction" && limit != "" && limit != "0" {
		loses := "links, controls (who was blocked is signed on) and one-time tokens"
		if strings.HasPrefix(policy, "volatile-") { // keys that end by themselves
			loses = "one-time tokens (their users click again, and a second use is not told from an unknown token), and leases, requests and logs of provisioners"
		}
		problems = append(problems, fmt.Sprintf("maxmemory-policy is %s: when its memory is full, Redis drops %s; set maxmemory-policy noeviction", policy, loses))
	}
	if info["aof_enabled"] == "0" {
		problems = append(problems, "there is no append-only file: a restart loses the links and controls that were written since the last snapshot, or all; "+
			"set appendonly yes")
	}
	if connected, err := strconv.Atoi(info["connected_slaves"]); err == nil && connected < replicas {
		problems = append(problems, fmt.Sprintf("durability is replicated and store.replicas %d, but %d are connected: nobody is signed on until they are; "+
			"connect the others, or set store.replicas to how many there are", replicas, connected))
	}
	return problems
}
