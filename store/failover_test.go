package store_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// Of a primary that is killed behind three Sentinels, over and over, no token is
// redeemed a second time at the next one, however late its replicas hear of things.
// TEST_KILLS is how many are killed over all delays.
func TestKilledPrimariesLeaveNoDoubles(t *testing.T) {
	t.Parallel()
	delays := []time.Duration{0, 2 * time.Millisecond, 20 * time.Millisecond}
	kills := max(storetest.Amount(t, "TEST_KILLS", 3, 200)/len(delays), 1)
	for _, delay := range delays {
		t.Run(fmt.Sprint(delay), func(t *testing.T) {
			t.Parallel()
			set := storetest.StartReplicated(t, storetest.ReplicatedConfig{Delay: delay})
			s := store.New(store.Config{Client: open(t, set.Options()), KeyPrefix: keyPrefix})
			tr := startTraffic(t, s, 4)
			var longest time.Duration
			for range kills {
				tr.flow(50 + rand.IntN(50))
				tr.longestGap()
				killed := set.Primary()
				set.Kill(killed)
				set.WaitForPrimary(killed)
				tr.flow(10)
				longest = max(longest, tr.longestGap())
				tr.sweep()
				set.Restart(killed)
				set.WaitForReplicas()
			}
			tr.end()
			t.Logf("%d kills, delay %v, longest time without writes %v", kills, delay, longest)
			tr.history.Want(t, storetest.GoneForGood)
		})
	}
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
	both := issueTwins(t, set.Options())
	primary := set.Primary()
	waitForReplicas(t, primary.Server.Client(), 2)
	primary.Peers.BlackHole()
	both.redeem(t, primary.Server.Options())
	set.Kill(primary)
	set.WaitForPrimary(primary)
	both.redeem(t, set.Options())
	both.want(t, storetest.GoneForGood)
}

// A primary that is cut off from its replicas and Sentinels goes on serving whoever
// reaches it, while the others have a new one.
func TestASplitLetsNobodyInTwice(t *testing.T) {
	t.Parallel()
	set := storetest.StartReplicated(t, storetest.ReplicatedConfig{})
	both := issueTwins(t, set.Options())
	former := set.Primary()
	waitForReplicas(t, former.Server.Client(), 2)
	former.Peers.Cut()
	set.WaitForPrimary(former)
	both.redeem(t, set.Options())
	both.redeem(t, former.Server.Options())

	s := store.New(store.Config{Client: former.Server.Client(), KeyPrefix: keyPrefix})
	atFormer := startTraffic(t, s, 2)
	atNext := startTraffic(t, store.New(store.Config{Client: open(t, set.Options()), KeyPrefix: keyPrefix}), 2)
	atFormer.flow(50)
	atNext.flow(50)
	set.Reconnect(former)
	set.WaitForReplicas()
	atFormer.end()
	atNext.end()
	both.redeem(t, set.Options())
	both.want(t, storetest.GoneForSome)
	atFormer.history.Want(t, storetest.GoneForGood)
	atNext.history.Want(t, storetest.GoneForGood)
}

// waitForReplicas waits until n replicas have all that was written. WAIT is about the
// writes of its own connection, so one is made first, in the slot of bob.
func waitForReplicas(t *testing.T, primary redis.UniversalClient, n int) {
	t.Helper()
	conn := primary.(*redis.Client).Conn()
	defer conn.Close()
	if err := conn.Set(t.Context(), "{"+bob.Tag()+"}written-last", 1, time.Minute).Err(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the replicas to have everything", func() bool {
		have, err := conn.Do(t.Context(), "WAIT", n, 1000).Int()
		return err == nil && have >= n
	})
}
