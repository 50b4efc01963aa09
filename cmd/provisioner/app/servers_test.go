package app_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/latchkey-sso/latchkey/api/whm/whmfake"
)

// Each server says for itself what is wrong with it; the others go on.
func TestServersCheck(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		// wrong makes something wrong with web02.
		wrong func(*world, *panel)
		// code and want are of the check, applied of an apply after it.
		code    int
		want    string
		applied int
		told    string
		// requests is how many requests a check makes; 0 is not counted.
		requests int
	}{
		{name: "all is well", wrong: func(*world, *panel) {}, want: "web02.example.com", requests: 4},
		{
			name: "wrong token", wrong: func(_ *world, p *panel) { p.whm.SetToken("revoked") },
			code: 1, want: "refuses the API token of root (403 Forbidden): check token_file",
			applied: 1, told: "refuses the API token", requests: 1,
		},
		{
			name: "wrong authority", wrong: func(w *world, _ *panel) {
				write(w.t, filepath.Join(w.dir, "web02.pem"), string(w.servers["web01"].whm.CAPEM()))
			},
			code: 1, want: "certificate", applied: 1, told: "certificate",
		},
		{
			name: "functions missing", wrong: func(_ *world, p *panel) {
				p.whm.SetMissing("create_integration_link", "create_integration_group", "update_integration_link_token")
			},
			code: 1, want: "no integration links: the server does not support them, or the token lacks the privilege cpanel-integration",
			applied: 0, told: "web02 does not support integration links; nothing was done there",
		},
		{
			name: "a right is missing", wrong: func(_ *world, p *panel) { p.whm.SetMissing("remove_integration_link") },
			code: 1, want: "the token may not use remove_integration_link", applied: 0,
		},
		{
			name: "redirect", wrong: func(_ *world, p *panel) { p.whm.SetFault(whmfake.Always(whmfake.Fault{Kind: whmfake.Redirect})) },
			code: 1, want: "redirect", applied: 1, told: "redirect",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "web01", "web02")
			threeAccounts(w)
			w.configure(settings{links: threeLinks})
			bad := w.servers["web02"]
			test.wrong(w, bad)

			r := w.run("servers", "check")
			if r.code != test.code || !strings.Contains(r.out, test.want) || r.err != "" {
				t.Errorf("servers check: exit code %d, %q and %q, want %d and %q", r.code, r.out, r.err, test.code, test.want)
			}
			if !strings.Contains(r.out, "web01   web01.example.com  11.136.0.13  yes    2         ok") {
				t.Errorf("servers check says\n%s\nwant that web01 is well", r.out)
			}
			if got := bad.whm.Requests(); test.requests > 0 && got != test.requests {
				t.Errorf("%d requests to the server, want %d", got, test.requests)
			}
			bad.whm.Reset()
			var results []struct {
				Server  string
				OK      bool
				Problem string
			}
			r = w.run("servers", "check", "-o", "json", "--server", "web02")
			if err := json.Unmarshal([]byte(r.out), &results); err != nil || len(results) != 1 || results[0].OK != (test.code == 0) {
				t.Errorf("servers check -o json printed %s, want one object: %v", r.out, err)
			}
			if got := w.written(); len(got) > 0 {
				t.Errorf("the check wrote %v", got)
			}

			bad.whm.Reset()
			r = w.run("apply")
			if r.code != test.applied || !strings.Contains(r.out, test.told) {
				t.Errorf("apply: exit code %d and\n%s\nwant %d and %q", r.code, r.out, test.applied, test.told)
			}
			if got := bad.whm.Requests(); test.requests == 1 && got != 1 {
				t.Errorf("apply made %d requests to the server, want 1", got)
			}
			if links, err := w.servers["web01"].state.Links("alice"); err != nil || len(links) != 3 {
				t.Errorf("alice on web01 has %d links (%v), want 3", len(links), err)
			}
		})
	}
}

func TestServersCheckUnreachable(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "web01", "web02")
	w.configure(settings{links: threeLinks})
	w.servers["web02"].whm.Down()
	r := w.run("servers", "check")
	if want := "connection refused: is WHM running, and does the firewall let this machine in?"; r.code != 1 || !strings.Contains(r.out, want) {
		t.Errorf("exit code %d, %q, want 1 and %q", r.code, r.out, want)
	}
}

// A WP Squared server without integration links is no failure.
func TestServersCheckWPSquared(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "web01")
	w.account("web01/alice")
	w.subscribers("web01,alice,1001")
	w.configure(settings{links: threeLinks})
	w.servers["web01"].whm.SetMissing("create_integration_link")
	config := w.read("latchkey.yaml")
	write(t, w.config, strings.Replace(config, "{id: web01,", "{id: web01, product: wpsquared,", 1))
	w.ok("servers", "check")
	if out := w.ok("apply"); !strings.Contains(out, "web01 does not support integration links; nothing was done there") {
		t.Errorf("apply says\n%s\nwant that the server does not support links", out)
	}
	if out := w.ok("log", "--operation", "1", "--level", "information"); !strings.Contains(out, "information  web01: the server does not support integration links") ||
		!strings.Contains(out, "notice       no server supports integration links") {
		t.Errorf("the log says\n%s\nwant an information of the server, and a notice that no server supports links", out)
	}
}

// Names of the configuration complete in a shell.
func TestCompletion(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "web01", "web02")
	w.configure(settings{links: threeLinks})
	w.account("web01/alice", "web01/bob", "web02/carol")
	w.subscribers("web01,alice,1001", "web01,bob,1002", "web02,carol,1003")
	w.ok("apply")
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"servers of accounts", []string{"__complete", "rotate", "-c", w.config, "--account", ""}, "web01/\nweb02/\n"},
		{"accounts", []string{"__complete", "rotate", "-c", w.config, "--account", "web01/"}, "web01/alice\nweb01/bob\n:"},
		{"an account", []string{"__complete", "rotate", "-c", w.config, "--account", "web01/b"}, "web01/bob\n:"},
		{"servers", []string{"__complete", "apply", "-c", w.config, "--server", ""}, "web01\nweb02\n"},
		{"servers to check", []string{"__complete", "servers", "check", "-c", w.config, "--server", ""}, "web01\nweb02\n"},
		{"servers without a configuration", []string{"__complete", "apply", "-c", "nothing.yaml", "--server", ""}, ":4\n"},
		{"accounts without a configuration", []string{"__complete", "rotate", "-c", "nothing.yaml", "--account", ""}, ":4\n"},
		{"links", []string{"__complete", "remove", "-c", w.config, "--app", ""}, "invoices\ntickets\nprofile\n"},
		{"levels", []string{"__complete", "log", "--level", ""}, "debug\ninformation\nnotice\nwarning\n"},
		{"commands", []string{"__complete", "catalogue", "e"}, "export\t"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if r := w.plain(test.args...); r.code != 0 || !strings.HasPrefix(r.out, test.want) {
				t.Errorf("exit code %d and %q, want 0 and %q\n%s", r.code, r.out, test.want, r.err)
			}
		})
	}
	if r := w.plain("completion", "bash"); r.code != 0 || !strings.Contains(r.out, "provisioner") {
		t.Errorf("completion bash: exit code %d, %d bytes", r.code, len(r.out))
	}
}
