package app_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/api/whm/whmfake"
	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
)

// A server that cannot prove who it is gets no request: neither the API token nor
// anything else. The message says what is wrong and which key to set.
func TestTrust(t *testing.T) {
	t.Parallel()
	expired := whmfake.TLS{NotAfter: time.Now().Add(-time.Hour)}
	otherName := whmfake.TLS{Hosts: []string{"whm.example.org"}}
	ca := func(w *faultWorld) string { return ", ca_file: web01.pem" }
	pin := func(w *faultWorld) string {
		return fmt.Sprintf(", pin_sha256: %x", w.servers["web01"].whm.Pin())
	}
	tests := []struct {
		name  string
		tls   whmfake.TLS
		trust func(*faultWorld) string
		says  string // a pattern; empty for a server that is trusted
	}{
		{"right authority", whmfake.TLS{}, ca, ""},
		{"right pin", whmfake.TLS{}, pin, ""},
		{"right pin of an expired certificate", expired, pin, ""},
		{"right pin of a certificate for another name", otherName, pin, ""},
		{"nothing to trust it by", whmfake.TLS{}, func(*faultWorld) string { return "" }, "signed by nobody who is trusted here: name the authority in ca_file, or the certificate in pin_sha256"},
		{"authority of another server", whmfake.TLS{}, func(*faultWorld) string { return ", ca_file: web02.pem" }, "signed by nobody who is trusted here"},
		{"expired", expired, ca, "is valid from .* to .* only: renew it"},
		{"for another name", otherName, ca, "is for whm.example.org: use such a name in url, or name the certificate in pin_sha256"},
		{"pin of another server", whmfake.TLS{}, func(w *faultWorld) string {
			return fmt.Sprintf(", pin_sha256: %x", w.servers["web02"].whm.Pin())
		}, "shows another certificate than pin_sha256 names: its SHA-256 is [0-9a-f]{64}"},
		{"old TLS", whmfake.TLS{MaxVersion: tls.VersionTLS11}, ca, "it must offer TLS 1.2 or newer"},
		{"old TLS with a pin", whmfake.TLS{MaxVersion: tls.VersionTLS11}, pin, "it must offer TLS 1.2 or newer"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newFaultWorld(t)
			web01 := w.addServer("web01", whmfake.Config{TLS: tt.tls})
			w.addServer("web02", whmfake.Config{})
			w.account("web01/alice", "web02/carol")
			w.subscribers("web01,alice,1001", "web02,carol,1003")
			w.configure(faultSettings{})
			text := strings.Replace(w.read(), ", ca_file: web01.pem", tt.trust(w), 1)
			write(t, w.config, text)
			for _, command := range []string{"servers check", "plan", "apply"} {
				r := w.run(strings.Fields(command)...)
				if tt.says == "" {
					if r.code != cli.ExitDone {
						t.Errorf("%vwant exit code 0", r)
					}
					continue
				}
				if r.code != cli.ExitFailed || !regexp.MustCompile(`(?m)web01.*`+tt.says).MatchString(r.out) {
					t.Errorf("%vwant exit code 1 and web01 with %q", r, tt.says)
				}
			}
			want := wantLinks("Invoices", "Tickets", "web01/alice 1001", "web02/carol 1003")
			if tt.says != "" {
				want = want.onlyOf("web02") // it does not suffer from the other
				if got := web01.whm.Requests(); got != 0 || web01.log.String() != "" {
					t.Errorf("web01 got %d requests, want none", got)
				}
			}
			if err := w.reached(want); err != nil {
				t.Error(err)
			}
		})
	}
}

// listening is a port that keeps what arrives.
type listening struct {
	net.Listener
	mu   sync.Mutex
	got  bytes.Buffer
	done sync.WaitGroup
}

// listen answers every connection with a text, after something has arrived.
func listen(t *testing.T, answer string) *listening {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &listening{Listener: inner}
	l.done.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			buffer := make([]byte, 64<<10)
			_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
			n, _ := conn.Read(buffer)
			l.mu.Lock()
			l.got.Write(buffer[:n])
			l.mu.Unlock()
			_, _ = conn.Write([]byte(answer))
			_ = conn.Close()
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		l.done.Wait()
	})
	return l
}

// A port that speaks plain HTTP, or something else, gets no token either.
func TestNoTLSOnThePort(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"plain HTTP": "HTTP/1.0 400 Bad Request\r\nContent-Type: text/html\r\n\r\n<p>This is not the secure port.</p>",
		"SSH":        "SSH-2.0-OpenSSH_9.6\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := listen(t, answer)
			w := newFaultWorld(t, "web01")
			w.account("web01/alice")
			w.subscribers("web01,alice,1001")
			w.configure(faultSettings{})
			write(t, w.config, strings.Replace(w.read(), w.servers["web01"].whm.URL(), "https://"+l.Addr().String(), 1))
			for _, command := range []string{"servers check", "apply"} {
				r := w.run(strings.Fields(command)...)
				if r.code != cli.ExitFailed || !strings.Contains(r.out, "does not speak TLS: url must have WHM's secure port, which is 2087") {
					t.Errorf("%vwant exit code 1 and that the port does not speak TLS", r)
				}
			}
			l.mu.Lock()
			defer l.mu.Unlock()
			if got := l.got.Bytes(); len(got) == 0 || got[0] != 0x16 || bytes.Contains(got, []byte("CANARY")) || bytes.Contains(got, []byte("json-api")) {
				t.Errorf("the port got %d bytes %.20q, want a TLS handshake and nothing of ours", len(got), got)
			}
		})
	}
}

// A configuration that would send the token in clear is refused before anything
// is connected to.
func TestPlainURLIsRefused(t *testing.T) {
	t.Parallel()
	l := listen(t, "")
	w := newFaultWorld(t, "web01")
	w.configure(faultSettings{})
	write(t, w.config, strings.Replace(w.read(), w.servers["web01"].whm.URL(), "http://"+l.Addr().String(), 1))
	if r := w.run("apply"); r.code != cli.ExitUsage || !strings.Contains(r.err, "servers[0].url") || !strings.Contains(r.err, "https") {
		t.Errorf("%vwant exit code 2 and that servers[0].url must be https", r)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.got.Len() != 0 {
		t.Errorf("the port got %q, want nothing", l.got.Bytes())
	}
}

// A redirect is not followed, wherever it leads, and the token does not go there.
func TestRedirects(t *testing.T) {
	t.Parallel()
	asked := func(t *testing.T, tls bool) (url string, requests func() string) {
		var mu sync.Mutex
		var got []string
		handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, fmt.Sprintf("%s %s %v", r.Method, r.URL, r.Header))
		})
		server := httptest.NewUnstartedServer(handler)
		if tls {
			server.StartTLS()
		} else {
			server.Start()
		}
		t.Cleanup(server.Close)
		return server.URL, func() string {
			mu.Lock()
			defer mu.Unlock()
			return strings.Join(got, "\n")
		}
	}
	for _, secure := range []bool{true, false} {
		t.Run(map[bool]string{true: "to https", false: "to http"}[secure], func(t *testing.T) {
			t.Parallel()
			elsewhere, requests := asked(t, secure)
			w := newFaultWorld(t, "web01", "web02")
			w.account("web01/alice", "web02/carol")
			w.subscribers("web01,alice,1001", "web02,carol,1003")
			w.configure(faultSettings{})
			for _, to := range []string{elsewhere + "/json-api/applist", w.servers["web02"].whm.URL() + "/json-api/applist", w.servers["web01"].whm.URL() + "/login"} {
				w.resetJournals()
				w.servers["web01"].whm.SetFault(whmfake.Always(whmfake.Fault{Kind: whmfake.Redirect, Location: to}))
				r := w.run("apply", "--server", "web01")
				if r.code != cli.ExitFailed || !strings.Contains(r.out, "FAILED  web01: ") ||
					!strings.Contains(r.out, "which is not followed: url must be WHM's own address, with port 2087") {
					t.Errorf("%vwant exit code 1 and that redirects are not followed", r)
				}
				if got := w.servers["web01"].whm.Requests(); got != 1 {
					t.Errorf("web01 got %d requests, want one", got)
				}
				if got := w.servers["web02"].whm.Requests(); got != 0 {
					t.Errorf("web02 got %d requests, want none", got)
				}
			}
			if got := requests(); got != "" {
				t.Errorf("the other site got %s", got)
			}
		})
	}
}

// A server that refuses the token is asked once, by each of the requests that are
// on their way: its brute-force protection may count.
func TestForbiddenIsAskedOnce(t *testing.T) {
	t.Parallel()
	w := newFaultWorld(t, "web01")
	w.account("web01/alice", "web01/bob")
	w.subscribers("web01,alice,1001", "web01,bob,1002")
	w.configure(faultSettings{})
	w.servers["web01"].whm.SetToken("another")
	for _, command := range []string{"servers check", "plan", "apply", "rotate --all", "verify --repair", "remove --all --yes"} {
		w.resetJournals()
		r := w.run(strings.Fields(command)...)
		if r.code != cli.ExitFailed || !strings.Contains(r.out, "refuses the API token of root (403 Forbidden): check token_file") {
			t.Errorf("%vwant exit code 1 and that the token is refused", r)
		}
		if got := w.servers["web01"].whm.Requests(); got != 1 {
			t.Errorf("%s: web01 got %d requests, want one", command, got)
		}
	}
}

// Neither arguments nor environment of a running process have the token, and a
// server that says it back cannot bring it into output or log.
func TestTokenIsNeverShown(t *testing.T) {
	t.Parallel()
	w := newFaultWorld(t, "web01")
	w.account("web01/alice")
	w.subscribers("web01,alice,1001")
	w.configure(faultSettings{})
	web01 := w.servers["web01"].whm
	web01.SetRefusal(func(c whmfake.Call) string {
		if c.Write {
			return "The token " + faultToken("web01") + " (whm root:" + faultToken("web01") + ") may not do that."
		}
		return ""
	})
	r := w.run("apply")
	if r.code != cli.ExitFailed || !strings.Contains(r.out, "FAILED  web01/alice latchkey_invoices: create: The token [") {
		t.Errorf("%vwant exit code 1 and the refusal without the token", r)
	}
	w.ok("log", "--operation", operationOf(t, r), "--level", "debug")
	w.ok("log", "--operation", operationOf(t, r), "--level", "debug", "-o", "json")

	web01.SetFault(whmfake.Always(whmfake.Fault{Kind: whmfake.Hang}))
	w.resetJournals()
	process, _ := w.start(buildProvisioner(t), "apply")
	eventually(t, time.Minute, "web01 is asked", func() bool { return web01.Requests() > 0 })
	for _, file := range []string{"cmdline", "environ"} {
		content, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(process.Process.Pid), file))
		if errors.Is(err, os.ErrNotExist) {
			t.Skipf("NOT TESTED: this system has no /proc: %v", err)
		}
		if err != nil || len(content) == 0 {
			t.Fatalf("read %s: %v", file, err)
		}
		if bytes.Contains(content, []byte(faultToken("web01"))) {
			t.Errorf("%s of the process has the WHM token", file)
		}
	}
}
