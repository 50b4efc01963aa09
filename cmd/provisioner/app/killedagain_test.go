package app_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/store/storetest"
)

// TestKilledAgainAndAgain kills a command right after a server has taken a new token
// and then each of its successors before the server has taken theirs: nobody knows
// which of the tokens the server has, and it has the first. Three are kept; of a
// fourth in a row the first is only recognised as superseded, which package
// storetest shows.
func TestKilledAgainAndAgain(t *testing.T) {
	const kills = 3
	t.Parallel()
	w := newWorld(t, "web01", "web02")
	want := catalogueChanged(w)
	taken := func(_ int, effect string) bool {
		return effect == "web01 create_integration_link alice latchkey_invoices"
	}
	for i := range kills {
		p := w.process("apply")
		w.gate.arm(p, i == 0, taken)
		if r := w.ended(p); r.code != -1 {
			t.Fatalf("run %d: exit code %d, want a process that was killed\n%s%s", i+1, r.code, r.out, r.err)
		}
		crash{}.atRest(w, fmt.Sprintf("killed %d times", i+1), nil)
		storetest.Advance(t, w.redis, time.Minute)
	}
	w.gate.open()
	w.ok("apply")
	if err := want.reached(w); err != nil {
		t.Error(err)
	}
}
