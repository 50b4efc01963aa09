package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

func read(list ...reconcile.Subscription) (*reconcile.Directory, error) {
	return reconcile.ReadDirectory(context.Background(), rows{list: list}, reconcile.Reading{Servers: []string{"web01", "web02"}})
}

func TestADirectoryKnowsWhoseAccountsAre(t *testing.T) {
	d := ok(read(row(1, "web01", "bob", "1001"), row(2, "web02", "bob", "1001"), row(3, "web02", "carol", "Société Générale / 7")))(t)
	for _, tt := range []struct {
		account broker.Account
		want    string
		known   bool
	}{
		{bob, "1001", true},
		{broker.Account{Server: "web02", User: "bob"}, "1001", true},
		{carol, "Société Générale / 7", true},
		{eve, "", false},
		{broker.Account{}, "", false},
	} {
		if got, known := d.Subscriber(tt.account); got != tt.want || known != tt.known {
			t.Errorf("%s: got %q, %v, want %q, %v", tt.account, got, known, tt.want, tt.known)
		}
	}
	if d.Len() != 3 {
		t.Errorf("length: got %d, want 3", d.Len())
	}
	if id, known := (*reconcile.Directory)(nil).Subscriber(bob); known {
		t.Errorf("a nil directory knows %q", id)
	}
}

func TestRowsThatAreNotClearSpoilTheSource(t *testing.T) {
	good := row(1, "web01", "bob", "1001")
	for _, tt := range []struct {
		name string
		rows []reconcile.Subscription
		want []string
	}{
		{"no server", []reconcile.Subscription{row(2, "", "eve", "1002")}, []string{"accounts.csv:2: server is missing"}},
		{"no user", []reconcile.Subscription{row(2, "web01", "", "1002")}, []string{"accounts.csv:2: user is missing"}},
		{"no subscriber", []reconcile.Subscription{row(2, "web01", "eve", "")}, []string{"accounts.csv:2: subscriber_unique_id is missing"}},
		{"a blank subscriber", []reconcile.Subscription{row(2, "web01", "eve", "  ")}, []string{"accounts.csv:2: subscriber_unique_id is missing"}},
		{
			"a user that is no name", []reconcile.Subscription{row(2, "web01", "eve/../bob", "1002")},
			[]string{"accounts.csv:2: user has a character other than letters, digits, dot, underscore and hyphen"},
		},
		{"a user of dots", []reconcile.Subscription{row(2, "web01", "..", "1002")}, []string{"accounts.csv:2: user is not a name"}},
		{"a long user", []reconcile.Subscription{row(2, "web01", strings.Repeat("u", 65), "1002")}, []string{"accounts.csv:2: user is too long"}},
		{"a long subscriber", []reconcile.Subscription{row(2, "web01", "eve", strings.Repeat("1", 256))}, []string{"accounts.csv:2: subscriber_unique_id is too long"}},
		{"a control character", []reconcile.Subscription{row(2, "web01", "eve", "1\n2")}, []string{"accounts.csv:2: subscriber_unique_id has a control character"}},
		{"bytes that are no text", []reconcile.Subscription{row(2, "web01", "eve", "\xff")}, []string{"accounts.csv:2: subscriber_unique_id is not valid UTF-8"}},
		{"the same row twice", []reconcile.Subscription{row(2, "web01", "bob", "1001")}, []string{"accounts.csv:2: web01/bob is there twice, with the same subscriber: keep one row"}},
		{
			"two subscribers", []reconcile.Subscription{row(2, "web01", "bob", "2001")},
			[]string{`accounts.csv:2: web01/bob is there twice, for subscriber "1001" and for "2001": an account belongs to one`},
		},
		{
			"three subscribers are compared with the first", []reconcile.Subscription{row(2, "web01", "bob", "2001"), row(3, "web01", "bob", "3001")},
			[]string{
				`accounts.csv:2: web01/bob is there twice, for subscriber "1001" and for "2001": an account belongs to one`,
				`accounts.csv:3: web01/bob is there twice, for subscriber "1001" and for "3001": an account belongs to one`,
			},
		},
		{
			"unknown servers are summed up", []reconcile.Subscription{row(2, "web09", "a", "1"), row(3, "web08", "", ""), row(4, "web09", "a", "1")},
			[]string{
				"accounts.csv:3: server \"web08\" is not in the configuration (1 rows): add it to `servers`, or leave these rows out",
				"accounts.csv:2: server \"web09\" is not in the configuration (2 rows): add it to `servers`, or leave these rows out",
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, err := read(append([]reconcile.Subscription{good}, tt.rows...)...)
			wrong, is := errors.AsType[*reconcile.SourceError](err)
			if !is || d != nil {
				t.Fatalf("got %v, %v, want nothing but a *SourceError", d, err)
			}
			wantLines(t, "problems", wrong.Problems, tt.want)
			if wrong.More != 0 {
				t.Errorf("more: got %d, want none", wrong.More)
			}
		})
	}
}

func TestTwentyProblemsAreListed(t *testing.T) {
	var list []reconcile.Subscription
	for n := range 25 {
		list = append(list, row(n+1, "web01", fmt.Sprint("user ", n), "1"))
	}
	list = append(list, row(26, "web09", "a", "1"))
	_, err := read(list...)
	wrong, is := errors.AsType[*reconcile.SourceError](err)
	if !is || len(wrong.Problems) != 20 || wrong.More != 6 {
		t.Fatalf("got %+v, want 20 problems and 6 more", err)
	}
	lines := strings.Split(err.Error(), "\n")
	if want := "subscribers: accounts.csv:1: user has a character other than letters, digits, dot, underscore and hyphen"; lines[0] != want {
		t.Errorf("first line: got %q, want %q", lines[0], want)
	}
	if want := "subscribers: 6 more problems"; lines[20] != want {
		t.Errorf("last line: got %q, want %q", lines[20], want)
	}
}

func TestTheErrorOfASourcePassesThrough(t *testing.T) {
	away := errors.New("billing.csv: no such file")
	bad := row(1, "web01", "", "")
	_, err := reconcile.ReadDirectory(context.Background(), rows{list: []reconcile.Subscription{bad}, err: away}, reconcile.Reading{Servers: []string{"web01"}})
	if !errors.Is(err, away) || err.Error() != "read subscribers: billing.csv: no such file" {
		t.Errorf("got %v, want the source's error, which may have caused the rest", err)
	}
}

func TestWantedKnowsTheCatalogue(t *testing.T) {
	s := newSpec()
	w := s.wanted(t)
	wantLines(t, "apps", w.Apps(), []string{invoices, tickets})
	for app, want := range map[string]bool{invoices: true, "latchkey_closed": true, "invoices": false, "latchkey_other": false} {
		if got := w.Knows(app); got != want {
			t.Errorf("knows %s: got %v, want %v", app, got, want)
		}
	}
	if w.Revision != 1 || w.Group != s.group {
		t.Errorf("got revision %d and group %+v, want those of the catalogue", w.Revision, w.Group)
	}
	c := ok(broker.NewCatalogue("latchkey_", s.group, nil, nil))(t)
	if _, err := reconcile.NewWanted(c, "https://sso.example.com:port", 1); err == nil {
		t.Error("a public URL that is none: got no error")
	}
}
