package app

import (
	"bytes"
	"fmt"
	"image/png"

	"go.yaml.in/yaml/v3"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/cmd/internal/config"
)

// What an icon may have, as in the configuration file.
const (
	maxIcon = 64 << 10 // bytes
	maxSide = 1024     // pixels
)

// checkLinks holds links from outside of the configuration file against the rules
// for those inside, by making a file of them.
func checkLinks(cfg *config.Config, r broker.Revision) []string {
	type portal struct {
		ID       string `yaml:"id"`
		LoginURL string `yaml:"login_url"`
	}
	file := struct {
		AppPrefix string       `yaml:"app_prefix"`
		Portals   []portal     `yaml:"portals"`
		Group     broker.Group `yaml:"group"`
		Links     []yamlLink   `yaml:"links"`
	}{AppPrefix: cfg.AppPrefix, Group: r.Group, Links: []yamlLink{}}
	for _, p := range cfg.Portals {
		file.Portals = append(file.Portals, portal{p.ID, p.LoginURL})
	}
	for _, l := range r.Links {
		file.Links = append(file.Links, yamlLink{l.ID, l.Enabled, l.Label, l.Implements, l.Order, l.Portal, l.Path})
	}
	data, err := yaml.Marshal(file)
	if err != nil {
		return []string{err.Error()}
	}
	var problems []string
	_, report := config.Load(config.LoadOptions{Path: "links", Data: data})
	for _, p := range report.Errors() {
		problems = append(problems, p.Key+": "+p.Message)
	}
	for i, l := range r.Links {
		if what := checkIcon(l.Icon); what != "" {
			problems = append(problems, fmt.Sprintf("links[%d].icon_png: %s", i, what))
		}
	}
	return problems
}

func checkIcon(icon []byte) string {
	if len(icon) == 0 {
		return ""
	}
	if len(icon) > maxIcon {
		return fmt.Sprintf("has %d bytes and may have %d", len(icon), maxIcon)
	}
	head, err := png.DecodeConfig(bytes.NewReader(icon))
	switch {
	case err != nil:
		return "is no PNG"
	case head.Width > maxSide || head.Height > maxSide:
		return fmt.Sprintf("is %d×%d pixels and may be %d×%d", head.Width, head.Height, maxSide, maxSide)
	}
	if _, err := png.Decode(bytes.NewReader(icon)); err != nil {
		return "is no whole PNG"
	}
	return ""
}
