package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/store"
)

func controls() []test {
	return []test{
		{"a control is kept until it is replaced, and each change shows in the status", controlsKept},
		{"controls that ended are kept for a while", controlsForgotten},
		{"a damaged control is a block", damagedControl},
		{"an impossible control is refused", refusedControl},
		{"a control is replaced only while it is what was read", controlChanged},
		{"there are so many controls and no more", tooManyControls},
		{"the status tells the time of Redis", statusTime},
	}
}

func statusTime(t *testing.T, s Subject) {
	before := must[time.Time](t)(s.Client.Time(t.Context()).Result()).Truncate(time.Millisecond)
	got := must[store.Status](t)(s.Store.Status(t.Context())).Now
	after := must[time.Time](t)(s.Client.Time(t.Context()).Result())
	if got.Before(before) || got.After(after) || !got.Equal(got.Truncate(time.Millisecond)) {
		t.Errorf("got %v, want a whole millisecond from %v to %v", got, before, after)
	}
}

func setControl(t *testing.T, s Subject, c broker.Control, now time.Time) {
	t.Helper()
	if err := s.Store.SetControl(t.Context(), c, now, nil); err != nil {
		t.Fatalf("set control of %s: %v", c.Target, err)
	}
}

func wantControls(t *testing.T, s Subject, want ...broker.Control) {
	t.Helper()
	got := must[*broker.Controls](t)(s.Store.Controls(t.Context())).List()
	equal := func(a, b broker.Control) bool {
		return a.Target == b.Target && a.At.Equal(b.At) && a.Until.Equal(b.Until) && a.Author == b.Author && a.Note == b.Note
	}
	if !slices.EqualFunc(got, want, equal) {
		t.Errorf("controls: got %+v, want %+v", got, want)
	}
}

func controlsKept(t *testing.T, s Subject) {
	version := func() string { return must[store.Status](t)(s.Store.Status(t.Context())).Controls }
	if got := version(); got != "" {
		t.Errorf("version before any control: got %q, want none", got)
	}
	wantControls(t, s)
	seen := []string{""}
	changed := func() {
		t.Helper()
		if now := version(); slices.Contains(seen, now) {
			t.Errorf("version after a change: %q was there before", now)
		} else {
			seen = append(seen, now)
		}
	}
	block := broker.Control{Target: broker.ControlTarget{Scope: broker.ScopeSubscriber, Name: "a | b"}, At: created, Author: "eve@desk", Note: "fraud & more, see <\"4711\">"}
	setControl(t, s, block, created)
	changed()
	everything := broker.Control{Target: broker.ControlTarget{Scope: broker.ScopeEverything}, At: created, Until: created.Add(time.Minute), Author: "eve@desk"}
	setControl(t, s, everything, created)
	changed()
	wantControls(t, s, block, everything)
	block.Until, block.Author = created.Add(time.Second), "bob@desk"
	setControl(t, s, block, created.Add(time.Second))
	changed()
	setControl(t, s, block, created.Add(time.Second))
	changed()
	wantControls(t, s, block, everything)
}

func controlsForgotten(t *testing.T, s Subject) {
	server := func(name string, until time.Time) broker.Control {
		return broker.Control{Target: broker.ControlTarget{Scope: broker.ScopeServer, Name: name}, At: created, Until: until}
	}
	now := created.Add(2 * broker.ControlMemory)
	long, lately, forever := server("web01", now.Add(-broker.ControlMemory-time.Second)), server("web02", now.Add(-broker.ControlMemory+time.Second)), server("web03", time.Time{})
	for _, c := range []broker.Control{long, lately, forever} {
		setControl(t, s, c, created)
	}
	again := server("web04", long.Until)
	setControl(t, s, again, created)
	again.Until = time.Time{}
	setControl(t, s, again, created)
	wantControls(t, s, long, lately, forever, again)
	setControl(t, s, forever, now)
	wantControls(t, s, lately, forever, again)
}

func damagedControl(t *testing.T, s Subject) {
	target := broker.ControlTarget{Scope: broker.ScopeServer, Name: "web01"}
	setControl(t, s, broker.Control{Target: target, At: created, Until: created}, created)
	var key string
	for _, k := range Keys(t, s.Client) {
		if s.Client.Type(t.Context(), k).Val() == "hash" {
			key = k
		}
	}
	for _, tt := range []struct {
		field, record string
		want          broker.ControlTarget
	}{
		{target.String(), "0|{", target},
		{target.String(), "", target},
		{target.String(), `1|{"target":{"scope":"server","name":"web02"},"until":"2020-01-01T00:00:00Z"}`, target},
		{"planet earth", `1|{"target":{"scope":"planet","name":"earth"},"until":"2020-01-01T00:00:00Z"}`, broker.ControlTarget{Scope: broker.ScopeEverything}},
	} {
		if err := s.Client.Del(t.Context(), key).Err(); err != nil {
			t.Fatal(err)
		}
		if err := s.Client.HSet(t.Context(), key, tt.field, tt.record).Err(); err != nil {
			t.Fatal(err)
		}
		list := must[*broker.Controls](t)(s.Store.Controls(t.Context())).List()
		if len(list) != 1 || list[0].Target != tt.want || !list[0].InForce(created.Add(1e6*time.Hour)) || list[0].Note == "" {
			t.Errorf("%s %q: got %+v, want a block of %s", tt.field, tt.record, list, tt.want)
		}
	}
}

func controlChanged(t *testing.T, s Subject) {
	target := broker.ControlTarget{Scope: broker.ScopeServer, Name: "web01"}
	pause := broker.Control{Target: target, At: created, Until: created.Add(time.Hour), Author: "eve"}
	block := broker.Control{Target: target, At: created.Add(time.Second), Author: "bob"}
	set := func(what string, c broker.Control, over *broker.Control, want error) {
		t.Helper()
		if err := s.Store.SetControl(t.Context(), c, created, over); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", what, err, want)
		}
	}
	set("over nothing, of which there is something else", pause, &pause, store.ErrControlChanged)
	wantControls(t, s)
	set("over nothing", pause, &broker.Control{}, nil)
	set("over nothing again", block, &broker.Control{}, store.ErrControlChanged)
	set("whatever is there", block, nil, nil)
	ended := pause
	ended.Until = created.Add(time.Minute)
	set("over what is not there any more", ended, &pause, store.ErrControlChanged)
	wantControls(t, s, block)
	read, _ := must[*broker.Controls](t)(s.Store.Controls(t.Context())).Get(target)
	set("over what was read", ended, &read, nil)
	wantControls(t, s, ended)
}

func refusedControl(t *testing.T, s Subject) {
	everything := broker.ControlTarget{Scope: broker.ScopeEverything}
	for _, c := range []broker.Control{
		{Target: broker.ControlTarget{Scope: broker.ScopeServer, Name: "a b"}},
		{Target: everything, Note: strings.Repeat("n", broker.MaxControlText+1)},
		{Target: everything, Author: "two\nlines"},
		{Target: everything, Note: "\xff"},
	} {
		if err := s.Store.SetControl(t.Context(), c, created, nil); broker.ReasonOf(err) != broker.ReasonInvalidRequest {
			t.Errorf("%+v: got %v, want invalid_request", c, err)
		}
	}
	wantControls(t, s)
}

func tooManyControls(t *testing.T, s Subject) {
	of := func(i int) broker.Control {
		return broker.Control{Target: broker.ControlTarget{Scope: broker.ScopeSubscriber, Name: fmt.Sprint(i)}, At: created}
	}
	setControl(t, s, of(0), created)
	var key string
	for _, k := range Keys(t, s.Client) {
		if s.Client.Type(t.Context(), k).Val() == "hash" {
			key = k
		}
	}
	record := s.Client.HGet(t.Context(), key, of(0).Target.String()).Val()
	for first := 1; first < store.MaxControls; first += 1000 {
		var fields []any
		for i := first; i < min(first+1000, store.MaxControls); i++ {
			fields = append(fields, of(i).Target.String(), record)
		}
		if err := s.Client.HSet(t.Context(), key, fields...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Store.SetControl(t.Context(), of(store.MaxControls), created, nil); !errors.Is(err, store.ErrTooManyControls) {
		t.Errorf("one more: got %v, want ErrTooManyControls", err)
	}
	setControl(t, s, of(0), created)
}
