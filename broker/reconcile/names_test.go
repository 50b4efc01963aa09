package reconcile_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

// A server that was taken over may tell any names.
func TestNamesThatAreNoneAreLeftAlone(t *testing.T) {
	w := newWorld(t)
	w.settled()
	bad := []string{"a/b", "../etc", "x\x1b[2J", "-rf", "", "a b", strings.Repeat("x", 65)}
	w.web01().add(bad...)
	for _, user := range bad {
		w.web01().accounts["bob"].links["latchkey_"+user+"/\x1b"] = shown{fields: w.web01().link("bob", invoices).fields}
	}
	w.web01().foreign("eve", "my link", theirs)
	r := w.apply(reconcile.Policy{Deep: true})
	if got := w.written(); len(got) > 0 {
		t.Errorf("it wrote %v, want nothing", got)
	}
	if got := r.Servers[0].Accounts; got != 2 {
		t.Errorf("accounts: got %d, want 2", got)
	}
	wantLines(t, "log", w.journal.lines(r.Operation, reconcile.LevelNotice), []string{
		"notice web01: 7 accounts have names that accounts cannot have; they are left alone",
		"notice web01: 7 links are named like ours and not looked at, because we never give such names or because an account has more than 200 that we do not know; they are left alone",
	})
	if r.Counts.Foreign != 8 {
		t.Errorf("counts: got %+v, want 8 foreign links", r.Counts)
	}
	for _, request := range w.web01().asked {
		for _, c := range request.commands {
			if (broker.Link{Account: broker.Account{Server: "web01", User: c.User}, App: "x" + c.App}).Validate() != nil {
				t.Errorf("it asked for %q of %q", c.App, c.User)
			}
		}
	}
	w.apply(reconcile.Policy{Remove: true})
	wantLines(t, "accounts in the store", w.accounts(), nil)
}

// looked are the links of a server whose fields were asked for, each time it was.
func (s *server) looked() []string {
	var apps []string
	for _, r := range s.asked {
		for _, c := range r.commands {
			if c.Function == reconcile.GetLink {
				apps = append(apps, c.App)
			}
		}
	}
	return apps
}

// However many links are named like ours, few are looked at and told of, and those
// that the store or the catalogue knows are not pushed aside.
func TestManyLinksThatAreNamedLikeOurs(t *testing.T) {
	const many = 20_000
	w := newWorld(t)
	alone(w)
	w.settled()
	w.spec.drop("tickets") // recorded, and to be removed
	w.web01().foreign("bob", "latchkey_zzz", theirs)
	w.spec.links = append(w.spec.links, *w.spec.link("invoices"))
	w.spec.links[len(w.spec.links)-1].ID = "zzz" // wanted, and somebody has the name
	w.web01().foreign("bob", "latchkey_closed", theirs)
	for i := range many {
		w.web01().foreign("bob", fmt.Sprintf("latchkey_a%05d", i), fmt.Sprintf("https://evil.example/%d", i))
	}
	r := w.run(w.order(reconcile.Policy{}))
	looked := w.web01().looked()
	if len(looked) != 203 || !slices.Contains(looked, tickets) || !slices.Contains(looked, "latchkey_closed") || !slices.Contains(looked, "latchkey_zzz") {
		t.Errorf("it looked at %d links, %.10q, want 200, and the three that are known", len(looked), looked)
	}
	wantCounts(t, "counts", r.Counts, reconcile.Counts{Removed: 1, Unchanged: 1, Failed: 1, Foreign: many + 2})
	lines := w.journal.lines(r.Operation, reconcile.LevelNotice)
	const rest = "notice web01: 19800 links are named like ours and not looked at, because we never give such names or because an account has more than 200 that we do not know; they are left alone"
	if len(lines) > 210 || !slices.Contains(lines, rest) {
		t.Errorf("log: got %d notices, %.3q, want some 200 and %q", len(lines), lines, rest)
	}
	w.web01().asked = nil
	w.run(w.order(reconcile.Policy{}))
	if got := w.web01().looked(); !slices.Equal(got, slices.DeleteFunc(looked, func(app string) bool { return app == tickets })) {
		t.Errorf("the next run looked at %d links, %.10q, want the same", len(got), got)
	}
	r = w.run(w.order(reconcile.Policy{Apps: []string{invoices}}))
	wantCounts(t, "counts of a run on one link", r.Counts, reconcile.Counts{Unchanged: 1})
}

// repeating tells the names of its links again and again.
type repeating struct{ *server }

func (s repeating) Run(ctx context.Context, commands []reconcile.Command) ([]reconcile.Reply, error) {
	replies, err := s.server.Run(ctx, commands)
	for i := range replies {
		replies[i].Names = slices.Repeat(replies[i].Names, 10_000)
	}
	return replies, err
}

func TestNamesThatAreToldTwiceCountOnce(t *testing.T) {
	w := newWorld(t)
	alone(w)
	w.settled()
	w.web01().foreign("bob", "latchkey_closed", theirs)
	w.web01().foreign("bob", "my link", theirs)
	w.edit = func(c *reconcile.Config) { c.Hosts["web01"] = repeating{w.web01()} }
	r := w.apply(reconcile.Policy{})
	wantLines(t, "looked at", w.web01().looked(), []string{"latchkey_closed"})
	wantCounts(t, "counts", r.Counts, reconcile.Counts{Unchanged: 2, Foreign: 2})
}

// The fields of links are kept until their account is planned, and no longer.
func TestLookingAtManyLinksNeedsLittleMemory(t *testing.T) {
	const most = 64 << 20 // bytes; all of them together have 140 MiB
	w := newWorld(t)
	w.subscribers = map[broker.Account]string{}
	picture := make([]byte, 64<<10)
	for u := range 16 {
		user := fmt.Sprintf("u%02d", u)
		w.web01().add(user)
		w.subscribers[broker.Account{Server: "web01", User: user}] = "1"
		for i := range 200 {
			app := fmt.Sprintf("latchkey_a%03d", i)
			w.web01().foreign(user, app, theirs)
			w.web01().edit(user, app, func(f *reconcile.Fields) { f.Icon = picture })
		}
	}
	w.edit = func(c *reconcile.Config) { c.RequestsPerServer = 1 } // eight accounts at a time
	used := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, peak := used(), uint64(0)
	w.web01().fault = func(n int, _ request) fault {
		if n%8 == 0 {
			peak = max(peak, used())
		}
		return fault{}
	}
	w.run(w.order(reconcile.Policy{}))
	if got := len(w.web01().looked()); got != 16*200 {
		t.Errorf("it looked at %d links, want all 3200", got)
	}
	if peak > before+most {
		t.Errorf("the run held %d MiB, want %d at most", (peak-before)>>20, most>>20)
	}
}
