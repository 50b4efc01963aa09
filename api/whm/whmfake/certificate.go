package whmfake

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"
)

// TLS is what a server shows of itself. The zero TLS is in order.
type TLS struct {
	// Hosts are the names and addresses in the certificate; none means 127.0.0.1,
	// ::1 and localhost.
	Hosts []string
	// NotAfter is when the certificate expires; zero means in a day.
	NotAfter time.Time
	// MaxVersion is the newest version of TLS that the server speaks; 0 means the
	// newest there is. A server of TLS 1.1 speaks 1.0 as well.
	MaxVersion uint16
}

const day = 24 * time.Hour

// identity is a certificate and the authority that signed it.
type identity struct {
	certificate tls.Certificate
	ca          []byte // PEM
}

func (t TLS) identity(name string) (identity, error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return identity{}, fmt.Errorf("make the authority's key: %w", err)
	}
	// From the long past, so that a leaf may have expired in any test's time.
	notBefore := time.Unix(0, 0)
	now := time.Now()
	ca := &x509.Certificate{
		SerialNumber:          big.NewInt(now.UnixNano()),
		Subject:               pkix.Name{CommonName: "Simulated authority of " + name},
		NotBefore:             notBefore,
		NotAfter:              now.Add(10 * 365 * day),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		return identity{}, fmt.Errorf("make the authority: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return identity{}, fmt.Errorf("make the server's key: %w", err)
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano() + 1),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    notBefore,
		NotAfter:     t.NotAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if leaf.NotAfter.IsZero() {
		leaf.NotAfter = now.Add(day)
	}
	hosts := t.Hosts
	if len(hosts) == 0 {
		hosts = []string{"127.0.0.1", "::1", "localhost"}
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			leaf.IPAddresses = append(leaf.IPAddresses, ip)
		} else {
			leaf.DNSNames = append(leaf.DNSNames, h)
		}
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, caKey)
	if err != nil {
		return identity{}, fmt.Errorf("make the server's certificate: %w", err)
	}
	return identity{
		certificate: tls.Certificate{Certificate: [][]byte{leafDER}, PrivateKey: key},
		ca:          pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}),
	}, nil
}

func (t TLS) config(c tls.Certificate) *tls.Config {
	cfg := &tls.Config{
		Certificates: []tls.Certificate{c},
		MinVersion:   tls.VersionTLS12,
		MaxVersion:   t.MaxVersion,
		NextProtos:   []string{"http/1.1"},
	}
	if t.MaxVersion != 0 && t.MaxVersion < cfg.MinVersion {
		cfg.MinVersion = tls.VersionTLS10
	}
	return cfg
}
