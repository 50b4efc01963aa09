package portal

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Config is what a portal needs to know. PublicURL, Issuer, JWKSURL and Audience
// are required; ExchangeURL switches the exchange on and then wants ClientID and
// ClientSecret too.
type Config struct {
	// PublicURL is the portal's own origin as browsers see it, with neither path
	// nor query: "https://portal.example.com". Browsers are never sent elsewhere.
	PublicURL string
	// Company is the name in the heading of each page.
	Company string
	// Customers gives names to customers, by the subscriber id of the assertion.
	// A customer who is not in it may sign in all the same.
	Customers map[string]string
	// PanelURL, if any, is where the login page says that cPanel is.
	PanelURL string

	// Issuer is the broker's public URL, compared with iss byte by byte.
	Issuer string
	// JWKSURL is where the broker publishes its keys, usually
	// Issuer + "/.well-known/jwks.json".
	JWKSURL string
	// Audience is this portal's name at the broker, compared with aud.
	Audience string

	// ExchangeURL is the broker's exchange, usually Issuer + "/exchange". Without
	// it GET /sso/exchange is a page like any other.
	ExchangeURL string
	// ClientID and ClientSecret prove to the exchange who is asking.
	ClientID     string
	ClientSecret Secret

	// HTTPClient calls the broker; http.DefaultClient if nil. Redirects are not
	// followed, whatever it says.
	HTTPClient *http.Client
	// Now is the clock; time.Now if nil.
	Now func() time.Time

	// SignedIn, if any, is told of each sign-in before the browser is answered.
	// It may be called by several goroutines at once.
	SignedIn func(SignIn)
	// Refused, if any, is told why a visitor was turned away. The visitor is not.
	// The reason never holds an assertion, a token or a secret. It may be called
	// by several goroutines at once.
	Refused func(reason error)
}

// SignIn is one customer's arrival.
type SignIn struct {
	Subscriber string // sub: the customer
	Server     string // cpanel.server: the cPanel server of the click
	User       string // cpanel.user: the cPanel account
	App        string // cpanel.app: the link that was clicked
	Page       string // path and query of the page that was asked for
	Handoff    string // "form_post" or "exchange"
}

// Secret is a string that neither prints nor encodes. The function inside keeps it
// out of %+v even where fmt cannot see the methods, in unexported fields.
type Secret struct{ reveal func() string }

// NewSecret wraps a client secret.
func NewSecret(s string) Secret { return Secret{reveal: func() string { return s }} }

const redacted = "[redacted]"

// String says only that there is something to hide.
func (Secret) String() string { return redacted }

// GoString is String for %#v.
func (Secret) GoString() string { return redacted }

// MarshalText is String for JSON, YAML and slog.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

func (s Secret) value() string {
	if s.reveal == nil {
		return ""
	}
	return s.reveal()
}

// check completes c with defaults and reports every problem at once.
func (c *Config) check() error {
	var errs []error
	origin, err := parseOrigin(c.PublicURL)
	if err != nil {
		errs = append(errs, fmt.Errorf("PublicURL: %w", err))
	}
	c.PublicURL = origin
	if c.Issuer == "" {
		errs = append(errs, errors.New("no Issuer: want the broker's public URL"))
	}
	if c.Audience == "" {
		errs = append(errs, errors.New("no Audience: want this portal's name at the broker"))
	}
	if err := checkURL(c.JWKSURL); err != nil {
		errs = append(errs, fmt.Errorf("JWKSURL: %w", err))
	}
	if c.PanelURL != "" {
		if err := checkURL(c.PanelURL); err != nil {
			errs = append(errs, fmt.Errorf("PanelURL: %w", err))
		}
	}
	if c.ExchangeURL != "" {
		if err := checkURL(c.ExchangeURL); err != nil {
			errs = append(errs, fmt.Errorf("ExchangeURL: %w", err))
		}
		if c.ClientID == "" || c.ClientSecret.value() == "" {
			errs = append(errs, errors.New("ExchangeURL: wants ClientID and ClientSecret as well"))
		}
	}
	if c.Company == "" {
		c.Company = "Customer portal"
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.SignedIn == nil {
		c.SignedIn = func(SignIn) {}
	}
	if c.Refused == nil {
		c.Refused = func(error) {}
	}
	client := http.DefaultClient
	if c.HTTPClient != nil {
		client = c.HTTPClient
	}
	stay := *client
	stay.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.HTTPClient = &stay
	return errors.Join(errs...)
}

func checkURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return fmt.Errorf("%q is not an http or https URL", s)
	}
	return nil
}

// secure reports whether cookies can be kept to TLS.
func (c *Config) secure() bool { return strings.HasPrefix(c.PublicURL, "https://") }
