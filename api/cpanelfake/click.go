package cpanelfake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

const (
	maxAttempts = 3
	maxWait     = 60 * time.Second
	maxAnswer   = 64 << 10 // bytes of an answer that are read
)

// Click does what a server does when the customer clicks the link: it asks the
// broker, up to three times, and falls back to the link's url. It returns
// ErrUnknownAccount, ErrUnknownLink or ErrSuspended where there is nothing to
// click, and the context's error when ctx ends first; whatever the broker does is
// an Outcome and not an error. A click may take three timeouts and two waits.
func (s *Server) Click(ctx context.Context, user, app string) (Outcome, error) {
	link, err := s.clickable(user, app)
	if err != nil {
		return Outcome{}, err
	}
	var out Outcome
	if link.AutologinTokenURL != "" {
		if out, err = s.ask(ctx, user, link); err != nil {
			return Outcome{}, fmt.Errorf("click on %q of account %q: %w", app, user, err)
		}
	}
	if out.Kind != SignedOn {
		out.Kind, out.Location = Nowhere, ""
		if absoluteHTTP(link.URL) {
			out.Kind, out.Location = FellBack, link.URL
		}
	}
	s.trace(Hop{User: user, App: app, Kind: out.Kind, Attempt: out.Attempts, URL: withoutQuery(out.Location)})
	return out, nil
}

func (s *Server) clickable(user, app string) (Link, error) {
	account, err := s.state.Account(user)
	if err != nil {
		return Link{}, err
	}
	if account.Suspended {
		return Link{}, fmt.Errorf("%w: %q", ErrSuspended, user)
	}
	return s.state.Link(user, app)
}

// ask makes the attempts. The Outcome's Kind is SignedOn or empty.
func (s *Server) ask(ctx context.Context, user string, link Link) (Outcome, error) {
	var out Outcome
	for attempt := 1; ; attempt++ {
		hop, answer := s.attempt(ctx, user, link, attempt)
		if err := ctx.Err(); err != nil {
			return Outcome{}, err
		}
		out.Attempts, out.Last = attempt, answer.kind
		again := answer.kind == Retry && attempt < maxAttempts
		if again {
			hop.Wait = min(answer.wait, maxWait)
		}
		s.trace(hop)
		if answer.kind == Redirect {
			out.Kind, out.Location = SignedOn, answer.location
		}
		if !again {
			return out, nil
		}
		if err := s.wait(ctx, hop.Wait); err != nil {
			return Outcome{}, err
		}
		// Only the token is read afresh: somebody may have rotated it meanwhile.
		fresh, err := s.state.Link(user, link.App)
		if err != nil {
			out.Last = LinkGone
			return out, nil
		}
		link.Token = fresh.Token
	}
}

// attempt posts once and judges the answer.
func (s *Server) attempt(ctx context.Context, user string, link Link, n int) (Hop, answer) {
	hop := Hop{User: user, App: link.App, Attempt: n}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	a, err := s.post(ctx, user, link, &hop)
	if err != nil {
		a.kind, hop.Err = NoAnswer, withoutURL(err)
		if failure, ok := errors.AsType[net.Error](err); ok && failure.Timeout() {
			a.kind = TimedOut
		}
	}
	hop.Kind = a.kind
	return hop, a
}

func (s *Server) post(ctx context.Context, user string, link Link, hop *Hop) (answer, error) {
	if !absoluteHTTP(link.AutologinTokenURL) {
		return answer{}, errors.New("autologin_token_url is not an absolute http(s) URL")
	}
	mediaType, body, err := s.variant.body(user, link, hop.Attempt)
	if err != nil {
		return answer{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, link.AutologinTokenURL, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	hop.URL = req.URL.Redacted()
	req.Header.Set("Content-Type", mediaType)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "cpanelfake ("+s.name+")")
	resp, err := s.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	hop.Status, hop.ContentType = resp.StatusCode, resp.Header.Get("Content-Type")
	if resp.StatusCode/100 != 2 {
		return answer{kind: Refused}, nil
	}
	// One byte more than is kept tells a body that fits from one that does not.
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return answer{}, err
	}
	return judge(data), nil
}

// withoutURL drops the address that http.Client puts into its errors: the hop
// shows it already.
func withoutURL(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}
