package config_test

import (
	"strings"
	"testing"

	"github.com/latchkey-sso/latchkey/cmd/internal/config"
)

func TestServerRules(t *testing.T) {
	const id, url = "- id: web01\n", "url: https://web01.example.com:2087"
	const whole = `servers:
  - id: web01
    product: cpanel
    url: https://web01.example.com:2087
    user: root
    token_file: DIR/token
    source_ips: ["203.0.113.10"]
`
	const example = "list each server that may post, e.g. `- id: web01`"
	const pin = "pin_sha256: 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
	checkRules(t, []rule{
		{name: "none for the broker", old: whole, new: "servers: [] #<\n", key: "servers", says: example, role: config.RoleBroker},
		{name: "none for the provisioner", old: whole, new: "servers: #<\n", key: "servers", says: example, role: config.RoleProvisioner},
		{name: "id missing", old: id + "    product: cpanel\n", new: "- product: cpanel #<\n", key: "servers[0].id", says: "is required", role: config.RoleBroker},
		{name: "id with an underscore", old: id, new: "- id: web_01 #<\n", key: "servers[0].id", says: "must be a-z, 0-9, . and -"},
		{name: "id too long", old: id, new: "- id: " + strings.Repeat("a", 64) + " #<\n", key: "servers[0].id", says: "at most 63"},
		{name: "id taken", old: id, new: "- {id: web01, url: \"https://a.example\", token_file: DIR/token}\n  - id: web01 #<\n", key: "servers[1].id", says: "is taken by servers[0]"},
		{name: "ids with one variable", old: id, new: "- {id: web.01, url: \"https://a.example\", token_file: DIR/token}\n  - id: web-01 #<\n", key: "servers[1].id", says: "LATCHKEY_SERVERS_WEB_01_TOKEN"},
		{name: "unknown product", old: "product: cpanel", new: "product: plesk #<", key: "servers[0].product", says: "one of cpanel, wpsquared"},
		{name: "URL missing", old: id + "    product: cpanel\n    " + url, new: "- id: web01 #<", key: "servers[0].url", says: "is required"},
		{name: "URL plain http", old: url, new: "url: http://localhost:2086 #<", key: "servers[0].url", says: "must begin with https://"},
		{name: "URL malformed for the broker too", old: url, new: "url: web01 #<", key: "servers[0].url", says: "absolute URL", role: config.RoleBroker},
		{name: "URL with a path", old: url, new: url + "/json-api #<", key: "servers[0].url", says: "remove \"/json-api\""},
		{name: "URL with a query", old: url, new: url + "?a #<", key: "servers[0].url", says: "must not have a query"},
		{name: "user empty", old: "user: root", new: "user: \"\" #<", key: "servers[0].user", says: "is required"},
		{name: "token missing", old: "token_file: DIR/token", new: "token_file: \"\" #<", key: "servers[0].token_file", says: "set LATCHKEY_SERVERS_WEB01_TOKEN"},
		{name: "token file missing", old: "token_file: DIR/token", new: "token_file: DIR/none #<", key: "servers[0].token_file", says: "no such file"},
		{name: "CA file missing", old: url, new: url + "\n    ca_file: DIR/none #<", key: "servers[0].ca_file", says: "no such file"},
		{name: "CA file and pin", old: url, new: url + "\n    ca_file: DIR/a.crt\n    " + pin + " #<", key: "servers[0].pin_sha256", says: "goes without ca_file"},
		{name: "pin of a wrong length", old: url, new: url + "\n    " + pin + "00 #<", key: "servers[0].pin_sha256", says: "hex (64 digits) or base64"},
		{name: "bad source IP", old: `source_ips: ["203.0.113.10"]`, new: "source_ips:\n    - 203.0.113.10\n    - web01 #<", key: "servers[0].source_ips[1]", says: "IP address or a CIDR"},
	})
}

func TestSubscriberRules(t *testing.T) {
	const source, file = "source: file", "file: {path: DIR/accounts.csv}"
	const section = "subscribers:\n  source: file\n"
	checkRules(t, []rule{
		{name: "unknown source", old: source, new: "source: csv #<", key: "subscribers.source", says: "one of file, sql, http"},
		{name: "file missing", old: file, new: "file: {path: DIR/none} #<", key: "subscribers.file.path", says: "no such file"},
		{name: "file a directory", old: file, new: "file: {path: DIR/keys} #<", key: "subscribers.file.path", says: "is a directory"},
		{name: "file empty", old: file, new: "file: {path: \"\"} #<", key: "subscribers.file.path", says: "is required for source file"},
		{name: "unknown driver", old: file, new: "sql: {driver: postgresql, dsn_file: DIR/token} #<\n  " + file, key: "subscribers.sql.driver", says: "did you mean postgres?"},
		{name: "DSN missing", old: section, new: "subscribers: #<\n  source: sql\n", key: "subscribers.sql.dsn_file", says: "is required for source sql"},
		{name: "query empty", old: section, new: "subscribers:\n  source: sql\n  sql: {dsn_file: DIR/token, query: \" \"} #<\n", key: "subscribers.sql.query", says: "is required for source sql"},
		{name: "HTTP URL missing", old: section, new: "subscribers: #<\n  source: http\n", key: "subscribers.http.url", says: "is required"},
		{name: "HTTP URL plain", old: section, new: "subscribers:\n  source: http\n  http: {url: \"http://a.example/\"} #<\n", key: "subscribers.http.url", says: "localhost only"},
		{name: "HTTP URL with a password", old: section, new: "subscribers:\n  source: http\n  http: {url: \"https://u:p@a.example/\"} #<\n", key: "subscribers.http.url", says: "user name or password"},
		{name: "HTTP URL with a secret", old: section, new: "subscribers:\n  source: http\n  http: {url: \"https://a.example/?api_key=x\"} #<\n", key: "subscribers.http.url", says: "use bearer_file", warning: true},
		{name: "bearer file missing", old: section, new: "subscribers:\n  source: http\n  http: {url: \"https://a.example/\", bearer_file: DIR/none} #<\n", key: "subscribers.http.bearer_file", says: "no such file"},
	})
}

func TestCatalogueRules(t *testing.T) {
	const id, label, path = "- id: invoices", "label: View Invoices", "path: /invoices"
	const group = "group: {id: latchkey, label: Billing, order: 1}"
	const purpose, order, portal, prefix = "implements: billing", "order: 10", "portal: portal\n    path", "app_prefix: latchkey_"
	checkRules(t, []rule{
		{name: "group id", old: group, new: "group: {id: a-b} #<", key: "group.id", says: "a-z, 0-9 and _"},
		{name: "group label empty", old: group, new: "group: {label: \" \"} #<", key: "group.label", says: "is required"},
		{name: "group label with apostrophe", old: group, new: "group: {label: \"a'b\"} #<", key: "group.label", says: "apostrophe"},
		{name: "group order negative", old: group, new: "group: {order: -1} #<", key: "group.order", says: "from 0"},
		{name: "prefix with a dash", old: prefix, new: "app_prefix: latchkey- #<", key: "app_prefix", says: "1 to 32"},
		{name: "prefix too long", old: prefix, new: "app_prefix: " + strings.Repeat("a", 33) + " #<", key: "app_prefix", says: "1 to 32"},
		{name: "prefix empty", old: prefix, new: "app_prefix: \"\" #<", key: "app_prefix", says: "1 to 32"},
		{name: "prefix of a group", old: prefix, new: "app_prefix: group_a #<", key: "app_prefix", says: "group_"},
		{name: "id missing", old: id + "\n    " + label, new: "- " + label + " #<", key: "links[0].id", says: "is required"},
		{name: "id with a dash", old: id, new: "- id: a-b #<", key: "links[0].id", says: "a-z, 0-9 and _"},
		{name: "id too long", old: id, new: "- id: " + strings.Repeat("a", 65) + " #<", key: "links[0].id", says: "at most 64"},
		{name: "id taken", old: "links:\n", new: "links:\n  - {id: a, label: a, portal: portal, path: /}\n  - {id: a, label: a, portal: portal, path: /} #<\n", key: "links[1].id", says: "is taken by links[0]"},
		{name: "app too long", old: id, new: "- id: " + strings.Repeat("a", 56) + " #<", key: "links[0].id", says: "65 characters and WHM takes 64"},
		{name: "label missing", old: id + "\n    " + label, new: id + " #<", key: "links[0].label", says: "is required"},
		{name: "label with apostrophe", old: label, new: "label: \"Bob's\" #<", key: "links[0].label", says: "apostrophe"},
		{name: "label too long", old: label, new: "label: " + strings.Repeat("ä", 65) + " #<", key: "links[0].label", says: "at most 64 characters, has 65"},
		{name: "label with a control character", old: label, new: `label: "a\tb" #<`, key: "links[0].label", says: "control characters"},
		{name: "implements with a dash", old: purpose, new: "implements: customer-service #<", key: "links[0].implements", says: "one of billing, customer_service"},
		{name: "implements misspelt", old: purpose, new: "implements: biling #<", key: "links[0].implements", says: "did you mean billing?", warning: true},
		{name: "order negative", old: order, new: "order: -1 #<", key: "links[0].order", says: "from 0"},
		{name: "icon missing", old: label, new: label + "\n    icon_file: DIR/none #<", key: "links[0].icon_file", says: "no such file"},
		{name: "icon no PNG", old: label, new: label + "\n    icon_file: DIR/token #<", key: "links[0].icon_file", says: "is not a PNG"},
		{name: "icon cut off", old: label, new: label + "\n    icon_file: DIR/cut.png #<", key: "links[0].icon_file", says: "is not a PNG"},
		{name: "icon too large", old: label, new: label + "\n    icon_file: DIR/big.png #<", key: "links[0].icon_file", says: "may have 65536"},
		{name: "icon too wide", old: label, new: label + "\n    icon_file: DIR/wide.png #<", key: "links[0].icon_file", says: "1025×1025 pixels"},
		{name: "portal missing", old: id + "\n    " + label + "\n    " + purpose + "\n    " + order + "\n    " + portal, new: id + " #<\n    " + label + "\n    path", key: "links[0].portal", says: "is required"},
		{name: "portal unknown", old: portal, new: "portal: portl #<\n    path", key: "links[0].portal", says: "not listed in portals, which has portal, other"},
		{name: "path empty", old: path, new: "path: \"\" #<", key: "links[0].path", says: "is required"},
		{name: "path without slash", old: path, new: "path: invoices #<", key: "links[0].path", says: "must begin with /"},
		{name: "path to another host", old: path, new: "path: //evil.example #<", key: "links[0].path", says: "must not begin with //"},
		{name: "path to another host with a backslash", old: path, new: `path: /\evil.example #<`, key: "links[0].path", says: `must not begin with /\`},
		{name: "path with a fragment", old: path, new: "path: \"/a#b\" #<", key: "links[0].path", says: "must not have a fragment"},
		{name: "path with a bad escape", old: path, new: "path: /a%zz #<", key: "links[0].path", says: "not a valid path"},
		{name: "path with a control character", old: path, new: `path: "/\t/evil.example" #<`, key: "links[0].path", says: "control characters"},
		{name: "links with nothing below", old: valid[strings.Index(valid, "links:"):], new: "links: #<\n", key: "links", says: "write `links: []`"},
	})
}

func TestAppMayNotBeginLikeAGroup(t *testing.T) {
	dir := fixture(t)
	text := replace(t, replace(t, valid, "app_prefix: latchkey_", "app_prefix: group"), "- id: invoices", "- id: _a #<")
	_, report := load(dir, text, config.LoadOptions{Role: both})
	want := marked(t, text) + `: links[0].id: makes the app "group_a", and WHM keeps names that begin with group_ for groups` + "\n"
	if report.String() != want {
		t.Errorf("got\n%swant\n%s", report, want)
	}
}

func TestLinkWithoutAnyPortal(t *testing.T) {
	text := "links:\n  - {id: a, label: A, portal: portal, path: /} #<\n"
	_, report := load("", text, config.LoadOptions{})
	want := marked(t, text) + `: links[0].portal: "portal" is not listed in portals` + "\n"
	if report.String() != want {
		t.Errorf("got\n%swant\n%s", report, want)
	}
}

func TestWhatIsAllowed(t *testing.T) {
	dir := fixture(t)
	const public, pinAt = "https://sso.example.com", "    user: root\n"
	for _, c := range []struct{ name, old, new string }{
		{"nothing changed", "mode: standalone", "mode: standalone"},
		{"http on localhost", public, "http://localhost:8080"},
		{"http below localhost", public, "http://sso.LOCALHOST:8080"},
		{"http on 127/8", public, "http://127.1.2.3:8080"},
		{"http on ::1", public, `"http://[::1]:8080"`},
		{"public URL with a path", public, public + "/sign-on"},
		{"listeners on one port 0", "listen: \":8080\"\n  operator_listen: \"127.0.0.1:8081\"", "listen: \":0\"\n  operator_listen: \":0\""},
		{"listeners on one port of two addresses", "listen: \":8080\"\n  operator_listen: \"127.0.0.1:8081\"", "listen: \"10.0.0.1:80\"\n  operator_listen: \"127.0.0.1:80\""},
		{"token age 0", "2160h", "0"},
		{"token lifetime least", "120s", "10s"},
		{"token lifetime most", "120s", "10m"},
		{"cluster", "mode: standalone", "mode: cluster"},
		{"sentinel", "mode: standalone", "mode: sentinel\n  sentinel_master: mymaster"},
		{"no rate limit", "confirm: auto", "confirm: auto\n  limits: {per_address_rate: 0, per_address_burst: 0}"},
		{"half a request a second", "confirm: auto", "confirm: auto\n  limits: {per_address_rate: 0.5}"},
		{"TLS", "confirm: auto", "confirm: auto\n  tls: {cert_file: DIR/a.crt, key_file: DIR/a.key}"},
		{"pin in base64", pinAt, pinAt + "    pin_sha256: ABEiM0RVZneImaq7zN3u/wARIjNEVWZ3iJmqu8zd7v8=\n"},
		{"pin in hex with colons", pinAt, pinAt + "    pin_sha256: \"" + strings.Repeat("0A:", 31) + "0a\"\n"},
		{"CA file", pinAt, pinAt + "    ca_file: DIR/a.crt\n"},
		{"another purpose", "implements: billing", "implements: domains"},
		{"path with a query", "path: /invoices", "path: /index.php?a=b&c={d}"},
		{"icon", "order: 10", "order: 10\n    icon_file: DIR/icon.png"},
		{"app of 64", "- id: invoices", "- id: " + strings.Repeat("a", 55)},
		{"no links", valid[strings.Index(valid, "links:"):], "links: []"},
	} {
		t.Run(c.name, func(t *testing.T) {
			mustLoad(t, dir, replace(t, valid, c.old, c.new), config.LoadOptions{Role: both})
		})
	}
}
