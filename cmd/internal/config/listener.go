package config

import (
	"crypto/tls"
	"net"
	"net/netip"
	"os"
	"strings"
)

// ListenerTLS is TLS on a listener: both files or none.
type ListenerTLS struct {
	CertFile string `koanf:"cert_file" is:"path" help:"PEM certificate chain of this listener"`
	KeyFile  string `koanf:"key_file" is:"path" help:"PEM private key of this listener"`
}

// listener is an address to listen on; ok is false when it makes no sense.
type listener struct {
	key, address, host string
	port               int
	ok                 bool
}

func (c *checker) listener(key, address string) listener {
	host, port, ok := c.hostPort(key, address, false)
	return listener{key, address, host, port, ok}
}

// listeners checks the addresses of all sections, since one process may serve
// several of them.
func (c *checker) listeners() {
	public := c.listener("broker.listen", c.cfg.Broker.Listen)
	operators := c.listener("broker.operator_listen", c.cfg.Broker.OperatorListen)
	c.apart(operators, public, "give operators a port of their own, e.g. 127.0.0.1:8081")
	if c.cfg.Provisioner.Listen == "" {
		return
	}
	hooks := c.listener("provisioner.listen", c.cfg.Provisioner.Listen)
	if c.role == RoleBroker|RoleProvisioner {
		const advice = "give hooks a port of their own, e.g. 127.0.0.1:8082"
		c.apart(hooks, public, advice)
		c.apart(hooks, operators, advice)
	}
}

// apart checks that two listeners of one process do not take each other's port.
func (c *checker) apart(l, other listener, advice string) {
	if !l.ok || !other.ok || l.port == 0 || l.port != other.port {
		return
	}
	if strings.EqualFold(l.host, other.host) || everyAddress(l.host) || everyAddress(other.host) {
		c.problem(l.key, "must differ from %s (%s): %s", other.key, other.address, advice)
	}
}

// everyAddress reports whether listening on host takes the port on every address.
func everyAddress(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "" || err == nil && addr.IsUnspecified()
}

// hostPort checks an address. To dial, it needs a host and a port other than 0.
func (c *checker) hostPort(key, address string, dial bool) (host string, port int, ok bool) {
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		c.problem(key, "must be host:port, e.g. %s, not %s", hostPortExample(dial), quote(address))
		return "", 0, false
	}
	port, ok = portNumber(portText)
	switch {
	case !ok || dial && port == 0:
		c.problem(key, "has a bad port in %s: give a number up to 65535", quote(address))
		return "", 0, false
	case dial && host == "" || strings.ContainsAny(host, " /@\\?#"):
		c.problem(key, "has a bad host in %s: write host:port, e.g. %s", quote(address), hostPortExample(dial))
		return "", 0, false
	}
	return host, port, true
}

func hostPortExample(dial bool) string {
	if dial {
		return "127.0.0.1:6379"
	}
	return `":8080"`
}

// listenerTLS checks the section key. The files are opened for the role that
// listens, and for nobody else.
func (c *checker) listenerTLS(key string, t ListenerTLS, role Role) {
	const advice = "give both, or none for plain HTTP behind a balancer"
	cert, private := key+".cert_file", key+".key_file"
	switch {
	case t == ListenerTLS{}:
		return
	case t.KeyFile == "":
		c.problem(private, "is required with %s: %s", cert, advice)
	case t.CertFile == "":
		c.problem(cert, "is required with %s: %s", private, advice)
	}
	if c.role.has(role) {
		c.keyPair(cert, private, t)
	}
}

// keyPair checks that certificate and key can be read and belong together.
func (c *checker) keyPair(certKey, privateKey string, t ListenerTLS) {
	cert, certOK := c.readable(certKey, t.CertFile)
	private, privateOK := c.readable(privateKey, t.KeyFile)
	if !certOK || !privateOK {
		return
	}
	if _, err := tls.X509KeyPair(cert, private); err != nil {
		c.problem(privateKey, "does not go with %s: %s", certKey, err)
	}
	if info, err := os.Stat(t.KeyFile); err == nil && info.Mode().Perm()&0o004 != 0 {
		c.warn(privateKey, "%s can be read by everyone on this machine: chmod 600 it", t.KeyFile)
	}
}

func (c *checker) readable(key, path string) ([]byte, bool) {
	if path == "" {
		return nil, false
	}
	data, err := readLimited(path, 1<<20)
	if err != nil {
		c.problem(key, "%s: %s", path, cause(err))
		return nil, false
	}
	return data, true
}
