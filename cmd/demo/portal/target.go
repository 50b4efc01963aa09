package portal

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Everything that decides where a browser goes is in this file.

const maxTarget = 4096 // bytes of a target_link_uri or a next

// parseOrigin takes "https://portal.example.com" or the same with a slash behind.
func parseOrigin(s string) (string, error) {
	if err := checkURL(s); err != nil {
		return "", err
	}
	u, _ := url.Parse(s)
	if u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("%q: want scheme, host and port only", s)
	}
	return originOf(u), nil
}

// originOf is the RFC 6454 origin: lower case, without a default port.
func originOf(u *url.URL) string {
	scheme, host := strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	if scheme == "http" {
		host = strings.TrimSuffix(host, ":80")
	} else if scheme == "https" {
		host = strings.TrimSuffix(host, ":443")
	}
	return scheme + "://" + host
}

// localPage returns path and query of a target_link_uri on the given origin.
func localPage(origin, target string) (string, error) {
	u, err := parseTarget(target)
	if err != nil {
		return "", err
	}
	if u.Opaque != "" || u.User != nil || u.Host == "" || originOf(u) != origin {
		return "", errors.New("leads away from this portal")
	}
	return pathAndQuery(u), nil
}

// localPath returns path and query of a next parameter, "/" for anything that a
// browser could take for another site.
func localPath(next string) string {
	u, err := parseTarget(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.Opaque != "" || u.User != nil ||
		!strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") {
		return "/"
	}
	return pathAndQuery(u)
}

// parseTarget refuses what browsers and net/url read differently: they take a
// backslash for a slash and drop tabs and line ends.
func parseTarget(s string) (*url.URL, error) {
	if len(s) > maxTarget {
		return nil, errors.New("is too long")
	}
	for _, c := range []byte(s) {
		if c <= ' ' || c == '\\' || c >= 0x7f {
			return nil, errors.New("has characters that do not belong into a URL")
		}
	}
	u, err := url.Parse(s)
	if err != nil {
		return nil, errors.New("is not a URL")
	}
	return u, nil
}

func pathAndQuery(u *url.URL) string {
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	if u.RawQuery != "" {
		path += "?" + u.RawQuery
	}
	return path
}
