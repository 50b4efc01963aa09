// Package clicks does over HTTP what a cPanel server and a browser do for one click,
// and names what came out. It follows no way on and comes again for nobody: load
// must not depend on the answers.
package clicks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/latchkey-sso/latchkey/broker"
)

// Outcomes of a request. Whatever has another name (no answer, an answer that does
// not keep the contract) nobody may get.
const (
	SignedOn = "signed on"   // a redirect_url, or the page that hands over
	Retry    = "retry"       // to servers, at the first two attempts
	NotNow   = "503"         // to servers, at the third
	BusyPage = "503 page"    // to browsers
	NoToken  = "410 page"    // to browsers: unknown, expired or used
	SlowDown = "429"         // to anybody
	Denied   = "401"         // to servers
	Disabled = "403"         // to servers
	noAnswer = "no answer: " // begins with this; the cause follows
)

// beforeLogin begins the outcome of a click whose second request went otherwise.
const beforeLogin = "login: "

// Sound reports whether an outcome keeps the contract, whatever it says.
func Sound(outcome string) bool {
	switch strings.TrimPrefix(outcome, beforeLogin) {
	case SignedOn, Retry, NotNow, BusyPage, NoToken, SlowDown, Denied, Disabled:
		return true
	}
	return false
}

// Answered reports whether an outcome is an answer, whatever it says.
func Answered(outcome string) bool { return !strings.HasPrefix(outcome, noAnswer) }

// cause is why there was no answer, without the URL and the ports, which differ from
// click to click: the same cause is one outcome.
func cause(err error) string {
	if asked, is := errors.AsType[*url.Error](err); is {
		err = asked.Err
	}
	if op, is := errors.AsType[*net.OpError](err); is {
		return op.Op + ": " + op.Err.Error()
	}
	return err.Error()
}

// NewClient returns a client for any number of people at once.
func NewClient() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{MaxIdleConnsPerHost: 10_000},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Person clicks one link.
type Person struct {
	// URL is where the broker is; it may differ from its public URL.
	URL        string
	Client     *http.Client
	Link       broker.Link
	Token      broker.LinkToken
	Subscriber string
}

// Click is what a person does who gives up early: the server's first attempt and,
// with the one-time URL, the browser's request.
func (p Person) Click(ctx context.Context) (outcome string) {
	oneTime, outcome := p.Autologin(ctx, 1)
	if outcome != SignedOn {
		return outcome
	}
	_, query, _ := strings.Cut(oneTime, "?")
	if outcome = p.Login(ctx, query); outcome != SignedOn {
		return beforeLogin + outcome
	}
	return SignedOn
}

// Autologin posts as a cPanel server does; attempt is 1 to 3.
func (p Person) Autologin(ctx context.Context, attempt int) (oneTimeURL, outcome string) {
	form := url.Values{"token": {p.Token.Reveal()}, "subscriber_unique_id": {p.Subscriber}, "attempt": {strconv.Itoa(attempt)}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, broker.AutologinURL(p.URL, p.Link), strings.NewReader(form.Encode()))
	if err != nil {
		return "", noAnswer + cause(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	status, body, _, err := p.send(r)
	if err != nil {
		return "", noAnswer + cause(err)
	}
	var answer struct {
		RedirectURL    string `json:"redirect_url"`
		Retry, Attempt int
		Error          string
	}
	_ = json.Unmarshal([]byte(body), &answer) // what it is not is seen below
	switch {
	case status == http.StatusOK && answer.RedirectURL != "":
		return answer.RedirectURL, SignedOn
	case status == http.StatusOK && answer.Retry >= 1 && answer.Retry <= 5 && answer.Attempt == attempt && attempt < broker.MaxAttempts:
		return "", Retry
	case status == http.StatusServiceUnavailable && answer.Error == "temporarily_unavailable" && attempt == broker.MaxAttempts:
		return "", NotNow
	case status == http.StatusTooManyRequests && answer.Error == "slow_down":
		return "", SlowDown
	case status == http.StatusUnauthorized && answer.Error == "access_denied":
		return "", Denied
	case status == http.StatusForbidden && answer.Error == "sign_on_disabled":
		return "", Disabled
	}
	return "", fmt.Sprintf("attempt %d: %d %.200s", attempt, status, body)
}

// Login follows a one-time URL, of which it needs the query, as a browser does.
func (p Person) Login(ctx context.Context, query string) (outcome string) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL+"/login?"+query, nil)
	if err != nil {
		return noAnswer + cause(err)
	}
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	status, body, kind, err := p.send(r)
	if err != nil {
		return noAnswer + cause(err)
	}
	page := strings.HasPrefix(kind, "text/html")
	switch {
	case status == http.StatusOK && page && strings.Contains(body, `name="assertion"`):
		return SignedOn
	case status == http.StatusServiceUnavailable && page:
		return BusyPage
	case status == http.StatusGone && page:
		return NoToken
	case status == http.StatusTooManyRequests && page:
		return SlowDown
	}
	return fmt.Sprintf("%d %.200s", status, body)
}

func (p Person) send(r *http.Request) (status int, body, kind string, err error) {
	response, err := p.Client.Do(r)
	if err != nil {
		return 0, "", "", err
	}
	defer response.Body.Close()
	read, err := io.ReadAll(response.Body)
	return response.StatusCode, string(read), response.Header.Get("Content-Type"), err
}
