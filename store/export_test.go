package store

import (
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// Sabotage takes a protection from a store, for a twin of a test: it shows that the
// test sees what the protection prevents.
type Sabotage func(testing.TB, *Store)

// Unbound honours a one-time token wherever a copy of it is found.
func Unbound() Sabotage {
	return rewrite("local mine = bound == run .. history\n", "local mine = true\n")
}

// Trusting honours a one-time token that counts on replicas wherever a copy of it is
// found.
func Trusting() Sabotage {
	return rewrite("mine = ARGV[6] == 'replicated' and survived(bound, run, history)", "mine = true")
}

// Hasty does not wait for replicas.
func Hasty() Sabotage {
	return func(_ testing.TB, s *Store) { s.replicas = 0 }
}

// Forgetful takes a claimant who comes again for somebody else.
func Forgetful() Sabotage {
	return rewrite("local same = claim and (claim == ARGV[2] or (proxy ~= '' and proxy == ARGV[3]))", "local same = false")
}

// Careless takes everybody for the claimant who came first.
func Careless() Sabotage {
	return rewrite("local same = claim and (claim == ARGV[2] or (proxy ~= '' and proxy == ARGV[3]))", "local same = claim")
}

// NewSabotaged is New without a protection.
func NewSabotaged(t testing.TB, cfg Config, sabotage Sabotage) *Store {
	t.Helper()
	s := New(cfg)
	sabotage(t, s)
	return s
}

// rewrite replaces text of redeem.lua.
func rewrite(protection, instead string) Sabotage {
	return func(t testing.TB, s *Store) {
		t.Helper()
		text, err := scripts.ReadFile("scripts/redeem.lua")
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(text), protection); n != 1 {
			t.Fatalf("redeem.lua has %q %d times, want once: this test no longer knows what protects it", protection, n)
		}
		intact := s.redeem
		s.redeem = redis.NewScript(strings.Replace(string(text), protection, instead, 1))
		for i, script := range s.scripts {
			if script == intact {
				s.scripts[i] = s.redeem
			}
		}
	}
}

// ProblemsIn are the doubts that an answer to INFO raises.
func ProblemsIn(info string) []string { return problemsOf(parseInfo(info), 0) }
