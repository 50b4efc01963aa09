package app_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
)

// Who publishes may change the own file's revisions, and takes back somebody else's
// only with --overwrite.
func TestOverwrite(t *testing.T) {
	t.Parallel()
	changed := strings.Replace(threeLinks, "label: Invoices,", "label: Bills,", 1)
	tests := []struct {
		name    string
		before  func(*world) // what is published when the file asks for other links
		args    string
		code    int
		says    []string
		current int // revision in force afterwards
	}{
		{
			"the first revision", func(*world) {}, "apply", 0,
			[]string{"Published revision 1 of the catalogue: first revision, 3 links"}, 1,
		},
		{
			"own revision", func(w *world) { w.publish(threeLinks, "apply", "--author", "ann") }, "apply --author ann", 0,
			[]string{`Published revision 2 of the catalogue: invoices: label "Invoices" becomes "Bills"`}, 2,
		},
		{
			"another one's", func(w *world) { w.publish(threeLinks, "apply", "--author", "ann") }, "apply --author bea", 2,
			[]string{"revision 1 of the catalogue, from ", " by ann (file), differs from this file. The file would change:",
				`invoices: label "Invoices" becomes "Bills"`, "Nothing was done.", "--overwrite"}, 1,
		},
		{
			"another one's, overwritten", func(w *world) { w.publish(threeLinks, "apply", "--author", "ann") }, "apply --author bea --overwrite", 0,
			[]string{"Published revision 2 of the catalogue"}, 2,
		},
		{
			"imported", func(w *world) { w.publish(threeLinks, "catalogue", "import", "default", "--author", "ann") }, "apply --author ann", 2,
			[]string{"by ann (import), differs from this file", "upgrade: removed", "Nothing was done."}, 1,
		},
		{
			"imported, overwritten", func(w *world) { w.publish(threeLinks, "catalogue", "import", "default", "--author", "ann") },
			"apply --author ann --overwrite", 0, []string{"Published revision 2 of the catalogue", "upgrade: removed"}, 2,
		},
		{
			"the same links of another one", func(w *world) { w.publish(changed, "apply", "--author", "ann") }, "apply --author bea", 0, nil, 1,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "web01", "web02")
			threeAccounts(w)
			test.before(w)
			w.configure(settings{links: changed})
			before := w.written()
			stored := w.accounts()

			args := strings.Fields(test.args)
			plan := w.run(append([]string{"plan"}, args[1:]...)...)
			if plan.code != test.code {
				t.Errorf("plan: exit code %d, want %d\n%s", plan.code, test.code, plan.err)
			}
			if got := len(w.written()); got != len(before) {
				t.Errorf("plan made %d writes", got-len(before))
			}
			r := w.run(args...)
			if r.code != test.code {
				t.Errorf("apply: exit code %d, want %d\n%s", r.code, test.code, r.err)
			}
			for _, says := range test.says {
				if !strings.Contains(r.err, says) {
					t.Errorf("apply says\n%s\nwant %q", r.err, says)
				}
				if says := strings.Replace(says, "Published", "Apply will publish", 1); !strings.Contains(plan.err, says) {
					t.Errorf("plan says\n%s\nwant %q", plan.err, says)
				}
			}
			if test.code != 0 && (len(w.written()) != len(before) || w.accounts() != stored) {
				t.Errorf("refused, and yet written: %v", w.written())
			}
			if current, err := w.store.Revision(t.Context(), 0); err != nil || current.Number != test.current {
				t.Errorf("revision in force: %d (%v), want %d", current.Number, err, test.current)
			}
		})
	}
}

// publish runs a command with links in the file.
func (w *world) publish(links string, args ...string) {
	w.t.Helper()
	w.configure(settings{links: links})
	w.ok(args...)
}

// In a container user@host is another one each time: a name of the configuration
// stays, and the refusal tells of it. A flag has the last word.
func TestAuthorOfTheConfiguration(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "web01")
	changed := strings.Replace(threeLinks, "label: Invoices,", "label: Bills,", 1)
	w.configure(settings{links: threeLinks})
	w.ok("apply", "--author", "root@3f2a9c")
	w.configure(settings{links: changed})
	r := w.run("apply")
	for _, says := range []string{"by root@3f2a9c (file), differs", "This command publishes as ", "set provisioner.author to a name that stays"} {
		if r.code != 2 || !strings.Contains(r.err, says) {
			t.Errorf("exit code %d\n%s\nwant 2 and %q", r.code, r.err, says)
		}
	}
	w.configure(settings{links: changed, author: "pipeline"})
	w.ok("apply", "--overwrite")
	w.configure(settings{links: threeLinks, author: "pipeline"})
	w.ok("apply")
	w.configure(settings{links: changed, author: "pipeline"})
	if r := w.run("apply", "--author", "ann"); r.code != 2 || !strings.Contains(r.err, "by pipeline (file), differs") {
		t.Errorf("exit code %d\n%s\nwant 2: the revision is the pipeline's", r.code, r.err)
	}
}

// A file that does not speak of links leaves them to the store.
func TestFileWithoutLinks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "web01", "web02")
	want := applied(w)
	w.configure(settings{})
	if r := w.run("apply", "--author", "somebody else"); r.code != 0 || strings.Contains(r.err, "Published") {
		t.Errorf("exit code %d, %q, want 0 and no new revision", r.code, r.err)
	}
	if err := want.reached(w); err != nil {
		t.Error(err)
	}
}

// Its group is left to the store as well: what it asks for is not done, and that is
// said.
func TestGroupOfAFileWithoutLinks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "web01", "web02")
	want := applied(w)
	before := len(w.written())
	for group, said := range map[string]bool{
		`{id: portal, label: "Büro", order: 4}`:                true,
		`{label: "Büro"}`:                                      true,
		`{id: latchkey, label: "Billing & Support", order: 1}`: false,
		"": false,
	} {
		w.configure(settings{group: group})
		for _, command := range []string{"plan", "apply"} {
			r := w.run(command)
			if r.code != 0 || strings.Contains(r.err, "is not applied: without the key links, revision 1 of the catalogue decides") != said {
				t.Errorf("%s with the group %q: exit code %d, %q, want 0 and a word about the group: %v", command, group, r.code, r.err, said)
			}
		}
	}
	if got := w.written()[before:]; len(got) > 0 {
		t.Errorf("written: %v, want nothing", got)
	}
	if err := want.reached(w); err != nil {
		t.Error(err)
	}
}

// What export -o json writes comes back by import, icons included; what export
// writes as YAML comes back as the configuration's links.
func TestExportImport(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "web01")
	w.configure(settings{links: threeLinks, group: `{id: latchkey, label: "Büro & Co", order: 4}`})
	write(t, filepath.Join(w.dir, "own.png"), string(broker.DefaultIcon("upgrade")))
	w.configure(settings{
		links: strings.Replace(threeLinks, "{id: invoices,", "{id: invoices, icon_file: own.png,", 1),
		group: `{id: latchkey, label: "Büro & Co", order: 4}`,
	})
	w.ok("apply", "--author", "ann")
	first, err := w.store.Revision(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	exported := w.ok("catalogue", "export", "-o", "json")
	write(t, filepath.Join(w.dir, "catalogue.json"), exported)

	t.Run("the same again", func(t *testing.T) {
		if out := w.ok("catalogue", "import", "catalogue.json"); out != "Revision 1 has these links already.\n" {
			t.Errorf("import says %q, want that revision 1 has them", out)
		}
	})
	t.Run("after another one", func(t *testing.T) {
		w.ok("catalogue", "import", "default", "--author", "bea")
		if out := w.ok("catalogue", "import", "catalogue.json", "--author", "ann"); !strings.HasPrefix(out, "Published revision 3: ") {
			t.Errorf("import says %q, want a revision 3", out)
		}
		third, err := w.store.Revision(t.Context(), 0)
		if err != nil || !third.SameLinks(first) || third.Source != broker.SourceImport || third.Author != "ann" {
			t.Errorf("revision 3 has the changes %v by %s (%s), want the links of revision 1 by ann (import): %v", third.Diff(first), third.Author, third.Source, err)
		}
	})
	t.Run("standard input", func(t *testing.T) {
		w.ok("catalogue", "import", "default")
		r := w.answering(exported, "catalogue", "import", "-")
		if r.code != 0 || !strings.HasPrefix(r.out, "Published revision 5: ") {
			t.Errorf("exit code %d, %q, %q, want revision 5", r.code, r.out, r.err)
		}
	})
	t.Run("an older revision", func(t *testing.T) {
		if got := w.ok("catalogue", "export", "-o", "json", "--revision", "1"); got != exported {
			t.Errorf("got %s, want %s", got, exported)
		}
	})
	t.Run("YAML", func(t *testing.T) {
		r := w.run("catalogue", "export")
		if !strings.Contains(r.err, "icons of their own, which YAML leaves out (add icon_file, or use -o json): invoices") {
			t.Errorf("export says %q, want that an icon is left out", r.err)
		}
		w.configure(settings{more: r.out})
		r = w.run("plan", "--overwrite")
		if want := "Apply will publish revision 6 of the catalogue: invoices: another icon\n"; !strings.HasPrefix(r.err, want) {
			t.Errorf("plan with the YAML says %q, want %q alone", r.err, want)
		}
	})
	t.Run("YAML by import", func(t *testing.T) {
		w := newWorld(t, "web01")
		w.configure(settings{links: threeLinks, group: `{id: latchkey, label: "Büro & Co", order: 4}`})
		w.ok("apply", "--author", "ann")
		text := w.ok("catalogue", "export")
		write(t, filepath.Join(w.dir, "catalogue.yaml"), text)
		if out := w.ok("catalogue", "import", "catalogue.yaml"); out != "Revision 1 has these links already.\n" {
			t.Errorf("import says %q, want that revision 1 has them", out)
		}
		write(t, filepath.Join(w.dir, "own.png"), string(broker.DefaultIcon("upgrade")))
		_, links, _ := strings.Cut(text, "links:")
		links = "group: {order: 5}\nlinks:" + strings.Replace(links, "- id: invoices", "- id: invoices\n    icon_file: own.png", 1)
		write(t, filepath.Join(w.dir, "catalogue.yaml"), links)
		want := "Published revision 2: group: latchkey \"Büro & Co\" at 4 becomes latchkey \"Büro & Co\" at 5; invoices: another icon\n"
		if out := w.ok("catalogue", "import", "catalogue.yaml"); !strings.HasPrefix(out, want) {
			t.Errorf("import says %q, want %q", out, want)
		}
		if r := w.answering(text, "catalogue", "import", "-"); r.code != 0 || !strings.HasPrefix(r.out, "Published revision 3: ") {
			t.Errorf("exit code %d, %q, %q, want revision 3 from standard input", r.code, r.out, r.err)
		}
		if r, err := w.store.Revision(t.Context(), 0); err != nil || r.Source != broker.SourceImport {
			t.Errorf("got source %q (%v), want import", r.Source, err)
		}
	})
	t.Run("no links at all", func(t *testing.T) {
		w := newWorld(t, "web01")
		w.configure(settings{more: "links: []\n"})
		w.ok("apply", "--author", "ann")
		write(t, filepath.Join(w.dir, "empty.json"), w.ok("catalogue", "export", "-o", "json"))
		if out := w.ok("catalogue", "import", "empty.json"); out != "Revision 1 has these links already.\n" {
			t.Errorf("import says %q, want that revision 1 has them", out)
		}
	})
	t.Run("history", func(t *testing.T) {
		out := w.ok("catalogue", "history", "--limit", "3")
		for _, want := range []string{"5  ", "4  ", "3  ", "ann (import)", "     upgrade: removed"} {
			if !strings.Contains(out, want) {
				t.Errorf("history says\n%s\nwant %q", out, want)
			}
		}
		if strings.Contains(out, "\n2  ") || !strings.HasPrefix(out, "5  ") {
			t.Errorf("history says\n%s\nwant the newest three, the newest first", out)
		}
		var all []broker.Revision
		if err := json.Unmarshal(jsonLines(t, w.ok("catalogue", "history", "-o", "json"))[0], &all); err != nil || len(all) != 5 {
			t.Errorf("history -o json has %d revisions (%v), want 5", len(all), err)
		}
	})
	t.Run("show", func(t *testing.T) {
		out := w.ok("catalogue", "show", "--revision", "2")
		if !strings.Contains(out, "Revision 2, by bea (import), ") || !strings.Contains(out, "latchkey_upgrade          yes  10     Upgrade/Downgrade") {
			t.Errorf("show says\n%s", out)
		}
	})
}

// A file to import is held against the rules for the configuration, and all that is
// wrong is told at once.
func TestImportRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "web01")
	w.configure(settings{links: threeLinks})
	tests := []struct {
		name, file string
		want       []string
	}{
		{"no JSON", `{"links": [}`, []string{"bad.json: is not what `catalogue export -o json` writes"}},
		{"neither", "[]", []string{"nothing was published, because of\nbad.json:1: must have the sections"}},
		{"YAML without links", "group: {id: portal}\n", []string{"bad.json: links: is required"}},
		{"nothing", "", []string{"bad.json: links: is required"}},
		{
			"bad YAML, with its lines", "group:\n  label: Bob's\nportals: []\nlinks:\n  - {id: x, label: ok, implements: billing, portal: elsewhere, path: /}\n  - id: x\n    label: ok\n    icon_file: none.png\n    portal: portal\n    path: nowhere\n",
			[]string{
				"bad.json:2: group.label: must not contain an apostrophe", "bad.json:3: portals: is no known key: the keys here are group, links",
				`bad.json:5: links[0].portal: "elsewhere" is not listed in portals, which has portal`, `bad.json:6: links[1].id: "x" is taken by links[0]`,
				"bad.json:8: links[1].icon_file: ", "none.png: no such file", "bad.json:10: links[1].path: must begin with /", "bad.json:6: links[1].implements: is required",
			},
		},
		{"unknown members", `{"links": [], "more": 1}`, []string{`unknown field "more"`}},
		{
			"bad links", `{"group": {"id": "a b", "label": "", "order": 1}, "links": [
				{"id": "x", "label": "Bob's", "portal": "portal", "path": "nowhere"},
				{"id": "x", "label": "ok", "portal": "elsewhere", "path": "/", "icon_png": "bm90IGEgcGljdHVyZQ=="}]}`,
			[]string{
				"bad.json: group.id: ", "bad.json: group.label: ", "bad.json: links[0].label: must not contain an apostrophe",
				"bad.json: links[0].path: must begin with /", `bad.json: links[1].id: "x" is taken by links[0]`,
				`bad.json: links[1].portal: "elsewhere" is not listed`, "bad.json: links[1].icon_png: is not a PNG picture", "Nothing was published.",
			},
		},
		{"a second document", `{"links": []} {"links": []}`, []string{"bad.json: is not what", "something follows after its end"}},
		{"no links", `{}`, []string{"bad.json: is not what", "it has no links"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			write(t, filepath.Join(w.dir, "bad.json"), test.file)
			r := w.run("catalogue", "import", "bad.json")
			if r.code != 2 || r.out != "" {
				t.Errorf("exit code %d, %q, want 2 and nothing", r.code, r.out)
			}
			for _, want := range test.want {
				if !strings.Contains(r.err, want) {
					t.Errorf("import says\n%s\nwant %q", r.err, want)
				}
			}
			if all, err := w.store.Revisions(t.Context(), 9); err != nil || len(all) != 0 {
				t.Errorf("%d revisions (%v), want none", len(all), err)
			}
		})
	}
}

// An import that leaves no link switched on is asked about.
func TestImportOfNothingIsAskedAbout(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "web01")
	w.configure(settings{})
	w.ok("apply")
	before := w.ok("catalogue", "show")
	file := filepath.Join(w.dir, "none.yaml")
	write(t, file, "links: []\n")
	if r := w.run("catalogue", "import", file); r.code != cli.ExitUsage || !strings.Contains(r.err, "Customers lose them at once") || !strings.Contains(r.err, "nothing was published") {
		t.Errorf("%vwant a question and exit code 2", r)
	}
	if after := w.ok("catalogue", "show"); after != before {
		t.Errorf("in force is\n%s\nwant what was before", after)
	}
	if r := w.run("catalogue", "import", file, "--yes"); r.code != cli.ExitDone {
		t.Errorf("%vwant it published", r)
	}
}
