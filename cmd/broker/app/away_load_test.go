package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/latchkey-sso/latchkey/broker"
)

// strictTiming says that the machine is quiet: latencies are held to what is
// promised. Elsewhere tests share the processor, and some slack is given.
func strictTiming() bool { return os.Getenv("TEST_TIMING") == "strict" }

// oneOf is a value for a quiet machine and one for a busy one.
func oneOf[T any](strict, slack T) T {
	if strictTiming() {
		return strict
	}
	return slack
}

// Outcomes of single requests; any other is something that nobody may get.
const (
	cameSignedOn = "signed on"   // a redirect_url, or the hand-over page
	cameRetry    = "retry"       // to servers
	cameNotNow   = "503"         // to servers, at the third attempt
	camePage     = "503 page"    // to browsers
	cameUnknown  = "410 page"    // to browsers with a token that does not exist
	cameSlowDown = "429"         // to anybody
	cameNobody   = "no answer: " // begins what went wrong
)

// crowd sends what servers and browsers send, at a broker or at a balancer.
type crowd struct {
	url    string
	client *http.Client
	link   broker.LinkToken // of bob's billing
}

func newCrowd(t testing.TB, target string, link broker.LinkToken) *crowd {
	transport := &http.Transport{MaxIdleConns: 1024, MaxIdleConnsPerHost: 1024}
	t.Cleanup(transport.CloseIdleConnections)
	return &crowd{url: target, link: link, client: &http.Client{
		Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// request is one of a server's or a browser's.
func (c *crowd) request(ctx context.Context) string {
	if rand.IntN(4) == 0 {
		return c.login(ctx, c.url+"/login?one_time_token="+strings.Repeat("x", 46))
	}
	_, outcome := c.autologin(ctx, 1+rand.IntN(broker.MaxAttempts))
	return outcome
}

// click is what a person does who gives up early: one attempt of the server, and
// the browser's request. Both outcomes are in the answer when the second was made.
func (c *crowd) click(ctx context.Context) string {
	oneTime, outcome := c.autologin(ctx, 1)
	if outcome != cameSignedOn {
		return outcome
	}
	_, query, _ := strings.Cut(oneTime, "?")
	if outcome = c.login(ctx, c.url+"/login?"+query); outcome != cameSignedOn {
		outcome = "login: " + outcome
	}
	return outcome
}

func (c *crowd) autologin(ctx context.Context, attempt int) (oneTime, outcome string) {
	form := url.Values{"token": {c.link.Reveal()}, "subscriber_unique_id": {"1234"}, "attempt": {strconv.Itoa(attempt)}}
	target := broker.AutologinURL(c.url, bobs("latchkey_billing"))
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, target, strings.NewReader(form.Encode()))
	if err != nil {
		return "", cameNobody + err.Error()
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	status, body, _, err := c.send(r)
	if err != nil {
		return "", cameNobody + err.Error()
	}
	var answer struct {
		RedirectURL    string `json:"redirect_url"`
		Retry, Attempt int
		Error          string
	}
	_ = json.Unmarshal([]byte(body), &answer)
	switch {
	case status == http.StatusOK && answer.RedirectURL != "":
		return answer.RedirectURL, cameSignedOn
	case status == http.StatusOK && answer.Retry >= 1 && answer.Retry <= 5 && answer.Attempt == attempt && attempt < broker.MaxAttempts:
		return "", cameRetry
	case status == http.StatusServiceUnavailable && answer.Error == "temporarily_unavailable" && attempt == broker.MaxAttempts:
		return "", cameNotNow
	case status == http.StatusTooManyRequests && answer.Error == "slow_down":
		return "", cameSlowDown
	}
	return "", fmt.Sprintf("attempt %d: %d %.200s", attempt, status, body)
}

func (c *crowd) login(ctx context.Context, target string) string {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return cameNobody + err.Error()
	}
	for name, value := range navigation {
		r.Header.Set(name, value)
	}
	status, body, kind, err := c.send(r)
	if err != nil {
		return cameNobody + err.Error()
	}
	page := strings.HasPrefix(kind, "text/html")
	switch {
	case status == http.StatusOK && page && strings.Contains(body, `name="assertion"`):
		return cameSignedOn
	case status == http.StatusServiceUnavailable && page:
		return camePage
	case status == http.StatusGone && page:
		return cameUnknown
	case status == http.StatusTooManyRequests && page:
		return cameSlowDown
	}
	return fmt.Sprintf("login: %d %.200s", status, body)
}

func (c *crowd) send(r *http.Request) (status int, body, kind string, err error) {
	response, err := c.client.Do(r)
	if err != nil {
		return 0, "", "", err
	}
	defer response.Body.Close()
	read, err := io.ReadAll(response.Body)
	return response.StatusCode, string(read), response.Header.Get("Content-Type"), err
}
