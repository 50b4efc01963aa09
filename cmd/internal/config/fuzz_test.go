package config_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/latchkey-sso/latchkey/cmd/internal/config"
)

// FuzzLoad holds for arbitrary bytes that Load does not panic, returns a Config
// exactly when the report is OK, says something about every file that is not YAML,
// and that what it accepts survives Effective.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(valid))
	f.Add([]byte(config.Example))
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, report := config.Load(config.LoadOptions{Path: "f.yaml", Data: data})
		if (cfg != nil) != report.OK() {
			t.Fatalf("got config %v and\n%s", cfg != nil, report)
		}
		if !parses(data) && report.OK() {
			t.Fatal("accepted what is not YAML")
		}
		for _, p := range report.Problems {
			if p.Message == "" || !strings.HasPrefix(p.Source, "f.yaml") || strings.Contains(p.String(), "\n") {
				t.Fatalf("got a problem that is not one line of the file: %q", p)
			}
		}
		if cfg == nil {
			return
		}
		text := cfg.Effective()
		again, report := config.Load(config.LoadOptions{Path: "f.yaml", Data: []byte(text)})
		if again == nil {
			t.Fatalf("does not accept its own text:\n%s\n%s", report, text)
		}
		if got := again.Effective(); got != text && !strings.Contains(text, "redacted") {
			t.Fatalf("second time\n%s\nfirst time\n%s", got, text)
		}
	})
}

func parses(data []byte) bool {
	decoder := yaml.NewDecoder(strings.NewReader(string(data)))
	for {
		var n yaml.Node
		if err := decoder.Decode(&n); err != nil {
			return errors.Is(err, io.EOF)
		}
	}
}
