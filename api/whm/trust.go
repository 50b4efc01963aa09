package whm

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

// trust says which certificates are good.
func (cfg Config) trust() (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	switch {
	case cfg.Pin != nil && len(cfg.CA) > 0:
		return nil, errors.New("pin_sha256: goes without ca_file: keep the one that you mean")
	case len(cfg.CA) > 0:
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(cfg.CA) {
			return nil, errors.New("ca_file: has no certificate in PEM (-----BEGIN CERTIFICATE-----)")
		}
	case cfg.Pin != nil:
		want := *cfg.Pin
		// Nothing is skipped: VerifyConnection is the whole check instead.
		t.InsecureSkipVerify = true
		t.VerifyConnection = func(state tls.ConnectionState) error {
			got := sha256.Sum256(state.PeerCertificates[0].Raw)
			if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
				return &pinError{got}
			}
			return nil
		}
	}
	return t, nil
}

// pinError says that the server has another certificate than the pinned one.
type pinError struct{ got [sha256.Size]byte }

func (e *pinError) Error() string { return fmt.Sprintf("the certificate has the SHA-256 %x", e.got) }

// tlsFailure makes a Failure of a handshake that shows that server and client do
// not go together. It returns nil for other errors.
func (c *Client) tlsFailure(err error, handshake bool) *reconcile.Failure {
	if pin, ok := errors.AsType[*pinError](err); ok {
		return c.server(err, "%s shows another certificate than pin_sha256 names: its SHA-256 is %x. "+
			"If the certificate was renewed, compare that on the server itself and put it into pin_sha256", c.host, pin.got)
	}
	shown := ""
	if v, ok := errors.AsType[*tls.CertificateVerificationError](err); ok && len(v.UnverifiedCertificates) > 0 {
		shown = fmt.Sprintf(" (the SHA-256 of the certificate that it shows is %x)", sha256.Sum256(v.UnverifiedCertificates[0].Raw))
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return c.server(err, "the certificate of %s is signed by nobody who is trusted here: "+
			"name the authority in ca_file, or the certificate in pin_sha256%s", c.host, shown)
	}
	if name, ok := errors.AsType[x509.HostnameError](err); ok {
		return c.server(err, "the certificate of %s is for %s: use such a name in url, or name the certificate in pin_sha256%s",
			c.host, namesOf(name.Certificate), shown)
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return c.server(err, "the certificate of %s is valid from %s to %s only: renew it, "+
			"set the clock of this machine if that is wrong, or name the certificate in pin_sha256%s",
			c.host, date(invalid.Cert.NotBefore), date(invalid.Cert.NotAfter), shown)
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return c.server(err, "the certificate of %s is not good: %s: correct it, name its authority in ca_file, "+
			"or the certificate in pin_sha256%s", c.host, cause(err), shown)
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok || errors.Is(err, http.ErrSchemeMismatch) {
		return c.server(err, "%s does not speak TLS: url must have WHM's secure port, which is 2087", c.host)
	}
	if handshake && !broken(err) {
		return c.server(err, "%s cannot agree with us on TLS: %s: it must offer TLS 1.2 or newer", c.host, cause(err))
	}
	return nil
}

func namesOf(c *x509.Certificate) string {
	all := append([]string(nil), c.DNSNames...)
	for _, ip := range c.IPAddresses {
		all = append(all, ip.String())
	}
	if len(all) == 0 {
		return "no name"
	}
	return strings.Join(all, ", ")
}

func date(t time.Time) string { return t.UTC().Format(time.DateTime + " UTC") }
