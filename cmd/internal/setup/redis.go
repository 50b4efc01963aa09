// Package setup makes the parts that several commands are assembled from out of
// the configuration.
package setup

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/latchkey-sso/latchkey/cmd/internal/config"
	"github.com/latchkey-sso/latchkey/store"
)

// OpenRedis returns a client for the Redis of a configuration. timeout bounds each
// call; 0 means the default of package store.
func OpenRedis(c config.Store, timeout time.Duration) (redis.UniversalClient, error) {
	o := store.Options{
		Mode: store.Mode(c.Mode), Addresses: c.Addresses, SentinelMaster: c.SentinelMaster,
		Username: c.Username, Password: c.Password, Timeout: timeout,
	}
	if c.TLS.Enabled {
		o.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
		if c.TLS.CAFile != "" {
			pem, err := os.ReadFile(c.TLS.CAFile)
			if err != nil {
				return nil, fmt.Errorf("store.tls.ca_file: %w", err)
			}
			o.TLS.RootCAs = x509.NewCertPool()
			if !o.TLS.RootCAs.AppendCertsFromPEM(pem) {
				return nil, fmt.Errorf("store.tls.ca_file: %s has no PEM certificate", c.TLS.CAFile)
			}
		}
	}
	return store.Open(o)
}
