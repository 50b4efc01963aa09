package app_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/cmd/broker/app"
	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// Brokers whose clocks are a minute apart judge controls by the one clock of Redis.
func TestControlsGoByTheClockOfTheStore(t *testing.T) {
	t.Parallel()
	redis := storetest.StartRedis(t)
	dir, file := t.TempDir(), writeConfig(t, redis.Addr)
	newKey(t, dir)
	var brokers []*running
	for _, ahead := range []time.Duration{30 * time.Second, -30 * time.Second} {
		b := start(t, app.Options{
			Config: loadConfig(t, configFile(dir, redis.Addr, freeAddress(t), freeAddress(t))),
			Now:    func() time.Time { return time.Now().Add(ahead) },
		})
		waitReady(t, b.operators)
		brokers = append(brokers, b)
	}
	s := brokers[0].Store()
	link := addLink(t, s, "latchkey_tickets")
	command := func(line string) {
		t.Helper()
		if code, _, errs := run(t, commandLine(line, "-c", file), operatorEnviron); code != cli.ExitDone {
			t.Fatalf("%s: exit code %d: %s", line, code, errs)
		}
	}
	becomes := func(status int) {
		t.Helper()
		for _, b := range brokers {
			eventually(t, http.StatusText(status), func() bool { got, _ := clickAt(t, b, link); return got == status })
		}
	}

	command("controls pause server web01 --for 3s")
	until := endOfControl(t, s)
	becomes(http.StatusForbidden)
	for i, b := range brokers {
		eventually(t, "the pause is over", func() bool {
			before := storeTime(t, s)
			status, body := clickAt(t, b, link)
			switch after := storeTime(t, s); {
			case status == http.StatusOK && after.Before(until):
				t.Errorf("broker %d: got %s at %v, want it after %v", i, body, after, until)
			case status == http.StatusForbidden && before.After(until.Add(3*time.Second)): // its promise is a blink; a busy machine is not its breach
				t.Errorf("broker %d: the pause is in force at %v, want its end at %v", i, before, until)
				return true
			}
			return status == http.StatusOK
		})
	}

	var before []string
	for _, b := range brokers {
		for range brokers {
			before = append(before, oneTimeToken(t, b, link))
		}
	}
	command("controls block server web01")
	becomes(http.StatusForbidden)
	command("controls allow server web01")
	after := make([]string, len(brokers))
	for i, b := range brokers {
		eventually(t, "sign-on is back", func() bool { after[i] = tokenAt(t, b, link); return after[i] != "" })
	}
	for i, token := range after {
		if status, body := exchangeAt(t, brokers[1-i], token); status != http.StatusOK {
			t.Errorf("the first token of broker %d after allow: got %d %s, want 200", i, status, body)
		}
	}
	for i, token := range before {
		if status, body := exchangeAt(t, brokers[i%2], token); status != http.StatusBadRequest {
			t.Errorf("a token from before the block, issued by broker %d and redeemed by %d: got %d %s, want 400", i/2, i%2, status, body)
		}
	}
}

func storeTime(t *testing.T, s *store.Store) time.Time {
	t.Helper()
	status, err := s.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return status.Now
}

// endOfControl returns when the only control ends.
func endOfControl(t *testing.T, s *store.Store) time.Time {
	t.Helper()
	all, err := s.Controls(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	list := all.List()
	if len(list) != 1 {
		t.Fatalf("got %d controls, want 1", len(list))
	}
	return list[0].Until
}

// tokenAt clicks bob's ticket link once and returns the one-time token, or "" when
// there is none.
func tokenAt(t *testing.T, b *running, link broker.LinkToken) string {
	t.Helper()
	_, body := clickAt(t, b, link)
	var answer struct {
		RedirectURL string `json:"redirect_url"`
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		return ""
	}
	u, err := url.Parse(answer.RedirectURL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get("one_time_token")
}
