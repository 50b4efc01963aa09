package store

import (
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// Sabotage is a protection that a twin of a test goes without, to show that the test
// sees what the protection prevents. It is text of redeem.lua and what replaces it.
type Sabotage struct{ protection, instead string }

// Unbound honours a one-time token wherever a copy of it is found.
func Unbound() Sabotage {
	return Sabotage{"local mine = bound == run .. history\n", "local mine = true\n"}
}

// Forgetful takes a claimant who comes again for somebody else.
func Forgetful() Sabotage {
	return Sabotage{"local same = claim and (claim == ARGV[2] or (proxy ~= '' and proxy == ARGV[3]))", "local same = false"}
}

// Careless takes everybody for the claimant who came first.
func Careless() Sabotage {
	return Sabotage{"local same = claim and (claim == ARGV[2] or (proxy ~= '' and proxy == ARGV[3]))", "local same = claim"}
}

// NewSabotaged is New without a protection.
func NewSabotaged(t testing.TB, cfg Config, sabotage Sabotage) *Store {
	t.Helper()
	text, err := scripts.ReadFile("scripts/redeem.lua")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), sabotage.protection); n != 1 {
		t.Fatalf("redeem.lua has %q %d times, want once: this test no longer knows what protects it", sabotage.protection, n)
	}
	s := New(cfg)
	intact := s.redeem
	s.redeem = redis.NewScript(strings.Replace(string(text), sabotage.protection, sabotage.instead, 1))
	for i, script := range s.scripts {
		if script == intact {
			s.scripts[i] = s.redeem
		}
	}
	return s
}
