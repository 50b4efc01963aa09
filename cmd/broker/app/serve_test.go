package app_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// stopWithin is what the command promises of SIGTERM.
const stopWithin = 10 * time.Second

// wantStop wants a broker that was told to stop to end by itself in time.
func wantStop(t *testing.T, p *process, signalled time.Time) {
	t.Helper()
	exited := make(chan error, 1)
	go func() { exited <- p.cmd.Wait() }()
	select {
	case err := <-exited:
		if err != nil {
			t.Errorf("stop: got %v, want exit code 0", err)
		}
		if took := time.Since(signalled); took > stopWithin {
			t.Errorf("stop: took %v, want at most %v", took, stopWithin)
		}
	case <-time.After(3 * stopWithin):
		_ = p.cmd.Process.Kill()
		<-exited
		t.Errorf("stop: still running after %v, want it to end within %v", 3*stopWithin, stopWithin)
	}
}

// halfRequest begins a click and returns when the broker is reading its body.
func halfRequest(t *testing.T, base string, link broker.LinkToken) (conn net.Conn, in *bufio.Reader, rest string) {
	t.Helper()
	u, err := url.Parse(broker.AutologinURL(base, bobs("latchkey_billing")))
	if err != nil {
		t.Fatal(err)
	}
	conn, err = net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	body := url.Values{"token": {link.Reveal()}, "subscriber_unique_id": {"1234"}}.Encode()
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n",
		u.RequestURI(), u.Host, len(body))
	in = bufio.NewReader(conn)
	line, err := in.ReadString('\n')
	if err != nil || !strings.Contains(line, " 100 ") {
		t.Fatalf("begin a request: got %q (%v), want 100 Continue", line, err)
	}
	if _, err := in.ReadString('\n'); err != nil { // the empty line
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, body[:10]); err != nil {
		t.Fatal(err)
	}
	return conn, in, body[10:]
}

// eventually polls, because another process moves in real time.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("it does not come to this: %s", what)
			return
		}
	}
}

// At SIGTERM the broker goes out of rotation, takes nobody new, answers whom it
// has, and ends.
func TestStopAnswersWhatWasBegun(t *testing.T) {
	t.Parallel()
	redis := storetest.StartRedis(t)
	p := startProcess(t, redis.Addr)
	link := addLink(t, store.New(store.Config{Client: redis.Client(), KeyPrefix: "latchkey:"}), "latchkey_billing")
	conn, in, rest := halfRequest(t, p.url, link)

	signalled := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, "not ready, because it is stopping", func() bool {
		status, body := get(t, p.operators+"/healthz/ready", nil)
		return status == http.StatusServiceUnavailable && strings.Contains(body, "stopping")
	})
	eventually(t, "nobody new is let in", func() bool {
		c, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
		if err == nil {
			_ = c.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
	if _, err := io.WriteString(conn, rest); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatalf("the request that was begun: %v", err)
	}
	defer response.Body.Close()
	if body, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusOK || !strings.Contains(string(body), "redirect_url") {
		t.Errorf("the request that was begun: got %d %s, want a redirect_url", response.StatusCode, body)
	}
	wantStop(t, p, signalled)
	if status, _ := get(t, p.operators+"/healthz/ready", nil); status != 0 {
		t.Errorf("ready after the end: got %d, want nobody there", status)
	}
}

func TestStopDoesNotWaitForAHangingClient(t *testing.T) {
	t.Parallel()
	redis := storetest.StartRedis(t)
	p := startProcess(t, redis.Addr)
	link := addLink(t, store.New(store.Config{Client: redis.Client(), KeyPrefix: "latchkey:"}), "latchkey_billing")
	halfRequest(t, p.url, link)
	idle, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://")) // never says a word
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	signalled := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	wantStop(t, p, signalled)
	log, err := os.ReadFile(p.log)
	if err != nil || !strings.Contains(string(log), "requests were cut off") {
		t.Errorf("log: got %s (%v), want to read that requests were cut off", log, err)
	}
}

func TestStopByInterruptIsInOrderToo(t *testing.T) {
	t.Parallel()
	p := startProcess(t, storetest.StartRedis(t).Addr)
	signalled := time.Now()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	wantStop(t, p, signalled)
}

// What keeps a broker from starting has an exit code and a sentence that says
// where to look.
func TestServeRefusesToStart(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	address := taken.Addr().String()
	noKeys := func(t *testing.T, file string) {
		if err := os.RemoveAll(filepath.Join(filepath.Dir(file), "keys")); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(filepath.Join(filepath.Dir(file), "keys"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name    string
		prepare func(t *testing.T, file string)
		args    []string
		code    int
		want    []string
	}{
		{name: "problems of the configuration", args: []string{"--broker.confirm", "sometimes"}, code: cli.ExitUsage, want: []string{"flag --broker.confirm: broker.confirm: must be one of"}},
		{name: "public port in use", args: []string{"--broker.listen", address}, code: cli.ExitFailed, want: []string{"broker.listen: ", address, "in use"}},
		{name: "operators' port in use", args: []string{"--broker.operator_listen", address}, code: cli.ExitFailed, want: []string{"broker.operator_listen: ", address, "in use"}},
		{name: "no signing key", prepare: noKeys, code: cli.ExitFailed, want: []string{"broker.signing_keys_dir: ", "/keys: ", "broker keys new"}},
		{
			name: "a broken signing key", code: cli.ExitFailed, want: []string{"broker.signing_keys_dir: ", "k.pem: is not PEM"},
			prepare: func(t *testing.T, file string) {
				writeFile(t, filepath.Join(filepath.Dir(file), "keys", "k.pem"), "nothing")
			},
		},
	}
	binary, err := buildBroker()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			newKey(t, dir)
			file := writeFile(t, filepath.Join(dir, "latchkey.yaml"), configFile(dir, freeAddress(t), freeAddress(t), freeAddress(t)))
			if tt.prepare != nil {
				tt.prepare(t, file)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, binary, append([]string{"serve", "-c", file}, tt.args...)...)
			cmd.Env = append(os.Environ(), operatorEnviron...)
			out, _ := cmd.CombinedOutput()
			wantRun(t, append([]string{"serve"}, tt.args...), cmd.ProcessState.ExitCode(), tt.code, "output", string(out), append(tt.want, "!panic")...)
		})
	}
}

// A closed terminal or a habit ("reload") ends no broker.
func TestServeSurvivesAHangup(t *testing.T) {
	t.Parallel()
	p := startProcess(t, storetest.StartRedis(t).Addr)
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		log, err := os.ReadFile(p.log)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(log), "SIGHUP does nothing") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the log does not tell what SIGHUP does:\n%s", log)
		}
	}
	if status, _ := get(t, p.operators+"/healthz/live", nil); status != http.StatusOK {
		t.Errorf("after SIGHUP: got %d, want 200", status)
	}
}
