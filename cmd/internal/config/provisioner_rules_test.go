package config_test

import (
	"strings"
	"testing"

	"github.com/latchkey-sso/latchkey/cmd/internal/config"
)

func TestProvisionerRules(t *testing.T) {
	const (
		listen, interval = `listen: "127.0.0.1:8082"`, "interval: 1h"
		atOnce, commands = "requests_per_server: 4", "commands_per_request: 48"
		rate, timeout    = "requests_per_second: 20", "request_timeout: 30s"
		withTLS          = "\n  tls: {cert_file: DIR/a.crt, key_file: DIR/a.key}"
	)
	checkRules(t, []rule{
		{name: "listen without port", old: listen, new: "listen: localhost #<", key: "provisioner.listen", says: "must be host:port"},
		{name: "listen without port for the broker too", old: listen, new: "listen: localhost #<", key: "provisioner.listen", says: "must be host:port", role: config.RoleBroker},
		{name: "listen with a bad port", old: listen, new: `listen: "127.0.0.1:65536" #<`, key: "provisioner.listen", says: "bad port"},
		{name: "listen with a bad host", old: listen, new: `listen: "a/b:1"` + " #<" + withTLS, key: "provisioner.listen", says: "bad host"},
		{name: "listen where the broker does", old: listen, new: `listen: "127.0.0.1:8080" #<`, key: "provisioner.listen", says: "must differ from broker.listen (:8080): give hooks a port of their own"},
		{name: "listen where operators do", old: listen, new: `listen: "127.0.0.1:8081" #<`, key: "provisioner.listen", says: "must differ from broker.operator_listen (127.0.0.1:8081)"},
		{name: "listen everywhere where operators do", old: listen, new: `listen: ":8081" #<` + withTLS, key: "provisioner.listen", says: "must differ from broker.operator_listen"},
		{name: "listen everywhere without TLS", old: listen, new: `listen: ":8082" #<`, key: "provisioner.listen", says: "hooks carry a secret: give provisioner.tls or put a TLS proxy in front", warning: true},
		{name: "listen on another address without TLS", old: listen, new: `listen: "10.0.0.5:8082" #<`, key: "provisioner.listen", says: "without TLS", warning: true, role: config.RoleProvisioner},

		{name: "interval too short", old: interval, new: "interval: 59s #<", key: "provisioner.interval", says: "from 1m to 168h, not 59s"},
		{name: "interval too long", old: interval, new: "interval: 168h1m #<", key: "provisioner.interval", says: "from 1m to 168h, not 168h1m"},
		{name: "interval in days", old: interval, new: "interval: 1d #<", key: "provisioner.interval", says: "1 days are 24h"},
		{name: "no request at once", old: atOnce, new: "requests_per_server: 0 #<", key: "provisioner.requests_per_server", says: "from 1 to 32, not 0"},
		{name: "too many requests at once", old: atOnce, new: "requests_per_server: 33 #<", key: "provisioner.requests_per_server", says: "from 1 to 32, not 33"},
		{name: "no command in a request", old: commands, new: "commands_per_request: 0 #<", key: "provisioner.commands_per_request", says: "from 1 to 200, not 0"},
		{name: "too many commands in a request", old: commands, new: "commands_per_request: 201 #<", key: "provisioner.commands_per_request", says: "from 1 to 200, not 201"},
		{name: "rate negative", old: rate, new: "requests_per_second: -0.5 #<", key: "provisioner.requests_per_second", says: "from 0 (no limit) to 1000, not -0.5"},
		{name: "rate too high", old: rate, new: "requests_per_second: 1000.5 #<", key: "provisioner.requests_per_second", says: "from 0 (no limit) to 1000, not 1000.5"},
		{name: "timeout too short", old: timeout, new: "request_timeout: 999ms #<", key: "provisioner.request_timeout", says: "from 1s to 5m, not 999ms"},
		{name: "timeout too long", old: timeout, new: "request_timeout: 5m1s #<", key: "provisioner.request_timeout", says: "from 1s to 5m, not 5m1s"},
		{name: "author too long", old: timeout, new: timeout + "\n  author: " + strings.Repeat("ä", 65) + " #<", key: "provisioner.author", says: "at most 64 characters, has 65"},
		{name: "unknown log level", old: timeout, new: timeout + "\n  log_level: notice #<", key: "provisioner.log_level", says: "one of debug, info, warn, error"},
	})
	checkRules(t, tlsRules("provisioner"))
}

func TestServerRules(t *testing.T) {
	const id, url = "- id: web01\n", "url: https://web01.example.com:2087"
	const whole = `servers:
  - id: web01
    product: cpanel
    url: https://web01.example.com:2087
    user: root
    token_file: DIR/token
    hook_secret_file: DIR/hook
    source_ips: ["203.0.113.10"]
`
	const example = "list each server that may post, e.g. `- id: web01`"
	const hook = "hook_secret_file: DIR/hook"
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
		{name: "URL with a path and no port", old: url, new: "url: https://web01.example.com/json-api #<", key: "servers[0].url", says: "remove \"/json-api\""},
		{name: "URL with a query and no port", old: url, new: "url: https://web01.example.com?a #<", key: "servers[0].url", says: "must not have a query"},
		{name: "URL with a fragment and no port", old: url, new: "url: \"https://web01.example.com#a\" #<", key: "servers[0].url", says: "must not have a fragment"},
		{name: "URL with an empty port", old: url, new: "url: \"https://web01.example.com:\" #<", key: "servers[0].url", says: "bad port"},
		{name: "URL plain http and no port", old: url, new: "url: http://web01.example.com #<", key: "servers[0].url", says: "must begin with https://"},
		{name: "URL with a password", old: url, new: "url: https://u:p@web01.example.com #<", key: "servers[0].url", says: "user name or password"},
		{name: "user with the token", old: "user: root", new: "user: \"root:TOKEN\" #<", key: "servers[0].user", says: "without spaces and colons"},
		{name: "user of two words", old: "user: root", new: "user: whm root #<", key: "servers[0].user", says: "without spaces and colons"},
		{name: "user empty", old: "user: root", new: "user: \"\" #<", key: "servers[0].user", says: "is required"},
		{name: "token missing", old: "token_file: DIR/token", new: "token_file: \"\" #<", key: "servers[0].token_file", says: "set LATCHKEY_SERVERS_WEB01_TOKEN"},
		{name: "token file missing", old: "token_file: DIR/token", new: "token_file: DIR/none #<", key: "servers[0].token_file", says: "no such file"},
		{name: "token with its user", old: "token_file: DIR/token", new: "token_file: DIR/usertoken #<", key: "servers[0].token_file", says: "keep the token alone"},
		{name: "token of two words", old: "token_file: DIR/token", new: "token_file: DIR/spaced #<", key: "servers[0].token_file", says: "keep the token alone"},
		{name: "hook secret file missing", old: hook, new: "hook_secret_file: DIR/none #<", key: "servers[0].hook_secret_file", says: "no such file or directory; put the secret there, or set LATCHKEY_SERVERS_WEB01_HOOK_SECRET"},
		{name: "hook secret file empty", old: hook, new: "hook_secret_file: DIR/empty #<", key: "servers[0].hook_secret_file", says: "the secret is empty"},
		{name: "hook secret too short", old: hook, new: "hook_secret_file: DIR/short #<", key: "servers[0].hook_secret_file", says: "has 15 characters and needs 16"},
		{name: "hook secret with a space", old: hook, new: "hook_secret_file: DIR/spaced #<", key: "servers[0].hook_secret_file", says: "no spaces"},
		{name: "hook secret beyond ASCII", old: hook, new: "hook_secret_file: DIR/umlaut #<", key: "servers[0].hook_secret_file", says: "ASCII only"},
		{name: "hook secret file open to all", old: hook, new: "hook_secret_file: DIR/open #<", key: "servers[0].hook_secret_file", says: "chmod 600", warning: true},
		{name: "hook secret of two servers", old: "subscribers:\n", new: "  - {id: web02, url: \"https://a.example\", token_file: DIR/token, hook_secret_file: DIR/hook} #<\nsubscribers:\n", key: "servers[1].hook_secret_file", says: "is the secret of servers[0].hook_secret_file too", warning: true},
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
		{name: "id taken", old: "links:\n", new: "links:\n  - {id: a, label: a, implements: billing, portal: portal, path: /}\n  - {id: a, label: a, implements: billing, portal: portal, path: /} #<\n", key: "links[1].id", says: "is taken by links[0]"},
		{name: "app too long", old: id, new: "- id: " + strings.Repeat("a", 56) + " #<", key: "links[0].id", says: "65 characters and WHM takes 64"},
		{name: "label missing", old: id + "\n    " + label, new: id + " #<", key: "links[0].label", says: "is required"},
		{name: "label with apostrophe", old: label, new: "label: \"Bob's\" #<", key: "links[0].label", says: "apostrophe"},
		{name: "label too long", old: label, new: "label: " + strings.Repeat("ä", 65) + " #<", key: "links[0].label", says: "at most 64 characters, has 65"},
		{name: "label with a control character", old: label, new: `label: "a\tb" #<`, key: "links[0].label", says: "control characters"},
		{name: "implements missing", old: id + "\n    " + label + "\n    " + purpose, new: id + " #<\n    " + label, key: "links[0].implements", says: "is required: one of billing, customer_service"},
		{name: "implements with a dash", old: purpose, new: "implements: customer-service #<", key: "links[0].implements", says: "one of billing, customer_service"},
		{name: "implements misspelt", old: purpose, new: "implements: biling #<", key: "links[0].implements", says: "did you mean billing?", warning: true},
		{name: "order negative", old: order, new: "order: -1 #<", key: "links[0].order", says: "from 0"},
		{name: "icon missing", old: label, new: label + "\n    icon_file: DIR/none #<", key: "links[0].icon_file", says: "no such file"},
		{name: "icon no PNG", old: label, new: label + "\n    icon_file: DIR/token #<", key: "links[0].icon_file", says: "is not a PNG"},
		{name: "icon cut off", old: label, new: label + "\n    icon_file: DIR/cut.png #<", key: "links[0].icon_file", says: "is not a PNG"},
		{name: "icon too large", old: label, new: label + "\n    icon_file: DIR/big.png #<", key: "links[0].icon_file", says: "may have 65536"},
		{name: "icon too wide", old: label, new: label + "\n    icon_file: DIR/wide.png #<", key: "links[0].icon_file", says: "1025×1025 pixels"},
		{name: "portal missing", old: id + "\n    " + label + "\n    " + purpose + "\n    " + order + "\n    " + portal, new: id + " #<\n    " + label + "\n    " + purpose + "\n    path", key: "links[0].portal", says: "is required"},
		{name: "portal unknown", old: portal, new: "portal: portl #<\n    path", key: "links[0].portal", says: "not listed in portals, which has portal, other"},
		{name: "path empty", old: path, new: "path: \"\" #<", key: "links[0].path", says: "is required"},
		{name: "path without slash", old: path, new: "path: invoices #<", key: "links[0].path", says: "must begin with /"},
		{name: "path to another host", old: path, new: "path: //evil.example #<", key: "links[0].path", says: "must not begin with //"},
		{name: "path to another host with a backslash", old: path, new: `path: /\evil.example #<`, key: "links[0].path", says: `must not begin with /\`},
		{name: "path with a fragment", old: path, new: "path: \"/a#b\" #<", key: "links[0].path", says: "must not have a fragment"},
		{name: "path with a bad escape", old: path, new: "path: /a%zz #<", key: "links[0].path", says: "not a valid path"},
		{name: "path with an umlaut", old: path, new: "path: /über #<", key: "links[0].path", says: `must have "ü" percent-encoded, as %C3%BC: portals refuse it`},
		{name: "path with an umlaut in the query", old: path, new: "path: /suche?q=ü #<", key: "links[0].path", says: `as %C3%BC`},
		{name: "path with a backslash in the query", old: path, new: `path: /a?q=\b #<`, key: "links[0].path", says: `as %5C`},
		{name: "path with a quote in the query", old: path, new: `path: /a?q="b" #<`, key: "links[0].path", says: `as %22`},
		{name: "path with an angle bracket in the query", old: path, new: `path: /a?q=<b> #<`, key: "links[0].path", says: `as %3C`},
		{name: "path with a space", old: path, new: `path: "/a b" #<`, key: "links[0].path", says: `as %20`},
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

// TestProvisionerIsToldEverythingAtOnce holds that one look at the report is enough,
// whatever is wrong.
func TestProvisionerIsToldEverythingAtOnce(t *testing.T) {
	const text = `store: {mode: embedded}
broker: {public_url: "http://sso.example.com"}
provisioner: {interval: 1s, commands_per_request: 500}
portals:
  - id: portal
  - {id: portal, login_url: "https://other.example.com/sso"}
servers:
  - {id: web01, token_file: DIR/none}
  - {id: web01, url: "http://web02.example.com", token_file: DIR/usertoken, hook_secret_file: DIR/short}
subscribers: {file: {path: DIR/none}}
group: {id: group-1, label: "Bob's"}
links:
  - id: invoices
    label: "Bob's Invoices"
    icon_file: DIR/token
    portal: portl
    path: invoices
    implements: billing
  - {id: invoices, label: Again, implements: billing, portal: portal, path: /}
  - {id: ../invoices, label: Elsewhere, implements: billing, portal: portal, path: /}
app_prefix: group_
`
	dir := fixture(t)
	_, report := load(dir, text, config.LoadOptions{Role: config.RoleProvisioner})
	want := `1: store.mode: embedded is not for the provisioner
2: broker.public_url: must begin with https://
3: provisioner.interval: must be from 1m to 168h, not 1s
3: provisioner.commands_per_request: must be from 1 to 200, not 500
5: portals[0].login_url: is required: the portal's page
6: portals[1].id: "portal" is taken by portals[0]
8: servers[0].token_file: DIR/none: no such file
8: servers[0].url: is required: WHM's address
9: servers[1].id: "web01" is taken by servers[0]
9: servers[1].url: must begin with https://
9: servers[1].token_file: is no WHM API token
9: servers[1].hook_secret_file: the secret has 15 characters
10: subscribers.file.path: DIR/none: no such file
11: group.id: must be 1 to 64 of a-z, 0-9 and _, not "group-1"
11: group.label: must not contain an apostrophe, which WHM refuses
14: links[0].label: must not contain an apostrophe, which WHM refuses
15: links[0].icon_file: DIR/token is not a PNG picture
16: links[0].portal: "portl" is not listed in portals
17: links[0].path: must begin with /
19: links[1].id: "invoices" is taken by links[0]
20: links[2].id: must be a-z, 0-9 and _, at most 64, not "../invoices"
21: app_prefix: must not begin with group_, which WHM keeps for groups`
	lines := strings.Split(want, "\n")
	for i, p := range report.Problems {
		got := strings.ReplaceAll(strings.TrimPrefix(p.String(), "latchkey.yaml:"), dir, "DIR")
		if i < len(lines) && !strings.HasPrefix(got, lines[i]) {
			t.Errorf("problem %d: got %s, want %s", i, got, lines[i])
		}
	}
	if len(report.Problems) != len(lines) {
		t.Errorf("got %d problems, want %d:\n%s", len(report.Problems), len(lines), report)
	}
}

func TestLinkWithoutAnyPortal(t *testing.T) {
	text := "links:\n  - {id: a, label: A, implements: billing, portal: portal, path: /} #<\n"
	_, report := load("", text, config.LoadOptions{})
	want := marked(t, text) + `: links[0].portal: "portal" is not listed in portals` + "\n"
	if report.String() != want {
		t.Errorf("got\n%swant\n%s", report, want)
	}
}

func TestWhatIsAllowed(t *testing.T) {
	dir := fixture(t)
	const public, pinAt = "https://sso.example.com", "    user: root\n"
	const hooks = `listen: "127.0.0.1:8082"`
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
		{"no listener for hooks", hooks, `listen: ""`},
		{"hooks on localhost", hooks, "listen: localhost:8082"},
		{"hooks on ::1", hooks, `listen: "[::1]:8082"`},
		{"hooks on a port that the system picks", hooks, `listen: "127.0.0.1:0"`},
		{"hooks on the broker's port of another address", "listen: \":8080\"\n  operator_listen: \"127.0.0.1:8081\"", "listen: \"10.0.0.1:8082\"\n  operator_listen: \"127.0.0.1:8081\""},
		{"hooks everywhere with TLS", hooks, "listen: \":8082\"\n  tls: {cert_file: DIR/a.crt, key_file: DIR/a.key}"},
		{"interval least", "interval: 1h", "interval: 1m"},
		{"interval most", "interval: 1h", "interval: 168h"},
		{"least at once", "requests_per_server: 4", "requests_per_server: 1"},
		{"most at once", "requests_per_server: 4", "requests_per_server: 32"},
		{"least commands", "commands_per_request: 48", "commands_per_request: 1"},
		{"most commands", "commands_per_request: 48", "commands_per_request: 200"},
		{"no rate", "requests_per_second: 20", "requests_per_second: 0"},
		{"a request in ten seconds", "requests_per_second: 20", "requests_per_second: 0.1"},
		{"highest rate", "requests_per_second: 20", "requests_per_second: 1000"},
		{"timeout least", "request_timeout: 30s", "request_timeout: 1s"},
		{"timeout most", "request_timeout: 30s", "request_timeout: 5m"},
		{"no hook secret", "    hook_secret_file: DIR/hook\n", ""},
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
