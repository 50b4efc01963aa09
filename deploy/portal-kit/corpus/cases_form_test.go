package corpus_test

import (
	"encoding/base64"
	"fmt"
	"strings"
)

// forms are not three segments of base64url with two dots between them.
func (m *maker) forms() {
	const rule = "RFC 7515 section 7.1"
	good := m.jws(spec{})
	h, c, s := split(good)
	protected := `"protected":"` + h + `","signature":"` + s + `"`
	for _, f := range []struct{ name, why, text string }{
		{"empty", "there is nothing", ""},
		{"a dot", "three segments are wanted", "."},
		{"two dots", "all three segments are empty", ".."},
		{"one segment", "three segments are wanted", h},
		{"two segments", "there is no signature", h + "." + c},
		{"no header", "the header is empty", "." + c + "." + s},
		{"no payload", "the payload is detached (RFC 7515 appendix F), and we have none", h + ".." + s},
		{"a dot in front", "four segments", "." + good},
		{"a dot behind", "four segments", good + "."},
		{"four segments", "four segments", good + ".AAAA"},
		{"the signature twice", "four segments", good + "." + s},
		{"a JWE", "five segments: encrypted, which Latchkey never does", jwe(m.keys[rsaKey].kid)},
		{"flattened JSON", "RFC 7515 section 7.2.2: another serialization", `{"payload":"` + c + `",` + protected + `}`},
		{"general JSON", "RFC 7515 section 7.2.1: another serialization", `{"payload":"` + c + `","signatures":[{` + protected + `}]}`},
		{"in quotes", "a JSON string with an assertion in it", `"` + good + `"`},
		{"Bearer in front", "the value of an Authorization header", "Bearer " + good},
		{"a space in front", "white space is not allowed", " " + good},
		{"a space behind", "white space is not allowed", good + " "},
		{"a line end behind", "white space is not allowed", good + "\n"},
		{"a tab behind", "white space is not allowed", good + "\t"},
		{"a line end inside", "line ends are not allowed", h + "." + c[:20] + "\r\n" + c[20:] + "." + s},
		{"a line end before the signature", "line ends are not allowed", h + "." + c + ".\n" + s},
		{"a space inside the signature", "white space is not allowed", h + "." + c + "." + s[:20] + " " + s[20:]},
		{"a zero byte behind", "not a letter of base64url", good + "\x00"},
		{"a space of no width behind", "not a letter of base64url", good + "\u200b"},
		{"a full stop of another script", "not a dot", h + "\uff0e" + c + "\uff0e" + s},
		{"per cent escapes", "dots are not escaped", h + "%2E" + c + "%2E" + s},
		{"garbage", "not base64url", "%$.§.../../etc/passwd"},
	} {
		m.bad("form", f.name, rule, f.why, f.text)
	}
	m.bad("form", "nested", "RFC 7519 section 5.2", "the payload is a JWT and not claims", m.jws(spec{header: members{"cty": "JWT"}, claimsText: good}))
	m.bad("form", "nested in quotes", "RFC 7519 section 5.2", "the payload is a JSON string with a JWT in it", m.jws(spec{claimsText: `"` + good + `"`}))
}

func split(assertion string) (header, claims, signature string) {
	p := strings.Split(assertion, ".")
	return p[0], p[1], p[2]
}

// jwe looks like RFC 7516 section 3.1; nobody could open it.
func jwe(kid string) string {
	header := object(members{"alg": "RSA-OAEP-256", "enc": "A256GCM", "kid": kid, "typ": "latchkey+jwt"}, nil)
	b := make([]byte, 256)
	_, _ = constant{}.Read(b)
	return strings.Join([]string{encode([]byte(header)), encode(b), encode(b[:12]), encode(b[:200]), encode(b[:16])}, ".")
}

// encodings are base64, and not the one of RFC 7515 section 2.
func (m *maker) encodings() {
	const rule = "RFC 7515 section 2"
	good := m.jws(spec{})
	h, c, s := split(good)
	m.bad("base64", "padding behind the signature", rule, "base64url without padding is wanted", good+"==")
	m.bad("base64", "one sign of padding", rule, "base64url without padding is wanted", good+"=")

	// These are signed as they stand, so only a strict decoder refuses them.
	header, claims := m.text(spec{claims: members{"x": "??>>~~ÿÿ"}})
	paddedTo := func(text string, length int) string { return text + strings.Repeat(" ", (length-len(text)%3+3)%3) }
	padded := base64.URLEncoding.EncodeToString
	m.bad("base64", "padding behind the header", rule, "base64url without padding is wanted",
		m.signed(spec{}, padded([]byte(paddedTo(header, 1))), encode([]byte(claims))))
	m.bad("base64", "padding behind the payload", rule, "base64url without padding is wanted",
		m.signed(spec{}, encode([]byte(header)), padded([]byte(paddedTo(claims, 1)))))
	standard := base64.RawStdEncoding.EncodeToString([]byte(claims))
	if !strings.ContainsAny(standard, "+/") {
		panic("the payload in standard base64 has neither + nor /")
	}
	m.bad("base64", "standard alphabet in the payload", rule, "+ and / are not letters of base64url", m.signed(spec{}, encode([]byte(header)), standard))
	m.bad("base64", "a line end in the payload, signed", rule, "line ends are not allowed",
		m.signed(spec{}, encode([]byte(header)), c[:40]+"\n"+c[40:]))
	m.bad("base64", "loose bits behind the header", rule, "the last letter has bits that belong to no byte, and they are not zero",
		m.signed(spec{}, loosen(encode([]byte(paddedTo(header, 1)))), c))
	m.bad("base64", "loose bits behind the payload", rule, "the last letter has bits that belong to no byte, and they are not zero",
		m.signed(spec{}, h, loosen(encode([]byte(paddedTo(claims, 2))))))
	for _, name := range []string{ed25519Key, p256Key, rsaKey} {
		m.bad("base64", "loose bits behind the signature of the key "+name, rule, "the last letter has bits that belong to no byte: one signature could be written in several ways",
			loosen(m.jws(spec{key: name})))
	}
	signature := must(base64.RawURLEncoding.DecodeString(s))
	m.bad("base64", "the signature in standard base64", rule, "+ and / are not letters of base64url", m.standardSignature())
	m.bad("base64", "the signature in hexadecimal", rule, "base64url is wanted", h+"."+c+"."+fmt.Sprintf("%x", signature))
	m.bad("base64", "the signature encoded twice", rule, "the signature was encoded twice", h+"."+c+"."+encode([]byte(s)))
	m.bad("base64", "a length that cannot be", rule, "no bytes give one letter more than a multiple of four", h+"."+c+"."+s+"AAA")
	m.bad("base64", "the claims not encoded", rule, "the payload stands there as it is", m.signed(spec{}, h, `{"sub":"1234"}`))
}

// loosen sets bits of the last letter that belong to no byte.
func loosen(text string) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	if len(text[strings.LastIndexByte(text, '.')+1:])%4 == 0 {
		panic("no loose bits in " + text)
	}
	last := len(text) - 1
	return text[:last] + string(letters[strings.IndexByte(letters, text[last])|1])
}

// standardSignature has a signature with letters that the two alphabets do not share.
func (m *maker) standardSignature() string {
	for i := range 100 {
		h, c, s := split(m.jws(spec{claims: members{"jti": fmt.Sprint("standard", i)}}))
		if strings.Contains(s, "-") && strings.Contains(s, "_") {
			return h + "." + c + "." + strings.NewReplacer("-", "+", "_", "/").Replace(s)
		}
	}
	panic("no signature has - and _")
}

// sizes are beyond the limits.
func (m *maker) sizes() {
	const rule = "Latchkey"
	long := strings.Repeat("x", limits.Assertion)
	m.bad("size", "a long claim", rule, "longer than 16 KiB, and signed right", m.jws(spec{claims: members{"x": long}}))
	m.bad("size", "a long header", rule, "longer than 16 KiB, and signed right", m.jws(spec{header: members{"x": long}}))
	m.bad("size", "many claims", rule, "longer than 16 KiB, and signed right", m.jws(spec{claims: many(2500)}))
	m.bad("size", "many dots", "RFC 7515 section 7.1", "three segments are wanted", strings.Repeat(".", 4000))
	m.bad("size", "a long signature", rule, "longer than 16 KiB", m.jws(spec{})+strings.Repeat("A", limits.Assertion))
}

func many(n int) members {
	all := make(members)
	for i := range n {
		all[fmt.Sprintf("x%04d", i)] = i
	}
	return all
}
