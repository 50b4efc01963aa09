package config

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with the configuration.
type Problem struct {
	// Source is "latchkey.yaml:12", "environment LATCHKEY_X" or "flag --x".
	Source string `json:"source"`
	// Key is dotted, with list positions from 0: "portals[1].login_url". Empty
	// when the whole source is meant.
	Key string `json:"key,omitempty"`
	// Message says what is wrong and what to do.
	Message string `json:"message"`
	// Warning is set when the command can start nevertheless.
	Warning bool `json:"warning,omitempty"`
}

// String is "source: key: message", as compilers write it.
func (p Problem) String() string {
	parts := []string{p.Source}
	if p.Key != "" {
		parts = append(parts, p.Key)
	}
	if p.Warning {
		parts = append(parts, "warning")
	}
	return strings.Join(append(parts, p.Message), ": ")
}

// Report is everything that is wrong, in the order of the file, then of the
// environment, then of the flags.
type Report struct {
	Problems []Problem `json:"problems"`
}

// OK reports whether a command can start: there may still be warnings.
func (r *Report) OK() bool { return len(r.Errors()) == 0 }

// Errors are the problems that keep a command from starting.
func (r *Report) Errors() []Problem { return r.pick(false) }

// Warnings are the others.
func (r *Report) Warnings() []Problem { return r.pick(true) }

func (r *Report) pick(warnings bool) []Problem {
	var picked []Problem
	for _, p := range r.Problems {
		if p.Warning == warnings {
			picked = append(picked, p)
		}
	}
	return picked
}

// String has one line per problem, each ended by a newline.
func (r *Report) String() string {
	var b strings.Builder
	for _, p := range r.Problems {
		b.WriteString(p.String())
		b.WriteByte('\n')
	}
	return b.String()
}

// Err is nil when OK, else an error that lists every problem that is not a
// warning, a line each.
func (r *Report) Err() error {
	if r.OK() {
		return nil
	}
	errs := &Report{Problems: r.Errors()}
	return &InvalidError{Report: errs}
}

// InvalidError is what Report.Err returns.
type InvalidError struct {
	Report *Report
}

func (e *InvalidError) Error() string {
	n, noun := len(e.Report.Problems), "problems"
	if n == 1 {
		noun = "problem"
	}
	return fmt.Sprintf("the configuration has %d %s:\n%s", n, noun, strings.TrimSuffix(e.Report.String(), "\n"))
}

// findings collects problems and knows where each key's value came from.
type findings struct {
	file      string            // as given; empty when there is none
	lines     map[string]int    // key → line in the file
	overrides map[string]string // key → the variable or flag that set it
	broken    map[string]bool   // keys that were not understood: no more about these
	problems  []finding
}

type finding struct {
	Problem
	rank, line int
}

const (
	rankFile = iota
	rankEnvironment
	rankFlag
)

func newFindings(file string) *findings {
	return &findings{file: file, lines: map[string]int{}, overrides: map[string]string{}, broken: map[string]bool{}}
}

// at notes a problem in a line of the file; line 0 means the file as a whole.
func (f *findings) at(line int, key, message string) {
	source := f.file
	if source == "" {
		source, line = "configuration", 0
	}
	if line > 0 {
		source = fmt.Sprintf("%s:%d", source, line)
	}
	f.add(finding{Problem{Source: source, Key: key, Message: message}, rankFile, line})
}

// from notes a problem of a variable or flag.
func (f *findings) from(source, key, message string) {
	f.add(finding{Problem{Source: source, Key: key, Message: message}, rankOf(source), 0})
}

// note adds a problem of a key, whose source is looked up. It stays silent on keys
// that were not understood in the first place.
func (f *findings) note(key, message string, warning bool) {
	if f.isBroken(key) {
		return
	}
	line := 0
	for k := key; ; k = parent(k) {
		if source, ok := f.overrides[k]; ok {
			f.add(finding{Problem{source, key, message, warning}, rankOf(source), 0})
			return
		}
		if line == 0 {
			line = f.lines[k]
		}
		if k == "" {
			break
		}
	}
	f.at(max(line, 1), key, message)
	f.problems[len(f.problems)-1].Warning = warning
}

func (f *findings) add(p finding) { f.problems = append(f.problems, p) }

func rankOf(source string) int {
	if strings.HasPrefix(source, "flag ") {
		return rankFlag
	}
	return rankEnvironment
}

// isBroken reports whether the key, or what contains it, was not understood.
func (f *findings) isBroken(key string) bool {
	for ; key != ""; key = parent(key) {
		if f.broken[key] {
			return true
		}
	}
	return false
}

// listsKnown reports whether the portals and servers were all understood.
func (f *findings) listsKnown() bool {
	for key := range f.broken {
		if strings.HasPrefix(key, "portals") || strings.HasPrefix(key, "servers") {
			return false
		}
	}
	return true
}

// parent is the key that contains this one; of the top ones it is "".
func parent(key string) string {
	return key[:max(strings.LastIndexAny(key, ".["), 0)]
}

// item is the key of a list's entry.
func item(key string, i int) string { return fmt.Sprintf("%s[%d]", key, i) }

// isSet reports whether any source sets a key that begins like this.
func (f *findings) isSet(prefix string) bool {
	for _, sources := range []iter.Seq[string]{maps.Keys(f.lines), maps.Keys(f.overrides)} {
		for key := range sources {
			if strings.HasPrefix(key, prefix) {
				return true
			}
		}
	}
	return false
}

func (f *findings) report() *Report {
	slices.SortStableFunc(f.problems, func(a, b finding) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.line, b.line))
	})
	r := &Report{Problems: []Problem{}} // [] in JSON
	for _, p := range f.problems {
		r.Problems = append(r.Problems, p.Problem)
	}
	return r
}
