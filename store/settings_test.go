package store_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// settings copies the files that operators are given, with their passwords filled in
// and their address changed, and an administrator beside their users.
func settings(t *testing.T, replace ...string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	const from = "../deploy/redis"
	files, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	change := strings.NewReplacer(append([]string{
		"CHANGE-ME-REPLICA", "of-replicas", "CHANGE-ME-SENTINEL", "of-sentinels", "CHANGE-ME", "of-latchkey",
		"/etc/redis/users.conf", filepath.Join(dir, "users.conf"),
	}, replace...)...)
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(from, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		changed := change.Replace(string(text))
		if f.Name() == "users.conf" {
			changed += "\nuser admin on >of-admin ~* &* +@all\n"
		}
		if err := os.WriteFile(filepath.Join(dir, f.Name()), []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// as returns a client for one of the users.
func as(t *testing.T, o store.Options, user, password string) redis.UniversalClient {
	t.Helper()
	o.Username, o.Password, o.Timeout = user, broker.NewSecret(password), 5*time.Second
	client := ok(store.Open(o))(t)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// conforms runs the conformance suite as the user that operators are told to make.
func conforms(t *testing.T, o store.Options) {
	t.Helper()
	admin := as(t, o, "admin", "of-admin")
	s := store.New(store.Config{Client: as(t, o, "latchkey", "of-latchkey"), KeyPrefix: "latchkey:"})
	waitFor(t, "the store", func() bool { return s.LoadScripts(t.Context()) == nil })
	storetest.Run(t, func(t *testing.T) storetest.Subject {
		storetest.Empty(t, admin)
		return storetest.Subject{Store: s, Client: admin, Advance: func(d time.Duration) { storetest.Advance(t, admin, d) }}
	})
}

// The settings that operators are given are enough for everything, mode by mode.
func TestSettingsForStandalone(t *testing.T) {
	t.Parallel()
	server := storetest.StartRedisFile(t, filepath.Join(settings(t), "standalone.conf"))
	wantSettings(t, as(t, server.Options(), "admin", "of-admin"))
	conforms(t, server.Options())
}

// What was written is there after a stop and after a crash, links and controls.
func TestSettingsKeepEverythingOverARestart(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"standalone.conf", "replicated.conf", "cluster.conf"} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			args, mode := []string(nil), store.Standalone
			if file == "cluster.conf" {
				args, mode = []string{"--cluster-enabled", "yes"}, store.Cluster
			}
			server := storetest.StartRedisFile(t, filepath.Join(settings(t, "min-replicas-to-write 1", "min-replicas-to-write 0"), file), args...)
			o := store.Options{Mode: mode, Addresses: []string{server.Addr}}
			admin := as(t, server.Options(), "admin", "of-admin")
			if mode == store.Cluster {
				if err := admin.Do(t.Context(), "CLUSTER", "ADDSLOTSRANGE", 0, 16383).Err(); err != nil {
					t.Fatal(err)
				}
			}
			s := store.New(store.Config{Client: as(t, o, "latchkey", "of-latchkey"), KeyPrefix: keyPrefix})
			waitFor(t, "the store", func() bool { return s.LoadScripts(t.Context()) == nil })
			register(t, s, billing)
			block := broker.Control{Target: broker.ControlTarget{Scope: broker.ScopeSubscriber, Name: "1234"}, At: created, Author: "eve"}
			if err := s.SetControl(t.Context(), block, created, nil); err != nil {
				t.Fatal(err)
			}
			change := []reconcile.AccountChanges{{Account: worker(1), Changes: []reconcile.Change{
				{Kind: reconcile.ChangeSubscriber, Subscriber: "77"}, {Kind: reconcile.ChangeGroup, GroupID: "latchkey"},
			}}}
			if err := errors.Join(s.Write(t.Context(), 1, change)...); err != nil {
				t.Fatal(err)
			}
			_ = admin.Shutdown(t.Context()).Err() // the connection ends
			server.Kill()
			server.Start()
			o.Timeout = 5 * time.Second
			again := store.New(store.Config{Client: as(t, o, "latchkey", "of-latchkey"), KeyPrefix: keyPrefix})
			waitFor(t, "the store", func() bool { return again.LoadScripts(t.Context()) == nil })
			if links := ok(again.Links(t.Context(), ""))(t); len(links) != 1 {
				t.Errorf("links after the restart: got %+v, want one", links)
			}
			if list := ok(again.Controls(t.Context()))(t).List(); len(list) != 1 || list[0].Target != block.Target {
				t.Errorf("controls after the restart: got %+v, want the block", list)
			}
			if r := ok(again.Load(t.Context(), []broker.Account{worker(1)}))(t)[0]; r.Subscriber != "77" || r.Group.ID != "latchkey" {
				t.Errorf("record after the restart: got %+v, want subscriber 77 and the group", r)
			}
		})
	}
}

func TestSettingsForACluster(t *testing.T) {
	t.Parallel()
	server := storetest.StartRedisFile(t, filepath.Join(settings(t), "cluster.conf"), "--cluster-enabled", "yes")
	admin := as(t, server.Options(), "admin", "of-admin")
	if err := admin.Do(t.Context(), "CLUSTER", "ADDSLOTSRANGE", 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	wantSettings(t, admin)
	conforms(t, store.Options{Mode: store.Cluster, Addresses: []string{server.Addr}})
}

// With the settings for Sentinel a failover works, and the store with its user
// afterwards.
func TestSettingsForSentinel(t *testing.T) {
	t.Parallel()
	// With one replica there is none left to confirm after the failover.
	dir := settings(t, "min-replicas-to-write 1", "min-replicas-to-write 0")
	primary := storetest.StartRedisFile(t, filepath.Join(dir, "replicated.conf"))
	replica := storetest.StartRedisFile(t, filepath.Join(dir, "replicated.conf"))
	toPrimary, toReplica := as(t, primary.Options(), "admin", "of-admin"), as(t, replica.Options(), "admin", "of-admin")
	wantSettings(t, toPrimary)
	follow(t, toReplica, primary.Addr)
	host, port, err := net.SplitHostPort(primary.Addr)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "sentinel.conf")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const monitor = "sentinel monitor main 127.0.0.1 6379 2"
	if !strings.Contains(string(text), monitor) {
		t.Fatalf("sentinel.conf has no line %q", monitor)
	}
	changed := strings.Replace(string(text), monitor, strings.Join([]string{"sentinel monitor main", host, port, "1"}, " "), 1)
	if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	sentinel := storetest.StartSentinel(t, file)
	o := store.Options{Mode: store.Sentinel, Addresses: []string{sentinel.Addr}, SentinelMaster: "main"}
	s := store.New(store.Config{Client: as(t, o, "latchkey", "of-latchkey"), KeyPrefix: keyPrefix})
	waitFor(t, "the store", func() bool { return s.LoadScripts(t.Context()) == nil })
	link := register(t, s, billing)
	waitForReplicas(t, toPrimary, 1, bob)
	sentinels := redis.NewSentinelClient(&redis.Options{Addr: sentinel.Addr})
	t.Cleanup(func() { _ = sentinels.Close() })
	waitFor(t, "Sentinel to know the replica", func() bool {
		known, err := sentinels.Replicas(t.Context(), "main").Result()
		return err == nil && len(known) == 1
	})
	primary.Kill()
	waitFor(t, "the failover", func() bool { return s.Probe(t.Context()) == nil })
	wantOutcome(t, s, "a click after the failover", issue(t, s, billing, link), newClaim(t), broker.Granted)
}

// wantSettings holds what the guarantees rest on.
func wantSettings(t *testing.T, admin redis.UniversalClient) {
	t.Helper()
	for name, want := range map[string]string{"maxmemory-policy": "noeviction", "appendonly": "yes", "appendfsync": "everysec"} {
		if got := admin.ConfigGet(t.Context(), name).Val()[name]; got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

// The user in the file has the rights that the tests show to be needed, and no others.
func TestSettingsHaveTheRights(t *testing.T) {
	text, err := os.ReadFile("../deploy/redis/users.conf")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		given, is := strings.CutPrefix(line, "user latchkey on >CHANGE-ME resetchannels ")
		if !is {
			continue
		}
		got, want := strings.Fields(given), strings.Fields(rights+" "+clusterRights+" +wait")
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("rights of latchkey:\ngot  %v\nwant %v", got, want)
		}
		return
	}
	t.Error("users.conf has no user latchkey")
}
