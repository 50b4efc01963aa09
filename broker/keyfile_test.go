package broker_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"io/fs"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
)

func TestKeyFilesRoundTrip(t *testing.T) {
	made := time.Date(2026, 11, 22, 20, 30, 0, 987, time.FixedZone("CEST", 2*3600))
	dir := fstest.MapFS{"README": {Data: []byte("not a key")}, "key.pem.bak": {Data: []byte("not a key")}}
	want := map[string]string{}
	for _, algorithm := range algorithms {
		k := generate(t, algorithm, made)
		name := regexp.MustCompile(`^20261122T183000Z-` + algorithm + `-[A-Za-z0-9_-]{8}\.pem$`)
		if !name.MatchString(k.FileName()) || !strings.Contains(k.FileName(), k.ID[:8]) {
			t.Errorf("file name: got %q, want %s with the beginning of %s", k.FileName(), name, k.ID)
		}
		dir[k.FileName()] = &fstest.MapFile{Data: ok(k.PEM())(t)}
		want[k.ID] = algorithm
	}
	ring := ok(broker.LoadKeys(dir))(t)
	for _, k := range ring.Keys() {
		if want[k.ID] != k.Algorithm || !k.Since.Equal(made.Truncate(time.Second)) {
			t.Errorf("loaded key %s: got %s of %v, want %s of %v", k.ID, k.Algorithm, k.Since, want[k.ID], made)
		}
		delete(want, k.ID)
	}
	if len(want) > 0 {
		t.Errorf("not loaded: %v", want)
	}
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func pkcs8(t *testing.T, key any) []byte {
	t.Helper()
	return block("PRIVATE KEY", ok(x509.MarshalPKCS8PrivateKey(key))(t))
}

func TestKeysOfOtherToolsAreRead(t *testing.T) {
	ec := ok(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	rsaKey := ok(rsa.GenerateKey(rand.Reader, 2048))(t)
	tests := []struct {
		name, file string
		content    []byte
		algorithm  string
		since      time.Time
	}{
		{"SEC 1, name without a time", "signing.pem", block("EC PRIVATE KEY", ok(x509.MarshalECPrivateKey(ec))(t)), "ES256", time.Time{}},
		{"PKCS#1", "tls-rsa.pem", block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey)), "RS256", time.Time{}},
		{"time alone as name", "20261122T120000Z-x.pem", pkcs8(t, ec), "ES256", noon},
		{"a time that is none", "20261399T120000Z-x.pem", pkcs8(t, ec), "ES256", time.Time{}},
		{"space after the block", "a.pem", append(pkcs8(t, ec), " \n\n"...), "ES256", time.Time{}},
		{"Windows line ends", "a.pem", bytes.ReplaceAll(pkcs8(t, ec), []byte("\n"), []byte("\r\n")), "ES256", time.Time{}},
	}
	for _, tt := range tests {
		ring, err := broker.LoadKeys(fstest.MapFS{tt.file: {Data: tt.content}})
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		k := ring.Keys()[0]
		if k.Algorithm != tt.algorithm || !k.Since.Equal(tt.since) {
			t.Errorf("%s: got %s of %v, want %s of %v", tt.name, k.Algorithm, k.Since, tt.algorithm, tt.since)
		}
	}
}

func TestKeyFilesThatCannotBeUsed(t *testing.T) {
	good := ok(generate(t, "EdDSA", noon).PEM())(t)
	other := ok(generate(t, "ES256", noon).PEM())(t)
	public := ok(x509.MarshalPKIXPublicKey(ok(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t).Public()))(t)
	tests := []struct {
		name  string
		files map[string][]byte
		want  string // in the error, beside the name of the file
	}{
		{"no files", nil, "there is no *.pem file with a signing key: make one with `broker keys new`"},
		{"files of other names", map[string][]byte{"key.txt": good}, "there is no *.pem file"},
		{"empty file", map[string][]byte{"bad.pem": nil}, "is not PEM"},
		{"not PEM", map[string][]byte{"bad.pem": []byte("ssh-ed25519 AAAA")}, "is not PEM"},
		{"two blocks", map[string][]byte{"bad.pem": append(bytes.Clone(good), other...)}, "more than one PEM block"},
		{"text after the block", map[string][]byte{"bad.pem": append(bytes.Clone(good), "more"...)}, "more than one PEM block"},
		{"public key", map[string][]byte{"bad.pem": block("PUBLIC KEY", public)}, `"PUBLIC KEY", want an unencrypted PRIVATE KEY (PKCS#8)`},
		{"certificate", map[string][]byte{"bad.pem": block("CERTIFICATE", public)}, `"CERTIFICATE", want`},
		{"encrypted key", map[string][]byte{"bad.pem": block("ENCRYPTED PRIVATE KEY", public)}, `"ENCRYPTED PRIVATE KEY", want an unencrypted`},
		{"rubbish inside", map[string][]byte{"bad.pem": block("PRIVATE KEY", []byte("rubbish"))}, "is not a private key"},
		{"public key under another name", map[string][]byte{"bad.pem": block("PRIVATE KEY", public)}, "is not a private key"},
		{"RSA 1024", map[string][]byte{"bad.pem": pkcs8(t, ok(rsa.GenerateKey(rand.Reader, 1024))(t))}, "2048 bits or more"},
		{"P-384", map[string][]byte{"bad.pem": pkcs8(t, ok(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))(t))}, "the curve P-256"},
		{"X25519", map[string][]byte{"bad.pem": pkcs8(t, ok(ecdh.X25519().GenerateKey(rand.Reader))(t))}, "cannot sign"},
		{"one bad among good", map[string][]byte{"a.pem": good, "bad.pem": []byte("?"), "c.pem": other}, "is not PEM"},
		{"same key twice", map[string][]byte{"a.pem": good, "b.pem": good}, "is there twice"},
	}
	for _, tt := range tests {
		dir := fstest.MapFS{}
		for name, content := range tt.files {
			dir[name] = &fstest.MapFile{Data: content}
		}
		ring, err := broker.LoadKeys(dir)
		if ring != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got ring %v, error %v, want an error with %q", tt.name, ring, err, tt.want)
			continue
		}
		if _, named := tt.files["bad.pem"]; named && !strings.HasPrefix(err.Error(), "bad.pem: ") {
			t.Errorf("%s: got %q, want the file named", tt.name, err)
		}
		for _, content := range tt.files {
			if b, _ := pem.Decode(content); b != nil && strings.Contains(err.Error(), string(b.Bytes)) {
				t.Errorf("%s: the error holds the file's content", tt.name)
			}
		}
	}
}

func TestKeyFilesThatCannotBeRead(t *testing.T) {
	dir := fstest.MapFS{"dir.pem": {Mode: fs.ModeDir | 0o755}}
	if _, err := broker.LoadKeys(dir); err == nil || !strings.Contains(err.Error(), "dir.pem") {
		t.Errorf("got error %v, want one that names dir.pem", err)
	}
}
