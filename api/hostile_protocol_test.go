package api_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/latchkey-sso/latchkey/api"
)

// What is no HTTP is answered by net/http itself, before there is a request that a
// handler could see. Its answers are fixed texts: they need none of our headers,
// because they hold nothing and no browser renders them as a page, as long as they
// are plain text, repeat nothing, and end the connection. Everything else is ours
// and has every header. (No twin: the table itself has both kinds, and either taken
// for the other fails.)
func TestWhatNetHTTPAnswers(t *testing.T) {
	const host, hostile = "Host: sso.example.com\r\n", "<script>hostile</script>"
	click := "POST /autologin?" + linkQuery + " HTTP/1.1\r\n" + host + "Content-Type: " + formType + "\r\n"
	tests := []struct {
		name, raw string
		status    int
		ours      bool
	}{
		{"a good request", click + "Content-Length: 66\r\n\r\n" + linkBody + "&" + strings.Repeat("x", 66-1-len(linkBody)), 200, true},
		{"an invented method", hostile + " /login HTTP/1.1\r\n" + host + "\r\n", 400, false},
		{"an invented word as method", "HOSTILE /login HTTP/1.1\r\n" + host + "\r\n", 405, true},
		{"no version", "GET /login\r\n\r\n", 400, false},
		{"HTTP/0.9", "GET /login HTTP/0.9\r\n" + host + "\r\n", 505, false},
		{"HTTP/7.7", "GET /login HTTP/7.7\r\n" + host + "\r\n", 505, false},
		{"HTTP/2 without TLS", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 404, true},
		{"no host", "GET /login HTTP/1.1\r\n\r\n", 400, false},
		{"two hosts", "GET /login HTTP/1.1\r\n" + host + host + "\r\n", 400, false},
		{"a malformed host", "GET /login HTTP/1.1\r\nHost: " + hostile + "\r\n\r\n", 400, false},
		{"a malformed target", "GET " + hostile + " HTTP/1.1\r\n" + host + "\r\n", 400, false},
		{"a space in a header's name", "GET /login HTTP/1.1\r\n" + host + "Ho st: x\r\n\r\n", 400, false},
		{"a space before the colon", "GET /login HTTP/1.1\r\n" + host + "X-Forwarded-For : x\r\n\r\n", 400, false},
		{"a null byte in a header", "GET /login HTTP/1.1\r\n" + host + "X: \x00\r\n\r\n", 400, false},
		{"a folded first header", "GET /login HTTP/1.1\r\n Host: x\r\n\r\n", 400, false},
		{"large headers", "GET /login HTTP/1.1\r\n" + host + "X: " + strings.Repeat("x", 64<<10) + "\r\n\r\n", 431, false},
		{"an unknown transfer encoding", click + "Transfer-Encoding: " + hostile + "\r\n\r\n", 501, false},
		{"two lengths", click + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400, false},
		{"a negative length", click + "Content-Length: -1\r\n\r\n", 400, false},
		{"a length with a sign", click + "Content-Length: +5\r\n\r\nhello", 400, false},
		{"an unknown expectation", click + "Expect: hostile\r\nContent-Length: 1\r\n\r\nx", 417, false},
		{"a length and chunks: the length does not count", click + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /login HTTP/1.1\r\n" + host + "\r\n", 200, true},
		{"malformed chunks", click + "Transfer-Encoding: chunked\r\n\r\nhostile\r\n", 400, true},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("\x00", 20) + "\r\n\r\n", 400, false},
		{"Redis", "*1\r\n$4\r\nPING\r\n\r\n", 400, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := &domain{}
			address := serveOn(t, api.HTTPServer(newServer(t, d), nil, zap.NewNop()), nil)
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
			_, _ = io.WriteString(conn, test.raw)
			in := bufio.NewReader(conn)
			response, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatalf("got no answer: %v", err)
			}
			body, _ := io.ReadAll(response.Body)
			if response.StatusCode != test.status {
				t.Errorf("got %d %s, want %d", response.StatusCode, body, test.status)
			}
			if strings.Contains(string(body), "hostile") {
				t.Errorf("the answer repeats the request: %s", body)
			}
			if called := d.calls() > 0; called != (test.status == http.StatusOK) {
				t.Errorf("the domain was called: %v", called)
			}
			if test.ours {
				for _, problem := range headerProblems(answer{response.StatusCode, response.Header, string(body)}, true) {
					t.Error(problem)
				}
				return
			}
			if got := response.Header.Get("X-Request-Id"); got != "" {
				t.Errorf("the answer has the request id %s, want one of net/http's: did it get to a handler?", got)
			}
			if kind := response.Header.Get("Content-Type"); len(body) > 0 && kind != "text/plain; charset=utf-8" {
				t.Errorf("Content-Type: got %q, want plain text", kind)
			}
			if !response.Close {
				t.Error("the connection stays open")
			}
		})
	}
}
