package corpus_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/asn1"
	"encoding/base64"
	"math/big"
	"slices"
)

const notSigned = "RFC 7515 section 5.2"

// signatures are wrong for keys of every kind.
func (m *maker) signatures() {
	for _, name := range []string{ed25519Key, p256Key, rsaKey} {
		alg := m.keys[name].alg
		whole := signer(alg, m.keys[name].Signer)
		add := func(what, why string, change func(signature []byte) []byte) {
			m.bad("signature", alg+" "+what, notSigned, why,
				m.jws(spec{key: name, sign: func(input []byte) []byte { return change(whole(input)) }}))
		}
		add("empty", "there is no signature", func([]byte) []byte { return nil })
		add("a byte short", "a signature has one length", func(s []byte) []byte { return s[:len(s)-1] })
		add("half", "a signature has one length", func(s []byte) []byte { return s[:len(s)/2] })
		add("a byte longer", "a signature has one length", func(s []byte) []byte { return append(s, 0) })
		add("a zero byte in front", "a signature has one length", func(s []byte) []byte { return append([]byte{0}, s...) })
		add("first bit changed", "one bit is another", func(s []byte) []byte { s[0] ^= 0x80; return s })
		add("last bit changed", "one bit is another", func(s []byte) []byte { s[len(s)-1] ^= 1; return s })
		add("all zero", "only zeros", func(s []byte) []byte { return make([]byte, len(s)) })
		add("all ones", "only ones", func(s []byte) []byte { return bytes.Repeat([]byte{0xff}, len(s)) })

		h, c, _ := split(m.jws(spec{key: name, claims: members{"sub": "1235"}}))
		_, _, s := split(m.jws(spec{key: name}))
		m.bad("signature", alg+" of other claims", notSigned, "sub was changed after it was signed", h+"."+c+"."+s)
	}
	h, c, s := split(m.jws(spec{}))
	m.bad("signature", "of another header", notSigned, "the header was changed after it was signed",
		encode([]byte(object(members{"alg": "EdDSA", "kid": m.keys[ed25519Key].kid, "typ": "latchkey+jwt"}, members{"x": 1})))+"."+c+"."+s)
	key := signer("EdDSA", m.keys[ed25519Key].Signer)
	m.bad("signature", "of the payload alone", notSigned, "header and payload are signed together", h+"."+c+"."+encode(key([]byte(c))))
	header, claims := m.text(spec{})
	m.bad("signature", "of the decoded text", notSigned, "the encoded segments are what is signed", h+"."+c+"."+encode(key([]byte(header+"."+claims))))

	// RFC 8032 section 5.1.7: S is less than the order of the group.
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	raw := must(base64.RawURLEncoding.DecodeString(s))
	sum := order.Add(order, littleEndian(raw[32:])).FillBytes(make([]byte, 32))
	slices.Reverse(sum)
	m.bad("signature", "EdDSA with S not reduced", "RFC 8032 section 5.1.7", "the order of the group was added to S: the same signature in other bytes",
		h+"."+c+"."+encode(slices.Concat(raw[:32], sum)))
	neutral := make([]byte, 64)
	neutral[0] = 1
	m.bad("signature", "EdDSA of the neutral point", "RFC 8032 section 5.1.7", "R is the neutral point and S is zero", h+"."+c+"."+encode(neutral))
}

func littleEndian(b []byte) *big.Int {
	b = slices.Clone(b)
	slices.Reverse(b)
	return new(big.Int).SetBytes(b)
}

// ecSignatures are wrong for ES256.
func (m *maker) ecSignatures() {
	const rule = "RFC 7518 section 3.4"
	key := m.keys[p256Key].Signer.(*ecdsa.PrivateKey)
	add := func(name, why string, sign func(r, s, n *big.Int) []byte) {
		m.bad("signature", "ES256 "+name, rule, why, m.jws(spec{key: p256Key, sign: func(input []byte) []byte {
			r, s := ecSign(key, crypto.SHA256, digestOf(crypto.SHA256, input))
			return sign(r, s, elliptic.P256().Params().N)
		}}))
	}
	pair := func(r, s *big.Int) []byte {
		return slices.Concat(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32)))
	}
	zero, one := big.NewInt(0), big.NewInt(1)
	add("in DER", "r and s are 32 bytes each, one behind the other", func(r, s, _ *big.Int) []byte {
		return must(asn1.Marshal(struct{ R, S *big.Int }{r, s}))
	})
	add("with r zero", "r is not zero", func(_, s, _ *big.Int) []byte { return pair(zero, s) })
	add("with s zero", "s is not zero", func(r, _, _ *big.Int) []byte { return pair(r, zero) })
	add("with r and s one", "not a signature", func(_, _, _ *big.Int) []byte { return pair(one, one) })
	add("with r and s the order", "r and s are less than the order of the group", func(_, _, n *big.Int) []byte { return pair(n, n) })
	add("with r zero and s the order", "r and s are less than the order of the group", func(_, _, n *big.Int) []byte { return pair(zero, n) })
	add("with r and s exchanged", "r comes first", func(r, s, _ *big.Int) []byte { return pair(s, r) })
	add("with r and s of 48 bytes", "r and s are 32 bytes each", func(r, s, _ *big.Int) []byte {
		return slices.Concat(r.FillBytes(make([]byte, 48)), s.FillBytes(make([]byte, 48)))
	})
	m.bad("signature", "ES256 over SHA-512", rule, "ES256 hashes with SHA-256", m.jws(spec{key: p256Key, sign: signer("ES512", key)}))
}

// rsaSignatures are wrong for RS256.
func (m *maker) rsaSignatures() {
	const rule = "RFC 8017 section 8.2.2"
	key := m.keys[rsaKey].Signer.(*rsa.PrivateKey)
	add := func(name, why string, sign func(input []byte) []byte) {
		m.bad("signature", "RS256 "+name, rule, why, m.jws(spec{key: rsaKey, sign: sign}))
	}
	add("over SHA-512", "RS256 hashes with SHA-256", signer("RS512", key))
	add("with the padding of PSS", "RS256 pads by PKCS #1 version 1.5", signer("PS256", key))
	add("without the name of the hash", "the padded text names the hash", func(input []byte) []byte {
		return must(rsa.SignPKCS1v15(nil, key, 0, digestOf(crypto.SHA256, input)))
	})
	add("one", "the padded text of 1 is 1", func([]byte) []byte { return big.NewInt(1).FillBytes(make([]byte, 256)) })
	add("the modulus", "a signature is less than the modulus", func([]byte) []byte { return key.N.Bytes() })
	add("the padded text itself", "nothing was done with the private key", func(input []byte) []byte {
		s := new(big.Int).SetBytes(signer("RS256", key)(input))
		return s.Exp(s, big.NewInt(int64(key.E)), key.N).FillBytes(make([]byte, 256))
	})
}
