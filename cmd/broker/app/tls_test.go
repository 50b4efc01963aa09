package app_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/cmd/broker/app"
)

// certificate writes a certificate for 127.0.0.1 and its key, and returns who
// trusts it.
func certificate(t *testing.T, certFile, keyFile string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "latchkey test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	writeFile(t, certFile, string(chain))
	writeFile(t, keyFile, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(chain) {
		t.Fatal("the certificate cannot be trusted")
	}
	return pool
}

func TestTLSListener(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	newKey(t, dir)
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	trusted := certificate(t, certFile, keyFile)
	text := changed(t, configFile(dir, "127.0.0.1:6379", freeAddress(t), freeAddress(t)),
		"store: {", "store: {mode: embedded, ",
		"drain_delay", "tls: {cert_file: \""+certFile+"\", key_file: \""+keyFile+"\"}\n  drain_delay",
		`public_url: "http:`, `public_url: "https:`,
	)
	b := start(t, app.Options{Config: loadConfig(t, text), KeyInterval: 20 * time.Millisecond})
	waitReady(t, b.operators) // which stays plain
	address := b.Addr().String()

	https := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: trusted}, ForceAttemptHTTP2: true,
	}}
	defer https.CloseIdleConnections()
	response, err := https.Get("https://" + address + "/.well-known/jwks.json")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("key set: got %d %s (%v), want 200", response.StatusCode, body, err)
	}
	if response.Header.Get("Strict-Transport-Security") == "" {
		t.Error("the answer has no Strict-Transport-Security")
	}

	tests := []struct {
		name     string
		from, to uint16
		want     bool
	}{
		{"TLS 1.0 and 1.1", tls.VersionTLS10, tls.VersionTLS11, false},
		{"TLS 1.2", tls.VersionTLS12, tls.VersionTLS12, true},
		{"TLS 1.3", tls.VersionTLS13, tls.VersionTLS13, true},
	}
	for _, tt := range tests {
		dialer := &net.Dialer{Timeout: 30 * time.Second}
		conn, err := tls.DialWithDialer(dialer, "tcp", address, &tls.Config{RootCAs: trusted, MinVersion: tt.from, MaxVersion: tt.to})
		if got := err == nil; got != tt.want {
			t.Errorf("%s: got error %v, want a connection: %v", tt.name, err, tt.want)
		}
		if conn != nil {
			_ = conn.Close()
		}
	}
	if status, _ := get(t, "http://"+address+"/.well-known/jwks.json", nil); status != http.StatusBadRequest {
		t.Errorf("without TLS: got %d, want 400", status)
	}

	// A renewed certificate is served without a restart.
	renewed := certificate(t, certFile, keyFile)
	deadline := time.Now().Add(20 * time.Second)
	for {
		conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", address, &tls.Config{RootCAs: renewed})
		if err == nil {
			_ = conn.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the renewed certificate is not served: %v", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
