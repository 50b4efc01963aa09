package app

import (
	"errors"
	"fmt"
	"os"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/cmd/internal/config"
)

// NewCatalogue makes the catalogue that a configuration asks for: its links, or
// the default ones, all leading to its first portal.
func NewCatalogue(c *config.Config) (*broker.Catalogue, error) {
	var portals []broker.Portal
	for _, p := range c.Portals {
		portals = append(portals, broker.Portal{
			ID: p.ID, Handoff: broker.Handoff(p.Handoff), LoginURL: p.LoginURL, FallbackURL: p.FallbackURL,
			Audience: p.Audience, ClientID: p.ClientID, ClientSecret: p.ClientSecret,
		})
	}
	links, err := linkDefinitions(c)
	if err != nil {
		return nil, err
	}
	group := broker.Group{ID: c.Group.ID, Label: c.Group.Label, Order: c.Group.Order}
	return broker.NewCatalogue(c.AppPrefix, group, portals, links)
}

func linkDefinitions(c *config.Config) ([]broker.LinkDefinition, error) {
	if c.DefaultCatalogue() {
		if len(c.Portals) == 0 {
			return nil, errors.New("there is no portal for the default links")
		}
		return broker.DefaultLinks(c.Portals[0].ID), nil
	}
	var links []broker.LinkDefinition
	for _, l := range c.Links {
		icon := broker.DefaultIcon(l.ID)
		if l.IconFile != "" {
			png, err := os.ReadFile(l.IconFile)
			if err != nil {
				return nil, fmt.Errorf("icon of link %s: %w", l.ID, err)
			}
			icon = png
		}
		links = append(links, broker.LinkDefinition{
			ID: l.ID, Enabled: l.Enabled, Label: l.Label, Implements: l.Implements, Order: l.Order,
			Icon: icon, Portal: l.Portal, Path: l.Path,
		})
	}
	return links, nil
}
