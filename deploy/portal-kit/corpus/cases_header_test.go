package corpus_test

import (
	"crypto/ed25519"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"math/big"
	"strconv"
	"strings"
	"time"
)

func quote(s string) string { return strconv.QuoteToASCII(s) }

// keyIDs are kids that name no key.
func (m *maker) keyIDs() {
	const rule = "RFC 7515 section 4.1.4"
	kid := m.keys[ed25519Key].kid
	for _, c := range []struct {
		name string
		kid  any
	}{
		{"missing", nil}, {"null", null}, {"empty", ""}, {"a number", 0}, {"an array", []string{kid}}, {"an object", members{"kid": kid}},
		{"true", true}, {"unknown", m.keys[stranger].kid}, {"in another case", swapCase(kid)}, {"its beginning", kid[:20]},
		{"a space behind", kid + " "}, {"a line end behind", kid + "\n"}, {"a zero byte behind", kid + "\x00"},
		{"two, with a comma", kid + "," + m.keys[p256Key].kid}, {"a star", "*"}, {"endless", strings.Repeat("k", 4000)},
		{"an index", "0"}, {"a JavaScript name", "__proto__"}, {"the issuer's URL in front", issuer + "/.well-known/jwks.json#" + kid},
	} {
		m.bad("kid", c.name, rule, "kid is the name of a published key, a string compared byte by byte; it is required",
			m.jws(spec{header: members{"kid": c.kid}}))
	}
	for _, c := range []struct{ name, kid string }{
		{"a path", "../../../../../../dev/null"}, {"an absolute path", "/dev/null"},
		{"SQL", "x' UNION SELECT 'secret' -- "}, {"a URL", "https://evil.example/key.pem"},
		{"a command", "key.pem|/usr/bin/id"}, {"LDAP", "*)(uid=*"},
	} {
		m.bad("kid", c.name+", signed by a stranger", "RFC 8725 section 3.10", "kid is text from a stranger, and names no published key",
			m.jws(spec{key: stranger, header: members{"kid": c.kid}}))
	}
	m.bad("kid", "a path, HS256 with an empty secret", "RFC 8725 section 3.10", "the content of the file that kid names would be the secret",
		m.jws(spec{header: members{"alg": "HS256", "kid": "../../../../../../dev/null"}, sign: withSecret("HS256", nil)}))
	m.bad("kid", "SQL, HS256 with the secret that it selects", "RFC 8725 section 3.10", "the answer of the query in kid would be the secret",
		m.jws(spec{header: members{"alg": "HS256", "kid": "x' UNION SELECT 'secret' -- "}, sign: withSecret("HS256", []byte("secret"))}))
}

func swapCase(s string) string {
	return strings.Map(func(r rune) rune {
		if lower := strings.ToLower(string(r)); lower != string(r) {
			return rune(lower[0])
		}
		return rune(strings.ToUpper(string(r))[0])
	}, s)
}

// keysBroughtAlong are signed by a stranger, who says where his key is.
func (m *maker) keysBroughtAlong() {
	key := m.keys[stranger]
	public := jwk(key.Public())
	public["kid"], public["alg"] = key.kid, key.alg
	underOurs := jwk(key.Public())
	underOurs["kid"] = m.keys[ed25519Key].kid
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sso.example.com"},
		NotBefore: time.Unix(now-3600, 0), NotAfter: time.Unix(now+86400*3650, 0),
	}
	der := must(x509.CreateCertificate(constant{}, template, template, key.Public(), key.Signer.(ed25519.PrivateKey)))
	chain := []string{base64.StdEncoding.EncodeToString(der)}
	for _, c := range []struct {
		name   string
		header members
	}{
		{"jwk", members{"jwk": public}},
		{"jwk under the kid of a published key", members{"jwk": underOurs, "kid": underOurs["kid"]}},
		{"jwk without a kid", members{"jwk": jwk(key.Public()), "kid": nil}},
		{"jku", members{"jku": "https://evil.example/jwks.json"}},
		{"jku under the kid of a published key", members{"jku": "https://evil.example/jwks.json", "kid": underOurs["kid"]}},
		{"jku that begins like the issuer", members{"jku": issuer + "@evil.example/.well-known/jwks.json"}},
		{"jku in data", members{"jku": "data:application/json;base64," + base64.StdEncoding.EncodeToString(marshal(members{"keys": []any{public}}))}},
		{"x5u", members{"x5u": "https://evil.example/chain.pem"}},
		{"x5u under the kid of a published key", members{"x5u": "https://evil.example/chain.pem", "kid": underOurs["kid"]}},
		{"x5c", members{"x5c": chain}},
		{"x5c under the kid of a published key", members{"x5c": chain, "kid": underOurs["kid"]}},
		{"x5c without a kid", members{"x5c": chain, "kid": nil}},
	} {
		m.bad("brought", c.name, "RFC 8725 section 3.10", "the sender brings his own key; keys come from the broker's JWK Set alone",
			m.jws(spec{key: stranger, header: c.header}))
	}
}

// types are assertions that say they are something else.
func (m *maker) types() {
	for _, c := range []struct {
		name string
		typ  any
	}{
		{"missing", nil}, {"null", null}, {"empty", ""}, {"JWT", "JWT"}, {"jwt", "jwt"}, {"JOSE", "JOSE"},
		{"of an access token", "at+jwt"}, {"of a logout token", "logout+jwt"}, {"in another case", "Latchkey+JWT"},
		{"with application/ in front", "application/latchkey+jwt"}, {"with a space behind", "latchkey+jwt "},
		{"with a parameter", "latchkey+jwt; v=1"}, {"its beginning", "latchkey"}, {"its end", "jwt+latchkey+jwt"},
		{"a number", 1}, {"an array", []string{"latchkey+jwt"}}, {"true", true},
	} {
		m.bad("typ", c.name, "RFC 8725 section 3.11", "typ is latchkey+jwt, in this spelling: Latchkey writes no other",
			m.jws(spec{header: members{"typ": c.typ}}))
	}
}

// headers are what else can be wrong with a header.
func (m *maker) headers() {
	const rule = "RFC 7515 section 4.1.11"
	for _, c := range []struct {
		name   string
		header members
	}{
		{"unknown", members{"crit": []string{"urn:example:x"}, "urn:example:x": true}},
		{"names a member that is not there", members{"crit": []string{"urn:example:x"}}},
		{"empty", members{"crit": []string{}}},
		{"null", members{"crit": null}},
		{"a string", members{"crit": "exp", "exp": now + 58}},
		{"of numbers", members{"crit": []int{1}}},
		{"exp", members{"crit": []string{"exp"}, "exp": now + 58}},
		{"alg", members{"crit": []string{"alg"}}},
		{"b64 true", members{"crit": []string{"b64"}, "b64": true}},
		{"b64 false over an encoded payload", members{"crit": []string{"b64"}, "b64": false}},
	} {
		m.bad("crit", c.name, rule, "who does not know what is critical must refuse; Latchkey has no critical members", m.jws(spec{header: c.header}))
	}
	header, claims := m.text(spec{header: members{"crit": []string{"b64"}, "b64": false}})
	m.bad("crit", "b64 false, payload not encoded", "RFC 7797 section 3", "the payload stands there as it is",
		m.signed(spec{}, encode([]byte(header)), strings.ReplaceAll(claims, ".", `\u002e`)))

	good, _ := m.text(spec{})
	for _, c := range []struct{ name, why, text string }{
		{"an array", "a header is a JSON object", "[" + good + "]"},
		{"a string", "a header is a JSON object", string(marshal(good))},
		{"null", "a header is a JSON object", "null"},
		{"a number", "a header is a JSON object", "1"},
		{"cut off", "not JSON", good[:len(good)-1]},
		{"a comma too many", "not JSON", strings.Replace(good, "}", ",}", 1)},
		{"single quotes", "not JSON", strings.ReplaceAll(good, `"`, "'")},
		{"a comment", "not JSON", strings.Replace(good, "{", "{/* */", 1)},
		{"text behind", "something follows the object", good + "x"},
		{"two objects", "something follows the object", good + good},
		{"a byte order mark", "RFC 8259 section 8.1: none is written, and who ignores one differs from who does not", "\ufeff" + good},
		{"not UTF-8", "a string holds bytes that are no UTF-8", strings.Replace(good, "{", "{\"x\":\"\xff\",", 1)},
		{"UTF-16", "JSON is UTF-8", utf16(good)},
	} {
		m.bad("header", c.name, "RFC 7515 section 4", c.why, m.jws(spec{headerText: c.text}))
	}
	m.bad("header", "zip, payload compressed", "RFC 7515 section 4.1", "a JWS has no compression; the payload is not JSON",
		m.jws(spec{header: members{"zip": "DEF"}, claimsText: "\xaaV*.M\xb2R2422\xa9\x05\x00"}))
}

func utf16(ascii string) string {
	var b strings.Builder
	for _, c := range []byte(ascii) {
		b.Write([]byte{0, c})
	}
	return b.String()
}
