package corpus_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strings"
)

func noSignature([]byte) []byte { return nil }

// algorithms are those that we never sign with, above all none at all.
func (m *maker) algorithms() {
	const none, list = "RFC 8725 section 3.2", "RFC 8725 section 3.1"
	for _, alg := range []string{"none", "None", "NONE", "nOnE", "none ", " none", "none\x00"} {
		m.bad("alg", "none spelt "+quote(alg), none, "nothing is signed", m.jws(spec{header: members{"alg": alg}, sign: noSignature}))
	}
	m.bad("alg", "none with a signature", none, "alg says that the signature does not count",
		m.jws(spec{header: members{"alg": "none"}}))
	m.bad("alg", "none without a kid", none, "nothing is signed",
		m.jws(spec{header: members{"alg": "none", "kid": nil}, sign: noSignature}))
	m.bad("alg", "none for somebody else", none, "nothing is signed, and sub was changed",
		m.jws(spec{header: members{"alg": "none"}, claims: members{"sub": "1235"}, sign: noSignature}))

	for _, c := range []struct {
		name string
		alg  any
	}{
		{"missing", nil}, {"null", null}, {"empty", ""}, {"a number", 256}, {"an array", []string{"EdDSA"}},
		{"an object", members{"name": "EdDSA"}}, {"unknown", "XS256"}, {"a JavaScript name", "constructor"},
		{"eddsa, in lower case", "eddsa"}, {"EDDSA, in upper case", "EDDSA"}, {"with a space behind", "EdDSA "},
	} {
		m.bad("alg", c.name, "RFC 7515 section 4.1.1", "alg is required and one of EdDSA, ES256, RS256, spelt like this",
			m.jws(spec{header: members{"alg": c.alg}}))
	}
	for _, c := range []struct{ alg, key string }{
		{"RS384", rsaKey}, {"RS512", rsaKey}, {"PS256", rsaKey}, {"PS384", rsaKey}, {"PS512", rsaKey}, {"ES384", p384Key},
	} {
		m.bad("alg", c.alg, list, "a right signature by an algorithm that is not on the list EdDSA, ES256, RS256",
			m.jws(spec{key: c.key, header: members{"alg": c.alg}, sign: signer(c.alg, m.keys[c.key].Signer)}))
	}
	m.bad("alg", "ES256K", list, "not on the list, and P-256 is not its curve", m.jws(spec{key: p256Key, header: members{"alg": "ES256K"}}))

	// The header names one algorithm, the key is for another.
	for _, c := range []struct{ alg, signs, kid string }{
		{"EdDSA", ed25519Key, p256Key}, {"EdDSA", ed25519Key, rsaKey},
		{"ES256", p256Key, ed25519Key}, {"ES256", p256Key, rsaKey},
		{"RS256", rsaKey, ed25519Key}, {"RS256", rsaKey, p256Key},
	} {
		m.bad("alg", c.alg+" under the kid of the key "+c.kid, list, "kid names a key that is for another algorithm",
			m.jws(spec{key: c.signs, header: members{"kid": m.keys[c.kid].kid}}))
	}
	for _, c := range []struct{ alg, key string }{
		{"ES256", ed25519Key}, {"RS256", ed25519Key}, {"EdDSA", p256Key}, {"RS256", p256Key}, {"EdDSA", rsaKey}, {"ES256", rsaKey}, {"PS256", rsaKey},
	} {
		m.bad("alg", c.alg+" over a signature of the key "+c.key, list, "the signature is right for the key, and alg says another algorithm",
			m.jws(spec{key: c.key, header: members{"alg": c.alg}}))
	}
}

// confusedKeys are signed by HMAC, with a published key for the secret.
func (m *maker) confusedKeys() {
	var secrets []struct {
		key, form string
		bytes     []byte
	}
	for _, name := range []string{ed25519Key, p256Key, rsaKey} {
		public := m.keys[name].Public()
		der := must(x509.MarshalPKIXPublicKey(public))
		text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
		add := func(form string, b []byte) {
			secrets = append(secrets, struct {
				key, form string
				bytes     []byte
			}{name, form, b})
		}
		add("PEM", text)
		add("PEM without the last line end", []byte(strings.TrimSuffix(string(text), "\n")))
		add("DER", der)
		add("JWK", marshal(jwk(public)))
		switch key := public.(type) {
		case ed25519.PublicKey:
			add("raw", key)
			add("x as text", []byte(encode(key)))
		case *ecdsa.PublicKey:
			add("raw", point(key))
			add("x as text", []byte(encode(point(key)[1:33])))
		case *rsa.PublicKey:
			add("raw", key.N.Bytes())
			add("n as text", []byte(encode(key.N.Bytes())))
			add("PKCS 1 DER", x509.MarshalPKCS1PublicKey(key))
			add("PKCS 1 PEM", pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(key)}))
		}
	}
	const rule, why = "RFC 8725 section 2.1", "the secret of the HMAC is a key that everybody can read"
	for _, s := range secrets {
		m.bad("confusion", "HS256 with the key "+s.key+", "+s.form, rule, why,
			m.jws(spec{key: s.key, header: members{"alg": "HS256"}, sign: withSecret("HS256", s.bytes)}))
	}
	for _, alg := range []string{"HS384", "HS512"} {
		for _, s := range secrets {
			if s.form == "PEM" || s.form == "raw" {
				m.bad("confusion", alg+" with the key "+s.key+", "+s.form, rule, why,
					m.jws(spec{key: s.key, header: members{"alg": alg}, sign: withSecret(alg, s.bytes)}))
			}
		}
	}
	for _, c := range []struct{ name, secret string }{
		{"an empty secret", ""}, {"the kid", m.keys[ed25519Key].kid}, {"the word secret", "secret"},
	} {
		m.bad("confusion", "HS256 with "+c.name, "RFC 8725 section 3.5", "the secret of the HMAC can be guessed",
			m.jws(spec{header: members{"alg": "HS256"}, sign: withSecret("HS256", []byte(c.secret))}))
	}
}

// wrongKeys are right signatures by keys that do not count.
func (m *maker) wrongKeys() {
	under := func(kid string) members { return members{"kid": m.keys[kid].kid} }
	for _, c := range []struct{ stranger, kid string }{{stranger, ed25519Key}, {strangerP256, p256Key}, {strangerRSA, rsaKey}} {
		m.bad("key", "a stranger's, under the kid of the key "+c.kid, "RFC 7515 section 5.2", "the key that kid names did not sign it",
			m.jws(spec{key: c.stranger, header: under(c.kid)}))
	}
	m.bad("key", "RSA of 1024 bits", "RFC 7518 section 3.3", "the key is published, and too small", m.jws(spec{key: smallKey}))
	m.bad("key", "of an unknown type", "RFC 7517 section 5", "kid names a published key that cannot be read: the others stay good, and no check may break at it",
		m.jws(spec{key: stranger, header: members{"kid": unknownKID}}))
	m.bad("key", "for encryption", "RFC 7517 section 4.2", "the key is published for another use", m.jws(spec{key: encryptionKey}))
	m.bad("key", "P-384 under ES256", "RFC 7518 section 3.4", "ES256 wants P-256, and kid names a key on P-384",
		m.jws(spec{key: p384Key, header: members{"alg": "ES256"}, sign: signer("ES256", m.keys[p384Key].Signer)}))
	m.bad("key", "P-256 under the kid of the key p384", "RFC 7518 section 3.4", "kid names a key on another curve",
		m.jws(spec{key: p256Key, header: under(p384Key)}))
}
