package setup_test

import (
	"strings"
	"testing"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/cmd/internal/config"
	"github.com/latchkey-sso/latchkey/cmd/internal/setup"
)

const file = `
broker: {public_url: "https://sso.example.com"}
portals:
  - {id: portal, login_url: "https://portal.example.com/sso"}
  - {id: shop, handoff: exchange, login_url: "https://shop.example.com/sso", client_id: shop}
links:
  - {id: invoices, label: Invoices, implements: billing, portal: portal, path: /invoices}
  - {id: cart, label: Cart, implements: billing, portal: shop, path: /cart}
`

func load(t *testing.T, text string) *config.Config {
	t.Helper()
	cfg, report := config.Load(config.LoadOptions{Path: "latchkey.yaml", Data: []byte(text)})
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestFileRevision(t *testing.T) {
	r, err := setup.FileRevision(load(t, file))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Links) != 2 || r.Links[0].ID != "invoices" || r.Source != broker.SourceFile || r.Group.ID != "latchkey" {
		t.Errorf("got %+v, want the two links of the file in the group latchkey", r)
	}
	if len(r.Links[0].Icon) == 0 {
		t.Error("a link named like a default one has no icon, want the built-in one")
	}
	noLinks, _, _ := strings.Cut(file, "links:")
	if r, err = setup.FileRevision(load(t, noLinks)); err != nil || len(r.Links) != len(broker.DefaultLinks("portal")) {
		t.Errorf("without links: got %d links, error %v, want the default ones", len(r.Links), err)
	}
}

// Who writes links needs no portal's secret; a broker does, and nobody gets a link
// that leads nowhere.
func TestCataloguesOfARevision(t *testing.T) {
	cfg := load(t, file)
	r, err := setup.FileRevision(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.Number = 7
	if _, _, err := setup.RevisionCatalogue(cfg, r); err == nil || !strings.Contains(err.Error(), "revision 7 of the catalogue") {
		t.Errorf("a broker without the portal's secret: got error %v, want one that names the revision", err)
	}
	c, left, err := setup.ProvisioningCatalogue(cfg, r)
	if err != nil || len(left) != 0 {
		t.Fatalf("for provisioning: left %q, error %v", left, err)
	}
	if _, ok := c.Lookup("latchkey_cart"); !ok {
		t.Error("the link to the shop is missing")
	}
	r.Links = append(r.Links, broker.LinkDefinition{ID: "desk", Enabled: true, Label: "Desk", Portal: "desk", Path: "/"})
	c, left, err = setup.ProvisioningCatalogue(cfg, r)
	if err != nil || len(left) != 1 || !strings.Contains(left[0], `desk leads to the portal "desk"`) {
		t.Errorf("unknown portal: left %q, error %v, want desk left out", left, err)
	}
	if _, ok := c.Lookup("latchkey_desk"); ok {
		t.Error("a link to an unknown portal is in the catalogue")
	}
}
