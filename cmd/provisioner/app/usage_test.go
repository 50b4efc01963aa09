package app_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/latchkey-sso/latchkey/store"
)

// Bad usage is exit code 2 with a sentence that says what to do, and nothing is done.
func TestBadUsage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "web01", "web02")
	w.account("web01/bob")
	w.subscribers("web01,bob,1002")
	w.configure(settings{links: threeLinks})
	config := "-c=" + w.config
	tests := []struct {
		name string
		args string
		want string
	}{
		{"unknown command", "fly", `unknown command "fly"`},
		{"unknown command below another", "servers fly", `unknown command "fly"`},
		{"argument too many", "apply now " + config, "`provisioner apply` takes no arguments, and got \"now\"\nUsage: provisioner apply [flags]\n"},
		{"unknown flag", "apply --fly " + config, "unknown flag: --fly"},
		{"flag of another command", "plan --forget " + config, "unknown flag: --forget"},
		{"unknown output", "apply -o xml " + config, `-o "xml": use text or json`},
		{"no such configuration", "apply -c nothing.yaml", "nothing.yaml: there is no such file"},
		{"no configuration in this folder", "apply --server web01 -c ./elsewhere/latchkey.yaml", "there is no such file"},
		{"unknown server", "plan --server web09 " + config, `--server "web09" is not in the configuration; there are: web01, web02`},
		{"unknown server to check", "servers check --server web09 " + config, `there are: web01, web02`},
		{"unknown link to plan", "plan --app nonsense " + config, `--app "latchkey_nonsense" is not in the catalogue; there are: latchkey_invoices, latchkey_tickets, latchkey_profile`},
		{"unknown link to apply", "apply --app nonsense " + config, `--app "latchkey_nonsense" is not in the catalogue`},
		{"unknown link to verify", "verify --app nonsense " + config, `--app "latchkey_nonsense" is not in the catalogue`},
		{"unknown link to rotate", "rotate --all --app nonsense " + config, `--app "latchkey_nonsense" is not in the catalogue`},
		{"remove what", "remove " + config, "say what to remove: --app NAME, or --all"},
		{"remove one and all", "remove --all --app invoices " + config, "say what to remove"},
		{"rotate what", "rotate " + config, "say what to rotate: one of --server, --account, --all"},
		{"rotate one and all", "rotate --all --server web01 " + config, "say what to rotate"},
		{"account without a server", "rotate --account bob " + config, "write it as server/user, like web01/bob"},
		{"account of an unknown server", "rotate --account web09/bob " + config, "the server is not in the configuration; there are: web01, web02"},
		{"unknown level", "log --level loud " + config, `--level "loud": use debug, information, notice or warning`},
		{"a number in words", "log --limit ten " + config, "--limit \"ten\": give a whole number\nUsage: provisioner log [flags]\n"},
		{"no operations", "log --limit 0 " + config, "--limit must be from 1 to 1000"},
		{"negative operation", "log --operation -1 " + config, "--operation must be a number"},
		{"no revisions", "catalogue history --limit 0 " + config, "--limit must be from 1 to 100"},
		{"import what", "catalogue import " + config, "`provisioner catalogue import` wants an argument\nUsage: provisioner catalogue import "},
		{"import of a file that is not there", "catalogue import nothing.json " + config, "nothing.json: no such file"},
		{"wrong value of a key", "apply --provisioner.requests_per_server many " + config, "provisioner.requests_per_server"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := w.plain(strings.Fields(test.args)...)
			if r.code != 2 || !strings.Contains(r.err, test.want) || r.out != "" {
				t.Errorf("exit code %d, printed %q and %q, want exit code 2 and %q alone", r.code, r.out, r.err, test.want)
			}
		})
	}
	if got := w.accounts(); got != "" {
		t.Errorf("the store has %s, want nothing", got)
	}
	if got := w.written(); len(got) > 0 {
		t.Errorf("written: %v, want nothing", got)
	}
}

// Questions for what is not there are failures, not bad usage.
func TestNothingThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "web01")
	w.configure(settings{links: threeLinks})
	tests := []struct {
		name, args string
		code       int
		want       string
	}{
		{"operation", "log --operation 99", 1, "there is no operation 99"},
		{"operations", "log", 0, "There are no operations yet."},
		{"revision in force", "catalogue show", 1, "there is no revision of the catalogue yet: `provisioner apply`"},
		{"revision", "catalogue show --revision 9", 1, "there is no revision 9"},
		{"revisions", "catalogue history", 0, "There are no revisions yet."},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := w.run(strings.Fields(test.args)...)
			if r.code != test.code || !strings.Contains(r.err, test.want) {
				t.Errorf("exit code %d, %q, want exit code %d and %q", r.code, r.err, test.code, test.want)
			}
		})
	}
}

// All that is wrong with the files is told at once, with its place.
func TestBadFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "web01")
	w.account("web01/alice")
	tests := []struct {
		name, links, more string
		rows              []string
		code              int
		want              []string
	}{
		{
			name: "catalogue", code: 2, links: `
  - {id: invoices, label: "Bob's", implements: billing, order: -1, portal: portal, path: invoices}
  - {id: invoices, label: "", implements: billing, portal: nowhere, path: "/x y"}
  - {id: "a b", label: ok, implements: billing, icon_file: accounts.csv, portal: portal, path: /x}
`,
			more: "nonsense: 1\n",
			want: []string{
				"latchkey.yaml:10: links[0].label: must not contain an apostrophe", "latchkey.yaml:10: links[0].order: ",
				`latchkey.yaml:10: links[0].path: must begin with /`, `latchkey.yaml:11: links[1].id: "invoices" is taken`,
				"latchkey.yaml:11: links[1].label: is required", `latchkey.yaml:11: links[1].portal: "nowhere" is not listed`,
				`latchkey.yaml:11: links[1].path: must have " " percent-encoded, as %20`, "latchkey.yaml:12: links[2].id: ",
				"latchkey.yaml:12: links[2].icon_file: ", "latchkey.yaml:13: nonsense: is no known key", "the configuration has 10 problems",
			},
		},
		{
			name: "subscribers", code: 2, links: threeLinks,
			rows: []string{"web01,alice,1001", "web01,alice,1002", "web01,b/d,3", "web01,,4", "web09,bob,5", "web01,zed,", "web09,zoe,6"},
			want: []string{
				`accounts.csv:3: web01/alice is there twice, for subscriber "1001" and for "1002"`, "accounts.csv:4: user has a character",
				"accounts.csv:5: user is missing", "accounts.csv:7: subscriber_unique_id is missing",
				`accounts.csv:6: server "web09" is not in the configuration (2 rows)`, "Nothing was done.",
			},
		},
		{
			name: "subscribers with the same row twice", code: 2, links: threeLinks,
			rows: []string{"web01,alice,1001", "web01,alice,1001"},
			want: []string{"accounts.csv:3: web01/alice is there twice, with the same subscriber: keep one row"},
		},
		{
			name: "subscribers with a line that is none", code: 1, links: threeLinks,
			rows: []string{"web01,alice,1001", "web01;bob;1002"},
			want: []string{"accounts.csv:3"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w.subscribers(test.rows...)
			w.configure(settings{links: test.links, more: test.more})
			for _, command := range []string{"plan", "apply"} {
				r := w.run(command)
				if r.code != test.code || r.out != "" {
					t.Errorf("%s: exit code %d and %q, want %d and nothing\n%s", command, r.code, r.out, test.code, r.err)
				}
				for _, want := range test.want {
					if !strings.Contains(r.err, want) {
						t.Errorf("%s says\n%s\nwant %q in it", command, r.err, want)
					}
				}
			}
			if got := w.accounts(); got != "" {
				t.Errorf("the store has %s, want nothing", got)
			}
			if _, err := w.store.Revision(t.Context(), 0); !errors.Is(err, store.ErrNoRevision) {
				t.Errorf("revision in force: %v, want none", err)
			}
			if got := w.written(); len(got) > 0 {
				t.Errorf("written: %v, want nothing", got)
			}
		})
	}
}
