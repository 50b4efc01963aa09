package config

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxNodes bounds the walk: aliases of aliases unfold to more than fits anywhere.
const maxNodes = 200_000

// walker turns YAML nodes into a map of checked values along the schema.
type walker struct {
	found  *findings
	schema *key
	base   string // directory of the file, for relative paths
	left   int    // nodes that may still be visited
}

func walkNodes(found *findings, schema *key, root *yaml.Node, base string) map[string]any {
	if root == nil {
		return nil
	}
	w := &walker{found: found, schema: schema, base: base, left: maxNodes}
	values := w.section(schema, root, "")
	if w.left < 0 {
		found.at(root.Line, "", "unfolds to too many values: use fewer aliases")
	}
	return values
}

type pair struct{ key, value *yaml.Node }

// section reads a mapping.
func (w *walker) section(k *key, n *yaml.Node, path string) map[string]any {
	values := map[string]any{}
	pairs := w.pairs(n, path, 0)
	given := map[string]bool{}
	for _, p := range pairs {
		given[p.key.Value] = true
	}
	for _, p := range pairs {
		child := k.child(p.key.Value)
		if child == nil {
			w.unknown(k, p.key, path, given)
			continue
		}
		if v, ok := w.value(child, p, join(path, child.name)); ok {
			values[child.name] = v
		}
	}
	return values
}

// pairs lists a mapping's keys once each; merged ones (<<) after its own.
func (w *walker) pairs(n *yaml.Node, path string, depth int) []pair {
	var own, merged []pair
	first := map[string]int{}
	for i := 0; i+1 < len(n.Content) && w.visit(); i += 2 {
		k, v := resolve(n.Content[i]), n.Content[i+1]
		switch {
		case k.Kind != yaml.ScalarNode:
			w.found.at(n.Content[i].Line, path, "has a key that is not plain text: write `key: value`")
		case k.ShortTag() == "!!merge":
			merged = append(merged, w.merged(v, path, depth+1)...)
		case first[k.Value] != 0:
			w.found.at(n.Content[i].Line, join(path, printable(k.Value)), fmt.Sprintf("is there twice (first in line %d): keep one", first[k.Value]))
		default:
			first[k.Value] = n.Content[i].Line
			own = append(own, pair{k, v})
		}
	}
	for _, p := range merged {
		if first[p.key.Value] == 0 {
			first[p.key.Value] = p.key.Line
			own = append(own, p)
		}
	}
	return own
}

func (w *walker) merged(n *yaml.Node, path string, depth int) []pair {
	line := n.Line
	n = resolve(n)
	switch {
	case depth > 10:
		w.found.at(line, path, "merges (<<) into itself or too deep: write the keys out")
	case n.Kind == yaml.MappingNode:
		return w.pairs(n, path, depth)
	case n.Kind == yaml.SequenceNode:
		var pairs []pair
		for _, part := range n.Content {
			if !w.visit() {
				break
			}
			pairs = append(pairs, w.merged(part, path, depth+1)...)
		}
		return pairs
	default:
		w.found.at(line, path, "merges (<<) something that is no section: name an anchor of a section")
	}
	return nil
}

func (w *walker) value(k *key, p pair, path string) (any, bool) {
	n := resolve(p.value)
	if !w.visit() {
		return nil, false
	}
	w.found.lines[path] = p.key.Line
	switch {
	case isNull(n) && path == "links":
		return w.bad(p.key.Line, path, "is empty: write `links: []` for no links, or remove the key for the default catalogue")
	case isNull(n): // a key with everything below it commented out
		return nil, false
	case k.kind == kindSection:
		if n.Kind != yaml.MappingNode {
			return w.wrong(k, n, p.value.Line, path)
		}
		return w.section(k, n, path), true
	case k.kind == kindList, k.kind == kindStrings, k.kind == kindPrefixes:
		if n.Kind != yaml.SequenceNode {
			return w.wrong(k, n, p.value.Line, path)
		}
		return w.list(k, n, path), true
	default:
		w.found.lines[path] = p.value.Line
		return w.scalar(k, n, p.value.Line, path)
	}
}

// list reads a list. An entry that cannot be used leaves its place empty, so that
// the others keep their numbers.
func (w *walker) list(k *key, n *yaml.Node, path string) []any {
	list := []any{}
	for i, entry := range n.Content {
		if !w.visit() {
			break
		}
		line, at := entry.Line, item(path, i)
		w.found.lines[at] = line
		entry = resolve(entry)
		if k.kind != kindList {
			if v, ok := w.entry(k, entry, line, at); ok {
				list = append(list, v)
			}
			continue
		}
		values := defaults(k, w.base)
		if entry.Kind != yaml.MappingNode {
			w.bad(line, at, "must be a section with keys, e.g. `- id: ...`, not "+nodeNoun(entry))
		} else {
			for name, v := range w.section(k, entry, at) {
				values[name] = v
			}
		}
		list = append(list, values)
	}
	return list
}

// entry reads one text of a list. Since a bad one is left out, the whole list
// counts as not understood: a rule would name the wrong numbers.
func (w *walker) entry(k *key, n *yaml.Node, line int, at string) (any, bool) {
	text, problem := "", "must be text, not "+nodeNoun(n)
	var v any
	if n.Kind == yaml.ScalarNode && !isNull(n) {
		text, problem = w.text(kindString, n)
	} else if isNull(n) {
		problem = "is empty: remove the entry"
	}
	if problem == "" {
		v, problem = convertItem(k, text)
	}
	if problem != "" {
		w.found.broken[parent(at)] = true
		return w.bad(line, at, problem)
	}
	return v, true
}

func (w *walker) scalar(k *key, n *yaml.Node, line int, path string) (any, bool) {
	if n.Kind != yaml.ScalarNode {
		return w.wrong(k, n, line, path)
	}
	text, problem := w.text(k.kind, n)
	if problem != "" {
		return w.bad(line, path, problem)
	}
	v, problem := convert(k, text, w.base)
	if problem != "" {
		return w.bad(line, path, problem)
	}
	return v, true
}

// text is a scalar as written. Numbers and dates are taken where text is wanted
// (`id: 1`), but true and false are not: they are more likely a misplaced switch.
func (w *walker) text(want kind, n *yaml.Node) (text, problem string) {
	switch n.ShortTag() {
	case "!!bool":
		if want == kindString {
			return "", fmt.Sprintf("must be text, not %s: put it in quotes if it is meant", n.Value)
		}
		return strings.ToLower(n.Value), ""
	case "!!str", "!!int", "!!float", "!!timestamp", "!!merge":
		return n.Value, ""
	}
	return "", fmt.Sprintf("has the YAML tag %s: remove it", quote(n.ShortTag()))
}

// wrong notes a value of the wrong shape.
func (w *walker) wrong(k *key, n *yaml.Node, line int, path string) (any, bool) {
	message := fmt.Sprintf("must be %s, not %s", k.kind.noun(), nodeNoun(n))
	if k.kind == kindStrings && n.Kind == yaml.ScalarNode {
		message = fmt.Sprintf("must be a list, not %s: write [%s]", nodeNoun(n), quote(n.Value))
	}
	return w.bad(line, path, message)
}

// bad notes a problem and that the key is done with.
func (w *walker) bad(line int, path, message string) (any, bool) {
	w.found.at(line, path, message)
	w.found.broken[path] = true
	return nil, false
}

func (w *walker) unknown(section *key, n *yaml.Node, path string, given map[string]bool) {
	at := join(path, printable(n.Value))
	names := section.names()
	if near := closest(strings.ToLower(n.Value), names); near != "" {
		if !given[near] {
			w.found.broken[join(path, near)] = true // that it is missing is explained by this
		}
		w.found.at(n.Line, at, fmt.Sprintf("is no known key; did you mean %s?", near))
		return
	}
	if slices.Contains(names, n.Value+"_file") {
		w.found.at(n.Line, at, fmt.Sprintf("is no known key: secrets do not belong into this file; put it into a file of its own and name that in %s_file", n.Value))
		return
	}
	elsewhere := ""
	w.schema.walk(func(k *key) {
		if k.name == n.Value && elsewhere == "" {
			elsewhere = k.path
		}
	})
	if elsewhere != "" {
		w.found.at(n.Line, at, fmt.Sprintf("is not known here; did you mean %s?", elsewhere))
		return
	}
	w.found.at(n.Line, at, "is no known key: the keys here are "+strings.Join(names, ", "))
}

// printable is a key as given, in quotes if it would upset a line of text.
func printable(name string) string {
	if name == "" || len(name) > 60 || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return quote(name)
	}
	return name
}

// visit counts a node and reports whether the walk may go on.
func (w *walker) visit() bool {
	w.left--
	return w.left >= 0
}

// resolve follows an alias to what it stands for.
func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}
