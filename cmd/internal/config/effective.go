package config

import (
	"bytes"
	"net/netip"
	"net/url"
	"reflect"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"
)

// Effective is the merged configuration as YAML, in the file's order. It holds no
// secret, but the paths of the files that do. A comment names the variable or flag
// behind a value that is not from the file. Load accepts the text again, unless a
// secret came from a variable or stood in subscribers.http.url.
func (c *Config) Effective() string {
	root := c.sectionNode(reflect.ValueOf(*c), schemaOf(), "")
	var b bytes.Buffer
	encoder := yaml.NewEncoder(&b)
	encoder.SetIndent(2)
	if err := encoder.Encode(root); err != nil {
		panic("config: nodes made here do not encode: " + err.Error())
	}
	return b.String()
}

func (c *Config) sectionNode(v reflect.Value, k *key, path string) *yaml.Node {
	section := &yaml.Node{Kind: yaml.MappingNode}
	t := v.Type()
	for i := range t.NumField() {
		child := k.child(t.Field(i).Tag.Get("koanf"))
		if child == nil {
			continue
		}
		at := join(path, child.name)
		name := &yaml.Node{Kind: yaml.ScalarNode, Value: child.name}
		if at == "links" && c.Links == nil {
			section.Content[len(section.Content)-2].FootComment = "links: not set, so the default catalogue holds"
			continue
		}
		value := c.valueNode(v.Field(i), child, at)
		if source := c.overrides[at]; source != "" {
			value.LineComment = source
		}
		section.Content = append(section.Content, name, value)
	}
	return section
}

func (c *Config) valueNode(v reflect.Value, k *key, path string) *yaml.Node {
	switch k.kind {
	case kindSection:
		return c.sectionNode(v, k, path)
	case kindList:
		list := &yaml.Node{Kind: yaml.SequenceNode}
		if v.Len() == 0 {
			list.Style = yaml.FlowStyle
		}
		for i := range v.Len() {
			list.Content = append(list.Content, c.sectionNode(v.Index(i), k, item(path, i)))
		}
		return list
	case kindStrings, kindPrefixes:
		list := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
		for i := range v.Len() {
			list.Content = append(list.Content, scalarNode(v.Index(i).Interface()))
		}
		return list
	}
	if path == "subscribers.http.url" {
		return scalarNode(withoutSecrets(v.String()))
	}
	return scalarNode(v.Interface())
}

func scalarNode(value any) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode}
	switch v := value.(type) {
	case time.Duration:
		n.Value = duration(v)
	case netip.Prefix:
		n.SetString(v.String())
		n.Style = yaml.DoubleQuotedStyle
	case bool:
		n.Value = strconv.FormatBool(v)
	case int:
		n.Value = strconv.Itoa(v)
	case float64:
		n.Value = strconv.FormatFloat(v, 'g', -1, 64)
	case string:
		n.SetString(v)
		if n.Style == 0 {
			n.Style = yaml.DoubleQuotedStyle
		}
	}
	return n
}

// withoutSecrets blanks the parameters of a query that look like secrets.
func withoutSecrets(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return raw
	}
	names := secretParameters(u)
	if names == nil {
		return raw
	}
	query := u.Query()
	for _, name := range names {
		query.Set(name, "redacted")
	}
	u.RawQuery = query.Encode()
	return u.String()
}
