package subscribers

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

// HTTPConfig says where the portal's list is.
type HTTPConfig struct {
	// URL is absolute, http or https.
	URL string
	// Bearer is sent with the request; the zero Secret means none.
	Bearer broker.Secret
	// RootCAs are trusted for https; nil means the system's.
	RootCAs *x509.CertPool
	// Timeout bounds a whole reading; 0 means DefaultTimeout.
	Timeout time.Duration
}

// HTTP is a source of subscribers: an endpoint that answers GET with a list in
// one of the formats of File.
type HTTP struct {
	cfg    HTTPConfig
	bearer string
	// place is the URL without what may be secret.
	place string
}

var _ reconcile.Subscriptions = (*HTTP)(nil)

// NewHTTP returns the source, or an error that says what is wrong with its
// configuration. It does not connect.
func NewHTTP(cfg HTTPConfig) (*HTTP, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		// The error of url.Parse quotes parts of the URL, passwords as well.
		return nil, errors.New("subscribers.http.url must be an absolute http or https URL")
	}
	bearer := strings.TrimSpace(cfg.Bearer.Reveal())
	if !httpguts.ValidHeaderFieldValue(bearer) {
		return nil, errors.New("subscribers.http.bearer_file must hold nothing but the token, on one line")
	}
	return &HTTP{cfg: cfg, bearer: bearer, place: withoutSecrets(u)}, nil
}

func withoutSecrets(u *url.URL) string {
	safe := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	return safe.String()
}

// Read implements reconcile.Subscriptions. A row's Where is like "line 17".
// Redirects are not followed.
func (h *HTTP) Read(ctx context.Context, row func(reconcile.Subscription) error) error {
	ctx, cancel := within(ctx, h.cfg.Timeout)
	defer cancel()
	transport := h.transport()
	defer transport.CloseIdleConnections()
	answer, err := h.get(ctx, transport)
	if err != nil {
		return h.hide(err)
	}
	defer answer.Body.Close()

	var stopped error
	err = list{in: answer.Body, where: "line ", errors: h.place + ": line "}.each(ctx, func(s reconcile.Subscription) error {
		stopped = row(s)
		return stopped
	})
	if stopped != nil {
		return stopped
	}
	return h.hide(err)
}

func (h *HTTP) transport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: connectTimeout}).DialContext,
		TLSHandshakeTimeout:    connectTimeout,
		TLSClientConfig:        &tls.Config{RootCAs: h.cfg.RootCAs, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:      true,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// get returns an answer whose body is a list that tells its end.
func (h *HTTP) get(ctx context.Context, transport *http.Transport) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, h.cfg.URL, nil)
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", h.place, err)
	}
	request.Header.Set("Accept", "text/csv, application/x-ndjson, application/json")
	if h.bearer != "" {
		request.Header.Set("Authorization", "Bearer "+h.bearer)
	}
	client := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	answer, err := client.Do(request)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if outer, is := errors.AsType[*url.Error](err); is {
		err = outer.Err // its text has the whole URL
	}
	if err == nil {
		err = unusable(answer)
	}
	if err != nil {
		if answer != nil {
			_ = answer.Body.Close()
		}
		return nil, fmt.Errorf("GET %s: %w", h.place, err)
	}
	return answer, nil
}

// unusable says why an answer is no list, if it is none.
func unusable(answer *http.Response) error {
	if answer.StatusCode == http.StatusOK {
		if endless(answer) {
			return errors.New("the answer has neither a Content-Length nor chunks, so that a lost connection " +
				"would look like the end of the list: let the endpoint or the proxy before it send one of them")
		}
		return nil
	}
	advice := "subscribers.http.url must answer 200 with the list"
	switch code := answer.StatusCode; {
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		advice = "check the token in subscribers.http.bearer_file"
	case code == http.StatusNotFound || code == http.StatusGone:
		advice = "check subscribers.http.url"
	case code >= 300 && code < 400 && code != http.StatusNotModified:
		advice = "redirects are not followed: put the final address into subscribers.http.url"
		if to, err := answer.Location(); err == nil {
			advice += ", if that is " + withoutSecrets(to)
		}
	case code == http.StatusTooManyRequests || code >= 500:
		advice = "the endpoint is in trouble: look into its log, and try again later"
	}
	return fmt.Errorf("the answer is %d %s; %s", answer.StatusCode, http.StatusText(answer.StatusCode), advice)
}

// endless reports whether the body ends where the connection ends, which it also
// does when that is lost. A compressed body has a mark at its end.
func endless(answer *http.Response) bool {
	return answer.ProtoMajor < 2 && answer.ContentLength < 0 && len(answer.TransferEncoding) == 0 && !answer.Uncompressed
}

// hide takes the secrets out of an error, even if the endpoint sent them back as
// its list.
func (h *HTTP) hide(err error) error {
	secrets := []string{h.bearer}
	if u, parseErr := url.Parse(h.cfg.URL); parseErr == nil {
		password, _ := u.User.Password()
		secrets = append(secrets, password, u.RawQuery)
	}
	return hide(err, secrets...)
}
