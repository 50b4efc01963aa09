package broker_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"

	"github.com/latchkey-sso/latchkey/broker"
)

var algorithms = []string{"EdDSA", "ES256", "RS256"}

func bits(t testing.TB, base64URL string) []byte {
	t.Helper()
	return ok(base64.RawURLEncoding.DecodeString(base64URL))(t)
}

func TestThumbprintsOfTheStandards(t *testing.T) {
	tests := []struct {
		name    string
		private crypto.Signer
		want    string
	}{
		{
			"Ed25519: RFC 8037 appendix A.1 and A.3",
			ed25519.NewKeyFromSeed(bits(t, "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")),
			"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
		},
		{
			"RSA: RFC 7638 section 3.1, of which only the public half is known",
			&rsa.PrivateKey{PublicKey: rsa.PublicKey{E: 65537, N: new(big.Int).SetBytes(bits(t,
				"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMs"+
					"tn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn"+
					"1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"))}},
			"NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
		},
	}
	for _, tt := range tests {
		k := ok(broker.NewKey(tt.private, noon))(t)
		if k.ID != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, k.ID, tt.want)
		}
	}
}

// members reads a key set in the way of a portal that we do not know.
func members(t testing.TB, set []byte) []map[string]string {
	t.Helper()
	var parsed struct {
		Keys []map[string]string `json:"keys"`
	}
	if err := json.Unmarshal(set, &parsed); err != nil {
		t.Fatal(err)
	}
	return parsed.Keys
}

// thumbprint is RFC 7638 by way of a sorted map.
func thumbprint(t testing.TB, key map[string]string) string {
	t.Helper()
	required := map[string][]string{"OKP": {"crv", "kty", "x"}, "EC": {"crv", "kty", "x", "y"}, "RSA": {"e", "kty", "n"}}
	part := map[string]string{}
	for _, name := range required[key["kty"]] {
		part[name] = key[name]
	}
	sum := sha256.Sum256(ok(json.Marshal(part))(t))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func TestKeySetIsReadByALibrary(t *testing.T) {
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		algorithm string
		private   crypto.Signer
	}{
		{"EdDSA", edKey},
		{"ES256", ok(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)},
		{"ES256", shortX(t)},
		{"RS256", ok(rsa.GenerateKey(rand.Reader, 2048))(t)},
	}
	var keys []*broker.Key
	for _, tt := range tests {
		keys = append(keys, ok(broker.NewKey(tt.private, noon))(t))
	}
	ring := ok(broker.NewKeyRing(keys...))(t)
	library := ok(keyfunc.NewJWKSetJSON(ring.KeySet()))(t)
	for i, tt := range tests {
		header := map[string]any{"kid": keys[i].ID, "alg": tt.algorithm}
		public, err := library.Keyfunc(&jwt.Token{Header: header})
		if err != nil {
			t.Errorf("%s: %v", tt.algorithm, err)
			continue
		}
		same := public.(interface{ Equal(crypto.PublicKey) bool })
		if !same.Equal(tt.private.Public()) {
			t.Errorf("%s: got public key %v, want %v", tt.algorithm, public, tt.private.Public())
		}
		if keys[i].Algorithm != tt.algorithm {
			t.Errorf("algorithm: got %s, want %s", keys[i].Algorithm, tt.algorithm)
		}
	}
	for _, key := range members(t, ring.KeySet()) {
		if got := thumbprint(t, key); got != key["kid"] {
			t.Errorf("%s: kid %s, want the thumbprint %s", key["kty"], key["kid"], got)
		}
		for _, coordinate := range []string{key["x"], key["y"]} {
			if n := len(bits(t, coordinate)); key["kty"] == "EC" && n != 32 {
				t.Errorf("EC: got a coordinate of %d bytes, want 32", n)
			}
		}
		if key["use"] != "sig" || !slices.Contains(algorithms, key["alg"]) {
			t.Errorf("%s: got use %q, alg %q, want sig and one of %v", key["kid"], key["use"], key["alg"], algorithms)
		}
		for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "k"} {
			if _, there := key[private]; there {
				t.Errorf("%s: the private member %q is published", key["kty"], private)
			}
		}
	}
}

// shortX returns an EC key whose x begins with a zero byte, which must be kept
// (RFC 7518 section 6.2.1.2).
func shortX(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	for {
		k := ok(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
		if point := ok(k.PublicKey.Bytes())(t); point[1] == 0 {
			return k
		}
	}
}

func TestKeysThatCannotSign(t *testing.T) {
	tests := []struct {
		name    string
		private crypto.Signer
		want    string
	}{
		{"P-384", ok(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))(t), "an EC key must be on the curve P-256"},
		{"RSA 1024", ok(rsa.GenerateKey(rand.Reader, 1024))(t), "an RSA key must have 2048 bits or more"},
		{"none", nil, "a <nil> cannot sign: use Ed25519, P-256 or RSA"},
	}
	for _, tt := range tests {
		k, err := broker.NewKey(tt.private, noon)
		if k != nil || err == nil || err.Error() != tt.want {
			t.Errorf("%s: got key %v, error %v, want %q", tt.name, k, err, tt.want)
		}
	}
	if _, err := broker.GenerateKey("HS256", rand.Reader, noon); err == nil || !strings.Contains(err.Error(), `"HS256" is not known`) {
		t.Errorf("generate HS256: got error %v", err)
	}
	if _, err := broker.NewKeyRing(); err == nil {
		t.Error("a ring without keys was made")
	}
	k := generate(t, "EdDSA", noon)
	if _, err := broker.NewKeyRing(k, k); err == nil || !strings.Contains(err.Error(), k.ID) {
		t.Errorf("one key twice: got error %v, want one that names it", err)
	}
}

func TestSigningKeyRotates(t *testing.T) {
	made := func(when time.Time) *broker.Key { return generate(t, "EdDSA", when) }
	undated := made(time.Time{})
	first, second, third := made(noon), made(noon.Add(time.Hour)), made(noon.Add(2*time.Hour))
	const overlap = broker.KeyOverlap
	tests := []struct {
		name string
		keys []*broker.Key
		now  time.Time
		want *broker.Key
	}{
		{"the only key signs at once", []*broker.Key{first}, noon, first},
		{"the only key signs before it was made", []*broker.Key{first}, noon.Add(-time.Hour), first},
		{"a new key waits", []*broker.Key{first, second}, second.Since.Add(overlap - time.Second), first},
		{"a new key signs after the overlap", []*broker.Key{first, second}, second.Since.Add(overlap), second},
		{"a new key signs from then on", []*broker.Key{second, first}, second.Since.Add(1000 * time.Hour), second},
		{"of three the middle one", []*broker.Key{third, first, second}, third.Since, second},
		{"of three the last one", []*broker.Key{third, first, second}, third.Since.Add(overlap), third},
		{"of keys that all are too new the oldest", []*broker.Key{third, second}, noon, second},
		{"a key without a time counts as old", []*broker.Key{undated, first}, noon.Add(overlap - time.Second), undated},
		{"a key without a time gives way", []*broker.Key{undated, first}, noon.Add(overlap), first},
		{"a key without a time signs alone", []*broker.Key{undated}, noon, undated},
	}
	for _, tt := range tests {
		ring := ok(broker.NewKeyRing(tt.keys...))(t)
		if got := ring.Signing(tt.now); got != tt.want {
			t.Errorf("%s: got the key of %v, want that of %v", tt.name, got.Since, tt.want.Since)
		}
		var published []string
		for _, key := range members(t, ring.KeySet()) {
			published = append(published, key["kid"])
		}
		for _, k := range tt.keys {
			if !slices.Contains(published, k.ID) {
				t.Errorf("%s: the key of %v is not in the key set", tt.name, k.Since)
			}
		}
	}
	if broker.KeyOverlap <= broker.KeySetMaxAge {
		t.Errorf("a new key signs after %v, but portals may keep the key set for %v", broker.KeyOverlap, broker.KeySetMaxAge)
	}
}

func TestSigningDoesNotDependOnTheOrderOfFiles(t *testing.T) {
	a, b := generate(t, "EdDSA", time.Time{}), generate(t, "ES256", time.Time{})
	one, two := ok(broker.NewKeyRing(a, b))(t), ok(broker.NewKeyRing(b, a))(t)
	if one.Signing(noon) != two.Signing(noon) || string(one.KeySet()) != string(two.KeySet()) {
		t.Errorf("the same keys in another order: got %s and %s", one.Signing(noon).ID, two.Signing(noon).ID)
	}
	clear(one.Keys())
	if one.Keys()[0] == nil {
		t.Error("a caller can change the ring through Keys")
	}
}
