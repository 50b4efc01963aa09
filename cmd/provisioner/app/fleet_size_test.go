package app_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/api/whm/whmfake"
	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
	"github.com/latchkey-sso/latchkey/cmd/provisioner/app"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

const (
	// usualFleet is how many servers the fleet has unless TEST_FLEET says another
	// number; CI sets it to 500.
	usualFleet    = 100
	fleetAccounts = 2 // on each server
	// fleetLatency is that of a request to a slow server.
	fleetLatency = 1500 * time.Millisecond
)

// fleetTimes notes when each server's line said that it was done.
type fleetTimes struct {
	begun time.Time

	mu   sync.Mutex
	done map[string]time.Duration
	rest bytes.Buffer
}

var fleetDone = regexp.MustCompile(`^\S+ \S+ UTC  (web\d+): done`)

// Write takes a line each time, as the lines of servers are printed.
func (f *fleetTimes) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if m := fleetDone.FindSubmatch(p); m != nil {
		f.done[string(m[1])] = time.Since(f.begun)
		return len(p), nil
	}
	return f.rest.Write(p)
}

// last is when the last of some servers was done.
func (f *fleetTimes) last(servers []string) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	var last time.Duration
	for _, s := range servers {
		last = max(last, f.done[s])
	}
	return last
}

// fleetOf is a fleet over a real Redis, if there is one.
func fleetOf(t *testing.T, servers int) *faultWorld {
	var w *faultWorld
	if _, err := exec.LookPath("redis-server"); err == nil {
		r := storetest.StartRedis(t)
		w = newFaultWorldOn(t, r.Addr, r.Client())
	} else {
		w = newFaultWorld(t)
	}
	var rows []string
	for i := range servers {
		id := fmt.Sprintf("web%03d", i)
		w.addServer(id, whmfake.Config{NoJournal: true})
		for a := range fleetAccounts {
			user := fmt.Sprintf("user%d", a)
			w.account(id + "/" + user)
			rows = append(rows, fmt.Sprintf("%s,%s,%d", id, user, 1000+i*fleetAccounts+a))
		}
	}
	w.subscribers(rows...)
	return w
}

// silent is a port that takes connections and never says anything.
func silent(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				_, _ = io.Copy(io.Discard, c) // until the other end has had enough
				_ = c.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		serving.Wait()
	})
	return l.Addr().String()
}

// Of a fleet in which one server in twenty is dead and one in twenty is slow, the
// others are done as if those were not there.
func TestDeadAndSlowServersDelayNobody(t *testing.T) {
	servers, err := strconv.Atoi(cmp.Or(os.Getenv("TEST_FLEET"), strconv.Itoa(usualFleet)))
	if err != nil || servers < 20 {
		t.Fatalf("TEST_FLEET must be a number of servers, 20 or more: %q", os.Getenv("TEST_FLEET"))
	}
	allowFiles(t, uint64(servers*20+500))
	w := fleetOf(t, servers)
	var healthy, slow []string
	dead := map[string]string{} // and what is said of them
	moved := map[string]string{}
	// Of a small fleet it is one in six, and one in three: there must be enough of them
	// to fill what the servers might share.
	each := 6
	if servers >= 400 {
		each = 20
	}
	for i, id := range w.ids() {
		switch at := i % each; {
		case at == 2:
			address := fmt.Sprintf("127.0.0.1:%d", storetest.FreePort(t))
			says := "cannot connect to " + address + ": connection refused: is WHM running"
			if i%(2*each) == 2 {
				address = silent(t)
				says = "cannot connect to " + address
			}
			dead[id], moved[w.servers[id].whm.URL()] = says, "https://"+address
		case at == 4, at == 5 && each == 6:
			slow = append(slow, id)
		default:
			healthy = append(healthy, id)
		}
	}
	// It passes for real where nobody answers, and hundreds of handshakes at once take
	// their time.
	w.timeout = 2*time.Second + time.Duration(servers)*6*time.Millisecond
	w.configure(faultSettings{requests: 2})
	text := w.read()

	// First the healthy ones alone.
	calm := runFleet(t, w, cli.ExitDone, healthy)
	want := calm.last(healthy)
	if r := w.run("remove", "--all", "--yes"); r.code != cli.ExitDone {
		t.Fatal(r)
	}
	for old, new := range moved {
		text = strings.Replace(text, fmt.Sprintf("%q", old), fmt.Sprintf("%q", new), 1)
	}
	write(t, w.config, text)
	slowest := map[string]int{} // how many slow requests go one after the other
	for i, id := range slow {
		if i%2 == 0 {
			slowest[id] = 4 // applist, listaccts, list, write
			w.servers[id].whm.SetLatency(fleetLatency, 0)
			continue
		}
		slowest[id] = 2 // list, write
		w.servers[id].whm.SetFault(func(r whmfake.Request) whmfake.Fault {
			if r.User == "" {
				return whmfake.Fault{}
			}
			return whmfake.Fault{Kind: whmfake.Slow, Delay: fleetLatency}
		})
	}
	before := openFiles(t)
	peak, stop := watchFiles(t)
	troubled := runFleet(t, w, cli.ExitFailed, nil)
	stop()
	got, all := troubled.last(healthy), troubled.last(slices.Sorted(maps.Keys(troubled.done)))
	t.Logf("%d servers: the last healthy one was done after %s alone and after %s beside %d dead and %d slow ones, the last slow one after %s; %d open files at most",
		servers, want.Round(time.Millisecond), got.Round(time.Millisecond), len(dead), len(slow), all.Round(time.Millisecond), peak())

	// The fleet beside the healthy ones has work, too, and the machine may have other.
	if most := want*3/2 + 2*time.Second; got > most {
		t.Errorf("the last healthy server was done after %s, want %s at most: %s alone and some slack", got, most, want)
	}
	for _, id := range healthy {
		if troubled.done[id] == 0 {
			t.Errorf("%s was not done", id)
		}
	}
	for _, id := range slow {
		if least := time.Duration(slowest[id]) * fleetLatency; troubled.done[id] < least {
			t.Errorf("%s is slow and was done after %s, want %s or more", id, troubled.done[id], least)
		}
	}
	out := troubled.rest.String()
	for id, says := range dead {
		if !strings.Contains(out, "FAILED  "+id+": ") || !strings.Contains(out, says) {
			t.Errorf("%s is dead, and the output does not say %q", id, says)
		}
	}
	if got := strings.Count(out, "FAILED"); got != len(dead) {
		t.Errorf("got %d lines of what failed, want %d:\n%s", got, len(dead), out)
	}
	if err := w.consistent(); err != nil {
		t.Error(err)
	}
	if got, want := len(w.ours()), (len(healthy)+len(slow))*fleetAccounts*2; got != want {
		t.Errorf("got %d links, want %d", got, want)
	}
	// Each connection has two ends in this process.
	if most := before + servers*(2+1)*2 + 200; peak() > most {
		t.Errorf("got %d open files at once, want %d at most", peak(), most)
	}
	eventually(t, 20*time.Second, "all files are closed", func() bool { return openFiles(t) <= before+20 })
}

// runFleet applies on some servers, or on all, and notes when each was done.
func runFleet(t *testing.T, w *faultWorld, want int, servers []string) *fleetTimes {
	t.Helper()
	args := []string{"apply", "-c", w.config}
	for _, id := range servers {
		args = append(args, "--server", id)
	}
	var out lockedBuffer
	f := &fleetTimes{begun: time.Now(), done: map[string]time.Duration{}}
	code := app.Main(args, app.Env{Wait: w.wait, Env: cli.Env{In: strings.NewReader(""), Out: &out, Err: f, Signals: t.Context()}})
	if code != want {
		t.Fatalf("apply on %d servers: exit code %d, want %d\n%s%s", len(servers), code, want, out.String(), f.rest.String())
	}
	f.rest.Reset() // lines of the way; what failed stands in the output again
	f.rest.WriteString(out.String())
	w.printed = append(w.printed, out.String())
	return f
}

// allowFiles raises the limit of open files.
func allowFiles(t *testing.T, want uint64) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatalf("read the limit of open files: %v", err)
	}
	if limit.Cur >= want {
		return
	}
	former := limit
	limit.Cur = min(want, limit.Max)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < want {
		t.Skipf("NOT TESTED: this test needs %d open files, and %d are allowed (ulimit -Hn): %v", want, limit.Max, err)
	}
	t.Cleanup(func() { _ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &former) })
}

// openFiles counts the open files of this process; 0 where the system does not tell.
func openFiles(t *testing.T) int {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil && runtime.GOOS == "linux" {
		t.Fatal(err)
	}
	return len(files)
}

// watchFiles looks at the number of open files until stop is called.
func watchFiles(t *testing.T) (peak func() int, stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	most := 0
	watching.Go(func() {
		for ctx.Err() == nil {
			most = max(most, openFiles(t))
			_ = hurried(ctx, 2*time.Second) // 40 ms
		}
	})
	return func() int { return most }, func() { cancel(); watching.Wait() }
}
