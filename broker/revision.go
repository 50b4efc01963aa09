package broker

import (
	"bytes"
	"fmt"
	"slices"
	"time"
)

// Revision is one state of the catalogue in the store. Revisions are numbered
// from 1, are never changed, and the last one is in force.
type Revision struct {
	Number int       `json:"number"`
	Author string    `json:"author"`
	Source Source    `json:"source"`
	At     time.Time `json:"at"`
	// Changes are sentences that say what is different from the revision before.
	Changes []string         `json:"changes,omitempty"`
	Group   Group            `json:"group"`
	Links   []LinkDefinition `json:"links"`
}

// Source is how a revision came about.
type Source string

// The sources.
const (
	// SourceFile: published from a configuration file.
	SourceFile Source = "file"
	// SourceImport: imported by a command.
	SourceImport Source = "import"
)

// SameLinks reports whether two revisions want the same links in the same group.
func (r Revision) SameLinks(other Revision) bool { return len(r.Diff(other)) == 0 }

// Diff says what r has different from an earlier revision, a sentence each.
func (r Revision) Diff(earlier Revision) []string {
	var changes []string
	change := func(format string, args ...any) { changes = append(changes, fmt.Sprintf(format, args...)) }
	if a, b := earlier.Group, r.Group; a != b {
		change("group: %s %q at %d becomes %s %q at %d", a.ID, a.Label, a.Order, b.ID, b.Label, b.Order)
	}
	before := map[string]LinkDefinition{}
	for _, l := range earlier.Links {
		before[l.ID] = l
	}
	for _, l := range r.Links {
		old, was := before[l.ID]
		if !was {
			change("%s: added", l.ID)
			continue
		}
		for _, what := range l.diff(old) {
			change("%s: %s", l.ID, what)
		}
	}
	for _, l := range earlier.Links {
		if !slices.ContainsFunc(r.Links, func(kept LinkDefinition) bool { return kept.ID == l.ID }) {
			change("%s: removed", l.ID)
		}
	}
	return changes
}

func (l LinkDefinition) diff(old LinkDefinition) []string {
	var changes []string
	text := func(name, before, after string) {
		if before != after {
			changes = append(changes, fmt.Sprintf("%s %q becomes %q", name, before, after))
		}
	}
	if l.Enabled != old.Enabled {
		changes = append(changes, map[bool]string{true: "switched on", false: "switched off"}[l.Enabled])
	}
	text("label", old.Label, l.Label)
	text("implements", old.Implements, l.Implements)
	text("portal", old.Portal, l.Portal)
	text("path", old.Path, l.Path)
	if l.Order != old.Order {
		changes = append(changes, fmt.Sprintf("order %d becomes %d", old.Order, l.Order))
	}
	if !bytes.Equal(l.Icon, old.Icon) {
		changes = append(changes, "another icon")
	}
	return changes
}
