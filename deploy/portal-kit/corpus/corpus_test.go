package corpus_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/latchkey-sso/latchkey/deploy/portal-kit/corpus"
)

var update = flag.Bool("update", false, "write assertions.json")

func TestCorpusIsAsItIsMade(t *testing.T) {
	const path = "assertions.json"
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(newMaker(t).corpus()); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (go test -update writes it)", err)
	}
	if !bytes.Equal(b.Bytes(), want) {
		t.Errorf("%s is not what the tests make; if that is wanted: go test -update", path)
	}
}

func read(t *testing.T) *corpus.Corpus {
	t.Helper()
	c, err := corpus.Read()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCorpusIsLargeAndSaysWhy(t *testing.T) {
	names, assertions := make(map[string]bool), make(map[string]string)
	good, bad := 0, 0
	for _, c := range read(t).Cases {
		if names[c.Name] {
			t.Errorf("two cases are named %q", c.Name)
		}
		names[c.Name] = true
		if other, ok := assertions[c.Assertion]; ok {
			t.Errorf("%q is the same as %q", c.Name, other)
		}
		assertions[c.Assertion] = c.Name
		if c.Group == "" || c.Why == "" || c.Rule == "" {
			t.Errorf("%q: group %q, why %q, rule %q: want all of them", c.Name, c.Group, c.Why, c.Rule)
		}
		if c.Accept != (c.Subject != "") || c.Accept != (c.TargetLinkURI != "") {
			t.Errorf("%q: accept %v with sub %q and target %q", c.Name, c.Accept, c.Subject, c.TargetLinkURI)
		}
		if c.Accept {
			good++
		} else {
			bad++
		}
	}
	for path, want := range map[string]string{
		"../README.md":             fmt.Sprintf("%d to refuse, %d to accept", bad, good),
		"../../docs/guarantees.md": fmt.Sprintf("%d bad and %d good", bad, good),
	} {
		wantSaid(t, path, want)
	}
	if good < 10 || bad < 120 {
		t.Errorf("got %d good and %d bad, want 10 and 120 at least", good, bad)
	}
}

func wantSaid(t *testing.T, path, want string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), want) {
		t.Errorf("%s does not say %q", path, want)
	}
}
