package config

import (
	"net/netip"
	"reflect"
	"strings"
	"time"
)

type kind int

const (
	kindSection kind = iota
	kindList         // of sections
	kindString
	kindBool
	kindInt
	kindFloat
	kindDuration
	kindStrings
	kindPrefixes
)

// noun is how a problem speaks of a kind.
func (k kind) noun() string {
	return [...]string{
		"a section with keys", "a list of entries", "text", "true or false", "a whole number", "a number",
		`a duration such as "90s" or "2160h"`, `a list such as ["a", "b"]`, `a list such as ["10.0.0.0/8"]`,
	}[k]
}

// flagType is the word that `--help` shows for a value.
func (k kind) flagType() string {
	return [...]string{"", "", "string", "bool", "int", "number", "duration", "list", "list"}[k]
}

// key is one key of the file, read from a struct field and its tags.
type key struct {
	name     string // last part
	path     string // dotted; below a list, the list's path is followed by []
	kind     kind
	def      string
	hasDef   bool
	help     string
	choices  []string
	is       string
	children []*key
	inList   bool
}

// schemaOf reads the structs. It is cheap enough to be built when needed.
func schemaOf() *key {
	root := &key{kind: kindSection}
	root.children = childrenOf(reflect.TypeFor[Config](), "", false)
	return root
}

func childrenOf(t reflect.Type, parent string, inList bool) []*key {
	var keys []*key
	for f := range t.Fields() {
		name := f.Tag.Get("koanf")
		if name == "" || name == "-" {
			continue
		}
		k := &key{name: name, path: join(parent, name), help: f.Tag.Get("help"), is: f.Tag.Get("is"), inList: inList}
		k.def, k.hasDef = f.Tag.Lookup("default")
		if choices := f.Tag.Get("choices"); choices != "" {
			k.choices = strings.Split(choices, ",")
		}
		k.kind = kindOf(f.Type)
		switch k.kind {
		case kindSection:
			k.children = childrenOf(f.Type, k.path, inList)
		case kindList:
			k.children = childrenOf(f.Type.Elem(), k.path+"[]", true)
		}
		keys = append(keys, k)
	}
	return keys
}

func kindOf(t reflect.Type) kind {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return kindDuration
	case reflect.TypeFor[[]string]():
		return kindStrings
	case reflect.TypeFor[[]netip.Prefix]():
		return kindPrefixes
	}
	switch t.Kind() {
	case reflect.Struct:
		return kindSection
	case reflect.Slice:
		return kindList
	case reflect.Bool:
		return kindBool
	case reflect.Int:
		return kindInt
	case reflect.Float64:
		return kindFloat
	case reflect.String:
		return kindString
	}
	panic("config: a key cannot have the type " + t.String()) // held by a test
}

func join(parent, name string) string {
	if parent == "" {
		return name
	}
	return parent + "." + name
}

// child finds a key by name.
func (k *key) child(name string) *key {
	for _, c := range k.children {
		if c.name == name {
			return c
		}
	}
	return nil
}

// names lists the keys of a section.
func (k *key) names() []string {
	names := make([]string, len(k.children))
	for i, c := range k.children {
		names[i] = c.name
	}
	return names
}

// walk visits every key below k, sections included.
func (k *key) walk(visit func(*key)) {
	for _, c := range k.children {
		visit(c)
		c.walk(visit)
	}
}

// settable lists the keys that flags and variables can set: everything that is not
// a section, not a list of sections and not inside one.
func (k *key) settable() []*key {
	var keys []*key
	k.walk(func(c *key) {
		if c.kind != kindSection && c.kind != kindList && !c.inList {
			keys = append(keys, c)
		}
	})
	return keys
}
