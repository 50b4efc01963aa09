package whm

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

const (
	// maxAnswer is the longest answer in bytes: a server that was taken over shall not
	// fill our memory. An honest one is far below: 48 links with icons of 64 KiB make
	// 4 MiB, and 5000 accounts of a server that tells every field of them about 8 MiB.
	maxAnswer = 16 << 20
	// maxValues is how many commas an answer has at most: the shortest values take up
	// many times their bytes once they are read.
	maxValues = 1 << 20
)

// request is one call of a function.
type request struct {
	function string
	form     form
	// writes: it changes the server, so that it matters whether it was executed.
	writes bool
	// commands is how many commands a batch has, else 0.
	commands int
}

// post sends the request once and returns the body of a 200. Its error is a
// *Failure, not cleaned, or wraps that of ctx.
func (c *Client) post(ctx context.Context, r request) ([]byte, error) {
	if err := c.turn(ctx); err != nil {
		return nil, fmt.Errorf("ask %s for %s: %w", c.host, r.function, err)
	}
	defer func() { <-c.slots }()
	timeout := c.timeout + time.Duration(r.commands)*timeoutPerCommand
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var stage stage
	body, failure := c.exchange(httptrace.WithClientTrace(limited, stage.trace()), r, &stage)
	switch {
	case failure == nil:
		return body, nil
	case failure.Err != nil && ctx.Err() != nil:
		return nil, fmt.Errorf("ask %s for %s: %w", c.host, r.function, ctx.Err())
	case failure.Err != nil && limited.Err() != nil && !stage.connected.Load():
		return nil, c.unsettled(reconcile.ScopeServer, false, limited.Err(),
			"cannot connect to %s within %s: is WHM running, and does the firewall let this machine in?", c.host, timeout)
	case failure.Err != nil && limited.Err() != nil:
		return nil, c.unsettled(reconcile.ScopeItem, r.writes, limited.Err(), "%s did not answer within %s", c.host, timeout)
	}
	return nil, failure
}

// turn waits until the request may be sent. The slot must be given back.
func (c *Client) turn(ctx context.Context) error {
	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	// A request that is over already is not sent, even with a slot and no limit.
	err := ctx.Err()
	if err == nil && c.limiter != nil {
		err = c.limiter.Wait(ctx)
	}
	if err == nil {
		return nil
	}
	<-c.slots
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return context.DeadlineExceeded // the turn would come after it
}

// stage is how far a request came. Another goroutine may report.
type stage struct {
	connected atomic.Bool // something may have been sent
	handshake atomic.Bool // a handshake of its own connection failed
}

func (s *stage) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		// The transport takes another connection where it could write nothing at all
		// to the first.
		GetConn: func(string) { s.connected.Store(false) },
		GotConn: func(httptrace.GotConnInfo) { s.connected.Store(true) },
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) {
			if err != nil {
				s.handshake.Store(true)
			}
		},
	}
}

// exchange makes one HTTP request. A Failure with an Err is about the connection,
// one without about the answer.
func (c *Client) exchange(ctx context.Context, r request, s *stage) ([]byte, *reconcile.Failure) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+"/json-api/"+url.PathEscape(r.function),
		bytes.NewReader(append([]byte("api.version=1"), r.form.encoded...)))
	if err != nil {
		return nil, c.server(err, "make a request for %s: %s", c.host, cause(err))
	}
	req.Header.Set("Authorization", c.authorization.Reveal())
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", c.userAgent)
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.connectionFailure(err, r, s)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode/100 != 2 {
		// Read to the end, so that the connection can be used again.
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
		return nil, c.statusFailure(resp, r)
	}
	// One byte more tells a body that fits from one that does not.
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, c.connectionFailure(err, r, s)
	}
	if len(body) > maxAnswer {
		return nil, c.unsettled(reconcile.ScopeItem, r.writes, nil, "%s answered more than %d MiB to %s", c.host, maxAnswer>>20, r.function)
	}
	if bytes.Count(body, []byte(",")) > maxValues {
		return nil, c.unsettled(reconcile.ScopeItem, r.writes, nil, "%s answered more than %d values to %s", c.host, maxValues, r.function)
	}
	return body, nil
}

func (c *Client) connectionFailure(err error, r request, s *stage) *reconcile.Failure {
	// The address is in our message already.
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	if !s.connected.Load() {
		if f := c.tlsFailure(err, s.handshake.Load()); f != nil {
			return f
		}
		return c.unsettled(reconcile.ScopeServer, false, err,
			"cannot connect to %s: %s: is WHM running, and does the firewall let this machine in?", c.host, cause(err))
	}
	if broken(err) {
		return c.unsettled(reconcile.ScopeItem, r.writes, err, "%s ended the connection before it had answered", c.host)
	}
	return c.unsettled(reconcile.ScopeItem, r.writes, err, "%s gave no answer that can be used: %s", c.host, cause(err))
}

func (c *Client) statusFailure(resp *http.Response, r request) *reconcile.Failure {
	status := fmt.Sprintf("%d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	switch code := resp.StatusCode; {
	case code == http.StatusForbidden:
		return c.server(nil, "%s refuses the API token of %s (%s): check token_file, and that the token exists, "+
			"has not expired and may be used from this machine. Nothing more is asked in this run, because WHM's brute-force "+
			"protection (cPHulk) would lock this machine out; the next run, also a daemon's, tries again", c.host, c.user, status)
	case code/100 == 3:
		return c.server(nil, "%s redirects to %s (%s), which is not followed: url must be WHM's own address, with port 2087",
			c.host, place(resp.Header.Get("Location")), status)
	case code == http.StatusTooManyRequests, code == http.StatusRequestTimeout:
		return c.unsettled(reconcile.ScopeServer, false, nil, "%s answered %s", c.host, status)
	case code == http.StatusBadGateway, code == http.StatusServiceUnavailable, code == http.StatusGatewayTimeout:
		return c.unsettled(reconcile.ScopeServer, r.writes, nil, "%s answered %s", c.host, status)
	case code/100 == 5:
		return c.unsettled(reconcile.ScopeItem, r.writes, nil, "%s answered %s to %s", c.host, status, r.function)
	}
	return c.server(nil, "%s answered %s to %s: check that url is WHM's own address, with port 2087", c.host, status, r.function)
}

// place is where a redirect leads: scheme and host, the rest may be anything.
func place(location string) string {
	u, err := url.Parse(location)
	if err != nil || u.Host == "" {
		return "another page"
	}
	return u.Scheme + "://" + u.Host
}
