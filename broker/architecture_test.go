package broker_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/latchkey-sso/latchkey"

// source is what `go list -json` tells of a package.
type source struct {
	ImportPath string
	Doc        string
	// Imports are those of the package without its tests.
	Imports []string
}

// within reports whether the package is dir or below it.
func within(importPath string, dirs ...string) bool {
	return slices.ContainsFunc(dirs, func(dir string) bool {
		return importPath == module+"/"+dir || strings.HasPrefix(importPath, module+"/"+dir+"/")
	})
}

func isOurs(importPath string) bool {
	return importPath == module || strings.HasPrefix(importPath, module+"/")
}

// isStandard uses that only paths of the standard library have no dot in their
// first element.
func isStandard(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return !strings.Contains(first, ".")
}

func packages(t *testing.T) []source {
	t.Helper()
	list := exec.Command("go", "list", "-json=ImportPath,Doc,Imports", "./...")
	list.Dir = ".."
	out, err := list.Output()
	if exit, is := errors.AsType[*exec.ExitError](err); is {
		t.Fatalf("go list: %v\n%s", err, exit.Stderr)
	} else if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []source
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var s source
		if err := d.Decode(&s); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	if !slices.ContainsFunc(all, func(s source) bool { return within(s.ImportPath, "store") }) {
		t.Fatalf("go list found %d packages and no store", len(all))
	}
	return all
}

// main -> app -> {api, store} -> broker/reconcile -> broker
func TestImportsPointToTheDomain(t *testing.T) {
	rules := []struct {
		name    string
		applies func(pkg string) bool
		allowed func(imported string) bool
	}{
		{
			"broker imports the standard library and golang-jwt, and knows neither HTTP nor a logger nor SQL",
			func(pkg string) bool { return pkg == module+"/broker" },
			func(i string) bool {
				// log/slog is there for slog.LogValuer alone, by which secrets hide.
				return isStandard(i) && !slices.Contains([]string{"net", "net/http", "log", "database/sql", "os"}, i) ||
					i == "github.com/golang-jwt/jwt/v5"
			},
		},
		{
			"what is below broker imports the standard library and broker",
			func(pkg string) bool { return within(pkg, "broker") && pkg != module+"/broker" },
			func(i string) bool { return isStandard(i) || within(i, "broker") },
		},
		{
			"store knows no api and no command",
			func(pkg string) bool { return within(pkg, "store") },
			func(i string) bool { return !within(i, "api", "cmd") },
		},
		{
			"api knows no store and no command",
			func(pkg string) bool { return within(pkg, "api") },
			func(i string) bool { return !within(i, "store", "cmd") },
		},
		{
			"the simulated cPanel server imports nothing of ours",
			func(pkg string) bool { return within(pkg, "api/cpanelfake") },
			func(i string) bool { return !isOurs(i) || within(i, "api/cpanelfake") },
		},
		{
			"the sample portal imports nothing of ours",
			func(pkg string) bool { return within(pkg, "cmd/demo/portal") },
			func(i string) bool { return !isOurs(i) || within(i, "cmd/demo/portal") },
		},
	}
	for _, s := range packages(t) {
		for _, rule := range rules {
			if !rule.applies(s.ImportPath) {
				continue
			}
			for _, imported := range s.Imports {
				if !rule.allowed(imported) {
					t.Errorf("%s imports %s, but %s", s.ImportPath, imported, rule.name)
				}
			}
		}
		api := slices.ContainsFunc(s.Imports, func(i string) bool { return within(i, "api") })
		stored := slices.ContainsFunc(s.Imports, func(i string) bool { return within(i, "store") })
		if api && stored && !within(s.ImportPath, "cmd") {
			t.Errorf("%s imports both api and store, but only commands may", s.ImportPath)
		}
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for _, s := range packages(t) {
		if s.Doc == "" {
			t.Errorf("%s has no doc comment", s.ImportPath)
		}
	}
}

func TestTopLevelOfTheRepository(t *testing.T) {
	allowed := []string{"cmd", "broker", "store", "api", "deploy", "go.mod", "go.sum", "Dockerfile", "README.md", "LICENSE"}
	for _, entry := range ok(os.ReadDir(".."))(t) {
		if name := entry.Name(); !strings.HasPrefix(name, ".") && !slices.Contains(allowed, name) {
			t.Errorf("%s stands at the top of the repository, want only %v and dotfiles", name, allowed)
		}
	}
}
