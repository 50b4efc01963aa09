package setup

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"slices"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/latchkey-sso/latchkey/cmd/internal/config"
)

// CertFiles keeps the certificate of a listener current: a renewed one needs no
// restart. It is safe for concurrent use.
type CertFiles struct {
	files config.ListenerTLS
	log   *zap.Logger
	pair  atomic.Pointer[tls.Certificate]
}

// OpenCertFiles reads a certificate and its key. It returns nil when the
// configuration names none: plain HTTP.
func OpenCertFiles(files config.ListenerTLS, log *zap.Logger) (*CertFiles, error) {
	if files == (config.ListenerTLS{}) {
		return nil, nil
	}
	c := &CertFiles{files: files, log: log}
	pair, err := tls.LoadX509KeyPair(files.CertFile, files.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("%s, %s: %w", files.CertFile, files.KeyFile, err)
	}
	c.pair.Store(&pair)
	return c, nil
}

// TLS answers each handshake with the certificate of the moment; nil without
// certificate files.
func (c *CertFiles) TLS() *tls.Config {
	if c == nil {
		return nil
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.pair.Load(), nil },
	}
}

// Reload reads the files again. Files that do not fit together, as while they
// are being replaced, leave the certificate as it is. Without certificate files it
// does nothing.
func (c *CertFiles) Reload() {
	if c == nil {
		return
	}
	pair, err := tls.LoadX509KeyPair(c.files.CertFile, c.files.KeyFile)
	if err != nil {
		c.log.Error("the certificate could not be read again; the former one stays", zap.String("cert_file", c.files.CertFile), zap.Error(err))
		return
	}
	if slices.EqualFunc(pair.Certificate, c.pair.Load().Certificate, bytes.Equal) {
		return
	}
	c.pair.Store(&pair)
	c.log.Info("certificate changed", zap.Time("not_after", pair.Leaf.NotAfter))
}
