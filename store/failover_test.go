package store_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// Of a primary that is killed behind three Sentinels, over and over, no token is
// redeemed a second time at the next one, however late its replicas hear of things, and
// with durability replicated one that nobody has used works there.
// TEST_KILLS is how many are killed over all delays.
func TestKilledPrimariesLeaveNoDoubles(t *testing.T) {
	t.Parallel()
	delays := []time.Duration{0, 2 * time.Millisecond, 20 * time.Millisecond}
	kills := max(storetest.Amount(t, "TEST_KILLS", 3, 200)/len(delays), 1)
	for _, delay := range delays {
		t.Run(fmt.Sprint(delay), func(t *testing.T) {
			t.Parallel()
			set := storetest.StartReplicated(t, storetest.ReplicatedConfig{Delay: delay})
			all := startTraffics(t, set.Options(), len(set.Nodes)-1, 4)
			var longest time.Duration
			for range kills {
				all.flow(50 + rand.IntN(50))
				kept := keepThem(t, set, all)
				all.longestGap()
				killed := set.Primary()
				set.Kill(killed)
				set.WaitForPrimary(killed)
				all.flow(10)
				longest = max(longest, all.longestGap())
				all.sweep()
				set.Restart(killed)
				set.WaitForReplicas()
				if former := replication(t, set.Primary().Server.Client(), "master_replid2"); former == kept {
					all.wantKept()
				} else {
					t.Log("on this busy machine the Sentinels have named a third primary meanwhile")
				}
				all.sweep()
			}
			t.Logf("%d kills, delay %v, longest time without writes %v", kills, delay, longest)
			all.end(t, storetest.GoneForGood)
		})
	}
}

// servers returns the processes.
func servers(set *storetest.Replicated) []*storetest.RedisServer {
	var all []*storetest.RedisServer
	for _, n := range set.Nodes {
		all = append(all, n.Server)
	}
	return all
}

// keepThem issues tokens for later, waits until all replicas have them, and returns
// the history that they belong to.
func keepThem(t *testing.T, set *storetest.Replicated, all traffics) (history string) {
	t.Helper()
	waitForAge(t, servers(set)...)
	all.keep()
	client := redis.NewClient(&redis.Options{Addr: set.Primary().Server.Addr})
	defer client.Close()
	waitForReplicas(t, client, len(set.Nodes)-1, worker(0))
	return replication(t, client, "master_replid")
}

// replication returns what a server tells of its replication by a name.
func replication(t *testing.T, client redis.UniversalClient, name string) string {
	t.Helper()
	_, value, _ := strings.Cut(ok(client.Info(t.Context(), "replication").Result())(t), name+":")
	value, _, _ = strings.Cut(value, "\r")
	return value
}

// A new primary behind Sentinels is found as soon as they name it, whether the former
// one is dead or hangs. TEST_FAILOVERS is how many end, each way; with the tag `long` the figures of a
// quiet machine must hold.
func TestANewPrimaryIsFound(t *testing.T) {
	t.Parallel()
	const withoutWrites, found = 2500 * time.Millisecond, 250 * time.Millisecond
	slack := 8
	if storetest.Long {
		slack = 1
	}
	ends := map[string]func(*storetest.Replicated, *storetest.Node){
		"killed": func(set *storetest.Replicated, n *storetest.Node) { set.Kill(n) },
		"hangs":  func(_ *storetest.Replicated, n *storetest.Node) { n.Server.Hang() },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range storetest.Amount(t, "TEST_FAILOVERS", 1, 20) {
				set := storetest.StartReplicated(t, storetest.ReplicatedConfig{Real: true})
				s := store.New(store.Config{Client: open(t, set.Options()), KeyPrefix: keyPrefix})
				waitFor(t, "the store", func() bool { return s.LoadScripts(t.Context()) == nil })
				former := set.Primary()
				end(set, former)
				start := time.Now()
				var named time.Duration
				var watch sync.WaitGroup
				watch.Go(func() {
					set.WaitForPrimary(former)
					named = time.Since(start)
				})
				waitFor(t, "the store", func() bool { return s.Probe(t.Context()) == nil })
				back := time.Since(start)
				watch.Wait()
				t.Logf("named after %v, used after %v", named, back)
				if most := withoutWrites * time.Duration(slack); back > most {
					t.Errorf("without writes for %v, want %v at most", back, most)
				}
				if most := named + found*time.Duration(slack); back > most {
					t.Errorf("used after %v, want %v at most", back, most)
				}
			}
		})
	}
}

// A redemption that no replica has heard of when the primary dies.
func TestALostRedemptionIsNotMadeAgain(t *testing.T) {
	t.Parallel()
	set := storetest.StartReplicated(t, storetest.ReplicatedConfig{})
	waitForAge(t, servers(set)...)
	both := issueTwins(t, set.Options(), durabilities(2, store.Hasty()))
	primary := set.Primary()
	waitForReplicas(t, primary.Server.Client(), 2, bob)
	primary.Peers.BlackHole()
	both.redeem(t, primary.Server.Options())
	set.Kill(primary)
	set.WaitForPrimary(primary)
	set.Restart(primary) // with durability replicated nobody is let in before
	set.WaitForReplicas()
	both.redeemForGood(t, set.Options())
	both.want(t, storetest.GoneForGood)
}

// A primary that is cut off from its replicas and Sentinels goes on serving whoever
// reaches it, while the others have a new one.
func TestASplitLetsNobodyInTwice(t *testing.T) {
	t.Parallel()
	set := storetest.StartReplicated(t, storetest.ReplicatedConfig{})
	waitForAge(t, servers(set)...)
	both := issueTwins(t, set.Options(), durabilities(2, store.Hasty()))
	former := set.Primary()
	waitForReplicas(t, former.Server.Client(), 2, bob)
	former.Peers.Cut()
	set.WaitForPrimary(former)
	both.redeem(t, set.Options())
	both.redeem(t, former.Server.Options())

	atFormer, atNext := startTraffics(t, former.Server.Options(), 2, 2), startTraffics(t, set.Options(), 2, 2)
	slices.Concat(atFormer, atNext).flow(50)
	set.Reconnect(former)
	set.WaitForReplicas()
	atNext.flow(100)
	both.redeemForGood(t, set.Options())
	both.want(t, storetest.GoneForSome)
	atNext.end(t, storetest.GoneForGood)
	if v := atFormer[1].history.Check(storetest.GoneForGood); v.LetIn != 0 {
		t.Errorf("replicated, at a primary that has lost its replicas: got %v, want nobody let in", v)
	}
	atFormer[:1].end(t, storetest.GoneForGood)
}
