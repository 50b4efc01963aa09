package app_test

import (
	"strings"
	"testing"
)

// A list of subscribers that names nobody is a warning in every form of the output,
// and takes no link away.
func TestAnEmptyListIsAWarning(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "web01", "web02")
	want := threeAccounts(w)
	w.configure(settings{links: threeLinks})
	w.ok("apply")
	w.subscribers()
	const warning = "the list of subscribers is empty: no account gets links, and those that are there are left as they are"
	for _, args := range []string{"plan", "apply", "verify", "verify --repair"} {
		out := w.ok(strings.Fields(args)...)
		if !strings.Contains(out, "Warning: "+warning) || strings.Contains(out, "Everything is as wanted") {
			t.Errorf("%s says\n%s\nwant a warning, and not that all is well", args, out)
		}
	}
	out := w.ok("plan", "-o", "json")
	if at := strings.Index(out, `"warnings":[{`); at < 0 || !strings.Contains(out[at:], `"level":"warning","message":"`+warning) || strings.Contains(out, `"problems"`) {
		t.Errorf("plan -o json says\n%s\nwant the warning, and not among the items that failed", out)
	}
	if out := w.ok("log", "--operation", "2", "--level", "warning"); !strings.Contains(out, warning) {
		t.Errorf("the log says\n%s\nwant the warning", out)
	}
	if out := w.ok("rotate", "--all"); strings.Contains(out, "Warning") {
		t.Errorf("rotate, which reads no list, says\n%s", out)
	}
	if err := want.reached(w); err != nil {
		t.Error(err)
	}
}
