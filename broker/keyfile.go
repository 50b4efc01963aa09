package broker

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"
)

// A key file holds one PKCS#8 private key in PEM. Its name begins with the time
// at which it was made, because neither a copy nor a mounted secret keeps a
// file's own time: 20261122T183000Z-EdDSA-1a2b3c4d.pem. A key under any other
// name counts as old.
const keyFileTime = "20060102T150405Z"

// GenerateKey makes a private key for the algorithm EdDSA, ES256 or RS256 (3072
// bits).
func GenerateKey(algorithm string, random io.Reader, now time.Time) (*Key, error) {
	var private crypto.Signer
	var err error
	switch algorithm {
	case "EdDSA":
		_, private, err = ed25519.GenerateKey(random)
	case "ES256":
		private, err = ecdsa.GenerateKey(elliptic.P256(), random)
	case "RS256":
		private, err = rsa.GenerateKey(random, 3072)
	default:
		return nil, fmt.Errorf("the algorithm %q is not known: use EdDSA, ES256 or RS256", algorithm)
	}
	if err != nil {
		return nil, fmt.Errorf("generate %s key: %w", algorithm, err)
	}
	return NewKey(private, now.UTC().Truncate(time.Second))
}

// FileName returns the name under which the key is to be kept.
func (k *Key) FileName() string {
	return fmt.Sprintf("%s-%s-%s.pem", k.Since.UTC().Format(keyFileTime), k.Algorithm, k.ID[:8])
}

// PEM returns the private key as PKCS#8 in PEM. Keep it like a password.
func (k *Key) PEM() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k.private)
	if err != nil {
		return nil, fmt.Errorf("encode private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// LoadKeys reads every file of a directory whose name ends in .pem. Its error
// names the file.
func LoadKeys(dir fs.FS) (*KeyRing, error) {
	var keys []*Key
	err := eachKey(dir, func(_ string, k *Key) { keys = append(keys, k) })
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, errors.New("there is no *.pem file with a signing key: make one with `broker keys new`")
	}
	return NewKeyRing(keys...)
}

// KeyFiles returns the names of a directory's key files by Key.ID.
func KeyFiles(dir fs.FS) (map[string]string, error) {
	names := make(map[string]string)
	err := eachKey(dir, func(name string, k *Key) { names[k.ID] = name })
	return names, err
}

func eachKey(dir fs.FS, visit func(name string, k *Key)) error {
	entries, err := fs.ReadDir(dir, ".") // fs.Glob would hide a directory that cannot be read
	if err != nil {
		return fmt.Errorf("list key files: %w", err)
	}
	for _, entry := range entries {
		name := entry.Name()
		if path.Ext(name) != ".pem" {
			continue
		}
		k, err := loadKey(dir, name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		visit(name, k)
	}
	return nil
}

func loadKey(dir fs.FS, name string) (*Key, error) {
	content, err := fs.ReadFile(dir, name)
	if err != nil {
		return nil, err
	}
	block, rest := pem.Decode(content)
	if block == nil {
		return nil, errors.New("is not PEM")
	}
	if strings.TrimSpace(string(rest)) != "" {
		return nil, errors.New("holds more than one PEM block: keep one private key a file")
	}
	private, err := parsePrivateKey(block)
	if err != nil {
		return nil, err
	}
	stamp, _, _ := strings.Cut(path.Base(name), "-")
	since, err := time.Parse(keyFileTime, stamp)
	if err != nil {
		since = time.Time{}
	}
	return NewKey(private, since)
}

func parsePrivateKey(block *pem.Block) (crypto.Signer, error) {
	var key any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	default:
		return nil, fmt.Errorf("is a PEM block of type %q, want an unencrypted PRIVATE KEY (PKCS#8)", block.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("is not a private key: %w", err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("holds a %T, which cannot sign", key)
	}
	return signer, nil
}
