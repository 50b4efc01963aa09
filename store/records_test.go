package store_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/embedded"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// With more than one node, each account is found and written on its own one.
func TestRecordsOnSeveralNodes(t *testing.T) {
	one, two := storetest.StartRedis(t, "--cluster-enabled", "yes"), storetest.StartRedis(t, "--cluster-enabled", "yes")
	oneClient, twoClient := one.Client(), two.Client()
	if err := errors.Join(
		oneClient.Do(t.Context(), "CLUSTER", "ADDSLOTSRANGE", 0, 8191).Err(),
		twoClient.Do(t.Context(), "CLUSTER", "ADDSLOTSRANGE", 8192, 16383).Err(),
		twoClient.Do(t.Context(), "CLUSTER", "SET-CONFIG-EPOCH", 2).Err(),
	); err != nil {
		t.Fatal(err)
	}
	host, port, err := net.SplitHostPort(one.Addr)
	if err != nil {
		t.Fatal(err)
	}
	bus := ok(oneClient.ConfigGet(t.Context(), "cluster-port").Result())(t)["cluster-port"]
	if err := twoClient.Do(t.Context(), "CLUSTER", "MEET", host, port, bus).Err(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []redis.UniversalClient{oneClient, twoClient} {
		waitFor(t, "the cluster to be up", func() bool {
			info := c.ClusterInfo(t.Context()).Val()
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_size:2")
		})
	}
	client := ok(store.Open(store.Options{Mode: store.Cluster, Addresses: []string{one.Addr}}))(t)
	t.Cleanup(func() { _ = client.Close() })
	s := store.New(store.Config{Client: client, KeyPrefix: keyPrefix})

	var changes []reconcile.AccountChanges
	var accounts []broker.Account
	for i := range 300 {
		account := broker.Account{Server: "web01", User: fmt.Sprintf("user%03d", i)}
		accounts = append(accounts, account)
		changes = append(changes, reconcile.AccountChanges{Account: account, Changes: []reconcile.Change{
			{Kind: reconcile.ChangeSubscriber, Subscriber: account.User},
			{Kind: reconcile.ChangePrepare, App: billing.App, Token: broker.Digest{1}, Created: created},
		}})
	}
	waitFor(t, "the first write", func() bool { return errors.Join(s.Write(t.Context(), 1, changes)...) == nil })
	for _, c := range []redis.UniversalClient{oneClient, twoClient} {
		if n := ok(c.DBSize(t.Context()).Result())(t); n < 50 {
			t.Errorf("a node has %d accounts: this shows nothing", n)
		}
	}
	var found []broker.Account
	for account, err := range s.Accounts(t.Context(), "web01") {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, account)
	}
	slices.SortFunc(found, func(a, b broker.Account) int { return strings.Compare(a.User, b.User) })
	if found = slices.Compact(found); !slices.Equal(found, accounts) {
		t.Errorf("got %d accounts, want all %d", len(found), len(accounts))
	}
	for i, r := range ok(s.Load(t.Context(), accounts))(t) {
		if r.Account != accounts[i] || r.Subscriber != accounts[i].User || r.Links[billing.App].Pending != 1 {
			t.Errorf("got %+v, want the record of %s", r, accounts[i])
		}
	}
	if links := ok(s.Links(t.Context(), ""))(t); len(links) != len(accounts) {
		t.Errorf("got %d links, want %d", len(links), len(accounts))
	}
}

// When Redis is away, every account's error says so.
func TestEachAccountHasItsError(t *testing.T) {
	r := ok(embedded.Start())(t)
	t.Cleanup(func() { _ = r.Close() })
	s := store.New(store.Config{Client: r.Client(), KeyPrefix: keyPrefix})
	subscriber := []reconcile.Change{{Kind: reconcile.ChangeSubscriber, Subscriber: "1234"}}
	changes := []reconcile.AccountChanges{
		{Account: bob, Changes: subscriber}, {Account: broker.Account{Server: "web01", User: "eve"}, Changes: []reconcile.Change{{}}}, {Account: broker.Account{Server: "web02", User: "bob"}, Changes: subscriber},
	}
	want := func(what string, texts ...string) {
		t.Helper()
		errs := s.Write(t.Context(), 1, changes)
		if len(errs) != len(texts) {
			t.Fatalf("%s: got %d errors, want %d", what, len(errs), len(texts))
		}
		for i, err := range errs {
			if got := fmt.Sprint(err); got != texts[i] {
				t.Errorf("%s: got error %q, want %q", what, got, texts[i])
			}
		}
	}
	bad := "write records of web01/eve: the change of kind 0 is not known"
	want("one bad list", "<nil>", bad, "<nil>")
	r.SetError("LOADING not yet")
	want("Redis is loading", "write records of web01/bob: LOADING not yet", bad, "write records of web02/bob: LOADING not yet")
	for what, call := range map[string]func() error{
		"load":  func() error { _, err := s.Load(t.Context(), []broker.Account{bob}); return err },
		"links": func() error { _, err := s.Links(t.Context(), ""); return err },
		"accounts": func() error {
			for _, err := range s.Accounts(t.Context(), "") {
				if err != nil {
					return err
				}
			}
			return nil
		},
		"acquire": func() error { _, err := s.Acquire(t.Context(), "web01", "test", time.Minute); return err },
		"due": func() error {
			_, err := s.Due(t.Context(), []reconcile.Lane{{Server: "web01", Kind: reconcile.RequestRotate}}, 1)
			return err
		},
		"begin":    func() error { _, err := s.Begin(t.Context(), reconcile.Operation{}); return err },
		"revision": func() error { _, err := s.Revision(t.Context(), 0); return err },
		"status":   func() error { _, err := s.Status(t.Context()); return err },
	} {
		if err := call(); err == nil || !strings.HasSuffix(err.Error(), ": LOADING not yet") {
			t.Errorf("%s: got error %v, want what was attempted and what Redis said", what, err)
		}
	}
}

// A status is one round trip, and so is a request of the broker.
func TestRoundTrips(t *testing.T) {
	server := storetest.StartRedis(t)
	proxy := storetest.StartProxy(t, server.Addr)
	client := ok(store.Open(store.Options{Mode: store.Standalone, Addresses: []string{proxy.Addr}}))(t)
	t.Cleanup(func() { _ = client.Close() })
	s := store.New(store.Config{Client: client, KeyPrefix: keyPrefix})
	if err := s.LoadScripts(t.Context()); err != nil {
		t.Fatal(err)
	}
	lanes := []reconcile.Lane{{Server: "web01", Kind: reconcile.RequestRotate}, {Server: "web02", Kind: reconcile.RequestRotate}}
	tests := []struct {
		name string
		call func() error
		want []string
	}{
		{"status", func() error { _, err := s.Status(t.Context()); return err }, []string{"evalsha"}},
		{"request", func() error { return s.RequestRotation(t.Context(), bob) }, []string{"evalsha"}},
		{"due requests", func() error { _, err := s.Due(t.Context(), lanes, 1); return err }, []string{"evalsha", "evalsha"}}, // in one pipeline
		{"release", func() error { return s.Release(t.Context(), reconcile.Lease{Server: "web01"}) }, []string{"evalsha"}},
	}
	for _, tt := range tests {
		proxy.Commands()
		if err := tt.call(); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		// The pool opens connections when it likes.
		got := slices.DeleteFunc(proxy.Commands(), func(name string) bool { return name == "hello" })
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: Redis got %q, want %q", tt.name, got, tt.want)
		}
	}
}

// Whatever stands in an account's fields: nothing panics, no token gets in that was
// not confirmed or prepared, and a link that is written anew works.
func FuzzRecords(f *testing.F) {
	digest := bytes.Repeat([]byte{7}, 20)
	f.Add([]byte(""), []byte(""), []byte(""))
	f.Add(slices.Concat(digest, make([]byte, 11)), slices.Concat(digest, make([]byte, 9)), []byte("12345latchkey"))
	f.Add(slices.Concat(make([]byte, 20), make([]byte, 11), []byte("abcdefghijkl")), []byte("x"), []byte("12345"))
	f.Add(slices.Concat(digest, make([]byte, 14)), make([]byte, 29), make([]byte, 5))
	r := ok(embedded.Start())(f)
	f.Cleanup(func() { _ = r.Close() })
	s := store.New(store.Config{Client: r.Client(), KeyPrefix: keyPrefix})
	key := keyPrefix + "acct:{" + bob.Tag() + "}" + bob.String()
	f.Fuzz(func(t *testing.T, app, slot, group []byte) {
		ctx := t.Context()
		if err := r.Client().FlushDB(ctx).Err(); err != nil {
			t.Fatal(err)
		}
		if err := r.Client().HSet(ctx, key, "/subscriber", "1234", billing.App, app, billing.App+"/2", slot, "/group", group).Err(); err != nil {
			t.Fatal(err)
		}
		records := ok(s.Load(ctx, []broker.Account{bob}))(t)
		link := records[0].Links[billing.App]
		if listed, err := s.Links(ctx, ""); err == nil && (len(listed) != 1 || listed[0].Generation != link.Generation) {
			t.Errorf("listed: got %+v, want one as it is loaded: %+v", listed, link)
		}
		token := ok(broker.NewLinkToken(rand.Reader))(t)
		if _, err := s.Issue(ctx, issueInput(t, billing, token)); err == nil {
			t.Error("a new token was accepted")
		}
		changes := []reconcile.AccountChanges{{Account: bob, Changes: []reconcile.Change{
			{Kind: reconcile.ChangePrepare, App: billing.App, Token: token.Digest(), Created: created},
			{Kind: reconcile.ChangePromote, App: billing.App, Token: token.Digest()},
			{Kind: reconcile.ChangeSubscriber, Subscriber: "1234"},
		}}}
		if err := errors.Join(s.Write(ctx, 1, changes)...); err != nil {
			t.Fatal(err)
		}
		issue(t, s, billing, token)
		want := map[string]reconcile.LinkRecord{billing.App: {Confirmed: true, Created: created, Generation: min(link.Generation+1, 65535)}}
		if got := ok(s.Load(ctx, []broker.Account{bob}))(t)[0].Links; !reflect.DeepEqual(got, want) {
			t.Errorf("written anew: got %+v, want %+v", got, want)
		}
	})
}

// Whatever stands among the requests: what comes back is a request, and the rest is
// gone.
func FuzzRequests(f *testing.F) {
	for _, member := range []string{"bob", "", "/", "web01/bob", "\x00"} {
		f.Add(member, float64(1_790_000_000_000_000))
	}
	f.Add("bob", 1e300)
	f.Add("bob", -1.5)
	r := ok(embedded.Start())(f)
	f.Cleanup(func() { _ = r.Close() })
	s := store.New(store.Config{Client: r.Client(), KeyPrefix: keyPrefix})
	lanes := []reconcile.Lane{{Server: "web01", Kind: reconcile.RequestRotate}}
	key := keyPrefix + "requests:{web01}rotate"
	f.Fuzz(func(t *testing.T, member string, score float64) {
		if score != score {
			return // Redis has no such score
		}
		ctx := t.Context()
		if err := r.Client().FlushDB(ctx).Err(); err != nil {
			t.Fatal(err)
		}
		if err := r.Client().ZAdd(ctx, key, redis.Z{Score: score, Member: member}).Err(); err != nil {
			t.Fatal(err)
		}
		due := ok(s.Due(ctx, lanes, 10))(t)
		if len(due) > 1 || len(due) == 1 && due[0].Account != (broker.Account{Server: "web01", User: member}) {
			t.Errorf("got %v out of %q", due, member)
		}
		if err := s.Done(ctx, due...); err != nil {
			t.Fatal(err)
		}
		if left := ok(r.Client().ZCard(ctx, key).Result())(t); left != 0 && score < 1_700_000_000_000_000 {
			t.Errorf("%q at %v is still there", member, score)
		}
	})
}
