package app

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"slices"
	"sync/atomic"

	"go.uber.org/zap"
)

// certFiles keeps the certificate of the public listener current.
type certFiles struct {
	certFile, keyFile string
	log               *zap.Logger
	pair              atomic.Pointer[tls.Certificate]
}

func openCertFiles(certFile, keyFile string, log *zap.Logger) (*certFiles, error) {
	c := &certFiles{certFile: certFile, keyFile: keyFile, log: log}
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("%s, %s: %w", certFile, keyFile, err)
	}
	c.pair.Store(&pair)
	return c, nil
}

// config answers each handshake with the certificate of the moment.
func (c *certFiles) config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.pair.Load(), nil },
	}
}

// reload reads the files again. Files that do not fit together, as while they
// are being replaced, leave the certificate as it is.
func (c *certFiles) reload() {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		c.log.Error("the certificate could not be read again; the former one stays", zap.String("cert_file", c.certFile), zap.Error(err))
		return
	}
	if slices.EqualFunc(pair.Certificate, c.pair.Load().Certificate, bytes.Equal) {
		return
	}
	c.pair.Store(&pair)
	c.log.Info("certificate changed", zap.Time("not_after", pair.Leaf.NotAfter))
}
