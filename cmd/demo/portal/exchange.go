package portal

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

const (
	maxToken        = 512 // bytes of a one-time token
	maxReply        = 64 << 10
	exchangeTimeout = 4 * time.Second // one call
	exchangeCalls   = 3
	exchangePause   = 150 * time.Millisecond // before the second call, twice that before the third
)

// exchangeGet is GET /sso/exchange?one_time_token=...: the browser brings a token,
// our back end exchanges it. Only a person's own navigation does so; whatever else
// fetches links (prefetch, previews, HEAD) gets a page with a button.
func (p *Portal) exchangeGet(w http.ResponseWriter, r *http.Request) error {
	tokens := r.URL.Query()["one_time_token"]
	if len(tokens) != 1 || tokens[0] == "" || len(tokens[0]) > maxToken {
		return refuse(errors.New("want one one_time_token"))
	}
	w.Header().Set("Vary", "Sec-Fetch-Dest, Sec-Fetch-Mode, Sec-Purpose, Purpose")
	if !navigation(r) {
		return p.render(w, http.StatusOK, "notice", p.confirm(tokens[0]))
	}
	return p.exchange(w, r, tokens[0])
}

// exchangePost is that page's button.
func (p *Portal) exchangePost(w http.ResponseWriter, r *http.Request) error {
	form, err := readForm(w, r, "one_time_token")
	if err != nil {
		return refuse(err)
	}
	if len(form.value) > maxToken {
		return refuse(errors.New("one_time_token is too long"))
	}
	return p.exchange(w, r, form.value)
}

func (p *Portal) exchange(w http.ResponseWriter, r *http.Request, token string) error {
	reply, err := p.exchanger.redeem(r.Context(), token)
	if err != nil {
		return err
	}
	c, err := p.verifier.verify(r.Context(), reply.Assertion)
	if errors.Is(err, errNoKeys) {
		return unavailable(err)
	} else if err != nil {
		return misfit(err)
	}
	if claim := reply.claims.differs(c); claim != "" {
		return misfit(fmt.Errorf("the exchange says another %s than its assertion", claim))
	}
	return p.signIn(w, r, c, "exchange")
}

// navigation reports whether a person is on the way to r's page. Browsers that do
// not send Sec-Fetch-* (or do not on plain HTTP) are believed.
func navigation(r *http.Request) bool {
	mode, dest := r.Header.Get("Sec-Fetch-Mode"), r.Header.Get("Sec-Fetch-Dest")
	return r.Method == http.MethodGet &&
		!strings.Contains(strings.ToLower(r.Header.Get("Sec-Purpose")), "prefetch") &&
		r.Header.Get("Purpose") == "" && r.Header.Get("X-Moz") == "" &&
		(mode == "" || mode == "navigate") && (dest == "" || dest == "document")
}

// exchanger is the client of the broker's exchange.
type exchanger struct {
	url    string
	id     string
	secret Secret
	client *http.Client
}

type exchangeReply struct {
	claims
	Assertion string `json:"assertion"`
}

// redeem exchanges a one-time token. A token is good for one claimant, who may
// repeat itself: so one claim id stands for this one attempt of a customer to get
// in, and a call whose answer was lost is made again under the same id. A new id
// would be told "used before", by our own first call.
func (x *exchanger) redeem(ctx context.Context, token string) (*exchangeReply, error) {
	form := url.Values{"one_time_token": {token}, "claim_id": {rand.Text()}}
	var reply *exchangeReply
	var err error
	for call := range exchangeCalls {
		if !pause(ctx, time.Duration(call)*exchangePause) {
			break
		}
		var again bool
		if reply, again, err = x.call(ctx, form); !again {
			return reply, err
		}
	}
	return nil, unavailable(fmt.Errorf("exchange: %w", errors.Join(err, ctx.Err())))
}

// call reports again if nobody knows what became of it.
func (x *exchanger) call(ctx context.Context, form url.Values) (_ *exchangeReply, again bool, _ error) {
	ctx, cancel := context.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, x.url, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, false, misfit(err)
	}
	req.Header.Set("Content-Type", formType)
	req.Header.Set("Accept", "application/json")
	// RFC 6749 section 2.3.1: both are form-encoded before they become Basic.
	req.SetBasicAuth(url.QueryEscape(x.id), url.QueryEscape(x.secret.value()))
	res, err := x.client.Do(req)
	if err != nil {
		return nil, true, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxReply+1))
	if err != nil {
		return nil, true, err
	}
	if res.StatusCode >= 500 {
		return nil, true, fmt.Errorf("the exchange answered %d", res.StatusCode)
	}
	if res.StatusCode != http.StatusOK {
		return nil, false, exchangeError(res.StatusCode, body)
	}
	reply := new(exchangeReply)
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if kind != "application/json" || len(body) > maxReply || json.Unmarshal(body, reply) != nil {
		return nil, false, misfit(errors.New("the exchange answered without usable JSON"))
	}
	return reply, false, nil
}

// exchangeError reads an error of RFC 6749 section 5.2. Only invalid_grant is about
// the customer's token; the rest is between the broker and us.
func exchangeError(status int, body []byte) error {
	var e struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(body, &e) != nil || len(e.Error) > 64 {
		e.Error = ""
	}
	err := fmt.Errorf("the exchange answered %d %q", status, e.Error)
	switch {
	case e.Error == "invalid_grant":
		return refuse(err)
	case e.Error == "temporarily_unavailable", status == http.StatusTooManyRequests:
		return unavailable(err)
	default:
		return misfit(err)
	}
}

// pause waits d, or returns false when ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return ctx.Err() == nil
	}
}
