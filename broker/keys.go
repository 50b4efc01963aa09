package broker

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// KeyOverlap is how long a new signing key is published before it signs, so
// that every portal has fetched the key set again by then. KeySetMaxAge is how
// long a portal may keep the key set.
const (
	KeyOverlap   = 10 * time.Minute
	KeySetMaxAge = 5 * time.Minute
)

// MinRSABits is the smallest RSA key accepted (RFC 7518 section 3.3).
const MinRSABits = 2048

// Key is a private key that signs assertions.
type Key struct {
	// ID is the RFC 7638 thumbprint: SHA-256, base64url.
	ID string
	// Algorithm is the JWS `alg`: EdDSA, ES256 or RS256.
	Algorithm string
	// Since is when the key was made; zero when that is not known.
	Since time.Time

	private crypto.Signer
	method  jwt.SigningMethod
	public  jwk
}

// jwk holds the members of an RFC 7517 key that our three kinds use.
type jwk struct {
	KeyType   string `json:"kty"`
	Curve     string `json:"crv,omitempty"`
	X         string `json:"x,omitempty"`
	Y         string `json:"y,omitempty"`
	Exponent  string `json:"e,omitempty"`
	Modulus   string `json:"n,omitempty"`
	KeyID     string `json:"kid"`
	Use       string `json:"use"`
	Algorithm string `json:"alg"`
}

// NewKey wraps a private key. It fails for a key that none of the three
// algorithms takes, and for RSA keys under MinRSABits.
func NewKey(private crypto.Signer, since time.Time) (*Key, error) {
	k := &Key{Since: since, private: private}
	var members string // RFC 7638 section 3.2: required members, in order
	switch p := private.(type) {
	case ed25519.PrivateKey:
		public := p.Public().(ed25519.PublicKey)
		k.method = jwt.SigningMethodEdDSA
		k.public = jwk{KeyType: "OKP", Curve: "Ed25519", X: encodeSegment(public)}
		members = fmt.Sprintf(`{"crv":"Ed25519","kty":"OKP","x":"%s"}`, k.public.X)
	case *ecdsa.PrivateKey:
		if p.Curve != elliptic.P256() {
			return nil, errors.New("an EC key must be on the curve P-256")
		}
		point, err := p.PublicKey.Bytes() // 4, x, y: 65 bytes
		if err != nil {
			return nil, fmt.Errorf("encode public key: %w", err)
		}
		k.method = jwt.SigningMethodES256
		k.public = jwk{KeyType: "EC", Curve: "P-256", X: encodeSegment(point[1:33]), Y: encodeSegment(point[33:])}
		members = fmt.Sprintf(`{"crv":"P-256","kty":"EC","x":"%s","y":"%s"}`, k.public.X, k.public.Y)
	case *rsa.PrivateKey:
		if p.N.BitLen() < MinRSABits {
			return nil, fmt.Errorf("an RSA key must have %d bits or more", MinRSABits)
		}
		k.method = jwt.SigningMethodRS256
		k.public = jwk{
			KeyType:  "RSA",
			Exponent: encodeSegment(big.NewInt(int64(p.E)).Bytes()),
			Modulus:  encodeSegment(p.N.Bytes()),
		}
		members = fmt.Sprintf(`{"e":"%s","kty":"RSA","n":"%s"}`, k.public.Exponent, k.public.Modulus)
	default:
		return nil, fmt.Errorf("a %T cannot sign: use Ed25519, P-256 or RSA", private)
	}
	sum := sha256.Sum256([]byte(members))
	k.ID = encodeSegment(sum[:])
	k.Algorithm = k.method.Alg()
	k.public.KeyID, k.public.Use, k.public.Algorithm = k.ID, "sig", k.Algorithm
	return k, nil
}

func encodeSegment(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// KeyRing holds the signing keys of one moment. It does not change and may be
// shared; rotation makes a new one.
type KeyRing struct {
	keys []*Key // by Since, ascending
	set  []byte
}

// NewKeyRing fails when there is no key, or one twice.
func NewKeyRing(keys ...*Key) (*KeyRing, error) {
	if len(keys) == 0 {
		return nil, errors.New("there is no signing key")
	}
	r := &KeyRing{keys: slices.Clone(keys)}
	slices.SortStableFunc(r.keys, func(a, b *Key) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID))
	})
	set := struct {
		Keys []jwk `json:"keys"`
	}{}
	seen := make(map[string]bool, len(keys))
	for _, k := range r.keys {
		if seen[k.ID] {
			return nil, fmt.Errorf("the signing key %s is there twice", k.ID)
		}
		seen[k.ID] = true
		set.Keys = append(set.Keys, k.public)
	}
	encoded, err := json.Marshal(set)
	if err != nil {
		return nil, fmt.Errorf("encode key set: %w", err)
	}
	r.set = encoded
	return r, nil
}

// KeySet returns the public keys as an RFC 7517 JWK Set.
func (r *KeyRing) KeySet() []byte { return r.set }

// Keys returns the keys, oldest first.
func (r *KeyRing) Keys() []*Key { return slices.Clone(r.keys) }

// Signing returns the key that signs at an instant: the newest that has been
// published for KeyOverlap, or the oldest when none has.
func (r *KeyRing) Signing(now time.Time) *Key {
	for _, k := range slices.Backward(r.keys) {
		if !now.Before(k.Since.Add(KeyOverlap)) {
			return k
		}
	}
	return r.keys[0]
}
