package whmfake_test

import (
	"fmt"
	"testing"

	"github.com/latchkey-sso/latchkey/api/whm/whmfake"
)

const good = "create_integration_link?user=bob&app=%s&implements=b&label=c%%26d&subscriber_unique_id=1&token=t&url=u"

func TestBatchesExecuteInOrder(t *testing.T) {
	create := func(app string) string { return fmt.Sprintf(good, app) }
	const refused, unknown, nested = "create_integration_link?user=bob", "none?user=bob", "batch?command=version"
	tests := []struct {
		name     string
		more     string
		commands []string
		want     []bool // by position
		links    int
	}{
		{"all is well", "", []string{create("a"), create("b"), "version"}, []bool{true, true, true}, 2},
		{"one fails", "", []string{create("a"), refused, create("b")}, []bool{true, false, true}, 2},
		{"abort_on_error=0", "&abort_on_error=0", []string{refused, create("a")}, []bool{false, true}, 1},
		{"abort_on_error=1", "&abort_on_error=1", []string{create("a"), refused, create("b")}, []bool{true, false}, 1},
		{"an unknown function", "", []string{unknown, create("a")}, []bool{false, true}, 1},
		{"a batch within", "", []string{nested, create("a")}, []bool{false, true}, 1},
		{"one alone", "", []string{create("a")}, []bool{true}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			state := newState(t, "bob")
			outer, results := newPanel(t, whmfake.Config{State: state}).batch(t, tt.more, tt.commands...)
			var got []bool
			for _, r := range results {
				got = append(got, r.ok())
			}
			if fmt.Sprint(got) != fmt.Sprint(tt.want) || !outer.ok() || outer.Metadata.Command != "batch" {
				t.Errorf("got %v within %s, want %v within 1", got, outer.Metadata.Result, tt.want)
			}
			links := ok(state.Links("bob"))(t)
			if len(links) != tt.links || links[0].Label != "c&d" {
				t.Errorf("got links %v, want %d", links, tt.links)
			}
		})
	}
}

func TestAJournalHasWhatWasExecuted(t *testing.T) {
	p := newPanel(t, whmfake.Config{})
	p.batch(t, "", "create_integration_group?user=bob&group_id=g&label=G", fmt.Sprintf(good, "a"), "create_integration_link?user=bob", "none", "list_integration_links?user=bob")
	p.call(t, "remove_integration_link", "user=bob&app=a")
	want := []whmfake.Call{
		{Request: 1, Batch: 1, Position: 0, Function: "create_integration_group", User: "bob", Group: "g", Write: true, OK: true},
		{Request: 1, Batch: 1, Position: 1, Function: "create_integration_link", User: "bob", App: "a", Write: true, OK: true},
		{Request: 1, Batch: 1, Position: 2, Function: "create_integration_link", User: "bob", Write: true},
		{Request: 1, Batch: 1, Position: 4, Function: "list_integration_links", User: "bob", OK: true},
		{Request: 2, Function: "remove_integration_link", User: "bob", App: "a", Write: true, OK: true},
	}
	if got := p.Journal(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got, want := fmt.Sprint(p.Writes(), p.Reads(), p.Requests()),
		"map[create_integration_group:1 create_integration_link:2 remove_integration_link:1] map[list_integration_links:1] 2"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	p.Reset()
	if got := fmt.Sprint(p.Journal(), p.Writes(), p.Reads(), p.Requests()); got != "[] map[] map[] 0" {
		t.Errorf("after Reset: got %s, want nothing", got)
	}
	p.call(t, "version", "")
	if got := p.Journal(); len(got) != 1 || got[0].Request != 3 {
		t.Errorf("after Reset: got %+v, want the third request", got)
	}
}

func TestCountsCanDoWithoutAJournal(t *testing.T) {
	p := newPanel(t, whmfake.Config{NoJournal: true})
	p.batch(t, "", "version", "version")
	if got := fmt.Sprint(p.Journal(), p.Reads(), p.Requests()); got != "[] map[version:2] 1" {
		t.Errorf("got %s", got)
	}
}
