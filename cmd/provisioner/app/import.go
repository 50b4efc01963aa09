package app

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
	"github.com/latchkey-sso/latchkey/cmd/internal/config"
	"github.com/latchkey-sso/latchkey/cmd/internal/setup"
)

const maxImport = 16 << 20 // bytes

// readImport reads and checks links from outside of the configuration file by the
// rules that hold inside.
func readImport(env Env, cfg *config.Config, name string) (broker.Revision, error) {
	if name == "default" {
		group := broker.Group{ID: cfg.Group.ID, Label: cfg.Group.Label, Order: cfg.Group.Order}
		return broker.Revision{Source: broker.SourceImport, Group: group, Links: broker.DefaultLinks(cfg.Portals[0].ID)}, nil
	}
	in, base := env.In, ""
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return broker.Revision{}, cli.Usagef("%w", err)
		}
		defer file.Close()
		in, base = file, filepath.Dir(name)
	} else {
		name = "standard input"
	}
	data, err := io.ReadAll(io.LimitReader(in, maxImport+1))
	switch {
	case err != nil:
		return broker.Revision{}, fmt.Errorf("read %s: %w", name, err)
	case len(data) > maxImport:
		return broker.Revision{}, cli.Usagef("%s: is over 16 MiB: is it the right file?", name)
	}
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		return importJSON(cfg, name, data)
	}
	return importYAML(env, cfg, name, data, base)
}

// importYAML reads the keys group and links as the configuration file has them.
func importYAML(env Env, cfg *config.Config, name string, data []byte, base string) (broker.Revision, error) {
	part, report := cfg.LoadCatalogue(name, data, base)
	for _, w := range report.Warnings() {
		fmt.Fprintln(env.Err, w)
	}
	if part == nil {
		problems := &config.Report{Problems: report.Errors()}
		return broker.Revision{}, cli.Usagef("nothing was published, because of\n%s", strings.TrimSuffix(problems.String(), "\n"))
	}
	r, err := setup.FileRevision(part)
	r.Source = broker.SourceImport
	return r, err
}

// importJSON reads what export -o json has written.
func importJSON(cfg *config.Config, name string, data []byte) (broker.Revision, error) {
	e := exported{Group: broker.Group{ID: cfg.Group.ID, Label: cfg.Group.Label, Order: cfg.Group.Order}}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&e)
	if err == nil && e.Links == nil {
		err = errors.New("it has no links")
	}
	if _, more := decoder.Token(); err == nil && more != io.EOF {
		err = errors.New("something follows after its end")
	}
	if err != nil {
		return broker.Revision{}, cli.Usagef("%s: is not what `catalogue export -o json` writes: %w", name, err)
	}
	if problems := checkExported(cfg, e); len(problems) > 0 {
		return broker.Revision{}, cli.Usagef("%s: %s\nNothing was published.", name, strings.Join(problems, "\n"+name+": "))
	}
	return broker.Revision{Source: broker.SourceImport, Group: e.Group, Links: e.Links}, nil
}

// checkExported holds links against the rules of the configuration file, by making a
// file of them.
func checkExported(cfg *config.Config, e exported) []string {
	data, err := yaml.Marshal(e.yaml())
	if err != nil {
		return []string{err.Error()}
	}
	var problems []string
	_, report := cfg.LoadCatalogue("links", data, "")
	for _, p := range report.Errors() {
		problems = append(problems, p.Key+": "+p.Message)
	}
	for i, l := range e.Links {
		if len(l.Icon) == 0 {
			continue
		}
		if problem := config.IconProblem(l.Icon); problem != "" {
			problems = append(problems, fmt.Sprintf("links[%d].icon_png: %s", i, problem))
		}
	}
	return problems
}
