package broker

import (
	"embed"
	"fmt"
)

//go:embed icons/*.png
var icons embed.FS

// DefaultLinks returns the default catalogue: the fourteen destinations that
// hosting customers know, all enabled, leading to one portal.
func DefaultLinks(portal string) []LinkDefinition {
	links := []LinkDefinition{
		{ID: "upgrade", Label: "Upgrade/Downgrade", Implements: "upgrade", Path: "/upgrade"},
		{ID: "register_domain", Label: "Register a New Domain", Implements: "billing", Path: "/domains/register"},
		{ID: "transfer_domain", Label: "Transfer a Domain", Implements: "billing", Path: "/domains/transfer"},
		{ID: "open_ticket", Label: "Open a Ticket", Implements: "support", Path: "/tickets/new"},
		{ID: "tickets", Label: "View Ticket History", Implements: "support", Path: "/tickets"},
		{ID: "announcements", Label: "Announcements", Implements: "customer_service", Path: "/announcements"},
		{ID: "downloads", Label: "Downloads", Implements: "customer_service", Path: "/downloads"},
		{ID: "knowledgebase", Label: "Knowledgebase", Implements: "support", Path: "/knowledgebase"},
		{ID: "network_status", Label: "Network Status", Implements: "support", Path: "/network-status"},
		{ID: "profile", Label: "Edit Your Profile", Implements: "customer_service", Path: "/profile"},
		{ID: "billing", Label: "View Billing", Implements: "billing", Path: "/billing"},
		{ID: "manage_billing", Label: "Manage Billing", Implements: "billing", Path: "/billing/methods"},
		{ID: "emails", Label: "View Email History", Implements: "customer_service", Path: "/emails"},
		{ID: "invoices", Label: "View Invoice History", Implements: "billing", Path: "/invoices"},
	}
	for i := range links {
		links[i].Enabled = true
		links[i].Order = (i + 1) * 10
		links[i].Portal = portal
		links[i].Icon = mustIcon(links[i].ID)
	}
	return links
}

// DefaultIcon returns the PNG that the default catalogue has for a link id, or
// nil.
func DefaultIcon(id string) []byte {
	png, err := icons.ReadFile("icons/" + id + ".png")
	if err != nil {
		return nil
	}
	return png
}

// mustIcon panics when an icon was left out of the build, which a test sees
// first.
func mustIcon(id string) []byte {
	png := DefaultIcon(id)
	if png == nil {
		panic(fmt.Sprintf("no icon for the default link %q", id))
	}
	return png
}
