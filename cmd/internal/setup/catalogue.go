package setup

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
	r, err := FileRevision(c)
	if err != nil {
		return nil, err
	}
	return broker.NewCatalogue(c.AppPrefix, r.Group, portals(c), r.Links)
}

// FileRevision is what a configuration would publish. Author and time are the
// caller's to fill in.
func FileRevision(c *config.Config) (broker.Revision, error) {
	links, err := linkDefinitions(c)
	if err != nil {
		return broker.Revision{}, err
	}
	return broker.Revision{
		Source: broker.SourceFile, Links: links,
		Group: broker.Group{ID: c.Group.ID, Label: c.Group.Label, Order: c.Group.Order},
	}, nil
}

// LinkIDs returns the ids of the links of FileRevision; none when there is no such
// revision.
func LinkIDs(c *config.Config) []string {
	r, err := FileRevision(c)
	if err != nil {
		return nil
	}
	var ids []string
	for _, l := range r.Links {
		ids = append(ids, l.ID)
	}
	return ids
}

// RevisionCatalogue makes the catalogue of a revision, with the portals of the
// configuration. Links that lead to a portal that the configuration has not are
// left out and named: nobody can be signed on there.
func RevisionCatalogue(c *config.Config, r broker.Revision) (catalogue *broker.Catalogue, left []string, err error) {
	return revisionCatalogue(c, r, portals(c))
}

// ProvisioningCatalogue is RevisionCatalogue for those who write links and hand
// nobody over: it needs no portal's secret, and cannot be given to a broker.
func ProvisioningCatalogue(c *config.Config, r broker.Revision) (catalogue *broker.Catalogue, left []string, err error) {
	plain := portals(c)
	for i := range plain {
		plain[i].Handoff, plain[i].ClientID = broker.HandoffFormPost, ""
	}
	return revisionCatalogue(c, r, plain)
}

func revisionCatalogue(c *config.Config, r broker.Revision, portals []broker.Portal) (catalogue *broker.Catalogue, left []string, err error) {
	var links []broker.LinkDefinition
	for _, l := range r.Links {
		if _, known := c.Portal(l.Portal); !known {
			left = append(left, fmt.Sprintf("%s leads to the portal %q, which is not in this configuration", l.ID, l.Portal))
			continue
		}
		links = append(links, l)
	}
	catalogue, err = broker.NewCatalogue(c.AppPrefix, r.Group, portals, links)
	if err != nil {
		return nil, left, fmt.Errorf("revision %d of the catalogue: %w", r.Number, err)
	}
	return catalogue, left, nil
}

func portals(c *config.Config) []broker.Portal {
	var all []broker.Portal
	for _, p := range c.Portals {
		all = append(all, broker.Portal{
			ID: p.ID, Handoff: broker.Handoff(p.Handoff), LoginURL: p.LoginURL, FallbackURL: p.FallbackURL,
			Audience: p.Audience, ClientID: p.ClientID, ClientSecret: p.ClientSecret,
		})
	}
	return all
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
