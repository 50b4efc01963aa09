package cpanelfake_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/latchkey-sso/latchkey/api/cpanelfake"
)

func TestPutLinkTakesWhatWHMTakes(t *testing.T) {
	whole := icon(t, 48)
	raw, err := base64.StdEncoding.DecodeString(whole)
	if err != nil {
		t.Fatal(err)
	}
	broken := slices.Clone(raw)
	broken[len(broken)-20] ^= 0xff
	tests := []struct {
		name  string
		edit  func(*cpanelfake.Link)
		field string // refused because of it; empty means taken
	}{
		{"every field", func(*cpanelfake.Link) {}, ""},
		{"only the required ones", func(l *cpanelfake.Link) {
			*l = cpanelfake.Link{App: "a", Implements: "b", Label: "c", SubscriberUniqueID: "d", Token: l.Token, URL: "https://e.example"}
		}, ""},
		{"a typographic apostrophe", func(l *cpanelfake.Link) { l.Label = "Bob’s Billing" }, ""},
		{"no url", func(l *cpanelfake.Link) { l.URL = "" }, ""},
		{"no autologin_token_url", func(l *cpanelfake.Link) { l.AutologinTokenURL = "" }, ""},
		{"odd but valid file name", func(l *cpanelfake.Link) { l.App = `..a b%2F"<é>` }, ""},
		{"group_ further on", func(l *cpanelfake.Link) { l.App = "my_group_1" }, ""},
		{"line breaks in the image", func(l *cpanelfake.Link) { l.Base64PNGImage = whole[:60] + "\n" + whole[60:] + "\n" }, ""},

		{"apostrophe", func(l *cpanelfake.Link) { l.Label = "Bob's Billing" }, "label"},
		{"no label", func(l *cpanelfake.Link) { l.Label = "" }, "label"},
		{"no implements", func(l *cpanelfake.Link) { l.Implements = "" }, "implements"},
		{"no subscriber", func(l *cpanelfake.Link) { l.SubscriberUniqueID = "" }, "subscriber_unique_id"},
		{"no token", func(l *cpanelfake.Link) { l.Token = cpanelfake.Token{} }, "token"},
		{"neither URL", func(l *cpanelfake.Link) { l.URL, l.AutologinTokenURL = "", "" }, "autologin_token_url"},
		{"no app", func(l *cpanelfake.Link) { l.App = "" }, "app"},
		{"slash in app", func(l *cpanelfake.Link) { l.App = "a/b" }, "app"},
		{"NUL in app", func(l *cpanelfake.Link) { l.App = "a\x00b" }, "app"},
		{"app is a directory", func(l *cpanelfake.Link) { l.App = ".." }, "app"},
		{"app is too long", func(l *cpanelfake.Link) { l.App = strings.Repeat("a", 256) }, "app"},
		{"app is not UTF-8", func(l *cpanelfake.Link) { l.App = "\xff" }, "app"},
		{"app looks like a group", func(l *cpanelfake.Link) { l.App = "group_billing" }, "app"},
		{"image is not Base64", func(l *cpanelfake.Link) { l.Base64PNGImage = "%%%" }, "base64_png_image"},
		{"image is a data URI", func(l *cpanelfake.Link) { l.Base64PNGImage = "data:image/png;base64," + whole }, "base64_png_image"},
		{"image is a GIF", func(l *cpanelfake.Link) { l.Base64PNGImage = base64.StdEncoding.EncodeToString([]byte("GIF89a")) }, "base64_png_image"},
		{"image is cut off", func(l *cpanelfake.Link) { l.Base64PNGImage = base64.StdEncoding.EncodeToString(raw[:40]) }, "base64_png_image"},
		{"image is broken inside", func(l *cpanelfake.Link) { l.Base64PNGImage = base64.StdEncoding.EncodeToString(broken) }, "base64_png_image"},
		{"image would unfold too far", func(l *cpanelfake.Link) { l.Base64PNGImage = icon(t, 2049) }, "base64_png_image"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			state := stateWith(t)
			l := link(t)
			tt.edit(&l)
			err := state.PutLink(user, l)
			links, _ := state.Links(user)
			if tt.field == "" {
				if err != nil || len(links) != 1 {
					t.Fatalf("got error %v and %d links, want none and 1", err, len(links))
				}
				return
			}
			refused, ok := errors.AsType[*cpanelfake.FieldError](err)
			if !ok || refused.Field != tt.field || len(links) != 0 {
				t.Fatalf("got error %v and %d links, want a refusal of %s and none", err, len(links), tt.field)
			}
		})
	}
}

func TestPutLinkReplacesTheWholeLink(t *testing.T) {
	state := stateWith(t, link(t))
	small := cpanelfake.Link{App: app, Implements: "billing", Label: "Bills", SubscriberUniqueID: "9", Token: cpanelfake.NewToken("t"), URL: "https://b.example"}
	if err := state.PutLink(user, small); err != nil {
		t.Fatal(err)
	}
	links, err := state.Links(user)
	if err != nil || len(links) != 1 {
		t.Fatalf("got %d links and error %v, want 1 and none", len(links), err)
	}
	want := map[string]string{"app": app, "implements": "billing", "label": "Bills", "subscriber_unique_id": "9", "url": "https://b.example", "order": "0", "hide": "0"}
	if got := links[0].Fields(); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestPutGroupTakesWhatWHMTakes(t *testing.T) {
	tests := []struct {
		name  string
		group cpanelfake.Group
		field string
	}{
		{"a group", cpanelfake.Group{ID: "latchkey", Label: "Bob's Billing", Order: 3}, ""},
		{"no id", cpanelfake.Group{Label: "x"}, "group_id"},
		{"no label", cpanelfake.Group{ID: "x"}, "label"},
		{"id with the prefix", cpanelfake.Group{ID: "group_x", Label: "x"}, "group_id"},
		{"id is a path", cpanelfake.Group{ID: "../x", Label: "x"}, "group_id"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := stateWith(t).PutGroup(user, tt.group)
			refused, _ := errors.AsType[*cpanelfake.FieldError](err)
			if tt.field == "" && err != nil || tt.field != "" && (refused == nil || refused.Field != tt.field) {
				t.Errorf("got %v, want a refusal of %q", err, tt.field)
			}
		})
	}
}

func TestUnknownNamesAreErrors(t *testing.T) {
	state := stateWith(t)
	tests := []struct {
		name string
		do   func() error
		want error
	}{
		{"link for no account", func() error { return state.PutLink("eve", link(t)) }, cpanelfake.ErrUnknownAccount},
		{"group for no account", func() error { return state.PutGroup("eve", cpanelfake.Group{ID: "g", Label: "G"}) }, cpanelfake.ErrUnknownAccount},
		{"token for no account", func() error { return state.SetToken("eve", app, cpanelfake.NewToken("t")) }, cpanelfake.ErrUnknownAccount},
		{"token for no link", func() error { return state.SetToken(user, app, cpanelfake.NewToken("t")) }, cpanelfake.ErrUnknownLink},
		{"links of no account", func() error { _, err := state.Links("eve"); return err }, cpanelfake.ErrUnknownAccount},
		{"groups of no account", func() error { _, err := state.Groups("eve"); return err }, cpanelfake.ErrUnknownAccount},
		{"link of no account", func() error { _, err := state.Link("eve", app); return err }, cpanelfake.ErrUnknownAccount},
		{"no such link", func() error { _, err := state.Link(user, app); return err }, cpanelfake.ErrUnknownLink},
		{"no such account", func() error { _, err := state.Account("eve"); return err }, cpanelfake.ErrUnknownAccount},
		{"remove from no account", func() error { return state.RemoveLink("eve", app) }, cpanelfake.ErrUnknownAccount},
		{"remove group from no account", func() error { return state.RemoveGroup("eve", "g") }, cpanelfake.ErrUnknownAccount},
		{"remove no account", func() error { return state.RemoveAccount("eve") }, cpanelfake.ErrUnknownAccount},
		{"change no account", func() error { return state.ModifyAccount("eve", func(*cpanelfake.Account) {}) }, cpanelfake.ErrUnknownAccount},
		{"add an account twice", func() error { return state.AddAccount(cpanelfake.Account{User: user}) }, cpanelfake.ErrAccountExists},
		{"remove a link that is not there", func() error { return state.RemoveLink(user, app) }, nil},
		{"remove a group that is not there", func() error { return state.RemoveGroup(user, "g") }, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.do(); !errors.Is(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestSetTokenChangesTheTokenOnly(t *testing.T) {
	state := stateWith(t, link(t))
	if err := state.SetToken(user, app, cpanelfake.NewToken("second")); err != nil {
		t.Fatal(err)
	}
	got, err := state.Link(user, app)
	if err != nil {
		t.Fatal(err)
	}
	if got.Token.Reveal() != "second" || !maps.Equal(got.Fields(), link(t).Fields()) {
		t.Errorf("got token %q and %v, want second and the other fields as they were", got.Token.Reveal(), got.Fields())
	}
	if _, ok := errors.AsType[*cpanelfake.FieldError](state.SetToken(user, app, cpanelfake.Token{})); !ok {
		t.Error("an empty token was taken")
	}
}

func TestRemoveGroupLeavesItsLinks(t *testing.T) {
	state := stateWith(t, link(t))
	if err := state.PutGroup(user, cpanelfake.Group{ID: "latchkey", Label: "Billing"}); err != nil {
		t.Fatal(err)
	}
	if err := state.RemoveGroup(user, "latchkey"); err != nil {
		t.Fatal(err)
	}
	groups, _ := state.Groups(user)
	links, _ := state.Links(user)
	if len(groups) != 0 || len(links) != 1 {
		t.Errorf("got %d groups and %d links, want 0 and 1", len(groups), len(links))
	}
}

func TestAccountLifeCycle(t *testing.T) {
	state := stateWith(t, link(t))
	if err := state.AddAccount(cpanelfake.Account{User: "alice"}); err != nil {
		t.Fatal(err)
	}
	rename := func(to string) error {
		return state.ModifyAccount(user, func(a *cpanelfake.Account) { a.User = to })
	}
	if err := rename("alice"); !errors.Is(err, cpanelfake.ErrAccountExists) {
		t.Errorf("rename to a taken name: got %v", err)
	}
	if _, ok := errors.AsType[*cpanelfake.FieldError](rename("../etc")); !ok {
		t.Error("rename to a path was taken")
	}
	if err := rename("robert"); err != nil {
		t.Fatal(err)
	}
	if links, err := state.Links("robert"); err != nil || len(links) != 1 {
		t.Errorf("after the rename: got %d links and error %v, want 1 and none", len(links), err)
	}
	if got := state.Accounts(); len(got) != 2 || got[0].User != "alice" || got[1].User != "robert" || got[1].Domain != "bob.example" {
		t.Errorf("accounts: got %+v", got)
	}
	if err := state.RemoveAccount("robert"); err != nil {
		t.Fatal(err)
	}
	if err := state.AddAccount(cpanelfake.Account{User: "robert"}); err != nil {
		t.Fatal(err)
	}
	if links, _ := state.Links("robert"); len(links) != 0 {
		t.Errorf("an account made again has the links of the removed one: %d", len(links))
	}
}

// It fails under the race detector, or by losing links.
func TestStateUnderManyHands(t *testing.T) {
	state := stateWith(t)
	var hands sync.WaitGroup
	for i := range 8 {
		hands.Go(func() {
			name := fmt.Sprintf("u%d", i)
			_ = state.AddAccount(cpanelfake.Account{User: name})
			for n := range 20 {
				l := link(t)
				l.App = fmt.Sprintf("app%d_%d", i, n)
				_ = state.PutLink(user, l)
				_ = state.SetToken(user, l.App, cpanelfake.NewToken("t"))
				_ = state.PutGroup(user, cpanelfake.Group{ID: l.App, Label: "x"})
				_, _ = state.Links(user)
				_, _ = state.Groups(user)
				_ = state.Accounts()
				_ = state.ModifyAccount(name, func(a *cpanelfake.Account) { a.Suspended = !a.Suspended })
			}
		})
	}
	hands.Wait()
	links, _ := state.Links(user)
	if len(links) != 160 || len(state.Accounts()) != 9 {
		t.Errorf("got %d links and %d accounts, want 160 and 9", len(links), len(state.Accounts()))
	}
}
