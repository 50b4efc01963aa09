package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/cmd/broker/app"
	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

func TestLinksList(t *testing.T) {
	t.Parallel()
	redis := storetest.StartRedis(t)
	file := writeConfig(t, redis.Addr, "- {id: web01}", "- {id: web01}\n  - {id: web02}")
	list := func(flags string) (out, errs string) {
		t.Helper()
		code, out, errs := run(t, commandLine("links list"+flags, "-c", file), operatorEnviron)
		if code != cli.ExitDone {
			t.Fatalf("links list%s: exit code %d, %s", flags, code, errs)
		}
		return out, errs
	}
	if out, errs := list(""); out != "" || errs != "There are no links.\n" {
		t.Errorf("without links: got %q and %q, want a sentence on stderr", out, errs)
	}
	if out, errs := list(" -o json"); strings.TrimSpace(out) != "[]" || errs != "" {
		t.Errorf("without links: got %q and %q, want an empty JSON list", out, errs)
	}

	earliest := time.Now().Truncate(time.Second)
	var tokens []string
	for _, flags := range []string{
		" --server web02 --user bob --app billing --subscriber 77",
		" --server web01 --user bob --app tickets --subscriber 1234",
		" --server web01 --user alice --app billing --subscriber 42",
		" --server web01 --user bob --app billing --subscriber 1234",
		" --server web01 --user bob --app billing --subscriber 1234 --replace",
	} {
		token, _, _ := add(t, file, flags)
		tokens = append(tokens, token)
	}
	tests := []struct {
		name, flags string
		want        []string
	}{
		{"all", "", []string{
			"web01 alice latchkey_billing 42 1", "web01 bob latchkey_billing 1234 2",
			"web01 bob latchkey_tickets 1234 1", "web02 bob latchkey_billing 77 1",
		}},
		{"of one server", " --server web02", []string{"web02 bob latchkey_billing 77 1"}},
	}
	for _, tt := range tests {
		text, _ := list(tt.flags)
		out, _ := list(tt.flags + " -o json")
		var rows []struct {
			Server, User, App string
			Subscriber        string    `json:"subscriber_unique_id"`
			Created           time.Time `json:"token_created"`
			Generation        int       `json:"token_generation"`
		}
		if err := json.Unmarshal([]byte(out), &rows); err != nil || len(rows) != len(tt.want) {
			t.Errorf("%s: got %s (%v), want %d links", tt.name, out, err, len(tt.want))
			continue
		}
		lines := strings.Split(strings.TrimSpace(text), "\n")[1:]
		if len(lines) == 0 && len(tt.want) == 0 {
			continue
		}
		for i, want := range tt.want {
			r := rows[i]
			if got := fmt.Sprint(r.Server, " ", r.User, " ", r.App, " ", r.Subscriber, " ", r.Generation); got != want {
				t.Errorf("%s: row %d: got %q, want %q", tt.name, i, got, want)
			}
			if r.Created.Before(earliest) || r.Created.After(time.Now()) {
				t.Errorf("%s: row %d: token created %v, want between %v and now", tt.name, i, r.Created, earliest)
			}
			words := strings.Fields(lines[i])
			if got := strings.Join(append(words[:4:4], words[7]), " "); got != want || strings.Join(words[4:7], " ") != cli.Moment(r.Created) {
				t.Errorf("%s: line %d: got %q, want %q with the time", tt.name, i, lines[i], want)
			}
		}
		for _, token := range tokens {
			if strings.Contains(text+out, token) {
				t.Errorf("%s: a token is shown", tt.name)
			}
		}
	}
}

func TestLinksRemove(t *testing.T) {
	t.Parallel()
	redis := storetest.StartRedis(t)
	file := writeConfig(t, redis.Addr)
	links := store.New(store.Config{Client: redis.Client(), KeyPrefix: "latchkey:"})
	tests := []struct {
		name, flags, answer string
		removed, asked      bool
		code                int
	}{
		{name: "n", answer: "n\n", asked: true, code: cli.ExitUsage},
		{name: "an empty line", answer: "\n", asked: true, code: cli.ExitUsage},
		{name: "nobody there", answer: "", asked: true, code: cli.ExitUsage},
		{name: "something else", answer: "yes please\n", asked: true, code: cli.ExitUsage},
		{name: "y", answer: "y\n", asked: true, removed: true},
		{name: "YES without a newline", answer: "YES", asked: true, removed: true},
		{name: "--yes", flags: " --yes", removed: true},
	}
	for _, tt := range tests {
		add(t, file, bobsBilling+" --subscriber 1234 --replace")
		args := commandLine("links remove --server web01 --user bob --app latchkey_billing"+tt.flags, "-c", file)
		code, out, errs := runWith(t, strings.NewReader(tt.answer), args, operatorEnviron)
		wantRun(t, []string{tt.name}, code, tt.code, "stderr", errs)
		if asked := strings.Contains(errs, "web01/bob/latchkey_billing? ") && strings.Contains(errs, "[y/N]"); asked != tt.asked {
			t.Errorf("%s: stderr: got %q, want a question: %v", tt.name, errs, tt.asked)
		}
		const command = "\nwhmapi1 remove_integration_link user=bob app=latchkey_billing\n"
		if got := strings.Contains(out, command); got != tt.removed {
			t.Errorf("%s: stdout: got %q, want the command that removes it: %v", tt.name, out, tt.removed)
		}
		if !tt.removed && (out != "" || !strings.Contains(errs, "nothing was removed")) {
			t.Errorf("%s: got %q and %q, want to read that nothing was removed", tt.name, out, errs)
		}
		left, err := links.Links(t.Context(), "")
		if err != nil || len(left) == 0 != tt.removed {
			t.Errorf("%s: left: got %v (%v), want it removed: %v", tt.name, left, err, tt.removed)
		}
	}
	args := commandLine("links remove --yes"+bobsBilling, "-c", file)
	code, out, errs := run(t, args, operatorEnviron)
	wantRun(t, args, code, cli.ExitFailed, "stderr", errs, "there is no link web01/bob/latchkey_billing")
	if out != "" {
		t.Errorf("a link that is not there: stdout: got %q, want no command", out)
	}
}

func TestLinksThatCannotBeRemoved(t *testing.T) {
	t.Parallel()
	redis := storetest.StartRedis(t)
	file := writeConfig(t, redis.Addr)
	add(t, file, bobsBilling+" --subscriber 1234")
	before := storetest.Dump(t, redis.Client())
	tests := []struct {
		name              string
		server, user, app string
		code              int
		want              string
	}{
		{"glob as the user", "web01", "*", "billing", cli.ExitUsage, "--user has a character"},
		{"glob as the server", "web*", "bob", "billing", cli.ExitUsage, "--server has a character"},
		{"the field of the store", "web01", "bob", "/subscriber", cli.ExitUsage, "--app has a character"},
		{"another app", "web01", "bob", "tickets", cli.ExitFailed, "there is no link web01/bob/latchkey_tickets"},
		{"another case", "web01", "Bob", "billing", cli.ExitFailed, "there is no link web01/Bob/latchkey_billing"},
	}
	for _, tt := range tests {
		args := []string{"links", "remove", "--yes", "-c", file, "--server", tt.server, "--user", tt.user, "--app", tt.app}
		code, _, errs := run(t, args, operatorEnviron)
		wantRun(t, []string{tt.name}, code, tt.code, "stderr", errs, tt.want)
	}
	embedded := writeConfig(t, redis.Addr, "store: {", "store: {mode: embedded, ")
	for _, command := range []string{"links list", "links remove --yes" + bobsBilling} {
		args := commandLine(command, "-c", embedded)
		code, out, errs := run(t, args, operatorEnviron)
		wantRun(t, args, code, cli.ExitUsage, "stderr", errs, "embedded", "broker serve")
		if out != "" {
			t.Errorf("%s: stdout: got %q, want nothing", command, out)
		}
	}
	if after := storetest.Dump(t, redis.Client()); after != before {
		t.Errorf("something was removed:\nbefore %s\nafter  %s", before, after)
	}
}

func TestInterruptAtTheQuestion(t *testing.T) {
	t.Parallel()
	redis := storetest.StartRedis(t)
	file := writeConfig(t, redis.Addr)
	add(t, file, bobsBilling+" --subscriber 1234")
	in, answer := io.Pipe()
	defer answer.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var stderr bytes.Buffer
	done := make(chan int, 1)
	go func() {
		done <- app.Main(commandLine("links remove"+bobsBilling, "-c", file),
			cli.Env{In: in, Out: io.Discard, Err: &stderr, Environ: operatorEnviron, Signals: ctx})
	}()
	cancel()
	select {
	case code := <-done:
		if code != cli.ExitInterrupted {
			t.Errorf("exit code: got %d, want %d: %s", code, cli.ExitInterrupted, stderr.String())
		}
	case <-time.After(20 * time.Second):
		t.Error("the question goes on waiting after an interrupt")
	}
}

func TestLinksOfAnUnknownServer(t *testing.T) {
	t.Parallel()
	file := writeConfig(t, freeAddress(t))
	code, _, errs := run(t, commandLine("links list --server web09", "-c", file), operatorEnviron)
	if code != cli.ExitUsage || !strings.Contains(errs, `--server "web09" is not in the configuration`) {
		t.Errorf("got exit code %d, %s, want 2 and the server named", code, errs)
	}
}
