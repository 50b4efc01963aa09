package corpus_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rsa"
	"encoding/asn1"
	"encoding/json"
	"maps"
	"math/big"
	"slices"
	"testing"

	"github.com/latchkey-sso/latchkey/deploy/portal-kit/corpus"
)

const (
	issuer   = "https://sso.example.com"
	audience = "https://portal.example.com"
	origin   = "https://portal.example.com"
	page     = origin + "/invoices?state=unpaid"
	customer = "1234"
	now      = 1_779_278_400 // 2026-05-20 12:00:00 UTC
)

var limits = corpus.Limits{Leeway: 10, Life: 300, ID: 255, Assertion: 16 << 10}

// members are those of a JSON object. As a change of another object, nil takes a
// member away; null is json.RawMessage("null").
type members map[string]any

var null = json.RawMessage("null")

// spec is how an assertion differs from a good one that is signed by the same key.
type spec struct {
	key    string // ed25519Key if empty
	header members
	claims members
	// In place of the whole JSON text.
	headerText, claimsText string
	// sign makes the signature; by default that of the key for its own algorithm.
	sign func(input []byte) []byte
}

// maker makes the cases.
type maker struct {
	keys  map[string]testKey
	cases []corpus.Case
}

func newMaker(t *testing.T) *maker { return &maker{keys: readKeys(t)} }

func (m *maker) corpus() *corpus.Corpus {
	m.cases = nil
	for _, add := range []func(){
		m.good, m.algorithms, m.confusedKeys, m.wrongKeys, m.keyIDs, m.keysBroughtAlong, m.types, m.headers,
		m.forms, m.encodings, m.signatures, m.ecSignatures, m.rsaSignatures,
		m.payloads, m.duplicates, m.issuers, m.audiences, m.times, m.ids, m.targets, m.sizes, m.burdens,
	} {
		add()
	}
	return &corpus.Corpus{
		Format:   corpus.Format,
		About:    "Assertions on which to try a portal's verifier. The README beside this folder says how. The keys are test keys.",
		Issuer:   issuer,
		Audience: audience,
		Origin:   origin,
		Now:      now,
		Limits:   limits,
		JWKS:     keySet(m.keys),
		Cases:    m.cases,
	}
}

// bad adds a case that is to be refused.
func (m *maker) bad(group, name, rule, why, assertion string) {
	m.cases = append(m.cases, corpus.Case{
		Name: group + ": " + name, Group: group, Rule: rule, Why: why, Assertion: assertion,
	})
}

// text is header and claims before they are encoded.
func (m *maker) text(s spec) (header, claims string) {
	key := m.key(s)
	header, claims = s.headerText, s.claimsText
	if header == "" {
		header = object(members{"alg": key.alg, "kid": key.kid, "typ": "latchkey+jwt"}, s.header)
	}
	if claims == "" {
		claims = object(goodClaims(), s.claims)
	}
	return header, claims
}

func (m *maker) key(s spec) testKey {
	if s.key == "" {
		return m.keys[ed25519Key]
	}
	return m.keys[s.key]
}

// jws is the compact serialization of RFC 7515 section 7.1.
func (m *maker) jws(s spec) string {
	header, claims := m.text(s)
	return m.signed(s, encode([]byte(header)), encode([]byte(claims)))
}

// signed signs segments as they are.
func (m *maker) signed(s spec, header, claims string) string {
	sign := s.sign
	if sign == nil {
		key := m.key(s)
		sign = signer(key.alg, key.Signer)
	}
	input := header + "." + claims
	return input + "." + encode(sign([]byte(input)))
}

func goodClaims() members {
	return members{
		"iss": issuer, "aud": audience, "sub": customer, "jti": "b5Vh0sUqGm1oQe3mB7xkqg",
		"iat": now - 2, "nbf": now - 2, "exp": now + 58, "auth_time": now - 4,
		"amr": []string{"cpanel"}, "acr": "urn:latchkey:acr:panel-access",
		"cpanel":          members{"server": "web01", "user": "bob", "app": "latchkey_invoices"},
		"target_link_uri": page,
	}
}

// object is the JSON text of the members, changed.
func object(of, change members) string {
	all := maps.Clone(of)
	maps.Copy(all, change)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(all); err != nil {
		panic(err)
	}
	return string(bytes.TrimSpace(b.Bytes()))
}

// hashOf is the hash that the name of an algorithm ends with.
func hashOf(alg string) crypto.Hash {
	return map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}[alg[2:]]
}

// signer signs by an algorithm of RFC 7518 section 3.1 or RFC 8037, the same way each time.
func signer(alg string, key crypto.Signer) func([]byte) []byte {
	if alg == "EdDSA" {
		return func(input []byte) []byte { return ed25519.Sign(key.(ed25519.PrivateKey), input) }
	}
	hash := hashOf(alg)
	return func(input []byte) []byte {
		switch digest := digestOf(hash, input); alg[:2] {
		case "ES":
			r, s := ecSign(key.(*ecdsa.PrivateKey), hash, digest)
			size := (key.(*ecdsa.PrivateKey).Params().BitSize + 7) / 8
			return slices.Concat(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size)))
		case "RS":
			return must(rsa.SignPKCS1v15(nil, key.(*rsa.PrivateKey), hash, digest))
		case "PS":
			// A constant salt is as good as any other for the verifier.
			opts := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
			return must(rsa.SignPSS(constant{}, key.(*rsa.PrivateKey), hash, digest, opts))
		}
		panic("unknown algorithm " + alg)
	}
}

// ecSign is deterministic (RFC 6979), as Sign is without a source of randomness.
func ecSign(key *ecdsa.PrivateKey, hash crypto.Hash, digest []byte) (r, s *big.Int) {
	var signature struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(must(key.Sign(nil, digest, hash)), &signature); err != nil {
		panic(err)
	}
	return signature.R, signature.S
}

func withSecret(alg string, secret []byte) func([]byte) []byte {
	return func(input []byte) []byte {
		h := hmac.New(hashOf(alg).New, secret)
		h.Write(input)
		return h.Sum(nil)
	}
}

func digestOf(hash crypto.Hash, input []byte) []byte {
	h := hash.New()
	h.Write(input)
	return h.Sum(nil)
}

// constant is a source of bytes that are all the same.
type constant struct{}

func (constant) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 0x5a
	}
	return len(p), nil
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
