package app_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
	"github.com/latchkey-sso/latchkey/cmd/provisioner/app"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// soon bounds what a daemon does in real time, on a machine with much else to do.
const soon = 10 * time.Second

// runningDaemon is `provisioner run` inside the test, with real pauses.
type runningDaemon struct {
	log *lockedBuffer
	// stop interrupts it and returns its exit code.
	stop func() int
}

// daemon starts a daemon. It is stopped with the test and must end in order.
func (w *faultWorld) daemon() *runningDaemon {
	w.t.Helper()
	return w.daemonWaiting(nil)
}

// daemonWaiting starts one with pauses of its own.
func (w *faultWorld) daemonWaiting(wait func(context.Context, time.Duration) error) *runningDaemon {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	d := &runningDaemon{log: &lockedBuffer{}}
	done := make(chan int, 1)
	go func() {
		done <- app.Main([]string{"run", "-c", w.config}, app.Env{
			Env: cli.Env{In: strings.NewReader(""), Out: io.Discard, Err: d.log, Signals: ctx}, Now: w.now, Wait: wait,
		})
	}()
	d.stop = sync.OnceValue(func() int {
		cancel()
		code := <-done
		w.mu.Lock()
		defer w.mu.Unlock()
		w.printed = append(w.printed, d.log.String())
		return code
	})
	w.t.Cleanup(func() {
		if code := d.stop(); code != cli.ExitDone {
			w.t.Errorf("run: got exit code %d, want 0\n%s", code, d.log)
		}
	})
	return d
}

// ready waits until the daemon has done its first round.
func (d *runningDaemon) ready(t testing.TB) {
	t.Helper()
	eventually(t, soon, "the daemon has reconciled", func() bool { return strings.Contains(d.log.String(), `"msg":"reconciled"`) })
}

const hookSecret = "CANARY-of-the-hooks-of-web01"

// takesHooks makes the settings of a daemon that listens for the hooks of web01.
func (w *faultWorld) takesHooks() faultSettings {
	w.t.Helper()
	certificate, key := selfSigned(w.t)
	write(w.t, filepath.Join(w.dir, "hooks.crt"), certificate)
	write(w.t, filepath.Join(w.dir, "hooks.key"), key)
	write(w.t, filepath.Join(w.dir, "web01.hook"), hookSecret+"\n")
	w.secrets[hookSecret] = "secret of web01's hooks"
	w.hooks = fmt.Sprintf("127.0.0.1:%d", storetest.FreePort(w.t))
	return faultSettings{
		provisioner: fmt.Sprintf(", listen: %q, tls: {cert_file: hooks.crt, key_file: hooks.key}", w.hooks),
		server:      ", hook_secret_file: web01.hook",
	}
}

// report posts what a server's hook reports, and wants it to be taken.
func (w *faultWorld) report(event string, members ...string) {
	w.t.Helper()
	body := map[string]string{"server": "web01", "event": event}
	for i := 0; i < len(members); i += 2 {
		body[members[i]] = members[i+1]
	}
	text, err := json.Marshal(body)
	w.must(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(w.file("hooks.crt")))
	client := &http.Client{Timeout: soon, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, "https://"+w.hooks+"/hooks/whm", strings.NewReader(string(text)))
	w.must(err)
	request.Header.Set("Authorization", "Bearer "+hookSecret)
	request.Header.Set("Content-Type", "application/json")
	answer, err := client.Do(request)
	w.must(err)
	defer answer.Body.Close()
	if got, _ := io.ReadAll(answer.Body); answer.StatusCode != http.StatusAccepted {
		w.t.Fatalf("hook %s: got %d %s, want 202", event, answer.StatusCode, got)
	}
}

// selfSigned makes a certificate for 127.0.0.1, and its key, in PEM.
func selfSigned(t testing.TB) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "provisioner"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	public, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: public})),
		string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret}))
}

// waiting are the requests in the queue, due or not.
func (w *faultWorld) waiting() []string {
	w.t.Helper()
	return storetest.Waiting(w.t, w.redis)
}

// reachedSoon waits until the servers have what is wanted and returns how long
// that took.
func (w *faultWorld) reachedSoon(what string, want faultWanted) time.Duration {
	w.t.Helper()
	var last error
	defer func() {
		if w.t.Failed() {
			w.t.Logf("%s: %v", what, last)
		}
	}()
	return eventually(w.t, soon, what, func() bool { last = w.reached(want); return last == nil })
}

// tokensOf are the tokens of the account's links of ours on its server, by app.
func (w *faultWorld) tokensOf(a broker.Account) map[string]string {
	w.t.Helper()
	links, err := w.servers[a.Server].state.Links(a.User)
	w.must(err)
	tokens := map[string]string{}
	for _, l := range links {
		if strings.Contains(l.AutologinTokenURL, "/autologin?") {
			tokens[l.App] = l.Token.Reveal()
		}
	}
	return tokens
}
