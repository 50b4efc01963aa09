package corpus_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
)

// The published keys, and those of an attacker. Each is testdata/test-key-NAME.pem.
const (
	ed25519Key = "ed25519"
	p256Key    = "p256"
	rsaKey     = "rsa"

	p384Key       = "p384"       // published, and not for us: the curve
	smallKey      = "rsa1024"    // the size
	encryptionKey = "encryption" // the use

	// unknownKID is the kid of a published key whose type (kty) nobody knows.
	unknownKID = "key-of-an-unknown-type"

	stranger     = "stranger" // an Ed25519 key, published nowhere
	strangerP256 = "stranger-p256"
	strangerRSA  = "stranger-rsa"
)

// testKey is a key of the corpus.
type testKey struct {
	crypto.Signer
	kid string
	alg string
}

func readKeys(t *testing.T) map[string]testKey {
	t.Helper()
	algs := map[string]string{
		ed25519Key: "EdDSA", encryptionKey: "EdDSA", stranger: "EdDSA",
		p256Key: "ES256", strangerP256: "ES256", p384Key: "ES384",
		rsaKey: "RS256", smallKey: "RS256", strangerRSA: "RS256",
	}
	keys := make(map[string]testKey)
	for name, alg := range algs {
		text, err := os.ReadFile(filepath.Join("testdata", "test-key-"+name+".pem"))
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(text)
		private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			t.Fatalf("key %s: %v", name, err)
		}
		signer := private.(crypto.Signer)
		keys[name] = testKey{Signer: signer, kid: thumbprint(signer.Public()), alg: alg}
	}
	return keys
}

// jwk has the members that RFC 7638 section 3.2 wants for a thumbprint.
func jwk(public crypto.PublicKey) map[string]string {
	switch key := public.(type) {
	case ed25519.PublicKey:
		return map[string]string{"kty": "OKP", "crv": "Ed25519", "x": encode(key)}
	case *ecdsa.PublicKey:
		point := point(key)[1:]
		return map[string]string{
			"kty": "EC", "crv": key.Params().Name,
			"x": encode(point[:len(point)/2]), "y": encode(point[len(point)/2:]),
		}
	case *rsa.PublicKey:
		return map[string]string{"kty": "RSA", "n": encode(key.N.Bytes()), "e": encode(big.NewInt(int64(key.E)).Bytes())}
	}
	panic("unknown kind of key")
}

// point is the uncompressed point of SEC 1 section 2.3.3.
func point(key *ecdsa.PublicKey) []byte {
	b, err := key.Bytes()
	if err != nil {
		panic(err)
	}
	return b
}

func thumbprint(public crypto.PublicKey) string {
	sum := sha256.Sum256(marshal(jwk(public)))
	return encode(sum[:])
}

// keySet is what a broker publishes, three keys that it never would, and one of a type
// that may come. None has an alg, which is optional (RFC 7517 section 4.4): it is the verifier that must see
// whether alg and key fit.
func keySet(keys map[string]testKey) json.RawMessage {
	var set []map[string]string
	for _, name := range []string{ed25519Key, p256Key, rsaKey, p384Key, smallKey, encryptionKey} {
		key := keys[name]
		published := jwk(key.Public())
		published["kid"], published["use"] = key.kid, "sig"
		if name == encryptionKey {
			published["use"] = "enc"
		}
		set = append(set, published)
	}
	set = append(set, map[string]string{"kty": "latchkey-test", "kid": unknownKID, "use": "sig", "pub": encode([]byte("of another type"))})
	return marshal(map[string]any{"keys": set})
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// marshal has members sorted by name, so it is the same every time.
func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
