package storetest

import (
	"context"
	"database/sql"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// The account that database servers of tests have.
const (
	databaseUser     = "latchkey"
	databasePassword = "Canary/p@ss word:1" // each DSN has to escape it
	databaseName     = "latchkey"
	databaseTimeout  = time.Minute // for a machine with much else to do
)

// daemon is a server that refuses to run as root, in a directory of its own.
type daemon struct {
	t     testing.TB
	dir   string
	runAs func(*exec.Cmd)
}

// newDaemon makes the directory. Tests that run as root run the server as the
// first of users that exists.
func newDaemon(t testing.TB, users ...string) *daemon {
	t.Helper()
	// Not t.TempDir, which other users than its own cannot enter.
	dir, err := os.MkdirTemp(enterable(t), "latchkey-")
	if err != nil {
		t.Fatalf("make the directory of a server: %v", err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove the directory of a server: %v", err)
		}
	})
	return &daemon{t: t, dir: dir, runAs: dropRoot(t, dir, users...)}
}

func (d *daemon) path(name string) string { return filepath.Join(d.dir, name) }

// write makes a file that the server can read.
func (d *daemon) write(name, text string) string {
	d.t.Helper()
	if err := os.WriteFile(d.path(name), []byte(text), 0o644); err != nil {
		d.t.Fatalf("write %s: %v", name, err)
	}
	return d.path(name)
}

func (d *daemon) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = d.dir
	cmd.Env = []string{"LC_ALL=C", "HOME=" + d.dir, "TMPDIR=" + d.dir, "PATH=/usr/sbin:/usr/bin:/sbin:/bin:" + os.Getenv("PATH")}
	DieWithTest(cmd)
	d.runAs(cmd)
	return cmd
}

// run runs a program to its end.
func (d *daemon) run(program string, args ...string) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), databaseTimeout)
	defer cancel()
	if out, err := d.command(ctx, program, args...).CombinedOutput(); err != nil {
		d.t.Fatalf("run %s: %v\n%s", program, err, out)
	}
}

// start starts the server and waits until it answers. It ends with the test, by
// a signal.
func (d *daemon) start(stop os.Signal, driver, dsn, program string, args ...string) {
	d.t.Helper()
	log, err := os.Create(d.path("log"))
	if err != nil {
		d.t.Fatalf("start %s: %v", program, err)
	}
	defer log.Close()
	cmd := d.command(context.Background(), program, args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		d.t.Fatalf("start %s: %v", program, err)
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(exited)
	}()
	d.t.Cleanup(func() {
		_ = cmd.Process.Signal(stop)
		<-exited
	})
	d.await(program, driver, dsn, exited)
}

func (d *daemon) await(program, driver, dsn string, exited <-chan struct{}) {
	d.t.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		d.t.Fatalf("wait for %s: %v", program, err)
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), databaseTimeout)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := db.PingContext(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
		case <-exited:
		case <-tick.C:
			continue
		}
		said, _ := os.ReadFile(d.path("log"))
		d.t.Fatalf("%s does not answer: %v\n%s", program, err, said)
	}
}

// execute runs statements one after the other.
func execute(t testing.TB, driver, dsn string, statements []string) {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), databaseTimeout)
	defer cancel()
	for _, statement := range statements {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			t.Fatalf("execute %q: %v", statement, err)
		}
	}
}
