package config_test

import (
	"strings"
	"testing"

	"github.com/latchkey-sso/latchkey/cmd/internal/config"
)

// rule is one change to the valid file, its only problem and, by the marker #< in
// the new text, the line of that problem.
type rule struct {
	name     string
	old, new string
	key      string
	says     string
	warning  bool
	role     config.Role // both if 0
}

func checkRules(t *testing.T, rules []rule) {
	dir := fixture(t)
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			text := replace(t, valid, r.old, r.new)
			if r.role == 0 {
				r.role = both
			}
			cfg, report := load(dir, text, config.LoadOptions{Role: r.role})
			if len(report.Problems) != 1 {
				t.Fatalf("got %d problems, want 1:\n%s", len(report.Problems), report)
			}
			got := report.Problems[0]
			if want := marked(t, text); got.Source != want {
				t.Errorf("got source %s, want %s\n%s", got.Source, want, got)
			}
			if got.Key != r.key {
				t.Errorf("got key %s, want %s", got.Key, r.key)
			}
			if !strings.Contains(got.Message, r.says) {
				t.Errorf("got message %q, want in it %q", got.Message, r.says)
			}
			if got.Warning != r.warning || (cfg != nil) != r.warning {
				t.Errorf("got warning %v and config %v, want warning %v", got.Warning, cfg != nil, r.warning)
			}
		})
	}
}

func TestStoreRules(t *testing.T) {
	const mode, addresses, prefix = "mode: standalone", `addresses: ["127.0.0.1:6379"]`, `"latchkey:"`
	checkRules(t, []rule{
		{name: "unknown mode", old: mode, new: "mode: standalon #<", key: "store.mode", says: "did you mean standalone?"},
		{name: "embedded keeps nothing", old: mode, new: "mode: embedded #<", key: "store.mode", says: "keeps nothing", warning: true},
		{name: "embedded for the broker", old: mode, new: "mode: embedded #<", key: "store.mode", says: "keeps nothing", warning: true, role: config.RoleBroker},
		{name: "embedded for the provisioner alone", old: mode, new: "mode: embedded #<", key: "store.mode", says: "such a store lives inside one process, and no broker would see it: use a Redis", role: config.RoleProvisioner},
		{name: "no replicas", old: mode, new: mode + "\n  replicas: 0 #<", key: "store.replicas", says: "from 1 to 9, not 0"},
		{name: "too many replicas", old: mode, new: mode + "\n  replicas: 10 #<", key: "store.replicas", says: "from 1 to 9, not 10"},
		{name: "no addresses", old: addresses, new: "addresses: [] #<", key: "store.addresses", says: "is required for mode standalone"},
		{name: "address without port", old: addresses, new: "addresses:\n    - a:1\n    - b #<", key: "store.addresses[1]", says: "must be host:port"},
		{name: "address without host", old: addresses, new: `addresses: [":6379"] #<`, key: "store.addresses[0]", says: "bad host"},
		{name: "address with port 0", old: addresses, new: `addresses: ["a:0"] #<`, key: "store.addresses[0]", says: "bad port"},
		{name: "address with a scheme", old: addresses, new: `addresses: ["redis://a:1"] #<`, key: "store.addresses[0]", says: "must be host:port"},
		{name: "sentinel without master", old: "store:\n  " + mode, new: "store: #<\n  mode: sentinel", key: "store.sentinel_master", says: "is required for mode sentinel"},
		{name: "master without sentinel", old: mode, new: mode + "\n  sentinel_master: mymaster #<", key: "store.sentinel_master", says: "no effect in mode standalone", warning: true},
		{name: "key prefix with a hash tag", old: prefix, new: `"a{b}" #<`, key: "store.key_prefix", says: "remove '{'"},
		{name: "key prefix with a pattern", old: prefix, new: `"a*" #<`, key: "store.key_prefix", says: "remove '*'"},
		{name: "key prefix with a space", old: prefix, new: `"a b" #<`, key: "store.key_prefix", says: "remove ' '"},
		{name: "key prefix beyond ASCII", old: prefix, new: `"ä" #<`, key: "store.key_prefix", says: "printable ASCII"},
		{name: "key prefix too long", old: prefix, new: strings.Repeat("a", 65) + " #<", key: "store.key_prefix", says: "at most 64 characters, has 65"},
		{name: "CA without TLS", old: mode, new: mode + "\n  tls: {ca_file: DIR/a.crt} #<", key: "store.tls.ca_file", says: "no effect", warning: true},
		{name: "CA file missing", old: mode, new: mode + "\n  tls: {enabled: true, ca_file: DIR/none} #<", key: "store.tls.ca_file", says: "no such file"},
		{name: "CA file without a certificate", old: mode, new: mode + "\n  tls: {enabled: true, ca_file: DIR/a.key} #<", key: "store.tls.ca_file", says: "no PEM certificate"},
	})
}

func TestBrokerRules(t *testing.T) {
	const (
		listen, operators = `listen: ":8080"` + "\n  operator_listen", `"127.0.0.1:8081"`
		public            = "public_url: https://sso.example.com\n"
		ttl, age          = "one_time_token_ttl: 120s", "link_token_max_age: 2160h"
		broker            = "broker:\n"
		confirm           = "confirm: auto"
	)
	const url = "broker.public_url"
	checkRules(t, []rule{
		{name: "public URL missing", old: broker + "  " + listen + ": " + operators + "\n  " + public, new: "broker: #<\n", key: url, says: "is required"},
		{name: "public URL relative", old: public, new: "public_url: sso.example.com #<\n", key: url, says: "absolute URL"},
		{name: "public URL of another scheme", old: public, new: "public_url: ftp://sso.example.com #<\n", key: url, says: "absolute URL"},
		{name: "public URL without a host", old: public, new: "public_url: \"https://:8443\" #<\n", key: url, says: "absolute URL"},
		{name: "public URL not a URL", old: public, new: "public_url: \"https://a b\" #<\n", key: url, says: "is not a URL"},
		{name: "public URL plain http", old: public, new: "public_url: http://sso.example.com #<\n", key: url, says: "localhost only"},
		{name: "public URL http on a look-alike", old: public, new: "public_url: http://localhost.example.com #<\n", key: url, says: "localhost only"},
		{name: "public URL http on a private address", old: public, new: "public_url: http://10.0.0.1 #<\n", key: url, says: "localhost only"},
		{name: "public URL with a query", old: public, new: "public_url: https://a.example/?b=c #<\n", key: url, says: "must not have a query"},
		{name: "public URL with a fragment", old: public, new: "public_url: \"https://a.example/#b\" #<\n", key: url, says: "must not have a fragment"},
		{name: "public URL with a password", old: public, new: "public_url: https://u:p@a.example #<\n", key: url, says: "user name or password"},
		{name: "public URL with a bad port", old: public, new: "public_url: https://a.example:70000 #<\n", key: url, says: "bad port"},
		{name: "public URL with an empty port", old: public, new: "public_url: \"https://a.example:\" #<\n", key: url, says: "bad port"},
		{name: "public URL with braces", old: public, new: "public_url: https://a.example/{path} #<\n", key: url, says: "must not have braces"},

		{name: "listen without port", old: listen, new: "listen: localhost #<\n  operator_listen", key: "broker.listen", says: "must be host:port"},
		{name: "listen with a bad port", old: listen, new: "listen: \":65536\" #<\n  operator_listen", key: "broker.listen", says: "bad port"},
		{name: "listen with a bad host", old: listen, new: "listen: \"a/b:1\" #<\n  operator_listen", key: "broker.listen", says: "bad host"},
		{name: "listeners the same", old: operators, new: `":8080" #<`, key: "broker.operator_listen", says: "must differ"},
		{name: "listeners overlap", old: operators, new: `"127.0.0.1:8080" #<`, key: "broker.operator_listen", says: "must differ"},

		{name: "token lifetime too short", old: ttl, new: "one_time_token_ttl: 9s #<", key: "broker.one_time_token_ttl", says: "from 10s to 10m, not 9s"},
		{name: "token lifetime too long", old: ttl, new: "one_time_token_ttl: 10m1s #<", key: "broker.one_time_token_ttl", says: "from 10s to 10m, not 10m1s"},
		{name: "token age too low", old: age, new: "link_token_max_age: 59m #<", key: "broker.link_token_max_age", says: "at least 1h, not 59m"},
		{name: "token age negative", old: age, new: "link_token_max_age: -1h #<", key: "broker.link_token_max_age", says: "at least 1h"},
		{name: "drain too long", old: confirm, new: confirm + "\n  drain_delay: 6s #<", key: "broker.drain_delay", says: "from 0s to 5s"},
		{name: "drain negative", old: confirm, new: confirm + "\n  drain_delay: -1s #<", key: "broker.drain_delay", says: "from 0s to 5s"},
		{name: "unknown confirm", old: confirm, new: "confirm: maybe #<", key: "broker.confirm", says: "one of auto, always, never"},
		{name: "unknown log level", old: confirm, new: confirm + "\n  log_level: warning #<", key: "broker.log_level", says: "one of debug, info, warn, error"},
		{name: "unknown durability", old: "durability: local", new: "durability: locl #<", key: "broker.durability", says: "did you mean local?"},
		{name: "bad proxy", old: confirm, new: confirm + "\n  trusted_proxies:\n    - 10.0.0.1\n    - 10.0.0.0/33 #<", key: "broker.trusted_proxies[1]", says: "IP address or a CIDR"},
		{name: "proxy with a zone", old: confirm, new: confirm + "\n  trusted_proxies: [\"fe80::1%eth0\"] #<", key: "broker.trusted_proxies[0]", says: "IP address or a CIDR"},
		{name: "every proxy trusted", old: confirm, new: confirm + "\n  trusted_proxies: [0.0.0.0/0] #<", key: "broker.trusted_proxies[0]", says: "every address", warning: true},
		{name: "keys directory missing", old: "DIR/keys", new: "DIR/none #<", key: "broker.signing_keys_dir", says: "no such file or directory"},
		{name: "keys directory a file", old: "DIR/keys", new: "DIR/token #<", key: "broker.signing_keys_dir", says: "is not a directory"},
		{name: "keys directory open to all", old: "DIR/keys", new: "DIR/openkeys #<", key: "broker.signing_keys_dir", says: "chmod 700", warning: true},
		{name: "keys directory empty", old: "DIR/keys", new: "\"\" #<", key: "broker.signing_keys_dir", says: "is required"},
		{name: "rate negative", old: confirm, new: confirm + "\n  limits: {per_address_rate: -1} #<", key: "broker.limits.per_address_rate", says: "must be 0"},
		{name: "account rate too small", old: confirm, new: confirm + "\n  limits: {per_account_rate: 0.0001} #<", key: "broker.limits.per_account_rate", says: "from 0.001"},
		{name: "server burst 0 with a rate", old: confirm, new: confirm + "\n  limits: {per_server_burst: 0} #<", key: "broker.limits.per_server_burst", says: "1000000 sign-ons"},
		{name: "burst 0 with a rate", old: confirm, new: confirm + "\n  limits: {per_address_burst: 0} #<", key: "broker.limits.per_address_burst", says: "from 1"},
	})
	checkRules(t, tlsRules("broker"))
}

// tlsRules are the same for every section that has a listener.
func tlsRules(section string) []rule {
	begin, cert, key := section+":\n", section+".tls.cert_file", section+".tls.key_file"
	return []rule{
		{name: "certificate without key", old: begin, new: begin + "  tls: #<\n    cert_file: DIR/a.crt\n", key: key, says: "is required with " + cert},
		{name: "key without certificate", old: begin, new: begin + "  tls: #<\n    key_file: DIR/a.key\n", key: cert, says: "is required with " + key},
		{name: "certificate file missing", old: begin, new: begin + "  tls: {cert_file: DIR/none, key_file: DIR/a.key} #<\n", key: cert, says: "no such file"},
		{name: "key file missing", old: begin, new: begin + "  tls: {cert_file: DIR/a.crt, key_file: DIR/none} #<\n", key: key, says: "no such file"},
		{name: "key of another certificate", old: begin, new: begin + "  tls: {cert_file: DIR/a.crt, key_file: DIR/b.key} #<\n", key: key, says: "does not go with " + cert},
		{name: "key file open to all", old: begin, new: begin + "  tls: {cert_file: DIR/open.crt, key_file: DIR/open.key} #<\n", key: key, says: "chmod 600", warning: true},
	}
}

func TestPortalRules(t *testing.T) {
	const id, login = "- id: portal\n", "login_url: https://portal.example.com/sso"
	const fallback = "fallback_url: https://portal.example.com/login?next={path}"
	const exchange = "- id: other\n    handoff: exchange"
	const secret = "client_secret_file: DIR/secret"
	checkRules(t, []rule{
		{name: "id missing", old: exchange, new: "- handoff: exchange #<", key: "portals[1].id", says: "is required"},
		{name: "id with capitals", old: "- id: other\n", new: "- id: Other #<\n", key: "portals[1].id", says: "must be a-z"},
		{name: "id too long", old: "- id: other\n", new: "- id: " + strings.Repeat("a", 33) + " #<\n", key: "portals[1].id", says: "at most 32"},
		{name: "id taken", old: "- id: other\n", new: "- id: portal #<\n", key: "portals[1].id", says: "is taken by portals[0]"},
		{name: "ids with one variable", old: id, new: "- id: a-b\n    login_url: https://a.example\n  - id: a_b #<\n    login_url: https://a.example\n  - id: portal\n", key: "portals[1].id", says: "LATCHKEY_PORTALS_A_B_CLIENT_SECRET"},
		{name: "handoff whmcs", old: "handoff: form_post", new: "handoff: whmcs #<", key: "portals[0].handoff", says: "not in this version"},
		{name: "unknown handoff", old: "handoff: form_post", new: "handoff: formpost #<", key: "portals[0].handoff", says: "did you mean form_post?"},
		{name: "login URL missing", old: id + "    handoff: form_post\n    " + login, new: "- id: portal #<", key: "portals[0].login_url", says: "is required"},
		{name: "login URL plain http", old: login, new: "login_url: http://portal.example.com #<", key: "portals[0].login_url", says: "localhost only"},
		{name: "login URL with a fragment", old: login, new: "login_url: \"https://portal.example.com/#a\" #<", key: "portals[0].login_url", says: "must not have a fragment"},
		{name: "login URL with a password", old: login, new: "login_url: https://u:p@portal.example.com #<", key: "portals[0].login_url", says: "user name or password"},
		{name: "login URL with {path}", old: login, new: "login_url: https://portal.example.com/{path} #<", key: "portals[0].login_url", says: "must not have braces"},
		{name: "fallback URL plain http", old: fallback, new: "fallback_url: http://portal.example.com #<", key: "portals[0].fallback_url", says: "localhost only"},
		{name: "fallback URL with other braces", old: fallback, new: "fallback_url: https://portal.example.com/{paht} #<", key: "portals[0].fallback_url", says: "no other braces"},
		{name: "fallback URL with {path} as host", old: fallback, new: "fallback_url: \"https://{path}.example.com/\" #<", key: "portals[0].fallback_url", says: "behind the host only"},
		{name: "exchange without client id", old: exchange + "\n    login_url: https://other.example.com/sso\n    client_id: other", new: "- id: other #<\n    handoff: exchange\n    login_url: https://other.example.com/sso", key: "portals[1].client_id", says: "is required for handoff exchange"},
		{name: "client id taken", old: "login_url: https://other.example.com/sso\n    client_id: other", new: "login_url: https://other.example.com/sso\n    client_id: one\n    client_secret_file: DIR/secret\n  - id: third\n    login_url: https://other.example.com/sso\n    client_id: one #<", key: "portals[2].client_id", says: "is taken by portals[1].client_id"},
		{name: "client id beyond ASCII", old: login, new: login + "\n    client_id: ä #<", key: "portals[0].client_id", says: "letters, digits, dots"},
		{name: "exchange without secret", old: secret, new: "client_secret_file: \"\" #<", key: "portals[1].client_secret_file", says: "set LATCHKEY_PORTALS_OTHER_CLIENT_SECRET"},
		{name: "secret too short", old: secret, new: "client_secret_file: DIR/short #<", key: "portals[1].client_secret_file", says: "has 15 characters and needs 16"},
		{name: "secret that clients encode", old: secret, new: "client_secret_file: DIR/plus #<", key: "portals[1].client_secret_file", says: "openssl rand -hex 32"},
		{name: "secret file missing", old: secret, new: "client_secret_file: DIR/none #<", key: "portals[1].client_secret_file", says: "no such file"},
		{name: "secret file unreadable", old: secret, new: "client_secret_file: DIR/keys #<", key: "portals[1].client_secret_file", says: "it is a directory"},
		{name: "secret file empty", old: secret, new: "client_secret_file: DIR/empty #<", key: "portals[1].client_secret_file", says: "the secret is empty"},
		{name: "secret file of two lines", old: secret, new: "client_secret_file: DIR/lines #<", key: "portals[1].client_secret_file", says: "several lines"},
		{name: "secret file too large", old: secret, new: "client_secret_file: DIR/big #<", key: "portals[1].client_secret_file", says: "over 64 KiB"},
		{name: "secret file open to all", old: secret, new: "client_secret_file: DIR/open #<", key: "portals[1].client_secret_file", says: "chmod 600", warning: true},
	})
}

// TestEveryRoleNeedsAPortal: the broker to sign in to, the provisioner for the
// address that a link leads to without sign-on.
func TestEveryRoleNeedsAPortal(t *testing.T) {
	dir := fixture(t)
	text := valid[:strings.Index(valid, "portals:")] + "portals: [] #<\n" + valid[strings.Index(valid, "servers:"):strings.Index(valid, "links:")]
	for name, role := range map[string]config.Role{"broker": config.RoleBroker, "provisioner": config.RoleProvisioner, "both": both} {
		_, report := load(dir, text, config.LoadOptions{Role: role})
		if want := marked(t, text) + ": portals: list at least one portal, e.g. `- id: portal` with its login_url\n"; report.String() != want {
			t.Errorf("%s: got\n%swant\n%s", name, report, want)
		}
	}
}

func TestAnEmbeddedStoreHasNoReplicas(t *testing.T) {
	text := replace(t, replace(t, valid, "mode: standalone", "mode: embedded"), "durability: local", "durability: replicated")
	_, report := load(fixture(t), text, config.LoadOptions{Role: config.RoleBroker})
	problems := report.Errors()
	if len(problems) != 1 || problems[0].Key != "broker.durability" || !strings.Contains(problems[0].Message, "needs a Redis with replicas") {
		t.Errorf("got %v, want one problem of broker.durability", problems)
	}
}
