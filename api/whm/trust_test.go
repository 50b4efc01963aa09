package whm_test

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/api/whm"
	"github.com/latchkey-sso/latchkey/api/whm/whmfake"
)

func TestServersMustProveThemselves(t *testing.T) {
	other := newFake(t, whmfake.Config{})
	ca := func(s *whmfake.Server, c *whm.Config) { c.CA = s.CAPEM() }
	pin := func(s *whmfake.Server, c *whm.Config) { p := s.Pin(); c.Pin = &p }
	system := func(*whmfake.Server, *whm.Config) {}
	expired := whmfake.TLS{NotAfter: time.Date(2020, 5, 17, 0, 0, 0, 0, time.UTC)}
	elsewhere := whmfake.TLS{Hosts: []string{"web99.example.com", "web98.example.com"}}
	old := whmfake.TLS{MaxVersion: tls.VersionTLS11}
	tests := []struct {
		name  string
		shown whmfake.TLS
		trust func(*whmfake.Server, *whm.Config)
		words []string // nil means that it is good
	}{
		{"its authority", whmfake.TLS{}, ca, nil},
		{"TLS 1.2", whmfake.TLS{MaxVersion: tls.VersionTLS12}, ca, nil},
		{"its pin", whmfake.TLS{}, pin, nil},
		{"its pin, another name", elsewhere, pin, nil},
		{"its pin, expired", expired, pin, nil},

		{"nobody's", whmfake.TLS{}, system, []string{"trusted", "ca_file", "pin_sha256", "PIN"}},
		{"another authority", whmfake.TLS{}, func(_ *whmfake.Server, c *whm.Config) { ca(other, c) }, []string{"trusted", "ca_file", "PIN"}},
		{"another pin", whmfake.TLS{}, func(_ *whmfake.Server, c *whm.Config) { pin(other, c) }, []string{"pin_sha256", "PIN"}},
		{"another name", elsewhere, ca, []string{"web99.example.com, web98.example.com", "url", "PIN"}},
		{"expired", expired, ca, []string{"2020-05-17 00:00:00 UTC", "renew", "clock", "PIN"}},
		{"TLS 1.1", old, ca, []string{"TLS 1.2"}},
		{"TLS 1.1, its pin", old, pin, []string{"TLS 1.2"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fake := newFake(t, whmfake.Config{TLS: tt.shown})
			c := clientOf(t, fake, func(cfg *whm.Config) { cfg.CA = nil; tt.trust(fake, cfg) })
			_, err := c.Version(t.Context())
			if tt.words == nil {
				must(t, err)
				return
			}
			p := fake.Pin()
			for i, w := range tt.words {
				tt.words[i] = strings.ReplaceAll(w, "PIN", hex.EncodeToString(p[:]))
			}
			expect(t, err, kind{server, false, false}, append(tt.words, "127.0.0.1:")...)
			if fake.Requests() != 0 {
				t.Errorf("got %d requests, want none", fake.Requests())
			}
		})
	}
}

func TestAPortWithoutTLS(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(s.Close)
	c := ok(whm.New(whm.Config{URL: strings.Replace(s.URL, "http:", "https:", 1), User: "root", Token: token(apiToken).Secret}))(t)
	_, err := c.Version(t.Context())
	expect(t, err, kind{server, false, false}, "does not speak TLS", "2087")
}

// A proxy decides where a connection goes. The standard library reads the
// environment once in a process, and knows no proxy for 127.0.0.1: hence another
// process and another address.
func TestTheEnvironmentNamesNoProxy(t *testing.T) {
	const address = "web01.example.com:2087"
	if os.Getenv("HTTPS_PROXY") == "" {
		again := exec.Command(os.Args[0], "-test.run=^TestTheEnvironmentNamesNoProxy$", "-test.count=1")
		again.Env = append(os.Environ(), "HTTPS_PROXY=http://proxy.example.com:3128")
		if out, err := again.CombinedOutput(); err != nil {
			t.Errorf("with a proxy: %v\n%s", err, out)
		}
		return
	}
	var dialed string
	c := ok(whm.New(whm.Config{URL: "https://" + address, User: "root", Token: token(apiToken).Secret,
		Dial: func(_ context.Context, _, address string) (net.Conn, error) {
			dialed = address
			return nil, errors.New("no network")
		}}))(t)
	_, err := c.Version(t.Context())
	expect(t, err, kind{server, true, false}, "no network")
	c.Close()
	if dialed != address {
		t.Errorf("got a connection to %s, want %s", dialed, address)
	}
}
