package whmfake_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/latchkey-sso/latchkey/api/cpanelfake"
	"github.com/latchkey-sso/latchkey/api/whm/whmfake"
)

const (
	apiToken = "API-TOKEN"
	app      = "latchkey_billing"
	formType = "application/x-www-form-urlencoded"
	jsonType = "application/json"
)

func ok[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newState(t testing.TB, users ...string) *cpanelfake.State {
	t.Helper()
	state := new(cpanelfake.State)
	for _, u := range users {
		must(t, state.AddAccount(cpanelfake.Account{User: u, Domain: u + ".example", Plan: "gold"}))
	}
	return state
}

func link(app string) cpanelfake.Link {
	return cpanelfake.Link{
		App: app, Implements: "billing", Label: "Bills", SubscriberUniqueID: "1234",
		Token: cpanelfake.NewToken("first"), URL: "https://portal.example.com/", Order: 7,
	}
}

// panel is a WHM with a plain HTTP client: nothing of our own.
type panel struct {
	*whmfake.Server
	client *http.Client
}

func newPanel(t testing.TB, cfg whmfake.Config) panel {
	t.Helper()
	if cfg.State == nil {
		cfg.State = newState(t, "bob")
	}
	cfg.Token = apiToken
	s := ok(whmfake.New(cfg))(t)
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(s.CAPEM()) {
		t.Fatal("CAPEM is no certificate")
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		s.Close()
	})
	return panel{s, &http.Client{Transport: transport}}
}

// send sends a request and returns status, content type and body.
func (p panel) send(t testing.TB, method, path, contentType, authorization, body string) (int, string, string) {
	t.Helper()
	req := ok(http.NewRequestWithContext(t.Context(), method, p.URL()+path, strings.NewReader(body)))(t)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp := ok(p.client.Do(req))(t)
	defer func() { _ = resp.Body.Close() }()
	return resp.StatusCode, resp.Header.Get("Content-Type"), string(ok(io.ReadAll(resp.Body))(t))
}

// answer is an envelope; Result stays as it was written.
type answer struct {
	Data     json.RawMessage
	Metadata struct {
		Command string
		Reason  string
		Result  json.RawMessage
		Version int
		Chunk   *struct{ Start, Size, Records, Chunks, Current int }
	}
}

func (a answer) ok() bool { return string(a.Metadata.Result) == "1" }

func decode(t testing.TB, text string) answer {
	t.Helper()
	var a answer
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return a
}

// call posts a form and returns the envelope.
func (p panel) call(t testing.TB, function, form string) answer {
	t.Helper()
	status, contentType, body := p.send(t, http.MethodPost, "/json-api/"+function, formType, "whm root:"+apiToken, "api.version=1&"+form)
	if status != http.StatusOK || contentType != jsonType {
		t.Fatalf("got %d %s: %s", status, contentType, body)
	}
	return decode(t, body)
}

// batch calls it with commands, which are encoded once already.
func (p panel) batch(t testing.TB, more string, commands ...string) (answer, []answer) {
	t.Helper()
	form := url.Values{"command": commands}.Encode()
	outer := p.call(t, "batch", form+more)
	var data struct{ Result []answer }
	if err := json.Unmarshal(outer.Data, &data); err != nil {
		t.Fatalf("%v: %s", err, outer.Data)
	}
	return outer, data.Result
}
