package config

import (
	"crypto/x509"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// checker holds the configuration against its rules. Each section's rules stand
// below that section's struct.
type checker struct {
	cfg   *Config
	role  Role
	found *findings
}

func (c *checker) all() {
	c.listeners()
	c.store()
	c.broker()
	c.provisioner()
	c.portals()
	c.servers()
	c.subscribers()
	c.catalogue()
}

func (c *checker) problem(key, format string, args ...any) {
	c.found.note(key, fmt.Sprintf(format, args...), false)
}

func (c *checker) warn(key, format string, args ...any) {
	c.found.note(key, fmt.Sprintf(format, args...), true)
}

// seen maps what must be unique to the key that has it.
type seen map[string]string

// id checks an id and that it is the only one; owner is the entry that has it.
func (c *checker) id(key, id string, pattern *regexp.Regexp, words string, ids seen, owner string) bool {
	switch first, taken := ids[id]; {
	case id == "":
		c.problem(key, "is required: %s", words)
	case !pattern.MatchString(id):
		c.problem(key, "must be %s, not %s", words, quote(id))
	case taken:
		c.problem(key, "%s is taken by %s: each needs an id of its own", quote(id), first)
	default:
		ids[id] = owner
		return true
	}
	return false
}

// variable checks that no two ids share an environment variable.
func (c *checker) variable(key, name string, variables seen) {
	if first, ok := variables[name]; ok {
		c.problem(key, "has the variable %s in common with %s: change one of the ids in more than its punctuation", name, first)
		return
	}
	variables[name] = key
}

// urlRule says what a URL may have. https is always allowed; user names and
// fragments never are.
type urlRule struct {
	loopbackHTTP bool   // http is fine when the host is this machine
	noQuery      bool   // no ?
	noPath       bool   // nothing behind the host
	pathVariable bool   // {path} may stand behind the host
	missing      string // what to give when it is empty
}

// webURL checks a URL and returns it if it is fine. Problems do not repeat a URL
// that may hold a password.
func (c *checker) webURL(key, raw string, rule urlRule) *url.URL {
	if raw == "" {
		if c.role != 0 {
			c.problem(key, "is required: %s", rule.missing)
		}
		return nil
	}
	if problem := urlProblem(raw, rule); problem != "" {
		c.problem(key, "%s", problem)
		return nil
	}
	u, _ := url.Parse(strings.ReplaceAll(raw, "{path}", pathStandIn))
	return u
}

const pathStandIn = "latchkey-path"

func urlProblem(raw string, rule urlRule) string {
	text := raw
	if rule.pathVariable {
		text = strings.ReplaceAll(raw, "{path}", pathStandIn)
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || strings.ContainsFunc(text, unicode.IsSpace) || strings.Contains(text, `\`):
		return "is not a URL: write it like https://host.example.com/path, with special characters percent-encoded"
	case u.User != nil:
		return "must not contain a user name or password: it is shown to others"
	case u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		return fmt.Sprintf("must be an absolute URL beginning with https://, not %s", quote(raw))
	case u.Scheme == "http" && !rule.loopbackHTTP:
		return "must begin with https://"
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return "must begin with https:// (http:// is for localhost only), since secrets travel in it"
	case !portOK(u):
		return fmt.Sprintf("has a bad port in %s: give a number from 1 to 65535, or none", quote(u.Host))
	case strings.Contains(text, "#"):
		return "must not have a fragment (#...): browsers keep it to themselves"
	case rule.noQuery && strings.Contains(text, "?"):
		return "must not have a query (?...): remove it"
	case rule.noPath && u.Path != "":
		return fmt.Sprintf("must end behind the host and port: remove %s", quote(u.Path))
	case strings.Contains(u.Host, pathStandIn) && rule.pathVariable:
		return "may have {path} behind the host only"
	case strings.ContainsAny(text, "{}"):
		if rule.pathVariable {
			return "may have {path} and no other braces"
		}
		return "must not have braces: percent-encode { as %7B and } as %7D"
	}
	return ""
}

func portOK(u *url.URL) bool {
	if strings.HasSuffix(u.Host, ":") {
		return false
	}
	port, ok := portNumber(u.Port())
	return u.Port() == "" || ok && port > 0
}

func portNumber(text string) (int, bool) {
	port, err := strconv.ParseUint(text, 10, 16)
	return int(port), err == nil
}

// loopback reports whether a host name is this machine, by RFC 6761 section 6.3
// and RFC 1122 section 3.2.1.3.
func loopback(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// certificates checks a file of PEM certificates to trust.
func (c *checker) certificates(key, path string) {
	data, err := readLimited(path, 16<<20)
	if err != nil {
		c.problem(key, "%s: %s; give PEM certificates, or leave the key empty for the system's", path, cause(err))
		return
	}
	if !x509.NewCertPool().AppendCertsFromPEM(data) {
		c.problem(key, "%s has no PEM certificate in it: it should have -----BEGIN CERTIFICATE-----", path)
	}
}
