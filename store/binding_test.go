package store_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// A one-time token lives and dies with the Redis process that issued it: none
// comes back to life out of a snapshot or an append-only file.
func TestTokensDoNotOutliveTheirRedis(t *testing.T) {
	tests := []struct {
		name string
		args []string
		// persist is called before the tokens are redeemed.
		persist func(*testing.T, redis.UniversalClient)
		// takenLater is what a later claimant finds of a token that was redeemed.
		takenLater broker.Outcome
	}{
		{
			"snapshot from before the redemption", []string{"--save", "3600 1"},
			func(t *testing.T, c redis.UniversalClient) {
				if err := c.Save(t.Context()).Err(); err != nil {
					t.Fatal(err)
				}
			},
			broker.Expired,
		},
		{
			"append-only file", []string{"--appendonly", "yes", "--appendfsync", "always"},
			func(*testing.T, redis.UniversalClient) {},
			broker.Used,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := storetest.StartRedis(t, tt.args...)
			client := server.Client()
			s := store.New(store.Config{Client: client, KeyPrefix: keyPrefix})
			link := register(t, s, billing)
			taken, unspent, first := issue(t, s, billing, link), issue(t, s, billing, link), newClaim(t)
			tt.persist(t, client)
			wantOutcome(t, s, "before the restart", taken, first, broker.Granted)

			server.Kill()
			server.Start()
			client = server.Client()
			s = store.New(store.Config{Client: client, KeyPrefix: keyPrefix})
			if dump := storetest.Dump(t, client); strings.Count(dump, "once:") != 2 {
				t.Fatalf("the records did not come back, so this shows nothing:\n%s", dump)
			}
			wantOutcome(t, s, "redeemed token, another claimant", taken, newClaim(t), tt.takenLater)
			wantOutcome(t, s, "redeemed token, its claimant", taken, first, broker.Expired)
			wantOutcome(t, s, "unspent token", unspent, newClaim(t), broker.Expired)
			wantOutcome(t, s, "unspent token again", unspent, newClaim(t), broker.Expired)
			wantOutcome(t, s, "the next click", issue(t, s, billing, link), newClaim(t), broker.Granted)
		})
	}
}

func TestTokensAreGoneWithoutPersistence(t *testing.T) {
	server := storetest.StartRedis(t)
	s := store.New(store.Config{Client: server.Client(), KeyPrefix: keyPrefix})
	token := issue(t, s, billing, register(t, s, billing))
	server.Kill()
	server.Start()
	s = store.New(store.Config{Client: server.Client(), KeyPrefix: keyPrefix})
	wantOutcome(t, s, "after the restart", token, newClaim(t), broker.Unknown)
}

// What a replica has copied is not honoured once the replica is the primary, nor
// by the former primary when that becomes the primary again: its process is the
// same, but its records came back from the other one.
func TestTokensDoNotOutliveAFailover(t *testing.T) {
	one, two := storetest.StartRedis(t, "--repl-diskless-sync-delay", "0"), storetest.StartRedis(t, "--repl-diskless-sync-delay", "0")
	oneClient, twoClient := one.Client(), two.Client()
	follow(t, twoClient, one.Addr)

	atOne := store.New(store.Config{Client: oneClient, KeyPrefix: keyPrefix})
	atTwo := store.New(store.Config{Client: twoClient, KeyPrefix: keyPrefix})
	link := register(t, atOne, billing)
	token := issue(t, atOne, billing, link)
	waitFor(t, "the replica to have the token", func() bool {
		return strings.Contains(storetest.Dump(t, twoClient), "once:")
	})
	promote(t, twoClient) // the redemption does not reach it any more
	wantOutcome(t, atOne, "at the primary", token, newClaim(t), broker.Granted)
	wantOutcome(t, atTwo, "at the promoted replica", token, newClaim(t), broker.Expired)
	wantOutcome(t, atTwo, "the next click", issue(t, atTwo, billing, link), newClaim(t), broker.Granted)

	follow(t, oneClient, two.Addr)
	promote(t, oneClient)
	if dump := storetest.Dump(t, oneClient); !strings.Contains(dump, "||") {
		t.Fatalf("the former primary does not have the unspent copy, so this shows nothing:\n%s", dump)
	}
	wantOutcome(t, atOne, "at the former primary, promoted again", token, newClaim(t), broker.Expired)
}

// follow makes a server the replica of another and waits until it has its data.
func follow(t *testing.T, client redis.UniversalClient, addr string) {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	if err := client.SlaveOf(t.Context(), host, port).Err(); err != nil {
		t.Fatal(err)
	}
	waitForSync(t, client)
}

func promote(t *testing.T, client redis.UniversalClient) {
	t.Helper()
	if err := client.SlaveOf(t.Context(), "NO", "ONE").Err(); err != nil {
		t.Fatal(err)
	}
}

// waitFor waits for another process to do something.
func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited for %s", what)
		case <-tick.C:
		}
	}
}

// A Redis that forgot the scripts gets them again, in the same call.
func TestScriptsAreSentAgain(t *testing.T) {
	server := storetest.StartRedis(t)
	client := server.Client()
	s := store.New(store.Config{Client: client, KeyPrefix: keyPrefix})
	if err := s.LoadScripts(t.Context()); err != nil {
		t.Fatal(err)
	}
	flush := func() {
		t.Helper()
		if err := client.ScriptFlush(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}
	flush()
	link := register(t, s, billing)
	flush()
	token, claim := issue(t, s, billing, link), newClaim(t)
	flush()
	wantOutcome(t, s, "after the flush", token, claim, broker.Granted)
	flush()
	wantOutcome(t, s, "after another flush", token, claim, broker.Repeated)
	flush()
	if removed := ok(s.RemoveLink(t.Context(), billing))(t); !removed {
		t.Error("remove link after a flush: got false, want true")
	}
	flush()
	var changes []reconcile.AccountChanges
	for i := range 120 {
		changes = append(changes, reconcile.AccountChanges{
			Account: broker.Account{Server: "web01", User: fmt.Sprint("user", i)}, Changes: []reconcile.Change{{Kind: reconcile.ChangeSubscriber, Subscriber: "1234"}},
		})
	}
	if err := errors.Join(s.Write(t.Context(), 1, changes)...); err != nil {
		t.Errorf("write records after a flush: %v", err)
	}
	for i, r := range ok(s.Load(t.Context(), []broker.Account{changes[0].Account, changes[119].Account}))(t) {
		if r.Subscriber != "1234" {
			t.Errorf("record %d: got %+v, want subscriber 1234", i, r)
		}
	}
}
