package app_test

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/api/whm/whmfake"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

const (
	// What a real server may take: so long for a command, and so long for a request
	// beside its commands.
	benchCommand = 20 * time.Millisecond
	benchRequest = 50 * time.Millisecond
	// benchInFlight is provisioner.requests_per_server, as it is by default.
	benchInFlight = 4
	benchLinks    = 14
)

// benchSize reads a number from the environment.
func benchSize(b *testing.B, variable string, usual int) int {
	b.Helper()
	n, err := strconv.Atoi(cmp.Or(os.Getenv(variable), strconv.Itoa(usual)))
	if err != nil || n < 1 {
		b.Fatalf("%s must be a number, 1 or more: %q", variable, os.Getenv(variable))
	}
	return n
}

// benchFleet has so many servers with so many accounts each, over a real Redis. The
// servers are in this process, and the provisioner is a process of its own: its
// memory and its time are measured alone.
func benchFleet(b *testing.B, servers, accounts int) *faultWorld {
	b.Helper()
	r := storetest.StartRedis(b)
	w := newFaultWorldOn(b, r.Addr, r.Client())
	w.large = true
	var rows []string
	for i := range servers {
		id := fmt.Sprintf("web%02d", i)
		w.addServer(id, whmfake.Config{NoJournal: true, PerRequest: benchRequest, PerCommand: benchCommand})
		for a := range accounts {
			user := fmt.Sprintf("user%05d", a)
			w.account(id + "/" + user)
			rows = append(rows, fmt.Sprintf("%s,%s,%d", id, user, 100000+i*accounts+a))
		}
	}
	w.subscribers(rows...)
	return w
}

// benchRun is what one run of the provisioner took.
type benchRun struct {
	took     time.Duration
	memory   float64 // most that was resident, in MiB (the kernel's VmHWM)
	reads    map[string]int
	writes   map[string]int
	requests int
}

func (r benchRun) commands() int {
	n := 0
	for _, counts := range []map[string]int{r.reads, r.writes} {
		for _, count := range counts {
			n += count
		}
	}
	return n
}

// ideal is how long the commands of the run would take if requests cost nothing.
func (r benchRun) ideal(servers int) time.Duration {
	return time.Duration(r.commands()) * benchCommand / time.Duration(servers*benchInFlight)
}

// bench runs a command in a process of its own.
func (w *faultWorld) bench(program string, args ...string) benchRun {
	w.t.Helper()
	w.resetJournals()
	cmd := exec.Command(program, append(args, "-c", w.config)...)
	cmd.Env = []string{"HOME=" + w.dir, "USER=tester"}
	storetest.DieWithTest(cmd)
	var out lockedBuffer
	cmd.Stdout, cmd.Stderr = &out, &out
	begun := time.Now()
	w.must(cmd.Start())
	memory := watchMemory(cmd.Process.Pid)
	err := cmd.Wait()
	r := benchRun{took: time.Since(begun), memory: memory(), reads: map[string]int{}, writes: map[string]int{}}
	if err != nil {
		w.t.Fatalf("%v: %v\n%s", args, err, out.String())
	}
	for _, s := range w.servers {
		for f, n := range s.whm.Reads() {
			r.reads[f] += n
		}
		for f, n := range s.whm.Writes() {
			r.writes[f] += n
		}
		r.requests += s.whm.Requests()
	}
	return r
}

// watchMemory reads the most memory that a process had, again and again: it is gone
// with the process. What wait4(2) tells instead counts our own memory, which the
// process has for a moment before it becomes another program. stop returns MiB, 0
// where the system does not tell.
func watchMemory(pid int) (stop func() float64) {
	ctx, cancel := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	most := 0.0
	watching.Go(func() {
		for waitFor(ctx, 20*time.Millisecond) == nil {
			status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
			if err != nil {
				return
			}
			for line := range strings.Lines(string(status)) {
				var kib float64
				if n, _ := fmt.Sscanf(line, "VmHWM: %f kB", &kib); n == 1 {
					most = max(most, kib/1024)
				}
			}
		}
	})
	return func() float64 { cancel(); watching.Wait(); return most }
}

// The first apply on a fleet whose servers take 20 ms for a command and 50 ms for a
// request, fourteen links for each account. Metrics:
//
//	ratio-to-ideal   wall time through commands x 20 ms / (servers x requests in flight)
//	speedup          commands per second and server, through those of one command a request
//	MiB-peak         most memory of the provisioner, which is a process of its own
//
// BENCH_SERVERS=20 BENCH_ACCOUNTS=1000 is the full size, about two minutes.
func BenchmarkApply(b *testing.B) {
	servers, accounts := benchSize(b, "BENCH_SERVERS", 4), benchSize(b, "BENCH_ACCOUNTS", 100)
	program := buildProvisioner(b)
	for b.Loop() {
		b.StopTimer()
		slow := benchFleet(b, servers, max(accounts/50, 8))
		slow.configure(faultSettings{defaults: true, requests: benchInFlight, provisioner: ", commands_per_request: 1"})
		single := slow.bench(program, "apply")
		for _, s := range slow.servers {
			s.whm.Close()
		}
		w := benchFleet(b, servers, accounts)
		w.configure(faultSettings{defaults: true, requests: benchInFlight})
		b.StartTimer()
		first := w.bench(program, "apply")
		b.StopTimer()

		links, groups := servers*accounts*benchLinks, servers*accounts
		if first.writes["create_integration_link"] != links || first.writes["create_integration_group"] != groups || len(first.writes) != 2 {
			b.Errorf("got writes %v, want %d links and %d groups", first.writes, links, groups)
		}
		rate := func(r benchRun) float64 { return float64(r.commands()) / r.took.Seconds() / float64(servers) }
		b.ReportMetric(first.took.Seconds()/first.ideal(servers).Seconds(), "ratio-to-ideal")
		b.ReportMetric(rate(first)/rate(single), "speedup")
		b.ReportMetric(first.memory, "MiB-peak")
		b.ReportMetric(float64(links)/first.took.Seconds(), "links/s")
		b.Logf("%d servers with %d accounts: %s for %d commands in %d requests (ideal %s); %.0f commands a second and server, %.0f with one a request; %.0f MiB",
			servers, accounts, first.took.Round(time.Millisecond), first.commands(), first.requests, first.ideal(servers).Round(time.Millisecond), rate(first), rate(single), first.memory)

		again := w.bench(program, "apply")
		trusting := w.bench(program, "apply", "--trust-store")
		b.Logf("a second apply: %s, writes %v, reads %v in %d requests, %.0f MiB; with --trust-store: %s, writes %v, reads %v",
			again.took.Round(time.Millisecond), again.writes, again.reads, again.requests, again.memory, trusting.took.Round(time.Millisecond), trusting.writes, trusting.reads)
		if len(again.writes) > 0 || again.commands()-again.reads["applist"]-again.reads["listaccts"] > servers*accounts {
			b.Errorf("a second apply: got writes %v and reads %v, want no write and one read an account at most", again.writes, again.reads)
		}
		if len(trusting.writes) > 0 || trusting.requests != servers || trusting.reads["listaccts"] != servers {
			b.Errorf("with --trust-store: got writes %v and reads %v, want one listaccts a server", trusting.writes, trusting.reads)
		}
		user := "user00000"
		for id, s := range w.servers {
			found, err := s.state.Links(user)
			w.must(err)
			for _, l := range found {
				if err := w.accepted(l); err != nil || !strings.Contains(l.AutologinTokenURL, "server="+id+"&user="+user) {
					b.Errorf("%s/%s %s: %v", id, user, l.App, err)
				}
			}
		}
		for _, s := range w.servers {
			s.whm.Close()
		}
		b.StartTimer()
	}
}
