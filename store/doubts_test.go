package store_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// wantDoubts compares what is told of the primaries: a part of each, in order.
func wantDoubts(t *testing.T, s *store.Store, want ...string) {
	t.Helper()
	got, err := s.Doubts(t.Context())
	if err != nil || len(got) != len(want) {
		t.Fatalf("got %+v, %v, want %d doubts", got, err, len(want))
	}
	for i, d := range got {
		if whole := d.Primary + ": " + d.Problem; !strings.Contains(whole, want[i]) {
			t.Errorf("got %q, want %q", whole, want[i])
		}
	}
}

func TestDoubtsAboutSettings(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		args []string
		want []string
	}{
		{"as it should be", []string{"--maxmemory", "64mb", "--appendonly", "yes"}, nil},
		{"evicts", []string{"--maxmemory", "64mb", "--appendonly", "yes", "--maxmemory-policy", "volatile-ttl"},
			[]string{"maxmemory-policy is volatile-ttl: when its memory is full, Redis drops one-time tokens"}},
		{"would evict, and has no bound", []string{"--appendonly", "yes", "--maxmemory-policy", "allkeys-lru"}, nil},
		{"keeps nothing", nil, []string{"there is no append-only file"}},
		{"snapshots only", []string{"--save", "3600 1"}, []string{"there is no append-only file"}},
		{"both", []string{"--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru"}, []string{"maxmemory-policy is allkeys-lru: when its memory is full, Redis drops links, controls ", "there is no append-only file"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			redis := storetest.StartRedis(t, tt.args...)
			wantDoubts(t, store.New(store.Config{Client: redis.Client(), KeyPrefix: "latchkey:"}), tt.want...)
		})
	}
}

// The user that operators are told to make may ask, and the settings that they are
// given raise no doubt.
func TestOurSettingsRaiseNoDoubt(t *testing.T) {
	t.Parallel()
	server := storetest.StartRedisFile(t, filepath.Join(settings(t), "standalone.conf"))
	wantDoubts(t, store.New(store.Config{Client: as(t, server.Options(), "latchkey", "of-latchkey"), KeyPrefix: "latchkey:"}))
}

// Replicas that are asked for and not there are told, with Sentinels between.
func TestDoubtsAboutReplicas(t *testing.T) {
	t.Parallel()
	r := storetest.StartReplicated(t, storetest.ReplicatedConfig{})
	client, err := store.Open(r.Options())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	with := func(replicas int) *store.Store {
		return store.New(store.Config{Client: client, KeyPrefix: "latchkey:", Replicas: replicas})
	}
	doubts, err := with(0).Doubts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	fewer := "durability is replicated and store.replicas 9, but 2 are connected: nobody is signed on"
	got, err := with(9).Doubts(t.Context())
	if err != nil || len(got) != len(doubts)+1 || !strings.HasPrefix(got[len(got)-1].Problem, fewer) || !strings.HasPrefix(got[len(got)-1].Primary, "port ") {
		t.Errorf("nine replicas wanted: got %+v, %v, want %+v and %q", got, err, doubts, fewer)
	}
}

// Every primary of a cluster is asked.
func TestDoubtsAboutACluster(t *testing.T) {
	t.Parallel()
	c := storetest.StartCluster(t, storetest.Persistences()[0])
	client, err := store.Open(c.Options())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	doubts, err := store.New(store.Config{Client: client, KeyPrefix: "latchkey:", Replicas: 9}).Doubts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	primaries := map[string]bool{}
	for _, d := range doubts {
		if strings.HasPrefix(d.Problem, "durability is replicated") {
			primaries[d.Primary] = true
		}
	}
	if len(primaries) != 3 {
		t.Errorf("got doubts %+v, want one about the replicas of each of three primaries", doubts)
	}
}

func TestDoubtsAboutVersions(t *testing.T) {
	const rest = "\r\n# Memory\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\naof_enabled:1\r\nconnected_slaves:0\r\n"
	for version, want := range map[string]string{
		"5.0.14": "Redis 5.0.14 is older than 6, the oldest that is supported: upgrade it",
		"6.0.16": "", "7.0.15": "", "10.0.0": "", "unknown": "",
	} {
		if got := strings.Join(store.ProblemsIn("# Server\r\nredis_version:"+version+rest), "\n"); got != want {
			t.Errorf("Redis %s: got %q, want %q", version, got, want)
		}
	}
	if got := store.ProblemsIn(""); len(got) > 0 {
		t.Errorf("an empty answer: got %q, want no doubt", got)
	}
}
