package app_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	brokerapp "github.com/latchkey-sso/latchkey/cmd/broker/app"
	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
	"github.com/latchkey-sso/latchkey/cmd/provisioner/app"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// actAs makes the test binary another program. Its name does not begin with
// LATCHKEY_, because the configuration refuses such variables that it does not know.
const actAs = "TEST_BINARY_IS"

func TestMain(m *testing.M) {
	switch os.Getenv(actAs) {
	case "provisioner":
		os.Exit(app.Main(os.Args[1:], app.Env{Env: cli.System()}))
	case "broker":
		os.Exit(brokerapp.Main(os.Args[1:], cli.System()))
	}
	storetest.Parallel()
	os.Exit(m.Run())
}

// commandTimeout is for one command on a machine with much else to do.
const commandTimeout = 90 * time.Second

// result is what a command left behind.
type result struct {
	code     int // -1 when it was killed
	out, err string
}

// process is a running program, the provisioner as a rule.
type process struct {
	t    testing.TB
	args string
	cmd  *exec.Cmd
	in   io.WriteCloser // standard input, open until closeInput
	out  lockedBuffer
	err  lockedBuffer
	done chan struct{} // closed when the process has ended
}

// lockedBuffer can be read while the process still writes.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// newProcess prepares a program, "provisioner" or "broker", in a directory. Its
// standard input stays open and empty until somebody writes to it.
func newProcess(t testing.TB, program, dir string, args ...string) *process {
	t.Helper()
	p := &process{t: t, args: strings.Join(args, " "), done: make(chan struct{})}
	p.cmd = exec.Command(os.Args[0], args...)
	p.cmd.Dir = dir
	// A binary with the race detector waits a second before it exits.
	p.cmd.Env = []string{actAs + "=" + program, "GORACE=atexit_sleep_ms=0", "HOME=" + dir, "USER=tester"}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.err
	storetest.DieWithTest(p.cmd)
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatalf("standard input of the %s: %v", program, err)
	}
	p.in = in
	return p
}

// start starts the process. It is killed when the test ends.
func (p *process) start() {
	p.t.Helper()
	if err := p.cmd.Start(); err != nil {
		p.t.Fatalf("start %q: %v", p.args, err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // the exit code says it
	}()
	p.t.Cleanup(p.kill)
}

// kill ends the process at once and waits until it is dead.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

func (p *process) interrupt() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatalf("interrupt %q: %v", p.args, err)
	}
}

// wait waits until the process has ended by itself.
func (p *process) wait() result {
	p.t.Helper()
	_ = p.in.Close()
	timer := time.NewTimer(commandTimeout)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		// The trace of its goroutines tells where it hangs.
		_ = p.cmd.Process.Signal(syscall.SIGQUIT)
		<-p.done
		p.t.Fatalf("%q does not end\n%s%s", p.args, p.out.String(), p.err.String())
	}
	return result{p.cmd.ProcessState.ExitCode(), p.out.String(), p.err.String()}
}

// until waits for a condition that a running process brings about.
func (p *process) until(what string, condition func() bool) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), commandTimeout)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond) // a real process works in real time
	defer tick.Stop()
	for !condition() {
		select {
		case <-ctx.Done():
			p.t.Fatalf("%q: still waiting until %s\n%s%s", p.args, what, p.out.String(), p.err.String())
		case <-p.done:
			if !condition() {
				p.t.Fatalf("%q ended before %s\n%s%s", p.args, what, p.out.String(), p.err.String())
			}
		case <-tick.C:
		}
	}
}

func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
