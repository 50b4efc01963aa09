package whmfake_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/api/cpanelfake"
	"github.com/latchkey-sso/latchkey/api/whm/whmfake"
)

func TestAccountsAreListed(t *testing.T) {
	const users = "api.columns.enable=1&api.columns.a=user"
	const chunks = users + "&api.chunk.enable=1&api.chunk.verbose=1&api.chunk.size=2&api.chunk.start="
	const filter = users + "&api.filter.enable=1&api.filter.a.field=plan&api.filter.a.type="
	tests := []struct {
		name, form, want string
		chunk            string // empty means none
	}{
		{"everything", "search=eve", `{"acct":[{"domain":"eve.example","email":"e@x.example","is_locked":0,"owner":"root","plan":"silver",` +
			`"suspended":1,"suspendreason":"late","unix_startdate":1700000000,"user":"eve"}]}`, ""},
		{"what is wanted", "want=user,plan&searchtype=user&search=^bob$", `{"acct":[{"plan":"gold","user":"bob"}]}`, ""},
		{"a column", users, `{"acct":[{"user":"bob"},{"user":"dan"},{"user":"eve"}]}`, ""},
		{"exactly", users + "&searchtype=user&searchmethod=exact&search=ev", `{"acct":[]}`, ""},
		{"a pattern", users + "&searchtype=user&search=ev", `{"acct":[{"user":"eve"}]}`, ""},
		{"a filter", filter + "eq&api.filter.a.arg0=silver", `{"acct":[{"user":"eve"}]}`, ""},
		{"contains", filter + "contains&api.filter.a.arg0=ol", `{"acct":[{"user":"bob"},{"user":"dan"}]}`, ""},
		{"begins", filter + "begins&api.filter.a.arg0=si", `{"acct":[{"user":"eve"}]}`, ""},
		{"ends", filter + "ends&api.filter.a.arg0=d", `{"acct":[{"user":"bob"},{"user":"dan"}]}`, ""},
		{"matches", filter + "matches&api.filter.a.arg0=^s", `{"acct":[{"user":"eve"}]}`, ""},
		{"the first page", chunks + "1", `{"acct":[{"user":"bob"},{"user":"dan"}]}`, "{1 2 3 2 1}"},
		{"from a record", chunks + "2", `{"acct":[{"user":"dan"},{"user":"eve"}]}`, "{2 2 3 2 1}"},
		{"the last page", chunks + "3", `{"acct":[{"user":"eve"}]}`, "{3 2 3 2 2}"},
		{"past the end", chunks + "5", `{"acct":[]}`, "{5 2 3 2 3}"},
		{"from nowhere", chunks + "x", `{"acct":[{"user":"bob"},{"user":"dan"}]}`, "{1 2 3 2 1}"},
		{"not told", "want=user&api.chunk.enable=1&api.chunk.size=1&api.chunk.start=3", `{"acct":[{"user":"eve"}]}`, ""},
		{"not enabled", "want=user&api.chunk.size=1&api.columns.a=domain", `{"acct":[{"user":"bob"},{"user":"dan"},{"user":"eve"}]}`, ""},
	}
	state := newState(t, "dan", "bob")
	must(t, state.AddAccount(cpanelfake.Account{
		User: "eve", Domain: "eve.example", Email: "e@x.example", Owner: "root", Plan: "silver",
		Suspended: true, SuspendReason: "late", Created: time.Unix(1_700_000_000, 0),
	}))
	p := newPanel(t, whmfake.Config{State: state})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := p.call(t, "listaccts", tt.form)
			chunk := ""
			if a.Metadata.Chunk != nil {
				chunk = fmt.Sprint(*a.Metadata.Chunk)
			}
			if string(a.Data) != tt.want || chunk != tt.chunk {
				t.Errorf("got %s %s, want %s %s", a.Data, chunk, tt.want, tt.chunk)
			}
		})
	}
}

func TestCopiedAccountsKeepTheirLinks(t *testing.T) {
	from, to := newState(t, "bob"), newState(t, "eve")
	l := link(app)
	l.AutologinTokenURL = "https://sso.example.com/autologin?server=web01&user=bob&app=" + app
	must(t, from.PutLink("bob", l))
	must(t, from.PutGroup("bob", cpanelfake.Group{ID: "latchkey", Label: "Billing", Order: 1}))
	must(t, whmfake.CopyAccount(from, "bob", to, "bobby"))
	got := ok(to.Link("bobby", app))(t)
	if got.AutologinTokenURL != l.AutologinTokenURL || !got.Token.Equal(l.Token) {
		t.Errorf("got %+v, want the link as it was", got)
	}
	if groups := ok(to.Groups("bobby"))(t); len(groups) != 1 {
		t.Errorf("got %d groups, want 1", len(groups))
	}
	if a := ok(to.Account("bobby"))(t); a.Domain != "bob.example" {
		t.Errorf("got %+v", a)
	}
	if err := whmfake.CopyAccount(from, "bob", to, "eve"); !errors.Is(err, cpanelfake.ErrAccountExists) {
		t.Errorf("onto another: got %v", err)
	}
	if err := whmfake.CopyAccount(from, "none", to, "none"); !errors.Is(err, cpanelfake.ErrUnknownAccount) {
		t.Errorf("of nobody: got %v", err)
	}
}
