package api_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/latchkey-sso/latchkey/api"
)

// Frames of HTTP/2 (RFC 9113 sections 3.4, 6.5, 6.7 and 6.2).
const (
	http2Preface  = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	http2Settings = "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	http2Ping     = "\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678"
	// http2Post begins POST / without a body's end: HPACK's indexes 3, 4 and 7, and
	// an empty :authority.
	http2Post = "\x00\x00\x05\x01\x04\x00\x00\x00\x01\x83\x84\x87\x41\x00"
)

// secured returns settings of a server with a certificate that nobody has signed.
func secured(t *testing.T) *tls.Config {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	// The clock of synctest begins in the year 2000.
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, SessionTicketsDisabled: true}
}

// Over TLS clients may speak HTTP/2, where time-outs of a connection are others.
func TestSlowHTTP2ClientsAreCut(t *testing.T) {
	settings := secured(t)
	start := http2Preface + http2Settings
	clients := []struct {
		slowClient
		reads bool
	}{
		{slowClient{"says nothing", then(start, wait), 75 * time.Second}, true},
		{slowClient{"begins a frame", then(start+http2Ping[:12], wait), 75 * time.Second}, true},
		{slowClient{"leaves its request open", then(start+http2Post, wait), 75 * time.Second}, true},
		{slowClient{"reads nothing", then(start+strings.Repeat(http2Ping, 5), func(net.Conn) {}), 15 * time.Second}, false},
	}
	for _, client := range clients {
		keep := client.keep
		client.keep = func(c net.Conn) {
			secure := tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
			if err := secure.Handshake(); err != nil || secure.ConnectionState().NegotiatedProtocol != "h2" {
				t.Errorf("handshake: %v", err)
				return
			}
			keep(secure)
			if client.reads {
				_, _ = io.Copy(io.Discard, secure)
			}
		}
		t.Run(client.name, func(t *testing.T) {
			with := func(s *http.Server) { s.TLSConfig = settings.Clone() }
			if got := kept(t, with, client.slowClient); got > client.within+2*time.Second {
				t.Errorf("it was kept for %v, want it cut after %v", got, client.within)
			}
		})
	}
}

// What one connection may ask for at once multiplies what the limits of connections
// bound.
func TestAnHTTP2ConnectionCarriesFewRequestsAtOnce(t *testing.T) {
	const maxConcurrentStreams = 3 // RFC 9113 section 6.5.2
	settings := secured(t)
	settings.NextProtos = []string{"h2"}
	s := api.HTTPServer(newServer(t, &domain{}), settings, zap.NewNop())
	address := serveOn(t, s, func(l net.Listener) net.Listener { return tls.NewListener(l, settings) })
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	head := make([]byte, 9)
	if _, err := io.WriteString(conn, http2Preface+http2Settings); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, head); err != nil || head[3] != 4 {
		t.Fatalf("got a frame %x (%v), want SETTINGS", head, err)
	}
	list := make([]byte, head[2])
	if _, err := io.ReadFull(conn, list); err != nil {
		t.Fatal(err)
	}
	for ; len(list) >= 6; list = list[6:] {
		if binary.BigEndian.Uint16(list) != maxConcurrentStreams {
			continue
		}
		if got := binary.BigEndian.Uint32(list[2:]); got != 32 {
			t.Errorf("got %d requests at once, want 32", got)
		}
		return
	}
	t.Error("it sets no bound")
}
