package storetest

import (
	"encoding/json"
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
		{"only its own end makes a control forgotten", controlOfOthers},
		{"a damaged control is a block until it is ended", damagedControl},
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
	key := controlsKey(t, s)
	for _, tt := range []struct {
		field, record string
		want          broker.ControlTarget
	}{
		{target.String(), "0|{", target},
		{target.String(), "", target},
		{target.String(), `1|{"target":{"scope":"server","name":"web02"},"until":"2020-01-01T00:00:00Z"}`, target},
		{"planet earth", `1|{"target":{"scope":"planet","name":"earth"},"until":"2020-01-01T00:00:00Z"}`, broker.ControlTarget{Scope: broker.ScopeEverything}},
		{"everything ", `1|{"target":{"scope":"everything"},"until":"2020-01-01T00:00:00Z"}`, broker.ControlTarget{Scope: broker.ScopeEverything}},
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
		version := must[store.Status](t)(s.Store.Status(t.Context())).Controls
		kept := must[store.KeptControl](t)(s.Store.KeptControl(t.Context(), tt.want))
		if kept.Damaged != 1 {
			t.Errorf("%s %q: got %+v, want one damaged record", tt.field, tt.record, kept)
		}
		ended := broker.Control{Target: tt.want, At: created, Until: created}
		if err := s.Store.SetControl(t.Context(), ended, created, &kept); err != nil {
			t.Fatal(err)
		}
		wantControls(t, s, ended)
		if n := s.Client.HLen(t.Context(), key).Val(); n != 1 {
			t.Errorf("%s %q: got %d records after it was ended, want one", tt.field, tt.record, n)
		}
		if now := must[store.Status](t)(s.Store.Status(t.Context())).Controls; now == version {
			t.Errorf("%s %q: the version is as before", tt.field, tt.record)
		}
	}
}

func controlChanged(t *testing.T, s Subject) {
	target := broker.ControlTarget{Scope: broker.ScopeServer, Name: "web01"}
	pause := broker.Control{Target: target, At: created, Until: created.Add(time.Hour), Author: "eve"}
	block := broker.Control{Target: target, At: created.Add(time.Second), Author: "bob"}
	kept := func() *store.KeptControl {
		t.Helper()
		read := must[store.KeptControl](t)(s.Store.KeptControl(t.Context(), target))
		return &read
	}
	set := func(what string, c broker.Control, over *store.KeptControl, want error) {
		t.Helper()
		if err := s.Store.SetControl(t.Context(), c, created, over); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", what, err, want)
		}
	}
	nothing := kept()
	set("over nothing", pause, nothing, nil)
	paused := kept()
	if got := paused.Control; got.Target != target || !got.Until.Equal(pause.Until) || paused.Damaged != 0 {
		t.Errorf("kept: got %+v, want %+v", paused, pause)
	}
	set("over nothing again", block, nothing, store.ErrControlChanged)
	set("whatever is there", block, nil, nil)
	ended := pause
	ended.Until = created.Add(time.Minute)
	set("over what is not there any more", ended, paused, store.ErrControlChanged)
	wantControls(t, s, block)
	set("over what was read", ended, kept(), nil)
	wantControls(t, s, ended)

	// Another program may write the same in other words.
	key := controlsKey(t, s)
	field := target.String()
	other := `0|{"note":"a \u003c b", "target":{"name":"web01","scope":"server"},"at":"2026-01-01T00:00:00Z"}`
	if err := s.Client.HSet(t.Context(), key, field, other).Err(); err != nil {
		t.Fatal(err)
	}
	set("over what another program wrote", ended, kept(), nil)
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
	key := controlsKey(t, s)
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
	for _, scope := range []broker.ControlScope{broker.ScopeServer, broker.ScopeApp, broker.ScopeEverything} {
		block := broker.Control{Target: broker.ControlTarget{Scope: scope, Name: "web01"}, At: created}
		if scope == broker.ScopeEverything {
			block.Target.Name = ""
		}
		setControl(t, s, block, created)
	}
	account := broker.Control{Target: broker.ControlTarget{Scope: broker.ScopeAccount, Name: "web01/bob"}, At: created}
	if err := s.Store.SetControl(t.Context(), account, created, nil); !errors.Is(err, store.ErrTooManyControls) {
		t.Errorf("an account more: got %v, want ErrTooManyControls", err)
	}

	// Those that others wrote, and that ended long ago, give way.
	now := created.Add(2 * broker.ControlMemory)
	for i := range 5 {
		ended := of(i)
		ended.Until = created
		text := must[[]byte](t)(json.Marshal(ended))
		if err := s.Client.HSet(t.Context(), key, ended.Target.String(), "1|"+string(text)).Err(); err != nil {
			t.Fatal(err)
		}
	}
	setControl(t, s, account, now)
}

// controlsKey is the only hash that there is.
func controlsKey(t *testing.T, s Subject) string {
	t.Helper()
	for _, k := range Keys(t, s.Client) {
		if s.Client.Type(t.Context(), k).Val() == "hash" {
			return k
		}
	}
	t.Fatal("there are no controls")
	return ""
}

// controlOfOthers: only what a record says of its own end makes it forgotten.
func controlOfOthers(t *testing.T, s Subject) {
	server := func(name string, until time.Time) broker.Control {
		return broker.Control{Target: broker.ControlTarget{Scope: broker.ScopeServer, Name: name}, At: created, Until: until}
	}
	write := func(name, end string, until time.Time) broker.Control {
		t.Helper()
		c := server(name, until)
		text := must[[]byte](t)(json.Marshal(c))
		if err := s.Client.HSet(t.Context(), controlsKey(t, s), c.Target.String(), end+"|"+string(text)).Err(); err != nil {
			t.Fatal(err)
		}
		return c
	}
	now := created.Add(2 * broker.ControlMemory)
	later := now.Add(time.Hour)
	for _, name := range []string{"web01", "web02", "web03"} {
		setControl(t, s, server(name, created), created)
	}
	block := write("web01", "0", time.Time{})
	pause := write("web02", fmt.Sprint(later.UnixMilli()), later)
	block2 := write("web03", strings.Repeat("9", 400), time.Time{})
	other := server("web04", time.Time{})
	setControl(t, s, other, now)
	wantControls(t, s, block, pause, block2, other)
	setControl(t, s, other, later.Add(broker.ControlMemory+time.Second))
	wantControls(t, s, block, block2, other)
}
