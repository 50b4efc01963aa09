package whm

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"golang.org/x/time/rate"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

// Config is what a Client is made of.
type Config struct {
	// URL is the server's WHM, like https://web01.example.com:2087. Required.
	URL string
	// User is the WHM user that owns the API token. Required.
	User string
	// Token is the API token. Required.
	Token broker.Secret
	// CA has the certificates, in PEM, of the authorities that may sign the
	// server's; empty means those of the system.
	CA []byte
	// Pin is the SHA-256 of the server's own certificate in DER. With a pin nothing
	// else about the certificate is checked. CA must be empty then.
	Pin *[32]byte
	// Timeout is for one request, connecting included; 0 means 30 s. A batch has a
	// second more for each command.
	Timeout time.Duration
	// RequestsPerSecond limits the requests to this server; 0 means no limit.
	RequestsPerSecond float64
	// MaxConnections is how many requests run at a time, a connection each; 0 means 4.
	MaxConnections int
	// PageSize is how many accounts Users asks for at a time; 0 means 5000. A list
	// that fits on one page cannot change while it is read.
	PageSize int
	// UserAgent names us in the server's logs; empty means latchkey.
	UserAgent string
	// Dial makes connections, within 10 s; nil means those of package net.
	Dial Dial
}

const (
	defaultTimeout     = 30 * time.Second
	timeoutPerCommand  = time.Second
	defaultConnections = 4
	defaultPageSize    = 5000
	// Shorter than servers keep idle connections: a request that meets one closing
	// is lost, and nobody can tell whether it was executed.
	idleTimeout = 10 * time.Second
)

// Client talks to the WHM of one server. It is safe for concurrent use.
type Client struct {
	base          string // https://host:port
	host          string // with the port, for messages
	user          string
	token         broker.Secret
	userAgent     string
	timeout       time.Duration
	pageSize      int
	limiter       *rate.Limiter // nil means no limit
	slots         chan struct{} // as many as connections
	dialer        *dialer
	http          *http.Client
	authorization broker.Secret
	icons         icons
}

var _ reconcile.Host = (*Client)(nil)

// New makes a Client. It does not connect. Its error names every setting that is
// wrong, and holds no secret.
func New(cfg Config) (*Client, error) {
	address, problems := cfg.check()
	trust, err := cfg.trust()
	if err = errors.Join(append(problems, err)...); err != nil {
		return nil, err
	}
	connections := cmp.Or(cfg.MaxConnections, defaultConnections)
	c := &Client{
		base:          "https://" + address.Host,
		host:          address.Host,
		user:          cfg.User,
		token:         cfg.Token,
		userAgent:     cmp.Or(cfg.UserAgent, "latchkey"),
		timeout:       cmp.Or(cfg.Timeout, defaultTimeout),
		pageSize:      cmp.Or(cfg.PageSize, defaultPageSize),
		dialer:        newDialer(cfg.Dial),
		slots:         make(chan struct{}, connections),
		authorization: broker.NewSecret("whm " + cfg.User + ":" + cfg.Token.Reveal()),
	}
	if cfg.RequestsPerSecond > 0 {
		c.limiter = rate.NewLimiter(rate.Limit(cfg.RequestsPerSecond), 1)
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	c.http = &http.Client{
		Transport: &http.Transport{
			Proxy:                  nil, // the environment has no say in where a token goes
			DialContext:            c.dialer.connect,
			TLSClientConfig:        trust,
			TLSHandshakeTimeout:    connectTimeout,
			Protocols:              protocols,
			MaxConnsPerHost:        connections,
			MaxIdleConnsPerHost:    connections,
			IdleConnTimeout:        idleTimeout,
			MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

// check returns the parsed URL, and what is wrong with the settings.
func (cfg Config) check() (*url.URL, []error) {
	var problems []error
	problem := func(text string) { problems = append(problems, errors.New(text)) }
	address, err := url.Parse(cfg.URL)
	if err != nil || address.Scheme != "https" || address.Hostname() == "" || address.User != nil ||
		strings.Trim(address.Path, "/") != "" || address.RawQuery != "" || address.Fragment != "" {
		problem("url: must be WHM's address and nothing else, like https://web01.example.com:2087")
	}
	if cfg.User == "" || strings.ContainsFunc(cfg.User, notInHeader) || strings.Contains(cfg.User, ":") {
		problem("user: must be the WHM user that owns the API token, like root")
	}
	if cfg.Token.IsZero() {
		problem("token_file: has no API token")
	} else if strings.ContainsFunc(cfg.Token.Reveal(), notInHeader) {
		problem("token_file: must have the API token alone, without spaces and line breaks")
	}
	if cfg.Timeout < 0 || cfg.RequestsPerSecond < 0 || cfg.MaxConnections < 0 || cfg.PageSize < 0 {
		problem("time-out, rate, connections and page size must not be negative")
	}
	return address, problems
}

func notInHeader(r rune) bool { return r > unicode.MaxASCII || !unicode.IsGraphic(r) || r == ' ' }

// Close ends what is being connected and closes idle connections. Requests that
// are sent go on; no new connection is made.
func (c *Client) Close() {
	c.dialer.close()
	c.http.CloseIdleConnections()
}
