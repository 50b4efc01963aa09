package store_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

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
			server := storetest.StartRedis(t, kind.Args()...)
			tr := startTraffic(t, store.New(store.Config{Client: open(t, server.Options()), KeyPrefix: keyPrefix}), 2)
			for range kills {
				tr.flow(50 + rand.IntN(50))
				server.Kill()
				server.Start()
				tr.flow(10)
				tr.sweep()
			}
			tr.end()
			t.Logf("%d kills, longest time without writes %v", kills, tr.longestGap())
			tr.history.Want(t, storetest.GoneForGood)
		})
	}
}

// A machine that loses power comes back with its disk as it was a moment before, and
// so does one that is restored from a copy.
func TestAnOldDiskRedeemsNothing(t *testing.T) {
	t.Parallel()
	for _, kind := range []storetest.Persistence{storetest.Snapshots, storetest.AOFEverySecond, storetest.AOFAlways} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			server := storetest.StartRedis(t, kind.Args()...)
			both := issueTwins(t, server.Options())
			if err := server.Client().Save(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			old := filepath.Join(t.TempDir(), "disk")
			copyDisk(t, old, server.Dir)
			both.redeem(t, server.Options())
			server.Kill()
			copyDisk(t, server.Dir, old)
			server.Start()
			both.redeem(t, server.Options())
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
	tr := startTraffic(t, store.New(store.Config{Client: open(t, cluster.Options()), KeyPrefix: keyPrefix}), workers)
	slot := cluster.Slot("{" + worker(0).Tag() + "}")
	settle := func() {
		tr.flow(20)
		tr.sweep()
		cluster.WaitReady()
	}
	kills := storetest.Amount(t, "TEST_RESTARTS", 1, 20)
	for range kills {
		home := cluster.PrimaryOf(slot)
		away := cluster.PrimaryOf((slot + 16384/3) % 16384)
		cluster.MoveSlot(slot, away)
		settle()
		cluster.MoveSlot(slot, home)
		settle()

		cluster.TakeOver(cluster.ReplicaOf(home))
		settle()

		killed := cluster.PrimaryOf(slot)
		killed.Kill()
		cluster.WaitReady()
		settle()
		killed.Start()
		cluster.WaitReady()
	}
	tr.end()
	t.Logf("%d kills, %[1]d replicas that took over, %d slots moved, longest time without writes %v", kills, 2*kills, tr.longestGap())
	tr.history.Want(t, storetest.GoneForSome)
}

// A replica that takes over without having heard of redemptions.
func TestATakeOverRedeemsNothing(t *testing.T) {
	t.Parallel()
	cluster := storetest.StartCluster(t, storetest.KeepsNothing)
	both := issueTwins(t, cluster.Options())
	primary := cluster.PrimaryOf(cluster.Slot("{" + bob.Tag() + "}"))
	replica, client := cluster.ReplicaOf(primary), primary.Client()
	waitForReplicas(t, client, 1)
	// The replica loses its connection and gets no other.
	for _, command := range [][]any{{"ACL", "SETUSER", "default", "-psync", "-sync"}, {"CLIENT", "KILL", "TYPE", "replica"}} {
		if err := client.Do(t.Context(), command...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	both.redeem(t, cluster.Options())
	cluster.TakeOver(replica)
	cluster.WaitReady()
	both.redeem(t, cluster.Options())
	both.want(t, storetest.GoneForGood)
}
