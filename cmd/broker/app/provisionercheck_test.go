package app_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
)

// A group beside no links is applied once, and then no more.
func TestConfigCheckOfAGroupWithoutLinks(t *testing.T) {
	t.Parallel()
	const links = "links:\n  - {id: billing, label: Billing, implements: billing, portal: portal, path: /billing}\n  - {id: tickets, label: Tickets, implements: support, portal: support, path: /tickets}\n"
	for group, want := range map[string]bool{
		"": false, "group: {label: Help}\n": true, "group: {id: latchkey, label: Billing & Support, order: 1}\n": false, "group: {label: Help}\n" + links: false,
	} {
		file := writeConfig(t, "127.0.0.1:6379", links, group, "{id: web01}", "{id: web01, url: \"https://web01.example.com:2087\"}")
		writeFile(t, filepath.Join(filepath.Dir(file), "accounts.csv"), "server,user,subscriber_unique_id\n")
		args := []string{"config", "check", "--provisioner", "-c", file}
		code, out, _ := run(t, args, append([]string{"LATCHKEY_SERVERS_WEB01_TOKEN=WHMTOKEN"}, operatorEnviron...))
		if code != cli.ExitDone || strings.Contains(out, "group: warning: counts until the store has a revision") != want {
			t.Errorf("%q: got exit code %d\n%s\nwant 0 and a warning: %v", group, code, out, want)
		}
	}
}

// With --provisioner the source of subscribers is checked as far as that goes without
// a connection: a file to its last row, the others to what is needed to ask them.
// Without it nothing of that is looked at.
func TestConfigCheckOfSubscribers(t *testing.T) {
	t.Parallel()
	const header = "server,user,subscriber_unique_id\n"
	tests := []struct {
		name        string
		subscribers string
		accounts    string // accounts.csv; none when empty
		code        int
		want        []string // problems: "key: beginning", without the file
	}{
		{"a file", "{source: file}", header + "web01,bob,1001\n", cli.ExitDone, nil},
		{"a file without rows", "{source: file}", header, cli.ExitDone, nil},
		{"a file that is missing", "{source: file}", "", cli.ExitUsage, []string{"subscribers.file.path: DIR/accounts.csv: no such file or directory; export your accounts to it"}},
		{"a directory", "{file: {path: keys}}", "", cli.ExitUsage, []string{"subscribers.file.path: DIR/keys is a directory"}},
		{"a file without header", "{source: file}", "web01,bob,1001\n", cli.ExitUsage, []string{"subscribers.file.path: read subscribers: accounts.csv:1: the header must name the columns"}},
		{
			"bad rows, all of them", "{source: file}", header + "web01,bob,1001\nweb09,eve,1002\nweb01,bob,1003\nweb01,carol,\n", cli.ExitUsage,
			[]string{"subscribers.file.path: accounts.csv:3: ", "subscribers.file.path: accounts.csv:4: ", "subscribers.file.path: accounts.csv:5: "},
		},
		{
			"more bad rows than are listed", "{source: file}", header + strings.Repeat("web01,,1002\n", 500), cli.ExitUsage,
			[]string{"subscribers.file.path: accounts.csv:2: ", "more rows are wrong"},
		},
		{"a database", "{source: sql, sql: {driver: mysql, dsn_file: dsn}}", "", cli.ExitDone, nil},
		{"an unknown driver", "{source: sql, sql: {driver: sqlite, dsn_file: dsn}}", "", cli.ExitUsage, []string{"subscribers.sql.driver: must be one of postgres, mysql"}},
		{"a database without address", "{source: sql}", "", cli.ExitUsage, []string{"subscribers.sql.dsn_file: is required for source sql"}},
		{"an address that cannot be read", "{source: sql, sql: {dsn_file: none}}", "", cli.ExitUsage, []string{"subscribers.sql.dsn_file: DIR/none: no such file or directory; put the secret there, or set LATCHKEY_SUBSCRIBERS_SQL_DSN"}},
		{"an endpoint", `{source: http, http: {url: "https://crm.example.com/accounts"}}`, "", cli.ExitDone, nil},
		{"no endpoint", "{source: http}", "", cli.ExitUsage, []string{"subscribers.http.url: is required"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			file := writeConfig(t, "127.0.0.1:6379",
				"{id: web01}", "{id: web01, url: \"https://web01.example.com:2087\"}", "links:", "subscribers: "+tt.subscribers+"\nlinks:")
			dir := filepath.Dir(file)
			writeFile(t, filepath.Join(dir, "dsn"), "shop:secret@tcp(db.example.com:3306)/shop")
			if tt.accounts != "" {
				writeFile(t, filepath.Join(dir, "accounts.csv"), tt.accounts)
			}
			environ := append([]string{"LATCHKEY_SERVERS_WEB01_TOKEN=WHMTOKEN"}, operatorEnviron...)
			args := []string{"config", "check", "--provisioner", "-c", file}
			code, out, errs := run(t, args, environ)
			wantRun(t, args, code, tt.code, "stderr", errs)
			if tt.want == nil {
				tt.want = []string{"is fine"}
			}
			for _, want := range tt.want {
				if want = strings.ReplaceAll(want, "DIR", dir); !strings.Contains(out, want) {
					t.Errorf("got\n%s\nwant %q", out, want)
				}
			}
			if problems := strings.Count(out, "\n"); tt.want[len(tt.want)-1] != "more rows are wrong" && problems != len(tt.want) {
				t.Errorf("got %d lines, want %d:\n%s", problems, len(tt.want), out)
			}
			args = []string{"config", "check", "-c", file}
			if strings.Contains(tt.subscribers, "sqlite") {
				return // the form of a value is everybody's business
			}
			if code, out, _ = run(t, args, operatorEnviron); code != cli.ExitDone || strings.Contains(out, "subscribers") {
				t.Errorf("without --provisioner: got exit code %d\n%s\nwant 0 and nothing of the subscribers", code, out)
			}
		})
	}
}
