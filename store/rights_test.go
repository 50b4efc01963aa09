package store_test

import (
	"crypto/rand"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// rights are what README.md tells operators to give the Redis user of the broker
// and of the provisioner: the end of ACL SETUSER.
const rights = "~latchkey:* +info +evalsha +eval +script|load +get +set +del +pttl +pexpire +hmget +hset +hdel +hgetall +hlen +hscan +scan +time +zcard +zadd +zrangebyscore +zscore +zrem +llen +lrange +rpush"

// clusterRights come on top in mode cluster.
const clusterRights = "+cluster|slots +command"

// With these rights everything works, and each of them is needed.
func TestRightsOfTheRedisUser(t *testing.T) {
	t.Run("standalone", func(t *testing.T) { testRights(t, store.Standalone, rights) })
	t.Run("cluster", func(t *testing.T) { testRights(t, store.Cluster, rights+" "+clusterRights) })
}

func testRights(t *testing.T, mode store.Mode, rights string) {
	var options []string
	if mode == store.Cluster {
		options = []string{"--cluster-enabled", "yes"}
	}
	server := storetest.StartRedis(t, options...)
	admin := server.Client()
	if mode == store.Cluster {
		if err := admin.Do(t.Context(), "CLUSTER", "ADDSLOTSRANGE", 0, 16383).Err(); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the cluster to be up", func() bool { return admin.Set(t.Context(), "probe", 1, time.Minute).Err() == nil })
	}
	as := func(user string, rights []string) *store.Store {
		t.Helper()
		args := []any{"ACL", "SETUSER", user, "reset", "on", ">pass"}
		for _, r := range rights {
			args = append(args, r)
		}
		if err := admin.Do(t.Context(), args...).Err(); err != nil {
			t.Fatal(err)
		}
		o := server.Options()
		o.Mode = mode
		o.Username, o.Password = user, broker.NewSecret("pass")
		client := ok(store.Open(o))(t)
		t.Cleanup(func() { _ = client.Close() })
		return store.New(store.Config{Client: client, KeyPrefix: keyPrefix})
	}

	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, right := range strings.Fields(rights) {
		if !strings.Contains(string(readme), right) {
			t.Errorf("README.md does not tell operators of the right %s", right)
		}
	}
	all := strings.Fields(rights)
	if err := everything(t, as("latchkey", all)); err != nil {
		t.Errorf("with all rights: %v", err)
	}
	for i, right := range all {
		// The former user's links must not be in the way, and scripts must be new.
		if err := admin.FlushDB(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		if err := admin.ScriptFlush(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		if right == "+command" {
			continue // go-redis goes on without it, and complains at each call
		}
		if everything(t, as("less", slices.Delete(slices.Clone(all), i, i+1))) == nil {
			t.Errorf("without %s everything works: it is not needed", right)
		}
	}
}

// everything makes every call of a store once, the first of them before scripts
// are loaded.
func everything(t *testing.T, s *store.Store) error {
	t.Helper()
	link := ok(broker.NewLinkToken(rand.Reader))(t)
	record := store.LinkRecord{Link: billing, Subscriber: "1234", Token: link.Digest(), Created: created}
	if err := s.PutLink(t.Context(), record, false); err != nil {
		return err
	}
	if err := s.LoadScripts(t.Context()); err != nil {
		return err
	}
	in := issueInput(t, billing, link)
	if _, err := s.Issue(t.Context(), in); err != nil {
		return err
	}
	if _, err := s.Redeem(t.Context(), broker.Redeem{Token: in.Token, Redeemer: in.Redeemer, Claim: newClaim(t), At: created}); err != nil {
		return err
	}
	if _, _, err := s.Spend(t.Context(), broker.Spending{Scope: broker.LimitAccount, Name: bob.String(), Limit: broker.Limit{Rate: 1, Burst: 1}, N: 1}); err != nil {
		return err
	}
	if _, err := s.Links(t.Context(), ""); err != nil {
		return err
	}
	if _, err := s.RemoveLink(t.Context(), billing); err != nil {
		return err
	}
	if err := provisioning(t, s); err != nil {
		return err
	}
	return publishing(t, s)
}

// provisioning makes the calls of the ports of package reconcile.
func provisioning(t *testing.T, s *store.Store) error {
	t.Helper()
	changes := []reconcile.AccountChanges{{Account: bob, Changes: []reconcile.Change{
		{Kind: reconcile.ChangeSubscriber, Subscriber: "1234"}, {Kind: reconcile.ChangeForgetGroup},
	}}}
	if err := errors.Join(s.Write(t.Context(), 1, changes)...); err != nil {
		return err
	}
	if _, err := s.Load(t.Context(), []broker.Account{bob}); err != nil {
		return err
	}
	for _, err := range s.Accounts(t.Context(), "web01") {
		if err != nil {
			return err
		}
	}
	lease, err := s.Acquire(t.Context(), "web01", "test", time.Minute)
	if err != nil {
		return err
	}
	if _, err := s.Acquire(t.Context(), "web01", "another", time.Minute); err != nil && !isHeld(err) {
		return err
	}
	if err := errors.Join(s.Renew(t.Context(), lease, time.Minute), s.Release(t.Context(), lease)); err != nil {
		return err
	}
	if err := s.RequestRotation(t.Context(), bob); err != nil {
		return err
	}
	due, err := s.Due(t.Context(), []reconcile.Lane{{Server: bob.Server, Kind: reconcile.RequestRotate}}, 10)
	if err != nil {
		return err
	}
	return s.Done(t.Context(), due...)
}

func isHeld(err error) bool {
	_, is := errors.AsType[*reconcile.HeldError](err)
	return is
}

// publishing makes the calls around the journal and the catalogue.
func publishing(t *testing.T, s *store.Store) error {
	t.Helper()
	id, err := s.Begin(t.Context(), reconcile.Operation{})
	if err != nil {
		return err
	}
	if err := errors.Join(s.Log(t.Context(), id, []reconcile.Entry{{}}), s.End(t.Context(), reconcile.Operation{ID: id})); err != nil {
		return err
	}
	if _, err := s.Operations(t.Context(), 10); err != nil {
		return err
	}
	if _, err := s.Entries(t.Context(), id, 0); err != nil {
		return err
	}
	if _, err := s.Publish(t.Context(), broker.Revision{}, 0); err != nil {
		return err
	}
	if _, err := s.Revisions(t.Context(), 10); err != nil {
		return err
	}
	if _, err := s.Status(t.Context()); err != nil {
		return err
	}
	control := broker.Control{Target: broker.ControlTarget{Scope: broker.ScopeEverything}, At: created}
	if err := s.SetControl(t.Context(), control, created, nil); err != nil {
		return err
	}
	if _, err := s.Controls(t.Context()); err != nil {
		return err
	}
	return errors.Join(s.Beat(t.Context(), time.Minute), s.Resign(t.Context()))
}
