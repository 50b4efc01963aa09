package corpus_test

import (
	"strings"

	"github.com/latchkey-sso/latchkey/deploy/portal-kit/corpus"
)

// good are the assertions that every verifier has to accept.
func (m *maker) good() {
	add := func(name, rule, why string, s spec) {
		c := corpus.Case{
			Name: "good: " + name, Group: "good", Accept: true, Rule: rule, Why: why,
			Subject: customer, TargetLinkURI: page, Assertion: m.jws(s),
		}
		if sub, ok := s.claims["sub"].(string); ok {
			c.Subject = sub
		}
		if target, ok := s.claims["target_link_uri"].(string); ok {
			c.TargetLinkURI = target
		}
		m.cases = append(m.cases, c)
	}
	claims := func(name, rule, why string, c members) { add(name, rule, why, spec{claims: c}) }

	add("EdDSA", "RFC 8037 section 3.1", "signed with Ed25519", spec{})
	add("ES256", "RFC 7518 section 3.4", "signed with P-256", spec{key: p256Key})
	add("RS256", "RFC 7518 section 3.3", "signed with RSA of 2048 bits", spec{key: rsaKey})
	claims("aud as an array of one", "RFC 7519 section 4.1.3", "an array is the general form of aud", members{"aud": []string{audience}})
	claims("unknown claims", "RFC 7519 section 4", "claims that are not understood are ignored", members{"nonce": "n", "email": "ada@example.com", "roles": []string{"admin"}})
	add("unknown header member", "RFC 7515 section 4", "header members that are not understood are ignored, unless crit names them", spec{header: members{"x-trace": "7"}})
	claims("exp 9 s ago", "RFC 7519 section 4.1.4", "within the leeway of 10 s", members{"iat": now - 69, "nbf": now - 69, "exp": now - 9})
	claims("iat and nbf in 9 s", "RFC 7519 section 4.1.5", "within the leeway of 10 s", members{"iat": now + 9, "nbf": now + 9, "exp": now + 69})
	claims("auth_time in 9 s", "Latchkey", "within the leeway of 10 s", members{"auth_time": now + 9})
	claims("auth_time eleven minutes ago", "Latchkey", "a one-time URL lives for ten minutes at most (one_time_token_ttl), and the assertion for one more",
		members{"auth_time": now - 658, "iat": now - 58, "nbf": now - 58, "exp": now + 2})
	claims("times with fractions", "RFC 7519 section 2", "a NumericDate may have a fraction", members{"iat": now - 1.5, "nbf": now - 1.5, "exp": now + 58.5, "auth_time": now - 1.5})
	claims("a life of 300 s", "Latchkey", "the longest life there is", members{"exp": now + 298})
	claims("sub of 255 bytes", "Latchkey", "the longest sub there is", members{"sub": strings.Repeat("1", 255)})
	claims("sub with other letters", "RFC 7519 section 4.1.2", "sub is any string, compared byte by byte", members{"sub": "Kunde/Ünal 42+x"})
	claims("target without a path", "Latchkey", "the portal's origin alone is its start page", members{"target_link_uri": origin})
	claims("target with an escaped query", "Latchkey", "the query belongs to the page", members{"target_link_uri": origin + "/search?q=a%26b&next=https%3A%2F%2Fevil.example%2F"})
	_, plain := m.text(spec{})
	const others = `"Sub":"1235","SUB":"1235","Aud":"https://other.example.com","EXP":0`
	const sensitive = "claim names are case-sensitive: these are unknown claims, and sub is still " + customer
	add("names in another case before the right ones", "RFC 7519 section 10.1.1", sensitive,
		spec{claimsText: strings.Replace(plain, "{", "{"+others+",", 1)})
	add("names in another case behind the right ones", "RFC 7519 section 10.1.1", sensitive,
		spec{claimsText: strings.TrimSuffix(plain, "}") + "," + others + "}"})
	add("spaces in the JSON", "RFC 8259 section 2", "white space between the tokens of JSON means nothing",
		spec{claimsText: strings.ReplaceAll(plain, `,"`, " ,\r\n\t\"")})
	add("escapes in the JSON", "RFC 8259 section 7", "an escaped character is that character",
		spec{claimsText: strings.NewReplacer(`"sub"`, `"s\u0075b"`, `"1234"`, `"\u0031234"`, `/invoices`, `\/invoices`).Replace(plain)})
}
