package broker_test

import (
	"bytes"
	"image/png"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/latchkey-sso/latchkey/broker"
)

func TestDefaultCatalogue(t *testing.T) {
	links := broker.DefaultLinks("portal")
	if len(links) != 14 {
		t.Errorf("links: got %d, want 14", len(links))
	}
	ids, orders, labels, icons := map[string]bool{}, map[int]bool{}, map[string]bool{}, map[string]bool{}
	appkeys := []string{"billing", "customer_service", "support", "upgrade"}
	for _, l := range links {
		if ids[l.ID] || orders[l.Order] || labels[l.Label] || icons[string(l.Icon)] {
			t.Errorf("%s: its id, order, label or icon is there twice", l.ID)
		}
		ids[l.ID], orders[l.Order], labels[l.Label], icons[string(l.Icon)] = true, true, true, true
		if err := (broker.Link{Account: bob, App: "latchkey_" + l.ID}).Validate(); err != nil {
			t.Errorf("%s: no valid app: %v", l.ID, err)
		}
		if !l.Enabled || l.Portal != "portal" || l.Label == "" || !slices.Contains(appkeys, l.Implements) {
			t.Errorf("%s: got %+v, want it enabled, labelled, of the portal, with one of %v", l.ID, l, appkeys)
		}
		// It would end a quoted word in the commands that we print.
		if strings.ContainsRune(l.Label+l.Path+l.ID, '\'') {
			t.Errorf("%s: has an apostrophe: %q %q", l.ID, l.Label, l.Path)
		}
		icon, err := png.Decode(bytes.NewReader(l.Icon))
		if err != nil {
			t.Errorf("%s: icon: %v", l.ID, err)
			continue
		}
		if size := icon.Bounds().Size(); size.X != 48 || size.Y != 48 {
			t.Errorf("%s: icon: got %d by %d pixels, want 48 by 48", l.ID, size.X, size.Y)
		}
	}
	if broker.DefaultIcon("no_such_link") != nil || broker.DefaultIcon("../icons/billing") != nil {
		t.Error("there is an icon for a link that is not in the default catalogue")
	}
	c := ok(broker.NewCatalogue("latchkey_", broker.Group{ID: "latchkey", Label: "Billing & Support"}, portals(), links))(t)
	if got := len(c.Destinations()); got != 14 {
		t.Errorf("destinations: got %d, want 14", got)
	}
}

func TestDestinations(t *testing.T) {
	const fallback = "https://portal.example.com/login?next={path}"
	tests := []struct {
		name                     string
		login, fallback, path    string
		wantTarget, wantFallback string
	}{
		{
			name:  "query of the link is kept, path and query of login_url are not",
			login: "https://portal.example.com/sso/latchkey?tenant=7#top", fallback: fallback, path: "/invoices?open=1&page=2",
			wantTarget:   "https://portal.example.com/invoices?open=1&page=2",
			wantFallback: "https://portal.example.com/login?next=%2Finvoices%3Fopen%3D1%26page%3D2",
		},
		{
			name:  "port belongs to the origin, user and password do not",
			login: "http://user:word@portal.example.com:8443/sso", fallback: fallback, path: "/",
			wantTarget:   "http://portal.example.com:8443/",
			wantFallback: "https://portal.example.com/login?next=%2F",
		},
		{
			name:  "address in brackets",
			login: "https://[2001:db8::1]:8443/sso", fallback: "", path: "/a",
			wantTarget: "https://[2001:db8::1]:8443/a", wantFallback: "",
		},
		{
			name:  "plus, percent and ampersand are encoded once in the fallback",
			login: "https://portal.example.com/sso", fallback: fallback, path: "/a+b%20c?d=%26",
			wantTarget:   "https://portal.example.com/a+b%20c?d=%26",
			wantFallback: "https://portal.example.com/login?next=%2Fa%2Bb%2520c%3Fd%3D%2526",
		},
		{
			name:  "a URL as parameter stays a parameter",
			login: "https://portal.example.com/sso", fallback: fallback, path: "/go?to=https://evil.example",
			wantTarget:   "https://portal.example.com/go?to=https://evil.example",
			wantFallback: "https://portal.example.com/login?next=%2Fgo%3Fto%3Dhttps%3A%2F%2Fevil.example",
		},
		{
			name:  "what is encoded stays so",
			login: "https://portal.example.com/sso", fallback: "", path: "/%C3%BCber%20uns?q=%3C%22%5C%3E&it's",
			wantTarget: "https://portal.example.com/%C3%BCber%20uns?q=%3C%22%5C%3E&it's", wantFallback: "",
		},
		{
			name:  "fallback without {path}",
			login: "https://portal.example.com/sso", fallback: "https://portal.example.com/login", path: "/a",
			wantTarget: "https://portal.example.com/a", wantFallback: "https://portal.example.com/login",
		},
	}
	for _, tt := range tests {
		p := broker.Portal{ID: "p", Handoff: broker.HandoffFormPost, LoginURL: tt.login, FallbackURL: tt.fallback, Audience: "a"}
		c, err := broker.NewCatalogue("x_", broker.Group{}, []broker.Portal{p}, []broker.LinkDefinition{{ID: "l", Portal: "p", Path: tt.path}})
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		d, _ := c.Lookup("x_l")
		if d.TargetLinkURI != tt.wantTarget {
			t.Errorf("%s: target_link_uri: got %q, want %q", tt.name, d.TargetLinkURI, tt.wantTarget)
		}
		if !strings.HasPrefix(d.TargetLinkURI, d.Origin+"/") || strings.Count(d.Origin, "/") != 2 {
			t.Errorf("%s: origin: got %q for the target %q", tt.name, d.Origin, d.TargetLinkURI)
		}
		if d.FallbackURL != tt.wantFallback {
			t.Errorf("%s: fallback: got %q, want %q", tt.name, d.FallbackURL, tt.wantFallback)
		}
	}
}

func TestFallbackEncodesItsPath(t *testing.T) {
	const path = "/a%20b?x=1&y=2"
	c := ok(broker.NewCatalogue("", broker.Group{}, portals(), []broker.LinkDefinition{{ID: "l", Portal: "portal", Path: path}}))(t)
	d, _ := c.Lookup("l")
	if want := "https://portal.example.com/login?next=%2Fa%2520b%3Fx%3D1%26y%3D2"; d.FallbackURL != want {
		t.Errorf("got %q, want %q", d.FallbackURL, want)
	}
	u := ok(url.Parse(d.FallbackURL))(t)
	if got := u.Query().Get("next"); got != path {
		t.Errorf("a portal reads next as %q, want %q", got, path)
	}
}

func TestCatalogueOrderAndLookup(t *testing.T) {
	links := []broker.LinkDefinition{
		{ID: "late", Order: 20, Portal: "portal", Path: "/late"},
		{ID: "early", Order: 10, Portal: "portal", Path: "/early", Enabled: true},
		{ID: "late_too", Order: 20, Portal: "shop", Path: "/late"},
	}
	c := ok(broker.NewCatalogue("p_", broker.Group{ID: "latchkey", Label: "Billing & Support"}, portals(), links))(t)
	var apps []string
	for _, d := range c.Destinations() {
		apps = append(apps, d.App)
	}
	if want := []string{"p_early", "p_late", "p_late_too"}; !slices.Equal(apps, want) {
		t.Errorf("order: got %v, want %v", apps, want)
	}
	for app, want := range map[string]bool{"p_early": true, "early": false, "p_": false, "": false, "P_EARLY": false} {
		if _, got := c.Lookup(app); got != want {
			t.Errorf("look up %q: got %v, want %v", app, got, want)
		}
	}
	clear(c.Destinations())
	if c.Destinations()[0] == nil {
		t.Error("a caller can change the catalogue through Destinations")
	}
	want := []string{"https://portal.example.com/login?next=%2F", "https://shop.example.com/login"}
	if got := c.WaysOn(); !slices.Equal(got, want) {
		t.Errorf("ways on: got %v, want %v", got, want)
	}
}

func TestCatalogueProblemsAreAllReported(t *testing.T) {
	form := func(id, login string) broker.Portal {
		return broker.Portal{ID: id, Handoff: broker.HandoffFormPost, LoginURL: login, Audience: "a"}
	}
	exchange := func(id, client, secret string) broker.Portal {
		return broker.Portal{
			ID: id, Handoff: broker.HandoffExchange, LoginURL: "https://x.example/sso", Audience: "a",
			ClientID: client, ClientSecret: broker.NewSecret(secret),
		}
	}
	badPortals := []broker.Portal{
		form("good", "https://good.example/sso"),
		form("good", "https://second.example/sso"),
		form("relative", "/sso"),
		form("schemeless", "portal.example.com/sso"),
		form("script", "javascript:alert(1)"),
		form("ftp", "ftp://x.example/"),
		form("empty", ""),
		form("unparsable", "https://x.example:port/"),
		exchange("no-secret", "c1", ""),
		exchange("no-client", "", "s"),
		exchange("one", "shared", "s"),
		exchange("two", "shared", "s"),
		{ID: "smoke", Handoff: "smoke_signals", LoginURL: "https://x.example/", Audience: "a"},
		{ID: "none", LoginURL: "https://x.example/", Audience: "a"},
		{ID: "a|b", Handoff: broker.HandoffFormPost, LoginURL: "/", Audience: ""},
	}
	link := func(id, portal, path string) broker.LinkDefinition {
		return broker.LinkDefinition{ID: id, Portal: portal, Path: path}
	}
	badLinks := []broker.LinkDefinition{
		link("fine", "good", "/fine"),
		link("fine", "good", "/again"),
		link("lost", "nowhere", "/"),
		link("double-slash", "good", "//evil.example/x"),
		link("absolute", "good", "https://evil"),
		link("no-slash", "good", "no-slash"),
		link("no-path", "good", ""),
		link("only-query", "good", "?x=1"),
		link("opaque", "good", "javascript:alert(1)"),
		link("bad-escape", "good", "/%zz"),
		link("newline", "good", "/a\nb"),
		link("fragment", "good", "/a#b"),
		link("space", "good", "/a b"),
		link("space-query", "good", "/a?b c"),
		link("umlaut", "good", "/\u00fcber"),
		link("umlaut-query", "good", "/a?q=\u00fc"),
		link("not-utf8", "good", "/a?q=\xff"),
		link("delete-query", "good", "/a?q=\x7f"),
		link("backslash", "good", `/\evil.example`),
		link("backslash-query", "good", `/a?q=\`),
		link("quote-query", "good", `/a?q="`),
		link("less-query", "good", "/a?q=<b"),
		link("greater-query", "good", "/a?q=b>"),
	}
	want := []string{
		`portal "good": is there twice`,
		`portal "relative": login_url must be an absolute URL`,
		`portal "schemeless": login_url must be an absolute URL`,
		`portal "script": login_url must be an absolute URL`,
		`portal "ftp": login_url must be an absolute URL`,
		`portal "empty": login_url must be an absolute URL`,
		`portal "unparsable": login_url must be an absolute URL`,
		`portal "no-secret": handoff exchange needs client_id and client_secret`,
		`portal "no-client": handoff exchange needs client_id and client_secret`,
		`portal "two": client_id "shared" is taken by another portal`,
		`portal "smoke": handoff "smoke_signals" is not known`,
		`portal "none": handoff "" is not known`,
		`portal "a|b": invalid_request: id has a character other than letters, digits, dot, underscore and hyphen`,
		`portal "a|b": login_url must be an absolute URL`,
		`portal "a|b": audience is missing`,
		`link "fine": is there twice`,
		`link "lost": there is no portal "nowhere"`,
		`link "double-slash": path must begin with one slash and be a valid path with or without a query`,
		`link "absolute": path must begin with one slash and be a valid path with or without a query`,
		`link "no-slash": path must begin with one slash and be a valid path with or without a query`,
		`link "no-path": path must begin with one slash and be a valid path with or without a query`,
		`link "only-query": path must begin with one slash and be a valid path with or without a query`,
		`link "opaque": path must begin with one slash and be a valid path with or without a query`,
		`link "bad-escape": path must begin with one slash and be a valid path with or without a query`,
		`link "newline": path must begin with one slash and be a valid path with or without a query`,
		`link "fragment": path must begin with one slash and be a valid path with or without a query`,
		`link "space": path must have " " percent-encoded: %20`,
		`link "space-query": path must have " " percent-encoded: %20`,
		`link "umlaut": path must have "ü" percent-encoded: %C3%BC`,
		`link "umlaut-query": path must have "ü" percent-encoded: %C3%BC`,
		`link "not-utf8": path must have "\xff" percent-encoded: %FF`,
		`link "delete-query": path must begin with one slash and be a valid path with or without a query`,
		`link "backslash": path must have "\\" percent-encoded: %5C`,
		`link "backslash-query": path must have "\\" percent-encoded: %5C`,
		`link "quote-query": path must have "\"" percent-encoded: %22`,
		`link "less-query": path must have "<" percent-encoded: %3C`,
		`link "greater-query": path must have ">" percent-encoded: %3E`,
	}
	_, err := broker.NewCatalogue("", broker.Group{}, badPortals, badLinks)
	if err == nil {
		t.Fatal("got no error")
	}
	if got := strings.Split(err.Error(), "\n"); !slices.Equal(got, want) {
		t.Errorf("problems:\ngot  %s\nwant %s", strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
}

// Nothing that a path holds leads to another origin, or to a page that a portal's check
// refuses.
func FuzzTargetStaysAtThePortal(f *testing.F) {
	for _, path := range []string{"/", "/invoices?open=1", "//evil.example/x", "/\\evil.example", "https://evil", "/@evil", "/../x", "/#a", "/a?q=\u00fc", "/a?\"<\\>"} {
		f.Add(path)
	}
	p := broker.Portal{
		ID: "p", Handoff: broker.HandoffFormPost, LoginURL: "https://portal.example.com:8443/sso",
		FallbackURL: "https://portal.example.com/login?next={path}&lang=en", Audience: "a",
	}
	f.Fuzz(func(t *testing.T, path string) {
		c, err := broker.NewCatalogue("", broker.Group{}, []broker.Portal{p}, []broker.LinkDefinition{{ID: "l", Portal: "p", Path: path}})
		if err != nil {
			return
		}
		d, _ := c.Lookup("l")
		target := ok(url.Parse(d.TargetLinkURI))(t)
		if target.Scheme != "https" || target.Host != "portal.example.com:8443" || target.User != nil {
			t.Errorf("%q leads to %q", path, d.TargetLinkURI)
		}
		// As the portal kit's example has it.
		if !regexp.MustCompile(`^[!#-;=?-\[\]-~]+$`).MatchString(d.TargetLinkURI) {
			t.Errorf("%q leads to %q, want what a portal takes", path, d.TargetLinkURI)
		}
		fallback := ok(url.Parse(d.FallbackURL))(t)
		query := ok(url.ParseQuery(fallback.RawQuery))(t)
		if fallback.Host != "portal.example.com" || query.Get("next") != path || query.Get("lang") != "en" || fallback.Fragment != "" {
			t.Errorf("%q makes the fallback %q", path, d.FallbackURL)
		}
	})
}
