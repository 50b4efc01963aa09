package broker_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/latchkey-sso/latchkey/broker"
)

func aRevision() broker.Revision {
	return broker.Revision{
		Number: 3, Author: "ann@host", Source: broker.SourceFile, At: noon,
		Group: broker.Group{ID: "latchkey", Label: "Billing & Support", Order: 1},
		Links: []broker.LinkDefinition{
			{ID: "invoices", Enabled: true, Label: "Invoices", Implements: "billing", Order: 10, Icon: broker.DefaultIcon("invoices"), Portal: "portal", Path: "/invoices"},
			{ID: "tickets", Enabled: true, Label: "Tickets", Implements: "support", Order: 20, Portal: "portal", Path: "/tickets"},
		},
	}
}

// Each difference is one sentence that names the link.
func TestRevisionsTellTheirDifferences(t *testing.T) {
	first := func(change func(*broker.LinkDefinition)) func(*broker.Revision) {
		return func(r *broker.Revision) { change(&r.Links[0]) }
	}
	tests := []struct {
		name   string
		change func(*broker.Revision)
		want   []string
	}{
		{"nothing", func(*broker.Revision) {}, nil},
		{"who and when are no difference", func(r *broker.Revision) { r.Number, r.Author, r.At = 9, "bob", noon.AddDate(0, 0, 1) }, nil},
		{"another order of the list is none", func(r *broker.Revision) { slices.Reverse(r.Links) }, nil},
		{"label", first(func(l *broker.LinkDefinition) { l.Label = "Bills" }), []string{`invoices: label "Invoices" becomes "Bills"`}},
		{"implements", first(func(l *broker.LinkDefinition) { l.Implements = "support" }), []string{`invoices: implements "billing" becomes "support"`}},
		{"portal", first(func(l *broker.LinkDefinition) { l.Portal = "shop" }), []string{`invoices: portal "portal" becomes "shop"`}},
		{"path", first(func(l *broker.LinkDefinition) { l.Path = "/bills" }), []string{`invoices: path "/invoices" becomes "/bills"`}},
		{"order", first(func(l *broker.LinkDefinition) { l.Order = 5 }), []string{"invoices: order 10 becomes 5"}},
		{"switched off", first(func(l *broker.LinkDefinition) { l.Enabled = false }), []string{"invoices: switched off"}},
		{"icon", first(func(l *broker.LinkDefinition) { l.Icon = broker.DefaultIcon("billing") }), []string{"invoices: another icon"}},
		{"group", func(r *broker.Revision) { r.Group.Label = "Help" }, []string{`group: latchkey "Billing & Support" at 1 becomes latchkey "Help" at 1`}},
		{"removed", func(r *broker.Revision) { r.Links = r.Links[1:] }, []string{"invoices: removed"}},
		{"added", func(r *broker.Revision) { r.Links = append(r.Links, broker.LinkDefinition{ID: "emails"}) }, []string{"emails: added"}},
		{"several", func(r *broker.Revision) {
			r.Links[0].Label, r.Links[0].Order = "Bills", 5
			r.Links = r.Links[:1]
		}, []string{`invoices: label "Invoices" becomes "Bills"`, "invoices: order 10 becomes 5", "tickets: removed"}},
	}
	for _, tt := range tests {
		r := aRevision()
		tt.change(&r)
		if got := r.Diff(aRevision()); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
		if got := r.SameLinks(aRevision()); got != (len(tt.want) == 0) {
			t.Errorf("%s: same links: got %v", tt.name, got)
		}
	}
	on, off := aRevision(), aRevision()
	off.Links[0].Enabled = false
	if got, want := on.Diff(off), []string{"invoices: switched on"}; !slices.Equal(got, want) {
		t.Errorf("switched on: got %q, want %q", got, want)
	}
}

// What is stored comes back, icons included.
func TestRevisionsSurviveJSON(t *testing.T) {
	text := ok(json.Marshal(aRevision()))(t)
	var got broker.Revision
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if !got.SameLinks(aRevision()) || got.Number != 3 || got.Author != "ann@host" || !got.At.Equal(noon) || got.Source != broker.SourceFile {
		t.Errorf("got %+v, want %+v", got, aRevision())
	}
}
