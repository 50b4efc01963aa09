package corpus_test

import (
	"encoding/json"
	"strings"
)

// change is one change of the claims.
type change struct {
	name   string
	claims members
}

func (m *maker) claims(group, rule, why string, changes ...change) {
	for _, c := range changes {
		m.bad(group, c.name, rule, why, m.jws(spec{claims: c.claims}))
	}
}

// of makes changes of one claim to values of wrong kinds.
func of(claim string, values members) []change {
	var all []change
	for _, kind := range []string{"missing", "null", "empty", "a number", "a string", "true", "an array", "an object"} {
		if v, ok := values[kind]; ok {
			all = append(all, change{claim + " " + kind, members{claim: v}})
		}
	}
	return all
}

// payloads are not one JSON object.
func (m *maker) payloads() {
	_, good := m.text(spec{})
	const object, once = "RFC 7519 section 7.2", "RFC 8259 section 2"
	for _, c := range []struct{ name, rule, why, text string }{
		{"an array", object, "claims are a JSON object", "[" + good + "]"},
		{"a string", object, "claims are a JSON object", string(marshal(good))},
		{"null", object, "claims are a JSON object", "null"},
		{"a number", object, "claims are a JSON object", "1234"},
		{"true", object, "claims are a JSON object", "true"},
		{"an empty object", object, "every claim is missing", "{}"},
		{"text", object, "not JSON", "sub=1234&aud=" + audience},
		{"XML", object, "not JSON", "<sub>1234</sub>"},
		{"cut off", object, "not JSON", good[:len(good)-1]},
		{"text behind", once, "something follows the object", good + "x"},
		{"a zero byte behind", once, "something follows the object", good + "\x00"},
		{"two objects", once, "something follows the object", good + `{"sub":"1235"}`},
		{"a comma too many", once, "not JSON", strings.TrimSuffix(good, "}") + ",}"},
		{"a comment", once, "not JSON", strings.Replace(good, "{", "{/*sub*/", 1)},
		{"single quotes", once, "not JSON", strings.ReplaceAll(good, `"`, "'")},
		{"NaN", "RFC 8259 section 6", "not a number of JSON", strings.Replace(good, "{", `{"x":NaN,`, 1)},
		{"a number with a zero in front", "RFC 8259 section 6", "not a number of JSON", strings.Replace(good, `"exp":`, `"exp":0`, 1)},
		{"a line end in a string", "RFC 8259 section 7", "control characters are escaped", strings.Replace(good, "1234", "12\n34", 1)},
		{"a byte order mark", "RFC 8259 section 8.1", "none is written, and who ignores one differs from who does not", "\ufeff" + good},
		{"UTF-16", "RFC 8259 section 8.1", "JSON is UTF-8", utf16(good)},
		{"sub not UTF-8", "RFC 8259 section 8.1", "different bytes may end as one replacement character, and so two customers as one", strings.Replace(good, "1234", "12\xff34", 1)},
		{"sub with an overlong letter", "RFC 3629 section 3", "the byte sequence is no UTF-8", strings.Replace(good, "1234", "\xc0\xb1234", 1)},
		{"sub with half a surrogate pair", "RFC 8259 section 8.2", "different halves may end as one replacement character, and so two customers as one", strings.Replace(good, "1234", `12\ud80034`, 1)},
	} {
		m.bad("payload", c.name, c.rule, c.why, m.jws(spec{claimsText: c.text}))
	}
}

// duplicates are objects with two members of one name. RFC 7519 would allow a parser
// that takes the last, and there are those that take the first: two programs then
// sign in two different customers.
func (m *maker) duplicates() {
	const rule = "RFC 7519 section 4"
	_, good := m.text(spec{})
	first := func(member string) string { return strings.Replace(good, "{", "{"+member+",", 1) }
	last := func(member string) string { return strings.TrimSuffix(good, "}") + "," + member + "}" }
	for _, c := range []struct{ name, text string }{
		{"sub, another first", first(`"sub":"1235"`)},
		{"sub, another last", last(`"sub":"1235"`)},
		{"sub, the same", last(`"sub":"1234"`)},
		{"sub, null last", last(`"sub":null`)},
		{"sub, one escaped", first(`"s\u0075b":"1235"`)},
		{"aud, another first", first(`"aud":"https://other.example.com"`)},
		{"aud, another last", last(`"aud":"https://other.example.com"`)},
		{"iss, another first", first(`"iss":"https://evil.example"`)},
		{"exp, passed first", first(`"exp":1`)},
		{"exp, passed last", last(`"exp":1`)},
		{"nbf, twice", first(`"nbf":1`)},
		{"iat, twice", first(`"iat":1`)},
		{"jti, twice", first(`"jti":"other"`)},
		{"target_link_uri, another first", first(`"target_link_uri":"https://evil.example/"`)},
		{"a member inside of cpanel", strings.Replace(good, `"user":`, `"user":"eve","user":`, 1)},
		{"an unknown claim", first(`"x":1,"x":2`)},
	} {
		m.bad("duplicate", c.name, rule, "names in an object are unique", m.jws(spec{claimsText: c.text}))
	}

	header, _ := m.text(spec{})
	for _, c := range []struct{ name, member string }{
		{"alg in the header, none first", `"alg":"none"`},
		{"alg in the header, HS256 first", `"alg":"HS256"`},
		{"kid in the header, unknown first", `"kid":"` + m.keys[stranger].kid + `"`},
		{"kid in the header, the same", `"kid":"` + m.keys[ed25519Key].kid + `"`},
		{"typ in the header, JWT first", `"typ":"JWT"`},
		{"typ in the header, one escaped", `"t\u0079p":"JWT"`},
		{"an unknown header member", `"x":1,"x":2`},
	} {
		m.bad("duplicate", c.name, "RFC 7515 section 4", "names in an object are unique", m.jws(spec{headerText: strings.Replace(header, "{", "{"+c.member+",", 1)}))
	}
}

func (m *maker) issuers() {
	m.claims("iss", "RFC 7519 section 4.1.1", "iss is the broker's public URL, a string compared byte by byte", append(
		of("iss", members{"missing": nil, "null": null, "empty": "", "a number": 1, "true": true, "an array": []string{issuer}, "an object": members{"iss": issuer}}),
		change{"another broker", members{"iss": "https://sso.example.net"}},
		change{"a slash behind", members{"iss": issuer + "/"}},
		change{"a path behind", members{"iss": issuer + "/other"}},
		change{"in upper case", members{"iss": strings.ToUpper(issuer)}},
		change{"http", members{"iss": strings.Replace(issuer, "https:", "http:", 1)}},
		change{"its beginning", members{"iss": "https://sso.example.co"}},
		change{"more behind", members{"iss": issuer + ".evil.example"}},
		change{"as user of another host", members{"iss": issuer + "@evil.example"}},
		change{"the port named", members{"iss": issuer + ":443"}},
		change{"a space behind", members{"iss": issuer + " "}},
		change{"a zero byte behind", members{"iss": issuer + "\x00"}},
		change{"under the name Iss", members{"iss": nil, "Iss": issuer}},
	)...)
}

func (m *maker) audiences() {
	const other = "https://other.example.com"
	m.claims("aud", "RFC 7519 section 4.1.3", "aud is this portal's name, a string compared byte by byte", append(
		of("aud", members{"missing": nil, "null": null, "empty": "", "a number": 1, "true": true, "an object": members{"aud": audience}}),
		change{"another portal", members{"aud": other}},
		change{"a slash behind", members{"aud": audience + "/"}},
		change{"in upper case", members{"aud": strings.ToUpper(audience)}},
		change{"http", members{"aud": strings.Replace(audience, "https:", "http:", 1)}},
		change{"its beginning", members{"aud": "https://portal.example"}},
		change{"more behind", members{"aud": audience + ".evil.example"}},
		change{"more in front", members{"aud": "x" + audience}},
		change{"a space behind", members{"aud": audience + " "}},
		change{"a path behind", members{"aud": audience + "/sso"}},
		change{"a star", members{"aud": "*"}},
		change{"two with a comma", members{"aud": audience + "," + other}},
		change{"two with a space", members{"aud": audience + " " + other}},
		change{"under the name Aud", members{"aud": nil, "Aud": audience}},
	)...)
	m.claims("aud", "Latchkey", "an assertion is for this portal and no other", []change{
		{"an empty array", members{"aud": []string{}}},
		{"an array with another", members{"aud": []string{other}}},
		{"an array with another behind", members{"aud": []string{audience, other}}},
		{"an array with another in front", members{"aud": []string{other, audience}}},
		{"an array with it twice", members{"aud": []string{audience, audience}}},
		{"an array in an array", members{"aud": [][]string{{audience}}}},
		{"an array with a number", members{"aud": []any{audience, 1}}},
		{"an array with null", members{"aud": []any{audience, null}}},
	}...)
}

func (m *maker) ids() {
	const why = "sub is a string of 1 to 255 bytes: it is the customer"
	m.claims("sub", "RFC 7519 section 4.1.2", why, append(
		of("sub", members{"missing": nil, "null": null, "empty": "", "a number": 1234, "true": true, "an array": []string{customer}, "an object": members{"id": customer}}),
		change{"of 256 bytes", members{"sub": strings.Repeat("1", 256)}},
		change{"of 10,000 bytes", members{"sub": strings.Repeat("1", 10_000)}},
		change{"under the name Sub", members{"sub": nil, "Sub": customer}},
		change{"under the name sub with a long s", members{"sub": nil, "\u017fub": customer}},
	)...)
	m.claims("jti", "RFC 7519 section 4.1.7", "jti is a string of 1 to 255 bytes: without it a replay cannot be told", append(
		of("jti", members{"missing": nil, "null": null, "empty": "", "a number": 1, "true": true, "an array": []string{"x"}, "an object": members{}}),
		change{"of 256 bytes", members{"jti": strings.Repeat("1", 256)}},
		change{"under the name JTI", members{"jti": nil, "JTI": "b5Vh0sUqGm1oQe3mB7xkqg"}},
	)...)
}

func (m *maker) targets() {
	const why = "target_link_uri is a page of the portal's own origin: what follows it would send customers elsewhere"
	host := strings.TrimPrefix(origin, "https://")
	m.claims("target", "RFC 6454 section 5", why, append(
		of("target_link_uri", members{"missing": nil, "null": null, "empty": "", "a number": 1, "an array": []string{page}, "an object": members{"uri": page}}),
		change{"another host", members{"target_link_uri": "https://evil.example/"}},
		change{"http", members{"target_link_uri": "http://" + host + "/"}},
		change{"another port", members{"target_link_uri": origin + ":8443/"}},
		change{"a host below", members{"target_link_uri": "https://x." + host + "/"}},
		change{"a host above", members{"target_link_uri": "https://example.com/"}},
		change{"our host in front", members{"target_link_uri": origin + ".evil.example/"}},
		change{"our host at the end", members{"target_link_uri": "https://evil" + host + "/"}},
		change{"our host as user", members{"target_link_uri": origin + "@evil.example/"}},
		change{"our host as user with a password", members{"target_link_uri": origin + ":443@evil.example/"}},
		change{"a user before our host", members{"target_link_uri": "https://user@" + host + "/"}},
		change{"our host in the query", members{"target_link_uri": "https://evil.example/?" + origin}},
		change{"our host in the fragment", members{"target_link_uri": "https://evil.example#" + origin}},
		change{"a path alone", members{"target_link_uri": "/invoices"}},
		change{"a host alone", members{"target_link_uri": "//" + host + "/"}},
		change{"another host alone", members{"target_link_uri": "//evil.example/"}},
		change{"a script", members{"target_link_uri": "javascript:alert(1)//" + origin}},
		change{"data", members{"target_link_uri": "data:text/html," + origin}},
		change{"a backslash", members{"target_link_uri": origin + `\@evil.example/`}},
		change{"two backslashes", members{"target_link_uri": `https:\\evil.example/`}},
		change{"a line end", members{"target_link_uri": page + "\r\nSet-Cookie: session=1"}},
		change{"a tab", members{"target_link_uri": "https://portal.\texample.com/"}},
		change{"a space in front", members{"target_link_uri": " " + page}},
		change{"a zero byte", members{"target_link_uri": page + "\x00"}},
		change{"not a port", members{"target_link_uri": origin + ":x/"}},
		change{"under the name Target_Link_URI", members{"target_link_uri": nil, "Target_Link_URI": page}},
	)...)
}

// times are on the wrong side of now, or no times at all.
func (m *maker) times() {
	wrong := func(claim string, rule string, more ...change) {
		kinds := of(claim, members{
			"missing": nil, "null": null, "empty": "", "true": true, "an array": []int{now}, "an object": members{},
		})
		kinds = append(kinds, change{claim + " a number in a string", members{claim: json.RawMessage(`"` + string(marshal(goodClaims()[claim])) + `"`)}},
			change{claim + " a date", members{claim: "2026-05-20T12:00:00Z"}})
		m.claims("time", rule, claim+" is a number of seconds, and required", kinds...)
		m.claims("time", rule, claim+" does not fit the clock", more...)
	}
	number := func(s string) json.RawMessage { return json.RawMessage(s) }
	huge := number("1" + strings.Repeat("0", 400))
	wrong("exp", "RFC 7519 section 4.1.4",
		change{"exp 11 s ago", members{"iat": now - 71, "nbf": now - 71, "exp": now - 11}},
		change{"exp 12.5 s ago", members{"iat": now - 71, "nbf": now - 71, "exp": now - 12.5}},
		change{"exp an hour ago", members{"iat": now - 3660, "nbf": now - 3660, "exp": now - 3600}},
		change{"exp zero", members{"exp": 0}},
		change{"exp negative", members{"exp": -now}},
		change{"exp before iat", members{"iat": now + 5, "nbf": now - 5, "exp": now - 5}},
	)
	m.claims("time", "Latchkey", "from iat to exp it is 300 s at most: who finds an old one must not get in",
		change{"a life of 301 s", members{"exp": now - 2 + 301}},
		change{"a life of a day", members{"exp": now + 86400}},
		change{"a life of ten years", members{"exp": now + 10*365*86400}},
		change{"exp in milliseconds", members{"exp": (now + 58) * 1000}},
		change{"exp beyond 32 bits", members{"exp": 1 << 33}},
		change{"exp beyond 63 bits", members{"exp": number("9223372036854775808")}},
		change{"exp beyond 64 bits", members{"exp": number("18446744073709551617")}},
		change{"exp 1e300", members{"exp": number("1e300")}},
		change{"exp beyond every number", members{"exp": number("1e999")}},
		change{"exp of 401 digits", members{"exp": huge}},
		change{"exp of 401 digits, iat with a fraction", members{"iat": now - 1.5, "exp": huge}},
		change{"iat of 401 digits below zero, exp with a fraction", members{"iat": number("-" + string(huge)), "exp": now + 58.5}},
		change{"iat a day ago", members{"iat": now - 86400}},
		change{"iat zero", members{"iat": 0}},
		change{"iat negative", members{"iat": -now}},
		change{"iat -1e300", members{"iat": number("-1e300")}},
		change{"iat below every number", members{"iat": number("-1e999")}},
	)
	wrong("nbf", "RFC 7519 section 4.1.5",
		change{"nbf in 11 s", members{"nbf": now + 11}},
		change{"nbf in 12.5 s", members{"nbf": now + 12.5}},
		change{"nbf in an hour", members{"nbf": now + 3600}},
		change{"nbf 1e300", members{"nbf": number("1e300")}},
		change{"nbf of 401 digits", members{"nbf": huge}},
	)
	wrong("iat", "RFC 7519 section 4.1.6",
		change{"iat in 11 s", members{"iat": now + 11}},
		change{"iat in an hour", members{"iat": now + 3600, "exp": now + 3660}},
		change{"iat in milliseconds", members{"iat": now * 1000, "exp": now*1000 + 60}},
	)
	wrong("auth_time", "OpenID Connect Core section 2",
		change{"auth_time in 11 s", members{"auth_time": now + 11}},
		change{"auth_time in an hour", members{"auth_time": now + 3600}},
		change{"auth_time 1e300", members{"auth_time": number("1e300")}},
		change{"auth_time of 401 digits", members{"auth_time": huge}},
	)
	for _, claim := range []string{"nbf", "auth_time"} {
		m.claims("time", "Latchkey", claim+" is not before 1970: what no clock of today could say was written by no broker",
			change{claim + " negative", members{claim: -now}},
			change{claim + " -1e300", members{claim: number("-1e300")}},
			change{claim + " below every number", members{claim: number("-1e999")}},
			change{claim + " of 401 digits below zero", members{claim: number("-" + string(huge))}},
		)
	}
	m.claims("time", "RFC 7519 section 10.1.1", "claim names are case-sensitive: exp is missing",
		change{"exp under the name EXP", members{"exp": nil, "EXP": now + 58}})
}
