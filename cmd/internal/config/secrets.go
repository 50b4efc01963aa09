package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"unicode"

	"github.com/latchkey-sso/latchkey/broker"
)

const (
	maxSecret = 64 << 10 // bytes
	minSecret = 16       // characters of a secret that an operator makes up
)

// slot is one secret: where it may come from and where it goes.
type slot struct {
	key      string // of the file that holds it
	variable string
	file     string
	roles    Role // who needs it; nobody else opens the file
	unused   bool // no rule will ask for it
	to       *broker.Secret
}

// secrets lists every secret that the configuration can have.
func (c *Config) secrets() []slot {
	slots := []slot{{
		key: "store.password_file", variable: "LATCHKEY_STORE_PASSWORD", file: c.Store.PasswordFile,
		roles: RoleBroker | RoleProvisioner, unused: c.Store.Mode == StoreEmbedded, to: &c.Store.Password,
	}}
	for i := range c.Portals {
		p := &c.Portals[i]
		slots = append(slots, slot{
			key: item("portals", i) + ".client_secret_file", variable: portalSecretVariable(p.ID), file: p.ClientSecretFile,
			roles: RoleBroker, to: &p.ClientSecret,
		})
	}
	for i := range c.Servers {
		s := &c.Servers[i]
		slots = append(slots, slot{
			key: item("servers", i) + ".token_file", variable: serverTokenVariable(s.ID), file: s.TokenFile,
			roles: RoleProvisioner, to: &s.Token,
		}, slot{
			key: item("servers", i) + ".hook_secret_file", variable: serverHookSecretVariable(s.ID), file: s.HookSecretFile,
			roles: RoleProvisioner, to: &s.HookSecret,
		})
	}
	sub := &c.Subscribers
	return append(slots, slot{
		key: "subscribers.sql.dsn_file", variable: "LATCHKEY_SUBSCRIBERS_SQL_DSN", file: sub.SQL.DSNFile,
		roles: RoleProvisioner, unused: sub.Source != SubscribersSQL, to: &sub.SQL.DSN,
	}, slot{
		key: "subscribers.http.bearer_file", variable: "LATCHKEY_SUBSCRIBERS_HTTP_BEARER", file: sub.HTTP.BearerFile,
		roles: RoleProvisioner, unused: sub.Source != SubscribersHTTP, to: &sub.HTTP.Bearer,
	})
}

// load fills the secret. The variable wins over the file, which is then not opened.
func (s slot) load(found *findings, role Role, variables map[string]string) {
	if !role.has(s.roles) || s.unused {
		return
	}
	if value, ok := variables[s.variable]; ok {
		found.overrides[s.key] = "environment " + s.variable
		s.set(found, value)
		return
	}
	if s.file == "" || found.isBroken(s.key) {
		return
	}
	data, err := readLimited(s.file, maxSecret)
	switch {
	case errors.Is(err, errTooLarge):
		s.fail(found, fmt.Sprintf("%s is over 64 KiB: check that it is the right file", s.file))
		return
	case errors.Is(err, fs.ErrPermission):
		s.fail(found, fmt.Sprintf("%s: %s; let the user that runs this read it (chown), or set %s", s.file, cause(err), s.variable))
		return
	case err != nil:
		s.fail(found, fmt.Sprintf("%s: %s; put the secret there, or set %s", s.file, cause(err), s.variable))
		return
	}
	if info, err := os.Stat(s.file); err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o004 != 0 {
		found.note(s.key, fmt.Sprintf("%s can be read by everyone on this machine: chmod 600 it", s.file), true)
	}
	s.set(found, string(data))
}

// set keeps the secret without the newline that editors add.
func (s slot) set(found *findings, text string) {
	text = strings.TrimRight(text, "\r\n")
	switch {
	case strings.TrimSpace(text) == "":
		s.fail(found, fmt.Sprintf("the secret is empty: put it into the file, or set %s", s.variable))
	case strings.ContainsFunc(text, unicode.IsControl):
		s.fail(found, "the secret has several lines or control characters: keep the one line that is the secret")
	default:
		*s.to = broker.NewSecret(text)
	}
}

// fail notes a problem once: that the secret is missing then goes without saying.
func (s slot) fail(found *findings, message string) {
	found.note(s.key, message, false)
	found.broken[s.key] = true
}

// secretLength checks a secret of one-byte characters.
func (c *checker) secretLength(key, secret string) {
	if len(secret) < minSecret {
		c.problem(key, "the secret has %d characters and needs %d: make one with `openssl rand -hex 32`", len(secret), minSecret)
	}
}
