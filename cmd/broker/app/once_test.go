package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// buildBroker builds the command once for all tests, as the image does.
var buildBroker = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "latchkey-test-")
	if err != nil {
		return "", err
	}
	buildDir.Store(&dir)
	path := filepath.Join(dir, "broker")
	build := exec.Command("go", "build", "-trimpath", "-o", path, "github.com/latchkey-sso/latchkey/cmd/broker")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build broker: %w\n%s", err, out)
	}
	return path, nil
})

// buildDir is where buildBroker put the command, if a test asked for it.
var buildDir atomic.Pointer[string]

func TestMain(m *testing.M) {
	storetest.Parallel()
	code := m.Run()
	if dir := buildDir.Load(); dir != nil {
		_ = os.RemoveAll(*dir)
	}
	os.Exit(code)
}

// process is a broker in a process of its own.
type process struct {
	url, operators string
	log            string // path
	cmd            *exec.Cmd
}

func startProcess(t testing.TB, redis string) *process {
	t.Helper()
	binary, err := buildBroker()
	if err != nil {
		t.Fatal(err)
	}
	return startBinary(t, binary, redis, t.TempDir())
}

func startBinary(t testing.TB, binary, redis, dir string) *process {
	t.Helper()
	newKey(t, dir)
	listen, operator := freeAddress(t), freeAddress(t)
	file := filepath.Join(dir, "latchkey.yaml")
	if err := os.WriteFile(file, []byte(configFile(dir, redis, listen, operator)), 0o600); err != nil {
		t.Fatal(err)
	}
	p := &process{url: "http://" + listen, operators: "http://" + operator, log: filepath.Join(dir, "log")}
	log, err := os.Create(p.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	p.cmd = exec.Command(binary, "serve", "-c", file, "--broker.log_level", "warn")
	p.cmd.Env = append(os.Environ(), "LATCHKEY_PORTALS_SUPPORT_CLIENT_SECRET="+clientSecret)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	storetest.DieWithTest(p.cmd)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		if t.Failed() {
			log, _ := os.ReadFile(p.log)
			t.Logf("log of %s begins:\n%s", p.url, log[:min(len(log), 2000)])
		}
	})
	waitReady(t, p.operators)
	return p
}

// Every token succeeds exactly once, however many race for it over however many
// brokers, and every loser is audited as a replay. Where an overloaded machine
// makes a broker say "not now", server and browser ask again as real ones do.
func TestEveryTokenSucceedsExactlyOnce(t *testing.T) {
	redis := storetest.StartRedis(t)
	brokers := []*process{startProcess(t, redis.Addr), startProcess(t, redis.Addr), startProcess(t, redis.Addr)}
	link := addLink(t, store.New(store.Config{Client: redis.Client(), KeyPrefix: "latchkey:"}), "latchkey_billing")
	tokens := int64(storetest.Amount(t, "TEST_TOKENS", 3_000, 1_000_000))

	var started, granted, refused, failed atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for started.Add(1) <= tokens && ctx.Err() == nil {
				won, lost, other := raceOneToken(t, brokers, link)
				granted.Add(won)
				refused.Add(lost)
				failed.Add(other)
				if won != 1 || other != 0 {
					t.Errorf("one token: %d granted, %d refused, %d failed; want exactly 1 granted and 0 failed", won, lost, other)
					stop()
				}
			}
		})
	}
	workers.Wait()
	t.Logf("%d tokens: %d granted, %d refused, %d failed", tokens, granted.Load(), refused.Load(), failed.Load())
	if granted.Load() != tokens {
		t.Errorf("granted %d of %d tokens", granted.Load(), tokens)
	}
	// A redemption whose reply came too late is audited when it is repeated.
	if got := audited(t, brokers, "redeemed") + audited(t, brokers, "repeated"); got != granted.Load() {
		t.Errorf("audited as redeemed or repeated: got %d, want %d", got, granted.Load())
	}
	if got := audited(t, brokers, "replayed"); got != refused.Load() {
		t.Errorf("audited as replayed: got %d, want %d", got, refused.Load())
	}
	wantBothClaims(t, brokers)
}

// wantBothClaims wants each replay in the audit to name who tried and who had taken
// the token before, and of one token always the same.
func wantBothClaims(t *testing.T, brokers []*process) {
	t.Helper()
	takers := map[string]string{} // by token
	for _, b := range brokers {
		log, err := os.ReadFile(b.log)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(log) {
			var e struct {
				Logger, Msg, Token, Claim string
				ClaimedBy                 string `json:"claimed_by"`
			}
			if json.Unmarshal(line, &e) != nil || e.Logger != "audit" || e.Msg != "replayed" {
				continue
			}
			former, seen := takers[e.Token]
			if e.Claim == "" || e.ClaimedBy == "" || e.Claim == e.ClaimedBy || seen && former != e.ClaimedBy {
				t.Fatalf("audit: got %s, want the claim and, the same for the whole token, the one that has taken it", line)
			}
			takers[e.Token] = e.ClaimedBy
		}
	}
	if len(takers) == 0 {
		t.Error("the audit has no replay")
	}
}

// raceOneToken gets a one-time URL from one broker and lets 2 to 8 browsers
// race for it over all of them.
func raceOneToken(t *testing.T, brokers []*process, link broker.LinkToken) (granted, refused, failed int64) {
	oneTime := autologin(t, brokers[rand.IntN(len(brokers))].url, "latchkey_billing", link)
	_, query, _ := strings.Cut(oneTime, "?")
	var won, lost, other atomic.Int64
	var racers sync.WaitGroup
	start := make(chan struct{})
	for range 2 + rand.IntN(7) {
		racers.Go(func() {
			<-start
			switch status, body := redeemAsBrowser(t, brokers, query); {
			case status == http.StatusOK && strings.Contains(body, `name="assertion"`):
				won.Add(1)
			case status == http.StatusGone:
				lost.Add(1)
			default:
				t.Errorf("redeem: status %d, body %.300s", status, body)
				other.Add(1)
			}
		})
	}
	close(start)
	racers.Wait()
	return won.Load(), lost.Load(), other.Load()
}

// redeemAsBrowser follows a one-time URL at any broker, and as long as a broker
// says "not now" it loads the page again, with the cookie that it got.
func redeemAsBrowser(t *testing.T, brokers []*process, query string) (status int, body string) {
	header := map[string]string{"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
	for range 50 {
		r, err := http.NewRequest(http.MethodGet, brokers[rand.IntN(len(brokers))].url+"/login?"+query, nil)
		if err != nil {
			t.Error(err)
			return 0, ""
		}
		var cookies []*http.Cookie
		status, body, cookies = doWithCookies(t, r, header)
		if status != http.StatusServiceUnavailable {
			return status, body
		}
		for _, c := range cookies {
			header["Cookie"] = c.Name + "=" + c.Value
		}
	}
	return status, body
}

func audited(t *testing.T, brokers []*process, event string) int64 {
	t.Helper()
	var count int64
	for _, b := range brokers {
		log, err := os.ReadFile(b.log)
		if err != nil {
			t.Fatal(err)
		}
		count += int64(bytes.Count(log, []byte(`"logger":"audit","msg":"`+event+`"`)))
	}
	return count
}
