package app

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/latchkey-sso/latchkey/broker"
)

// defaultKeyInterval is how often the directory is read again: a new key has
// broker.KeyOverlap until it signs, so this is early enough everywhere.
const defaultKeyInterval = 10 * time.Second

// keyDir keeps the signing keys of a directory current.
type keyDir struct {
	path string
	now  func() time.Time
	log  *zap.Logger
	ring atomic.Pointer[broker.KeyRing]
}

func openKeyDir(path string, now func() time.Time, log *zap.Logger) (*keyDir, error) {
	d := &keyDir{path: path, now: now, log: log}
	ring, err := broker.LoadKeys(os.DirFS(path))
	if err != nil {
		return nil, fmt.Errorf("broker.signing_keys_dir: %s: %w", path, err)
	}
	d.ring.Store(ring)
	d.warnReadable()
	return d, nil
}

func (d *keyDir) current() *broker.KeyRing { return d.ring.Load() }

// reload reads the directory again. One that cannot be read leaves the keys as
// they are.
func (d *keyDir) reload() {
	ring, err := broker.LoadKeys(os.DirFS(d.path))
	if err != nil {
		d.log.Error("signing keys could not be read again; the former ones stay", zap.String("dir", d.path), zap.Error(err))
		return
	}
	same := func(a, b *broker.Key) bool { return a.ID == b.ID && a.Since.Equal(b.Since) }
	if slices.EqualFunc(ring.Keys(), d.ring.Load().Keys(), same) {
		return
	}
	d.ring.Store(ring)
	var ids []string
	for _, k := range ring.Keys() {
		ids = append(ids, k.ID)
	}
	d.log.Info("signing keys changed", zap.Strings("published", ids), zap.String("signing", ring.Signing(d.now()).ID))
	d.warnReadable()
}

func (d *keyDir) warnReadable() {
	for _, file := range readableKeys(d.path) {
		d.log.Warn("every user of this machine can read a signing key: chmod 600 it", zap.String("file", file))
	}
}

// readableKeys returns the key files that every user of the machine can read.
func readableKeys(dir string) []string {
	var readable []string
	files, _ := filepath.Glob(filepath.Join(dir, "*.pem"))
	for _, file := range files {
		if info, err := os.Stat(file); err == nil && info.Mode().Perm()&0o004 != 0 {
			readable = append(readable, file)
		}
	}
	return readable
}
