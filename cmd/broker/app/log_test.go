package app_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// exchangeTo sends one request and returns what it got with its request id.
func exchangeTo(t *testing.T, method, target string, form url.Values, change func(*http.Request)) (status int, body, requestID string) {
	t.Helper()
	r, err := http.NewRequest(method, target, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if change != nil {
		change(r)
	}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(content), response.Header.Get("X-Request-Id")
}

// asBrowser is a navigation by a browser with a claim.
func asBrowser(claim string) func(*http.Request) {
	return func(r *http.Request) {
		for name, value := range navigation {
			r.Header.Set(name, value)
		}
		r.Header.Set("Cookie", "__Host-latchkey_claim="+claim)
	}
}

// The log of a real process, at its most talkative, follows each click by its
// request id and has nothing with which one could sign in.
func TestTheLogHasTheAuditAndNoSecret(t *testing.T) {
	t.Parallel()
	redis := storetest.StartRedis(t)
	binary, err := buildBroker()
	if err != nil {
		t.Fatal(err)
	}
	// The last flag wins over the level that startBinary sets.
	wrapper := filepath.Join(t.TempDir(), "broker")
	writeFile(t, wrapper, "#!/bin/sh\nexec '"+binary+"' \"$@\" --broker.log_level debug\n")
	if err := os.Chmod(wrapper, 0o700); err != nil {
		t.Fatal(err)
	}
	p := startBinary(t, wrapper, redis.Addr, t.TempDir())
	links := store.New(store.Config{Client: redis.Client(), KeyPrefix: "latchkey:"})
	billing, tickets := addLink(t, links, "latchkey_billing"), addLink(t, links, "latchkey_tickets")
	const (
		claim, other, portals = "claim-canary-1-0123456789", "claim-canary-2-0123456789", "claim-canary-3-0123456789"
		wrongSecret           = "client-secret-canary-0123456789"
		wrongToken            = "link-token-canary-0123456789-0123456789-012"
	)
	secrets := map[string]string{
		"link token": billing.Reveal(), "other link token": tickets.Reveal(), "wrong link token": wrongToken,
		"client secret": clientSecret, "wrong client secret": wrongSecret,
		"claim cookie": claim, "claim cookie of the second browser": other, "claim of the portal": portals,
	}
	type wanted struct{ event, requestID string }
	var want []wanted
	step := func(event string, wantStatus int, method, target string, form url.Values, change func(*http.Request)) (body string) {
		t.Helper()
		status, body, id := exchangeTo(t, method, target, form, change)
		if status != wantStatus {
			t.Errorf("%s: got %d %s, want %d", event, status, body, wantStatus)
		}
		if event != "" {
			want = append(want, wanted{event, id})
		}
		return body
	}
	click := func(event string, status int, app, token string) (oneTimeToken string) {
		t.Helper()
		form := url.Values{"token": {token}, "subscriber_unique_id": {"1234"}, "base64_png_image": {"iVBO"}}
		body := step(event, status, http.MethodPost, broker.AutologinURL(p.url, bobs(app)), form, nil)
		var answer struct {
			RedirectURL string `json:"redirect_url"`
		}
		_ = json.Unmarshal([]byte(body), &answer)
		_, oneTimeToken, _ = strings.Cut(answer.RedirectURL, "one_time_token=")
		return oneTimeToken
	}

	once := click("issued", http.StatusOK, "latchkey_billing", billing.Reveal())
	page := step("redeemed", http.StatusOK, http.MethodGet, p.url+"/login?one_time_token="+once, nil, asBrowser(claim))
	_, rest, _ := strings.Cut(page, `name="assertion" value="`)
	assertion, _, _ := strings.Cut(rest, `"`)
	step("repeated", http.StatusOK, http.MethodGet, p.url+"/login?one_time_token="+once, nil, asBrowser(claim))
	step("replayed", http.StatusGone, http.MethodGet, p.url+"/login?one_time_token="+once, nil, asBrowser(other))
	unused := click("issued", http.StatusOK, "latchkey_billing", billing.Reveal())
	step("", http.StatusOK, http.MethodGet, p.url+"/login?one_time_token="+unused, nil, nil) // the button
	step("redeemed", http.StatusOK, http.MethodPost, p.url+"/login", url.Values{"one_time_token": {unused}}, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-origin") })
	click("denied", http.StatusUnauthorized, "latchkey_billing", wrongToken)
	step("", http.StatusNotFound, http.MethodGet, p.url+"/nowhere/"+unused+"?one_time_token="+unused, nil, nil)
	step("", http.StatusBadRequest, http.MethodPost, p.url+"/autologin?server=web01&user=bob&app="+wrongToken+"&token="+wrongToken, nil, nil)

	exchanged := click("issued", http.StatusOK, "latchkey_tickets", tickets.Reveal())
	form := func(secret string) url.Values {
		return url.Values{"one_time_token": {exchanged}, "client_id": {"support"}, "client_secret": {secret}, "claim_id": {portals}}
	}
	step("client denied", http.StatusUnauthorized, http.MethodPost, p.url+"/exchange", form(wrongSecret), nil)
	body := step("redeemed", http.StatusOK, http.MethodPost, p.url+"/exchange", form(clientSecret), nil)
	step("repeated", http.StatusOK, http.MethodPost, p.url+"/exchange", url.Values{"one_time_token": {exchanged}, "claim_id": {portals}},
		func(r *http.Request) { r.SetBasicAuth("support", clientSecret) })
	var answer struct{ Assertion string }
	_ = json.Unmarshal([]byte(body), &answer)
	raw(t, p.url, "GET /login?one_time_token="+unused+"%zz HTTP/1.1\r\nHost: x\r\nCookie: __Host-latchkey_claim="+claim+"\r\n\r\n")
	raw(t, p.url, "GET /login?one_time_token="+unused+" HTTP/7.7\r\nno header "+claim+"\r\n\r\n")

	for name, secret := range map[string]string{"one-time token": once, "second one-time token": unused, "exchanged one-time token": exchanged, "assertion": assertion, "exchanged assertion": answer.Assertion} {
		if len(secret) < 40 {
			t.Fatalf("%s: got %q, want a secret", name, secret)
		}
		secrets[name] = secret
	}
	signalled := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	wantStop(t, p, signalled)
	log, err := os.ReadFile(p.log)
	if err != nil {
		t.Fatal(err)
	}
	for name, secret := range secrets {
		for _, part := range []string{secret, secret[3:], secret[:20], secret[len(secret)-20:]} {
			if part == assertion[:20] || part == answer.Assertion[:20] {
				continue // the same header for everyone
			}
			if bytes.Contains(log, []byte(part)) {
				t.Errorf("the log has the %s, or %q of it:\n%s", name, part, log)
			}
		}
	}
	audited := map[wanted]int{}
	requests := map[string]bool{}
	for line := range bytes.Lines(log) {
		var entry struct {
			Logger, Msg, Level, Time, Server, User, App, Subscriber string
			RequestID                                               string `json:"request_id"`
		}
		if err := json.Unmarshal(line, &entry); err != nil || entry.Level == "" || entry.Time == "" {
			t.Errorf("the log has the line %q, want JSON with level and time (%v)", line, err)
		}
		if entry.Logger == "audit" {
			audited[wanted{entry.Msg, entry.RequestID}]++
			if entry.Msg != "client denied" && (entry.Server != "web01" || entry.User != "bob" || entry.Subscriber != "1234" || !strings.HasPrefix(entry.App, "latchkey_")) {
				t.Errorf("audit: got %s, want it to name link and subscriber", line)
			}
		}
		if entry.Msg == "request" {
			requests[entry.RequestID] = true
		}
	}
	for _, w := range want {
		if audited[w] != 1 || !requests[w.requestID] {
			t.Errorf("audit: %s of request %s: got %d lines and a line of the request: %v; want one each", w.event, w.requestID, audited[w], requests[w.requestID])
		}
	}
	if len(audited) != len(want) {
		t.Errorf("audit: got %v, want %d lines", audited, len(want))
	}
}

// raw sends what no HTTP client would and waits for the answer.
func raw(t *testing.T, base, text string) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	_, _ = io.WriteString(conn, text+"Connection: close\r\n")
	buffer := make([]byte, 1024)
	if n, err := conn.Read(buffer); err != nil || n == 0 {
		t.Errorf("%.20q...: got no answer: %v", text, err)
	}
}
