package config

import "slices"

// LoadCatalogue reads the keys group and links from a file of their own, as
// `provisioner catalogue export` writes it, by the rules that hold for them in the
// configuration c. What the file does not say about the group is as in c. path names
// the file in problems; base is where relative paths of icons begin.
//
// The Config that it returns has the group, the links, and of c what is needed to
// understand them: portals and app_prefix. It is nil unless the Report is OK.
func (c *Config) LoadCatalogue(path string, data []byte, base string) (*Config, *Report) {
	found, schema := newFindings(path), schemaOf()
	schema.children = slices.DeleteFunc(schema.children, func(k *key) bool { return k.name != "group" && k.name != "links" })
	root, ok := parseYAML(found, data)
	if !ok {
		return nil, found.report()
	}
	part, err := merge(schema, base, walkNodes(found, schema, root, base), nil, nil)
	if err != nil {
		found.at(0, "", "cannot be merged: "+err.Error())
		return nil, found.report()
	}
	part.Portals, part.AppPrefix = c.Portals, c.AppPrefix
	if !found.isSet("group.id") {
		part.Group.ID = c.Group.ID
	}
	if !found.isSet("group.label") {
		part.Group.Label = c.Group.Label
	}
	if !found.isSet("group.order") {
		part.Group.Order = c.Group.Order
	}
	if !found.isSet("links") {
		found.at(0, "links", "is required: this file is about nothing else")
	}
	(&checker{cfg: part, role: RoleProvisioner, found: found}).catalogue()
	if report := found.report(); !report.OK() {
		return nil, report
	}
	return part, found.report()
}
