package store_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// pair is a primary with one replica, and stores that ask for its confirmation.
type pair struct {
	primary, replica     *storetest.RedisServer
	atPrimary, atReplica *store.Store
	toPrimary, toReplica redis.UniversalClient
}

func startPair(t *testing.T) *pair {
	t.Helper()
	p := &pair{
		primary: storetest.StartRedis(t, "--repl-diskless-sync-delay", "0"),
		replica: storetest.StartRedis(t, "--repl-diskless-sync-delay", "0"),
	}
	p.toPrimary, p.toReplica = p.primary.Client(), p.replica.Client()
	follow(t, p.toReplica, p.primary.Addr)
	p.atPrimary, p.atReplica = replicatedStore(p.toPrimary), replicatedStore(p.toReplica)
	waitForAge(t, p.replica)
	return p
}

func replicatedStore(c redis.UniversalClient) *store.Store {
	return store.New(store.Config{Client: c, KeyPrefix: keyPrefix, Replicas: 1, ReplicaTimeout: 3 * time.Second})
}

func wantNotReplicated(t *testing.T, c redis.UniversalClient, what string, token broker.OneTimeToken, claim broker.Claim) {
	t.Helper()
	s := store.New(store.Config{Client: c, KeyPrefix: keyPrefix, Replicas: 1})
	found, err := s.Redeem(t.Context(), broker.Redeem{Token: token, Redeemer: "browser", Claim: claim, At: created})
	if !errors.Is(err, store.ErrNotReplicated) || found.Outcome != broker.Unknown {
		t.Errorf("%s: got %v, %v, want ErrNotReplicated", what, found.Outcome, err)
	}
}

// Tokens in flight survive a failover, and those that were redeemed stay so.
func TestReplicatedTokensSurviveAFailover(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	link := register(t, p.atPrimary, billing)
	taken, unspent, first := issue(t, p.atPrimary, billing, link), issue(t, p.atPrimary, billing, link), newClaim(t)
	wantOutcome(t, p.atPrimary, "first claimant", taken, first, broker.Granted)
	wantOutcome(t, p.atPrimary, "first claimant again", taken, first, broker.Repeated)
	wantOutcome(t, p.atPrimary, "second claimant", taken, newClaim(t), broker.Used)

	p.primary.Kill()
	promote(t, p.toReplica)
	third := storetest.StartRedis(t)
	follow(t, third.Client(), p.replica.Addr)
	wantOutcome(t, p.atReplica, "after the failover, second claimant", taken, newClaim(t), broker.Used)
	wantOutcome(t, p.atReplica, "after the failover, first claimant", taken, first, broker.Repeated)
	wantOutcome(t, p.atReplica, "after the failover, unspent", unspent, newClaim(t), broker.Granted)
	wantOutcome(t, p.atReplica, "after the failover, unspent no more", unspent, newClaim(t), broker.Used)
}

// A primary that restarts in place from an old disk takes its replica along to what it
// had: neither honours a token from before, not even when the replica is promoted then.
func TestReplicatedTokensDoNotOutliveARestartInPlace(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	link := register(t, p.atPrimary, billing)
	token := issue(t, p.atPrimary, billing, link)
	if err := p.toPrimary.Save(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	wantOutcome(t, p.atPrimary, "first claimant", token, newClaim(t), broker.Granted)
	p.primary.Kill()
	p.primary.Start()
	p.toPrimary = p.primary.Client()
	p.atPrimary = replicatedStore(p.toPrimary)
	follow(t, p.toReplica, p.primary.Addr)
	if dump := storetest.Dump(t, p.toReplica); !strings.Contains(dump, "||") {
		t.Fatalf("the replica does not have the unspent copy, so this shows nothing:\n%s", dump)
	}
	wantOutcome(t, p.atPrimary, "at the restarted primary", token, newClaim(t), broker.Expired)
	promote(t, p.toReplica)
	third := storetest.StartRedis(t)
	follow(t, third.Client(), p.replica.Addr)
	wantOutcome(t, p.atReplica, "at the replica that had followed it", token, newClaim(t), broker.Expired)
}

// While no replica confirms, nobody is let in, and nothing is lost: its claimant
// gets the token when the replica is back.
func TestWithoutItsReplicaNobodyIsLetIn(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	link := register(t, p.atPrimary, billing)
	token, claim := issue(t, p.atPrimary, billing, link), newClaim(t)
	p.replica.Kill()
	wantNotReplicated(t, p.toPrimary, "replica away", token, claim)
	wantNotReplicated(t, p.toPrimary, "replica away, again", token, claim)

	p.replica.Start()
	follow(t, p.replica.Client(), p.primary.Addr)
	wantOutcome(t, p.atPrimary, "replica back, its claimant", token, claim, broker.Repeated)
	wantOutcome(t, p.atPrimary, "replica back, another", token, newClaim(t), broker.Used)
}

// Nobody is told of a redemption either before replicas have it: after a failover it
// might not have been one. WAIT is about the writes of its connection, so each answer
// about a redemption writes. (Redis 7.0 also waits after reading; 7.2 does not.)
func TestWhatTellsOfARedemptionWrites(t *testing.T) {
	t.Parallel()
	server := storetest.StartRedis(t)
	client := server.Client()
	s := store.New(store.Config{Client: client, KeyPrefix: keyPrefix, Replicas: 1, ReplicaTimeout: time.Millisecond})
	token, claim := issue(t, s, billing, register(t, s, billing)), newClaim(t)
	for _, tt := range []struct {
		name  string
		claim broker.Claim
	}{{"its claimant", claim}, {"its claimant again", claim}, {"another", newClaim(t)}} {
		if err := client.ConfigResetStat(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		wantNotReplicated(t, client, tt.name, token, tt.claim)
		if stats := client.Info(t.Context(), "commandstats").Val(); !strings.Contains(stats, "cmdstat_set:calls=1,") {
			t.Errorf("%s: got no write, want one:\n%s", tt.name, stats)
		}
	}
}

// In a split the former primary has no replica, and lets nobody in.
func TestASplitLetsOneInOnce(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	token := issue(t, p.atPrimary, billing, register(t, p.atPrimary, billing))
	waitForReplicas(t, p.toPrimary, 1, bob)
	promote(t, p.toReplica) // the former primary does not know
	wantNotReplicated(t, p.toPrimary, "at the former primary", token, newClaim(t))
	third := storetest.StartRedis(t)
	follow(t, third.Client(), p.replica.Addr)
	wantOutcome(t, p.atReplica, "at the new primary", token, newClaim(t), broker.Granted)
	wantNotReplicated(t, p.toPrimary, "at the former primary, after that", token, newClaim(t))
}

// A broker that does not wait for replicas must not redeem tokens that rely on it. One
// that waits may redeem bound ones, where they are bound to.
func TestTokensOfTheOtherDurability(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	bound := store.New(store.Config{Client: p.toPrimary, KeyPrefix: keyPrefix})
	link := register(t, bound, billing)
	wantOutcome(t, bound, "replicated token, broker that binds", issue(t, p.atPrimary, billing, link), newClaim(t), broker.Expired)
	mine, unspent := issue(t, bound, billing, link), issue(t, bound, billing, link)
	wantOutcome(t, p.atPrimary, "bound token, broker that replicates", mine, newClaim(t), broker.Granted)
	waitForReplicas(t, p.toPrimary, 1, bob)
	promote(t, p.toReplica)
	third := storetest.StartRedis(t)
	follow(t, third.Client(), p.replica.Addr)
	wantOutcome(t, p.atReplica, "bound token at the promoted replica", unspent, newClaim(t), broker.Expired)
}

// A Redis that forgot the script gets it again, in the same call.
func TestReplicatedScriptIsSentAgain(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	token, claim := issue(t, p.atPrimary, billing, register(t, p.atPrimary, billing)), newClaim(t)
	if err := p.toPrimary.ScriptFlush(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	wantOutcome(t, p.atPrimary, "after the flush", token, claim, broker.Granted)
}

// Durability replicated needs one right more than README.md's list.
func TestReplicatedNeedsTheRightToWait(t *testing.T) {
	t.Parallel()
	server := storetest.StartRedis(t)
	admin := server.Client()
	as := func(more ...any) *store.Store {
		t.Helper()
		args := []any{"ACL", "SETUSER", "latchkey", "reset", "on", ">pass"}
		for _, right := range strings.Fields(rights) {
			args = append(args, right)
		}
		if err := admin.Do(t.Context(), append(args, more...)...).Err(); err != nil {
			t.Fatal(err)
		}
		o := server.Options()
		o.Username, o.Password = "latchkey", broker.NewSecret("pass")
		client := ok(store.Open(o))(t)
		t.Cleanup(func() { _ = client.Close() })
		return store.New(store.Config{Client: client, KeyPrefix: keyPrefix, Replicas: 1})
	}
	without := as()
	token := issue(t, without, billing, register(t, without, billing))
	redeem := func(s *store.Store) error {
		_, err := s.Redeem(t.Context(), broker.Redeem{Token: token, Redeemer: "browser", Claim: newClaim(t), At: created})
		return err
	}
	if err := redeem(without); err == nil || !strings.Contains(err.Error(), "NOPERM") {
		t.Errorf("without the right: got %v, want NOPERM", err)
	}
	if err := redeem(as("+wait")); err == nil || strings.Contains(err.Error(), "NOPERM") {
		t.Errorf("with it: got %v, want another error: the token is taken, by whom Redis does not say before a replica has it", err)
	}
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), "`+wait`") {
		t.Error("README.md does not tell operators of the right +wait")
	}
}
