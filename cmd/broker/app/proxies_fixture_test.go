package app_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/store/storetest"
)

// front is where clients connect: the broker itself, or a proxy before it.
type front struct {
	name, address string
	tls           bool
	// log returns what the proxy has written.
	log func() string
}

// dial connects from an address of 127.0.0.0/8, so that every test is a client of
// its own.
func (f front) dial(t *testing.T, from string) net.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).DialContext(ctx, "tcp", f.address)
	if err != nil {
		t.Fatalf("connect to %s from %s: %v", f.name, from, err)
	}
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	if f.tls {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) // its certificate is not what is tested
	}
	return conn
}

// send sends a request as it is written and reads the answer.
func (f front) send(t *testing.T, from, method, raw string) (*http.Response, string) {
	t.Helper()
	conn := f.dial(t, from)
	defer conn.Close()
	if _, err := io.WriteString(conn, raw); err != nil {
		t.Fatalf("%s: send: %v", f.name, err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%s: no answer to %q: %v", f.name, raw, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s: read the answer: %v", f.name, err)
	}
	return response, string(body)
}

// proxyFile is a configuration as an operator would take it, for this test's ports
// and files.
func proxyFile(t *testing.T, name string, changes ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "deploy", "proxies", name))
	if err != nil {
		t.Fatal(err)
	}
	return changed(t, string(text), changes...)
}

// startNginx starts nginx with the file that we recommend before a broker.
func startNginx(t *testing.T, brokerAddress string) front {
	t.Helper()
	if _, err := exec.LookPath("nginx"); err != nil {
		storetest.Missing(t, "nginx", "apt-get install nginx-light")
	}
	dir, address := t.TempDir(), freeAddress(t)
	certificate(t, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	site := proxyFile(t, "nginx.conf",
		"server 127.0.0.1:8080;", "server "+brokerAddress+";",
		"listen 443 ssl;", "listen "+address+" ssl;",
		"/etc/ssl/certs/sso.example.com.pem", dir+"/cert.pem",
		"/etc/ssl/private/sso.example.com.key", dir+"/key.pem",
		"/var/log/nginx/latchkey.log", dir+"/access.log",
		"/var/log/nginx/latchkey-error.log", dir+"/error.log",
	)
	writeFile(t, filepath.Join(dir, "latchkey.conf"), site)
	user := ""
	if os.Getuid() == 0 {
		user = "user root;\n"
	}
	writeFile(t, filepath.Join(dir, "nginx.conf"), user+"daemon off;\nworker_processes 1;\npid "+dir+"/pid;\nevents {}\nhttp {\n"+
		"client_body_temp_path "+dir+"/body;\nproxy_temp_path "+dir+"/proxy;\nfastcgi_temp_path "+dir+"/f;\nscgi_temp_path "+dir+"/s;\nuwsgi_temp_path "+dir+"/u;\n"+
		"include "+dir+"/latchkey.conf;\n}\n")
	runProxy(t, address, "nginx", "-e", dir+"/start.log", "-p", dir, "-c", dir+"/nginx.conf")
	return front{name: "nginx", address: address, tls: true, log: func() string { return contents(dir, "access.log", "error.log", "start.log") }}
}

// startHAProxy starts HAProxy with the file that we recommend before a broker.
func startHAProxy(t *testing.T, brokerAddress, operators string) front {
	t.Helper()
	if _, err := exec.LookPath("haproxy"); err != nil {
		storetest.Missing(t, "haproxy", "apt-get install haproxy")
	}
	dir, address := t.TempDir(), freeAddress(t)
	certificate(t, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "cert.pem.key"))
	_, operatorPort, err := net.SplitHostPort(strings.TrimPrefix(operators, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	file := writeFile(t, filepath.Join(dir, "haproxy.cfg"), proxyFile(t, "haproxy.cfg",
		"bind :443 ssl crt /etc/haproxy/certs/sso.example.com.pem", "bind "+address+" ssl crt "+dir+"/cert.pem",
		"server broker1 127.0.0.1:8080 check port 8081", "server broker1 "+brokerAddress+" check port "+operatorPort,
	))
	out := runProxy(t, address, "haproxy", "-db", "-f", file)
	return front{name: "HAProxy", address: address, tls: true, log: out.String}
}

// runProxy runs a proxy until the test ends, and returns when it listens.
func runProxy(t *testing.T, address, name string, args ...string) *lockedBuffer {
	t.Helper()
	cmd, out := exec.Command(name, args...), &lockedBuffer{}
	cmd.Stdout, cmd.Stderr = out, out
	storetest.DieWithTest(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// Ends the workers, too. An interrupt would not, where whoever started the
		// tests ignores it.
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) { // it starts in real time
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
			return out
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not listen: %s", name, out)
		}
	}
}

func contents(dir string, names ...string) string {
	var all strings.Builder
	for _, name := range names {
		text, _ := os.ReadFile(filepath.Join(dir, name)) // one that was not needed is not there
		_, _ = fmt.Fprintf(&all, "%s\n", text)
	}
	return all.String()
}

// lockedBuffer is a buffer for several writers.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
