package app_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
)

// Names of the configuration complete in a shell, without its secrets; where it cannot
// be used there are none, and nothing is said.
func TestCompletion(t *testing.T) {
	t.Parallel()
	file := writeConfig(t, "127.0.0.1:1")
	broken := writeFile(t, filepath.Join(t.TempDir(), "broken.yaml"), "servers: [")
	tests := []struct {
		name, line string
		want       string // all that is offered
	}{
		{"server of a new link", "links add -c " + file + " --server", "web01"},
		{"server of a link to remove", "links remove -c " + file + " --server", "web01"},
		{"server to list", "links list -c " + file + " --server", "web01"},
		{"app of a new link", "links add -c " + file + " --app", "billing tickets"},
		{"scope of a control", "controls block -c " + file, "subscriber account app server everything"},
		{"server to block", "controls block -c " + file + " server", "web01"},
		{"app to block", "controls block -c " + file + " app", "billing tickets"},
		{"subscriber to block", "controls block -c " + file + " subscriber", ""},
		{"broken configuration", "links list -c " + broken + " --server", ""},
		{"no configuration", "links list -c /nowhere/latchkey.yaml --server", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, out, errs := run(t, commandLine("__complete "+tt.line, ""), nil)
			lines := strings.Split(strings.TrimSpace(out), "\n")
			offered := strings.Join(lines[:len(lines)-1], " ") // the last one tells the shell not to offer files
			if code != cli.ExitDone || offered != tt.want || lines[len(lines)-1] != ":4" {
				t.Errorf("got exit code %d, %q\n%s\nwant %q", code, out, errs, tt.want)
			}
		})
	}
}
