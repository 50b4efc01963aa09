package reconcile_test

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

const (
	invoices = "latchkey_invoices"
	tickets  = "latchkey_tickets"
	groupID  = "latchkey"
)

var (
	bob   = broker.Account{Server: "web01", User: "bob"}
	eve   = broker.Account{Server: "web01", User: "eve"}
	carol = broker.Account{Server: "web02", User: "carol"}
)

// ok ends the test when there is an error: ok(f())(t).
func ok[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// spec is what a catalogue is made of.
type spec struct {
	public   string
	prefix   string
	group    broker.Group
	links    []broker.LinkDefinition
	revision int
}

// newSpec has invoices and tickets switched on, and closed switched off.
func newSpec() spec {
	return spec{
		public: "https://sso.example.com", prefix: "latchkey_", revision: 1,
		group: broker.Group{ID: groupID, Label: "Billing & Support", Order: 1},
		links: []broker.LinkDefinition{
			{ID: "invoices", Enabled: true, Label: "Invoices", Implements: "billing", Order: 10, Icon: []byte("picture 1"), Portal: "portal", Path: "/invoices"},
			{ID: "tickets", Enabled: true, Label: "Tickets", Implements: "support", Order: 20, Icon: []byte("picture 2"), Portal: "portal", Path: "/tickets?open=1"},
			{ID: "closed", Label: "Closed", Implements: "support", Order: 30, Portal: "portal", Path: "/closed"},
		},
	}
}

func (s *spec) link(id string) *broker.LinkDefinition {
	i := slices.IndexFunc(s.links, func(l broker.LinkDefinition) bool { return l.ID == id })
	return &s.links[i]
}

func (s *spec) drop(id string) {
	s.links = slices.DeleteFunc(s.links, func(l broker.LinkDefinition) bool { return l.ID == id })
}

func (s spec) wanted(t testing.TB) *reconcile.Wanted {
	t.Helper()
	portals := []broker.Portal{{
		ID: "portal", Handoff: broker.HandoffFormPost, LoginURL: "https://portal.example.com/sso/latchkey",
		FallbackURL: "https://portal.example.com/login?next={path}", Audience: "https://portal.example.com",
	}, {
		ID: "desk", Handoff: broker.HandoffFormPost, LoginURL: "https://desk.example.com/sso",
		FallbackURL: "https://desk.example.com/login?next={path}", Audience: "https://desk.example.com",
	}}
	c := ok(broker.NewCatalogue(s.prefix, s.group, portals, s.links))(t)
	return ok(reconcile.NewWanted(c, s.public, s.revision))(t)
}

// rows is a source of subscribers.
type rows struct {
	list []reconcile.Subscription
	err  error
}

func (r rows) Read(_ context.Context, row func(reconcile.Subscription) error) error {
	for _, s := range r.list {
		if err := row(s); err != nil {
			return err
		}
	}
	return r.err
}

// row is the n-th line of a file.
func row(n int, server, user, subscriber string) reconcile.Subscription {
	return reconcile.Subscription{
		Account: broker.Account{Server: server, User: user}, Subscriber: subscriber, Where: "accounts.csv:" + strconv.Itoa(n),
	}
}

// wait is Config.Wait by the clock, which is virtual in a bubble of synctest.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Failures as a WHM client tells them.
func refused(message string) *reconcile.Failure {
	return &reconcile.Failure{Scope: reconcile.ScopeItem, Message: message}
}

func missing(user string) *reconcile.Failure {
	return &reconcile.Failure{Scope: reconcile.ScopeItem, Missing: true, Message: "You do not have a user named " + user}
}

func lost(message string) *reconcile.Failure {
	return &reconcile.Failure{Scope: reconcile.ScopeItem, Again: true, Maybe: true, Message: message}
}

func forbidden() *reconcile.Failure {
	return &reconcile.Failure{Scope: reconcile.ScopeServer, Message: "403 Forbidden"}
}

func unreachable() *reconcile.Failure {
	return &reconcile.Failure{Scope: reconcile.ScopeServer, Again: true, Message: "connection refused"}
}

// steps writes the steps of a plan, one a line: "create latchkey_invoices: is not there yet".
func steps(p reconcile.Plan) []string {
	var lines []string
	for _, s := range p.Steps {
		lines = append(lines, string(s.Kind)+" "+s.App+s.Group+": "+s.Why)
	}
	return lines
}

// left writes what a plan leaves alone: "notice latchkey_x: leads elsewhere".
func left(p reconcile.Plan) []string {
	var lines []string
	for _, e := range p.Left {
		lines = append(lines, strings.TrimSpace(string(e.Level)+" "+e.App)+": "+e.Message)
	}
	return lines
}

// wantLines compares lists of lines.
func wantLines(t testing.TB, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\ngot\n\t%s\nwant\n\t%s", what, strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func wantCounts(t testing.TB, what string, got, want reconcile.Counts) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\ngot  %+v\nwant %+v", what, got, want)
	}
}
