package broker_test

import (
	"strings"
	"testing"

	"github.com/latchkey-sso/latchkey/broker"
)

func TestLinkNames(t *testing.T) {
	const (
		notAName  = "is not a name"
		character = "has a character other than letters, digits, dot, underscore and hyphen"
		control   = "has a control character"
		missing   = "is missing"
		tooLong   = "is too long"
		badUTF8   = "is not valid UTF-8"
	)
	tests := []struct {
		name    string
		value   string
		problem string // empty when it is valid
	}{
		{"letters", "bob", ""},
		{"every kind of character", "Web-01.a_Z9", ""},
		{"64 bytes", strings.Repeat("a", 64), ""},
		{"empty", "", missing},
		{"slash", "zxq/bob", character},
		{"backslash", `zxq\bob`, character},
		{"space", "zxq bob", character},
		{"braces", "{zxq}bob", character},
		{"star", "zxq*", character},
		{"plus", "zxq+", character},
		{"apostrophe", "zxq'", character},
		{"letter of another alphabet", "zxqé", character},
		{"digit of another alphabet", "zxq٣", character},
		{"newline", "zxq\nbob", control},
		{"zero byte", "zxq\x00", control},
		{"delete", "zxq\x7f", control},
		{"C1 control", "zxq\u0085", control},
		{"not UTF-8", "zxq\xff", badUTF8},
		{"this folder", ".", notAName},
		{"the folder above", "..", notAName},
		{"an option", "-zxq", notAName},
		{"a dot before", ".zxq", ""},
	}
	fields := []struct {
		name string
		most int
		link func(string) broker.Link
	}{
		{"server", broker.MaxServer, func(v string) broker.Link {
			return broker.Link{Account: broker.Account{Server: v, User: "bob"}, App: "app"}
		}},
		{"user", broker.MaxUser, func(v string) broker.Link {
			return broker.Link{Account: broker.Account{Server: "web01", User: v}, App: "app"}
		}},
		{"app", broker.MaxApp, func(v string) broker.Link { return broker.Link{Account: bob, App: v} }},
	}
	for _, f := range fields {
		for _, tt := range tests {
			wantInvalid(t, f.name+" with "+tt.name, f.link(tt.value).Validate(), f.name, tt.problem, tt.value)
		}
		longest := strings.Repeat("z", f.most)
		wantInvalid(t, f.name+" of the longest", f.link(longest).Validate(), f.name, "", longest)
		wantInvalid(t, f.name+" too long", f.link(longest+"z").Validate(), f.name, tooLong, longest)
	}
}

func TestSubscribers(t *testing.T) {
	tests := []struct {
		name    string
		value   string
		problem string
	}{
		{"number", "1234", ""},
		{"e-mail address", "bob+x@example.com", ""},
		{"punctuation", `a/b|c:{d}"e' f`, ""},
		{"another alphabet", "Ünïcödé-客", ""},
		{"255 bytes", strings.Repeat("z", 255), ""},
		{"empty", "", "is missing"},
		{"256 bytes", strings.Repeat("z", 256), "is too long"},
		{"255 letters of two bytes", strings.Repeat("é", 255), "is too long"},
		{"tabulator", "zxq\tbob", "has a control character"},
		{"zero byte", "zxq\x00", "has a control character"},
		{"not UTF-8", "zxq\xc3", "is not valid UTF-8"},
		{"writing direction", "zxq\u202e1234", "has an invisible character"},
		{"line separator", "zxq\u20281234", "has an invisible character"},
		{"no-break space", "zxq\u00a01234", "has an invisible character"},
		{"blank", "   ", "is missing"},
	}
	for _, tt := range tests {
		wantInvalid(t, tt.name, broker.ValidateSubscriber(tt.value), "subscriber_unique_id", tt.problem, tt.value)
	}
}

// wantInvalid expects a refusal about one field that does not repeat the value,
// or none when problem is empty.
func wantInvalid(t *testing.T, name string, err error, field, problem, value string) {
	t.Helper()
	if problem == "" {
		if err != nil {
			t.Errorf("%s: got %v, want no error", name, err)
		}
		return
	}
	got, is := err.(*broker.Error)
	if !is || *got != (broker.Error{Reason: broker.ReasonInvalidRequest, Field: field, Problem: problem}) {
		t.Errorf("%s: got %#v, want an invalid %s that %s", name, err, field, problem)
		return
	}
	if want := "invalid_request: " + field + " " + problem; err.Error() != want {
		t.Errorf("%s: got text %q, want %q", name, err, want)
	}
	if value != "" && strings.Contains(err.Error(), value) {
		t.Errorf("%s: the error repeats the value: %q", name, err)
	}
}

func TestAccountTag(t *testing.T) {
	seen := map[string]bool{}
	for _, a := range []broker.Account{bob, {Server: "web01", User: "alice"}, {Server: "web02", User: "bob"}, {Server: "web0", User: "1bob"}} {
		tag := a.Tag()
		if len(tag) != 3 || tag != a.Tag() || seen[tag] {
			t.Errorf("%s: got tag %q, want 3 characters, always the same and other than %v", a, tag, seen)
		}
		seen[tag] = true
	}
	// Stored keys begin with it, so it must never change.
	if got, want := bob.Tag(), "ews"; got != want {
		t.Errorf("tag of %s: got %q, want %q", bob, got, want)
	}
	if got, want := invoices.String(), "web01/bob/latchkey_invoices"; got != want {
		t.Errorf("link: got %q, want %q", got, want)
	}
}
