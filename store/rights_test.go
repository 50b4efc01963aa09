package store_test

import (
	"crypto/rand"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// rights are what README.md tells operators to give the broker's Redis user: the
// end of ACL SETUSER.
const rights = "~latchkey:* +info +evalsha +eval +script|load +get +set +pttl +hmget +hset +hdel +hlen +hgetall +scan"

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
	if err := s.Load(t.Context()); err != nil {
		return err
	}
	in := issueInput(t, billing, link)
	if _, err := s.Issue(t.Context(), in); err != nil {
		return err
	}
	if _, err := s.Redeem(t.Context(), broker.Redeem{Token: in.Token, Redeemer: in.Redeemer, Claim: newClaim(t), At: created}); err != nil {
		return err
	}
	if _, err := s.Links(t.Context(), ""); err != nil {
		return err
	}
	_, err := s.RemoveLink(t.Context(), billing)
	return err
}
