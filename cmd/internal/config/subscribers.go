package config

import (
	"net/url"
	"os"
	"strings"

	"github.com/latchkey-sso/latchkey/broker"
)

// The values of Subscribers.Source and SQL.Driver.
const (
	SubscribersFile = "file"
	SubscribersSQL  = "sql"
	SubscribersHTTP = "http"

	DriverPostgres = "postgres"
	DriverMySQL    = "mysql"
)

// Subscribers says where the provisioner learns which subscriber an account
// belongs to.
type Subscribers struct {
	Source string          `koanf:"source" default:"file" choices:"file,sql,http" help:"where accounts' subscribers come from"`
	File   SubscribersPath `koanf:"file"`
	SQL    SQL             `koanf:"sql"`
	HTTP   HTTP            `koanf:"http"`
}

// SubscribersPath is the source `file`: CSV with the header
// server,user,subscriber_unique_id, or JSON lines.
type SubscribersPath struct {
	Path string `koanf:"path" default:"accounts.csv" is:"path" help:"CSV (server,user,subscriber_unique_id) or JSON lines"`
}

// SQL is the source `sql`.
type SQL struct {
	Driver string `koanf:"driver" default:"postgres" choices:"postgres,mysql" help:"kind of database"`
	// DSNFile holds the connection string; or LATCHKEY_SUBSCRIBERS_SQL_DSN.
	DSNFile string `koanf:"dsn_file" is:"path" help:"file with the connection string (or LATCHKEY_SUBSCRIBERS_SQL_DSN)"`
	// Query yields server, user and subscriber, in this order.
	Query string `koanf:"query" is:"text" default:"select server, username, client_id from hosting where status = 'Active'" help:"yields server, user and subscriber"`

	// DSN is loaded for RoleProvisioner when the source is sql.
	DSN broker.Secret `koanf:"-"`
}

// HTTP is the source `http`.
type HTTP struct {
	// URL is https, or http for a loopback host. It is shown by Effective: a
	// secret belongs into the bearer file.
	URL string `koanf:"url" help:"endpoint that lists accounts and subscribers"`
	// BearerFile holds the token to send; or LATCHKEY_SUBSCRIBERS_HTTP_BEARER.
	BearerFile string `koanf:"bearer_file" is:"path" help:"file with the bearer token (or LATCHKEY_SUBSCRIBERS_HTTP_BEARER)"`

	// Bearer is loaded for RoleProvisioner when the source is http; it may be empty.
	Bearer broker.Secret `koanf:"-"`
}

func (c *checker) subscribers() {
	s := c.cfg.Subscribers
	needed := c.role.has(RoleProvisioner)
	if s.Source == SubscribersFile && needed {
		c.accountsFile(s.File.Path)
	}
	if s.Source == SubscribersSQL && needed {
		if s.SQL.DSN.Reveal() == "" {
			c.problem("subscribers.sql.dsn_file", "is required for source sql: give a file with the connection string, or set LATCHKEY_SUBSCRIBERS_SQL_DSN")
		}
		if strings.TrimSpace(s.SQL.Query) == "" {
			c.problem("subscribers.sql.query", "is required for source sql: a query that yields server, user and subscriber")
		}
	}
	if s.HTTP.URL != "" || s.Source == SubscribersHTTP && needed {
		u := c.webURL("subscribers.http.url", s.HTTP.URL, urlRule{
			loopbackHTTP: true, missing: "the endpoint that lists accounts and subscribers",
		})
		if u != nil && secretParameters(u) != nil {
			c.warn("subscribers.http.url", "seems to carry a secret in its query, where logs and proxies see it: use bearer_file")
		}
	}
}

func (c *checker) accountsFile(path string) {
	const key = "subscribers.file.path"
	if path == "" {
		c.problem(key, "is required for source file: a CSV with the header server,user,subscriber_unique_id, or JSON lines")
		return
	}
	f, err := os.Open(path)
	if err != nil {
		c.problem(key, "%s: %s; export your accounts to it or choose another source", path, cause(err))
		return
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		c.problem(key, "%s is a directory: give the file in it", path)
	}
}

// secretParameters names the query's parameters that look like secrets.
func secretParameters(u *url.URL) []string {
	var names []string
	for name := range u.Query() {
		for _, word := range []string{"key", "token", "secret", "passw", "auth"} {
			if strings.Contains(strings.ToLower(name), word) {
				names = append(names, name)
				break
			}
		}
	}
	return names
}
