package store_test

import (
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// Redis is killed and started again while tokens are issued and redeemed, over and
// over. TEST_RESTARTS is how often, with each kind of persistence.
func TestRestartsLeaveNoDoubles(t *testing.T) {
	t.Parallel()
	kills := storetest.Amount(t, "TEST_RESTARTS", 2, 20)
	for _, kind := range storetest.Persistences() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			server, replica := startWithReplica(t, kind)
			all := startTraffics(t, server.Options(), 1, 2)
			for range kills {
				all.flow(50 + rand.IntN(50))
				server.Kill()
				server.Start()
				all.flow(10)
				all.sweep()
				waitForSync(t, replica)
				all.sweep()
			}
			t.Logf("%d kills, longest time without writes %v", kills, all.longestGap())
			all.end(t, storetest.GoneForGood)
		})
	}
}

// startWithReplica starts a primary and a replica, which finds it again after a restart.
func startWithReplica(t *testing.T, kind storetest.Persistence) (server *storetest.RedisServer, replica redis.UniversalClient) {
	t.Helper()
	server = storetest.StartRedis(t, append(kind.Args(), "--repl-diskless-sync-delay", "0")...)
	host, port, err := net.SplitHostPort(server.Addr)
	if err != nil {
		t.Fatal(err)
	}
	replica = storetest.StartRedis(t, "--replicaof", host+" "+port).Client()
	waitForSync(t, replica)
	return server, replica
}

// waitForSync waits until a replica has what its primary has.
func waitForSync(t *testing.T, replica redis.UniversalClient) {
	t.Helper()
	waitFor(t, "the replica", func() bool {
		return strings.Contains(replica.Info(t.Context(), "replication").Val(), "master_link_status:up")
	})
}

// A machine that loses power comes back with its disk as it was a moment before, and
// so does one that is restored from a copy.
func TestAnOldDiskRedeemsNothing(t *testing.T) {
	t.Parallel()
	for _, kind := range []storetest.Persistence{storetest.Snapshots, storetest.AOFEverySecond, storetest.AOFAlways} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			server, replica := startWithReplica(t, kind)
			both := issueTwins(t, server.Options(), durabilities(1, store.Trusting()))
			client := server.Client()
			waitFor(t, "a snapshot", func() bool { return client.Save(t.Context()).Err() == nil }) // another may be on its way
			waitFor(t, "the append-only file", func() bool {
				_, pending, appends := strings.Cut(client.Info(t.Context(), "persistence").Val(), "aof_buffer_length:")
				return !appends || strings.HasPrefix(pending, "0\r")
			})
			old := filepath.Join(t.TempDir(), "disk")
			copyDisk(t, old, server.Dir)
			both.redeemForGood(t, server.Options())
			server.Kill()
			copyDisk(t, server.Dir, old)
			server.Start()
			waitForSync(t, replica)
			both.redeemForGood(t, server.Options())
			both.want(t, storetest.GoneForGood)
		})
	}
}

// copyDisk makes a directory what another one is.
func copyDisk(t *testing.T, to, from string) {
	t.Helper()
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// On a cluster, replicas take over, primaries are killed and slots move with what is
// in them, over and over. TEST_RESTARTS is how often.
//
// A token is not gone for good here: it is not honoured where its slot has moved to,
// but it is when the slot comes back before it was redeemed; and for an instant a
// primary does not know yet that its replica has taken over.
func TestAClusterLeavesNoDoubles(t *testing.T) {
	t.Parallel()
	const workers = 4
	cluster := storetest.StartCluster(t, storetest.AOFEverySecond)
	all := startTraffics(t, cluster.Options(), 1, workers)
	slot := cluster.Slot("{" + worker(0).Tag() + "}")
	settle := func() {
		all.flow(20)
		all.sweep()
		cluster.WaitReady()
		all.sweep()
	}
	kills := storetest.Amount(t, "TEST_RESTARTS", 1, 20)
	for range kills {
		home := cluster.PrimaryOf(slot)
		away := cluster.PrimaryOf((slot + 16384/3) % 16384)
		cluster.MoveSlot(slot, away)
		settle()
		cluster.MoveSlot(slot, home)
		settle()

		waitForAge(t, cluster.Nodes...)
		all.keep()
		waitForReplicas(t, home.Client(), 1, worker(0))
		cluster.TakeOver(cluster.ReplicaOf(home))
		settle()
		all.wantKept()

		killed := cluster.PrimaryOf(slot)
		killed.Kill()
		cluster.WaitReady()
		settle()
		killed.Start()
		cluster.WaitReady()
		settle()
	}
	t.Logf("%d kills, %[1]d replicas that took over, %d slots moved, longest time without writes %v", kills, 2*kills, all.longestGap())
	all.end(t, storetest.GoneForSome)
}

// A replica that takes over without having heard of redemptions.
func TestATakeOverRedeemsNothing(t *testing.T) {
	t.Parallel()
	cluster := storetest.StartCluster(t, storetest.KeepsNothing)
	waitForAge(t, cluster.Nodes...)
	both := issueTwins(t, cluster.Options(), durabilities(1, store.Hasty()))
	primary := cluster.PrimaryOf(cluster.Slot("{" + bob.Tag() + "}"))
	replica, client := cluster.ReplicaOf(primary), primary.Client()
	waitForReplicas(t, client, 1, bob)
	// The replica loses its connection and gets no other.
	for _, command := range [][]any{{"ACL", "SETUSER", "default", "-psync", "-sync"}, {"CLIENT", "KILL", "TYPE", "replica"}} {
		if err := client.Do(t.Context(), command...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	both.redeem(t, cluster.Options())
	cluster.TakeOver(replica)
	cluster.WaitReady()
	both.redeemForGood(t, cluster.Options())
	both.want(t, storetest.GoneForGood)
}
