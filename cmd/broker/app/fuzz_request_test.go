package app_test

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/cmd/broker/app"
)

// Whatever is fuzzed may hold these names of secrets, which have the length of the
// secrets that they stand for.
var (
	linkName    = strings.Repeat("LINK", 10) + "LIN"
	oneTimeName = strings.Repeat("ONCE", 11) + "ON"
)

// request is one as it goes over the wire.
func request(method, target, body string, headers ...string) []byte {
	text := method + " " + target + " HTTP/1.1\r\nHost: sso.example.com\r\n"
	for _, h := range headers {
		text += h + "\r\n"
	}
	if body != "" {
		text += fmt.Sprintf("Content-Length: %d\r\n", len(body))
	}
	return []byte(text + "\r\n" + body)
}

// handlers are those of a broker over the embedded store, with its errors.
func handlers(t testing.TB) (b *running, public, operators http.Handler, errors *observer.ObservedLogs) {
	t.Helper()
	core, errors := observer.New(zapcore.ErrorLevel)
	dir := t.TempDir()
	newKey(t, dir)
	text := changed(t, configFile(dir, "127.0.0.1:6379", freeAddress(t), freeAddress(t)), "store: {", "store: {mode: embedded, ")
	b = start(t, app.Options{Config: loadConfig(t, text), Log: zap.New(core)})
	waitReady(t, b.operators)
	public, operators = b.Handlers()
	return b, public, operators, errors
}

// FuzzRequest sends whole requests of any kind to a whole broker: no panic, no
// incident, all headers on every answer, and nobody is let in without a secret.
func FuzzRequest(f *testing.F) {
	const form, navigate = "Content-Type: application/x-www-form-urlencoded", "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document"
	click := "token=" + linkName + "&subscriber_unique_id=1234"
	link := "/autologin?server=web01&user=bob&app=latchkey_billing"
	for _, seed := range [][]byte{
		request("POST", link, click, form),
		request("POST", link, `{"token":"`+linkName+`","subscriber_unique_id":1234}`, "Content-Type: application/json"),
		request("POST", "/autologin?server=web01&user=bob&app=latchkey_tickets", click+"&attempt=3", form, "X-Forwarded-For: ::1"),
		request("POST", link, "token=x&subscriber_unique_id=1234&attempt=9", form),
		request("GET", "/login?one_time_token="+oneTimeName, "", navigate),
		request("GET", "/login?one_time_token="+oneTimeName, "", "Cookie: __Host-latchkey_claim=AAAAAAAAAAAAAAAAAAAAAA"),
		request("GET", "/login?one_time_token="+oneTimeName, "", navigate, "Sec-Purpose: prefetch"),
		request("POST", "/login", "one_time_token="+oneTimeName, form, "Sec-Fetch-Site: same-origin"),
		request("HEAD", "/login?one_time_token="+oneTimeName, "", navigate),
		request("OPTIONS", "/login?one_time_token="+oneTimeName, "", "Origin: null", "Access-Control-Request-Method: POST"),
		request("OPTIONS", "*", ""),
		request("POST", "/exchange", "one_time_token="+oneTimeName+"&client_id=support&client_secret=x&claim_id=0123456789abcdef", form),
		request("POST", "/exchange", "one_time_token="+oneTimeName, form, "Authorization: Basic c3VwcG9ydDp4"),
		request("GET", "/.well-known/jwks.json", "", "If-None-Match: *", "Range: bytes=0-1"),
		request("GET", "/healthz/ready", ""),
		request("HEAD", "http://u:p@[::1]:99/healthz/live?x#y", "", "X-HTTP-Method-Override: POST"),
		[]byte("POST /login HTTP/1.1\r\nHost: x\r\n" + form + "\r\nTransfer-Encoding: chunked\r\n\r\n3d\r\none_time_token=" + oneTimeName + "\r\n0\r\n\r\n"),
		[]byte("GET /%2e%2e/login;a=b//?%zz=%ff&one_time_token=\x80 HTTP/1.0\r\nAccept-Language: *;q=x\r\nCookie: =;=\r\n\r\n"),
	} {
		f.Add(seed, false)
		f.Add(seed, true)
	}
	b, public, operators, errors := handlers(f)
	token := addLink(f, b.Store(), "latchkey_billing").Reveal()
	f.Fuzz(func(t *testing.T, raw []byte, ofOperators bool) {
		handler := public
		if ofOperators {
			handler = operators
		}
		knowsLink, knowsOnce := bytes.Contains(raw, []byte(linkName)), bytes.Contains(raw, []byte(oneTimeName))
		raw = bytes.ReplaceAll(raw, []byte(linkName), []byte(token))
		if knowsOnce {
			raw = bytes.ReplaceAll(raw, []byte(oneTimeName), []byte(freshToken(t, public, token)))
		}
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
		if err != nil {
			return // net/http answers: TestWhatNetHTTPAnswers
		}
		r.RemoteAddr = "192.0.2.1:1234"
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		wantTame(t, w.Result(), ofOperators)
		for _, entry := range errors.TakeAll() {
			t.Errorf("the log says %s %v, want no error", entry.Message, entry.ContextMap())
		}
		body := w.Body.String()
		if strings.Contains(body, "redirect_url") && !knowsLink {
			t.Errorf("somebody without a link token was let in: %s", body)
		}
		if strings.Contains(body, `name="assertion"`) && !knowsOnce {
			t.Errorf("somebody without a one-time token was let in: %s", body)
		}
	})
}

// wantTame wants no incident, and the headers that every answer carries.
func wantTame(t *testing.T, a *http.Response, ofOperators bool) {
	t.Helper()
	if a.StatusCode < 200 || a.StatusCode >= 500 && !(ofOperators && a.StatusCode == http.StatusServiceUnavailable) {
		t.Errorf("got %d, want no incident", a.StatusCode)
	}
	names := []string{
		"Cache-Control", "Content-Security-Policy", "Referrer-Policy", "X-Content-Type-Options", "X-Frame-Options", "X-Robots-Tag",
		"Cross-Origin-Opener-Policy", "Cross-Origin-Resource-Policy", "Permissions-Policy",
	}
	if !ofOperators {
		names = append(names, "X-Request-Id")
	}
	for _, name := range names {
		if got := a.Header.Values(name); len(got) != 1 || got[0] == "" {
			t.Errorf("%d: header %s: got %q, want it once", a.StatusCode, name, got)
		}
	}
	for name, values := range a.Header {
		if slices.ContainsFunc(values, func(v string) bool { return strings.ContainsAny(v, "\r\n\x00") }) {
			t.Errorf("%d: header %s: got %q, want one line", a.StatusCode, name, values)
		}
	}
}

// freshToken is a fresh one of bob's.
func freshToken(t testing.TB, public http.Handler, linkToken string) string {
	t.Helper()
	form := url.Values{"token": {linkToken}, "subscriber_unique_id": {"1234"}}
	r := httptest.NewRequest(http.MethodPost, broker.AutologinURL("", bobs("latchkey_billing")), strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	public.ServeHTTP(w, r)
	_, rest, _ := strings.Cut(w.Body.String(), "one_time_token=")
	token, _, found := strings.Cut(rest, `"`)
	if !found || len(token) != len(oneTimeName) || len(linkToken) != len(linkName) {
		t.Fatalf("autologin: got %d %s, want a one-time URL", w.Code, w.Body)
	}
	return token
}
