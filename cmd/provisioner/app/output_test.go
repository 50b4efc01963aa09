package app_test

import (
	"bytes"
	"encoding/json"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/creack/pty"

	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

// With -o json standard output has one JSON object a line and nothing else.
func TestOutputIsJSON(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "web01", "web02")
	threeAccounts(w)
	w.configure(settings{links: threeLinks})
	w.servers["web02"].whm.SetMissing("remove_integration_link")
	tests := []struct {
		args string
		code int
		has  string // in the last line
	}{
		{"plan", 0, `"created":9`},
		{"apply", 0, `"created":9`},
		{"verify", 0, `"unchanged":9`},
		{"rotate --all", 0, `"rotated":9`},
		{"remove --app invoices --server web01 --yes", 0, `"removed":2`},
		{"verify", 1, `"created":2`},
		{"verify --repair", 0, `"created":2`},
		{"servers check", 1, `"missing":["remove_integration_link"]`},
		{"log", 0, `"kind":"rotate"`},
		{"log --operation 1 --level debug", 0, `"message":"start: list accounts"`},
		{"catalogue show", 0, `"id":"invoices"`},
		{"catalogue history", 0, `"source":"file"`},
	}
	for _, test := range tests {
		t.Run(test.args, func(t *testing.T) {
			r := w.run(append(strings.Fields(test.args), "-o", "json")...)
			lines := jsonLines(t, r.out)
			if r.code != test.code || len(lines) == 0 || !bytes.Contains(lines[len(lines)-1], []byte(test.has)) {
				t.Errorf("exit code %d and\n%s\nwant %d and %s\n%s", r.code, r.out, test.code, test.has, r.err)
			}
			if strings.Contains(r.out, "0001-01-01") {
				t.Errorf("printed a time that is none:\n%s", r.out)
			}
		})
	}
}

// Elsewhere than on a terminal progress is told in plain lines.
func TestProgressInLines(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "web01", "web02")
	threeAccounts(w)
	w.configure(settings{links: threeLinks})
	r := w.run("apply")
	if strings.ContainsAny(r.out+r.err, "\x1b\r") {
		t.Errorf("printed control characters: %q, %q", r.out, r.err)
	}
	for _, line := range []string{`(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC  web01: started`, `(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC  web01: done, 2 accounts`, `(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC  web02: done, 1 account\n`} {
		if !regexp.MustCompile(line).MatchString(r.err) {
			t.Errorf("told\n%s\nwant a line like %s", r.err, line)
		}
	}
}

// On a terminal each server has a bar.
func TestProgressInBars(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "web01", "web02", "a-server-with-a-long-name")
	threeAccounts(w)
	w.configure(settings{links: threeLinks})
	terminal, tty, err := pty.Open()
	if err != nil {
		t.Fatalf("open a terminal: %v", err)
	}
	defer terminal.Close()
	if err := pty.Setsize(tty, &pty.Winsize{Rows: 24, Cols: 100}); err != nil {
		t.Fatal(err)
	}
	p := w.process("apply")
	p.cmd.Stdout, p.cmd.Stderr = tty, tty
	p.start()
	_ = tty.Close()
	shown := make(chan string)
	go func() {
		all, _ := io.ReadAll(terminal) // ends with an error when the last writer is gone
		shown <- string(all)
	}()
	r := w.ended(p)
	text := <-shown
	w.printed = append(w.printed, text)
	if r.code != 0 {
		t.Errorf("exit code %d, want 0\n%s", r.code, text)
	}
	for _, want := range []string{"web01             [", "done, 2 accounts", "web02             [", "a-server-with...  [", "done, 1 account", "\x1b[", "Created 9, changed 0"} {
		if !strings.Contains(text, want) {
			t.Errorf("shown is\n%q\nwant %q", text, want)
		}
	}
	if strings.Contains(text, "web01: started") {
		t.Errorf("shown are lines beside the bars:\n%q", text)
	}
}

// The log has the levels of its entries, and filters by level, server and link.
func TestLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "web01", "web02", "web03")
	want := threeAccounts(w)
	w.configure(settings{links: threeLinks})
	w.servers["web03"].whm.SetMissing("create_integration_link")
	w.ok("apply")
	w.servers["web02"].whm.SetToken("another")
	if r := w.run("apply"); r.code != 1 {
		t.Fatalf("exit code %d, want 1", r.code)
	}
	refused := regexp.MustCompile(`web02: 127.0.0.1:\d+ refuses the API token of root`)
	tests := []struct {
		name, args string
		want       []string
		levels     []reconcile.Level // all that may be there
	}{
		{"debug", "--operation 1 --level debug", []string{
			"debug        web01: start: list accounts", "debug        web01: end: list accounts, 2 found",
			"debug        web01 latchkey_invoices: start: create", "debug        web01 latchkey_invoices: end: create, 2 done",
			"information  web03: the server does not support integration links", "notice       web01/bob latchkey_theirs: leads to https://shop.example.net/autologin",
		}, nil},
		{"information is what is shown", "--operation 1", []string{"information  web03: "}, []reconcile.Level{"information", "notice", "warning"}},
		{"notice", "--operation 1 --level notice", []string{"notice       web01/bob latchkey_theirs"}, []reconcile.Level{"notice", "warning"}},
		{"warning", "--operation 2 --level warning", []string{"warning      web02: "}, []reconcile.Level{"warning"}},
		{"nothing of a level", "--operation 1 --level warning", []string{"Nothing of this level was logged; --level debug shows all there is."}, nil},
		{"one server", "--operation 1 --level debug --server web02", []string{"debug        web02: start: list accounts"}, []reconcile.Level{"debug"}},
		{"one link", "--operation 1 --level debug --app invoices", []string{"web02 latchkey_invoices: end: create, 1 done"}, []reconcile.Level{"debug"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			args := append([]string{"log"}, strings.Fields(test.args)...)
			out := w.ok(args...)
			for _, want := range test.want {
				if !strings.Contains(out, want) {
					t.Errorf("the log says\n%s\nwant %q", out, want)
				}
			}
			var log struct{ Entries []reconcile.Entry }
			if err := json.Unmarshal([]byte(w.ok(append(args, "-o", "json")...)), &log); err != nil {
				t.Fatal(err)
			}
			for _, e := range log.Entries {
				if test.levels != nil && !strings.Contains(joined(test.levels), string(e.Level)) {
					t.Errorf("%s: got an entry of level %s, want of %v: %s", test.args, e.Level, test.levels, e.Message)
				}
				if strings.Contains(test.args, "--server web02") && e.Server != "web02" || strings.Contains(test.args, "--app") && e.App != "latchkey_invoices" {
					t.Errorf("%s: got an entry of %s %s", test.args, e.Server, e.App)
				}
			}
		})
	}
	list := w.ok("log")
	for _, line := range []string{
		`2 +apply +failed +\S+ \S+ UTC +0s +1 +all +all +0 +0 +0 +0 +0, 1 server +provisioner apply on `, `1 +apply +done +\S+ \S+ UTC +0s +1 +all +all +9 +0 +0 +0 +0 +provisioner apply on `,
	} {
		if !regexp.MustCompile(line).MatchString(list) {
			t.Errorf("the list of operations is\n%s\nwant a line like %s", list, line)
		}
	}
	if got := w.ok("log", "--limit", "1"); strings.Count(got, "\n") != 2 {
		t.Errorf("log --limit 1 says\n%s\nwant one operation", got)
	}
	if out := w.ok("log", "--operation", "2", "--level", "warning"); !refused.MatchString(out) {
		t.Errorf("the log says\n%s\nwant %s", out, refused)
	}
	w.servers["web02"].whm.SetToken(whmToken("web02"))
	if err := want.reached(w); err != nil {
		t.Error(err)
	}
	w.ok("apply", "--app", "invoices", "--trust-store")
	if list := w.ok("log"); !regexp.MustCompile(`3 +apply --trust-store +done .* all +latchkey_invoices +0 `).MatchString(list) {
		t.Errorf("the list of operations is\n%s\nwant what the last one was limited to", list)
	}
}

func joined(levels []reconcile.Level) string {
	var text strings.Builder
	for _, l := range levels {
		text.WriteString(string(l) + " ")
	}
	return text.String()
}
