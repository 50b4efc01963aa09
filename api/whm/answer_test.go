package whm_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/latchkey-sso/latchkey/api/whm"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

func TestOnlyAResultOfOneIsASuccess(t *testing.T) {
	write := createLink("bob", app)
	tests := []struct {
		answer string
		want   kind // the zero kind is a success
		whole  bool // the error of Run, not of a Reply
	}{
		{`{"metadata":{"result":1}}`, kind{}, false},
		{`{"metadata":{"result":"1","reason":"no"},"data":"x","else":[]}`, kind{}, false},
		{` {"data":[],"metadata":{"result":1,"reason":{}}} `, kind{}, false},
		{`{"metadata":{"result":0,"reason":"no"}}`, kind{item, false, false}, false},
		{`{"metadata":{"result":"0"}}`, kind{item, false, false}, false},
		{`{"metadata":{"result":2}}`, kind{item, false, false}, false},
		{`{"metadata":{"result":true}}`, kind{item, false, false}, false},
		{`{"metadata":{"result":1.0}}`, kind{item, false, false}, false},
		{`{"metadata":{"result":[1]}}`, kind{item, false, false}, false},
		{`{"metadata":{"result":"01"}}`, kind{item, false, false}, false},
		{`{"metadata":{"result":null}}`, kind{item, true, true}, true},
		{`{"metadata":{"reason":"OK"}}`, kind{item, true, true}, true},
		{`{"metadata":"1"}`, kind{item, true, true}, true},
		{`{"result":1}`, kind{item, true, true}, true},
		{`{}`, kind{item, true, true}, true},
		{`[]`, kind{item, true, true}, true},
		{`1`, kind{item, true, true}, true},
		{`null`, kind{item, true, true}, true},
		{``, kind{item, true, true}, true},
		{`{"metadata":{"result":1}}{}`, kind{item, true, true}, true},
		{`{"metadata":{"result":1}`, kind{item, true, true}, true},
		{`<html>{"metadata":{"result":1}}</html>`, kind{item, true, true}, true},
	}
	for _, tt := range tests {
		t.Run(tt.answer, func(t *testing.T) {
			replies, err := scripted(t, answers(tt.answer)).Run(t.Context(), []reconcile.Command{write})
			if tt.whole {
				expect(t, err, tt.want, "create_integration_link")
				return
			}
			must(t, err)
			if tt.want != (kind{}) {
				expect(t, replies[0].Err, tt.want)
			} else if replies[0].Err != nil {
				t.Errorf("got %v, want a success", replies[0].Err)
			}
		})
	}
}

func TestAnswersToABatch(t *testing.T) {
	done, maybe, notRun := kind{}, kind{item, true, true}, kind{item, true, false}
	const one = `{"metadata":{"result":1}}`
	tests := []struct {
		answer string
		want   []kind // of the replies; nil means that the request failed
		whole  kind
	}{
		{`{"data":{"result":[` + one + `,` + one + `]},"metadata":{"result":1}}`, []kind{done, done}, kind{}},
		{`{"data":{"result":[` + one + `,` + one + `]},"metadata":{"result":0,"reason":"some failed"}}`, []kind{done, done}, kind{}},
		{`{"data":{"result":[` + one + `]},"metadata":{"result":0}}`, []kind{done, notRun}, kind{}},
		{`{"data":{"result":[]},"metadata":{"result":1}}`, []kind{notRun, notRun}, kind{}},
		{`{"data":{"result":[null,"x"]},"metadata":{"result":1}}`, []kind{maybe, maybe}, kind{}},
		{`{"data":{"result":[{"metadata":{"result":0}},` + one + `,` + one + `]},"metadata":{"result":1}}`, []kind{{item, false, false}, done}, kind{}},
		{`{"data":{"result":[]},"metadata":{"result":0,"reason":"no"}}`, nil, kind{item, false, false}},
		{`{"data":{},"metadata":{"result":0}}`, nil, kind{item, false, false}},
		{`{"metadata":{"result":0,"reason":"no"}}`, nil, kind{item, false, false}},
		{`{"metadata":{"result":1}}`, nil, maybe},
		{`{"data":{"result":null},"metadata":{"result":1}}`, nil, maybe},
		{`{"data":{"result":{}},"metadata":{"result":1}}`, nil, maybe},
		{`{"data":[],"metadata":{"result":1}}`, nil, maybe},
	}
	for _, tt := range tests {
		t.Run(tt.answer, func(t *testing.T) {
			replies, err := scripted(t, answers(tt.answer)).Run(t.Context(), []reconcile.Command{createLink("bob", "a"), createLink("bob", "b")})
			if tt.want == nil {
				expect(t, err, tt.whole)
				return
			}
			must(t, err)
			for i, want := range tt.want {
				if want == done {
					must(t, replies[i].Err)
				} else {
					expect(t, replies[i].Err, want)
				}
			}
		})
	}
}

func TestReasonsAreFitToBeShown(t *testing.T) {
	const xid = "API failure: (XID abc123) "
	long := strings.Repeat("é", 600)
	tests := []struct{ name, reason, want string }{
		{"an XID", xid + "The user “bob” does not exist.", "The user “bob” does not exist."},
		{"an XID within", "It failed: " + xid + "no", "It failed: no"},
		{"two XIDs", xid + "a: (XID 9z8y7x) b", "a: b"},
		{"no XID", "Something (XID) is wrong", "Something (XID) is wrong"},
		{"nothing", "", "WHM gave no reason"},
		{"nothing but an XID", xid, "WHM gave no reason"},
		{"control characters", "a\u0007b\x1b[31mc\nd\u202ee", "ab[31mc de"},
		{"too long", xid + long, long[:1000]},
		{"not UTF-8", "a\xffb", "a\ufffdb"},
		{"our secrets", "bad token " + linkToken + " of " + apiToken, "bad token [redacted] of [redacted]"},
		{"our secrets, hidden", "bad token " + linkToken[:5] + "\x00" + linkToken[5:], "bad token [redacted]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := scripted(t, answers(`{"metadata":{"result":0,"reason":`+quote(tt.reason)+`}}`))
			replies := ok(c.Run(t.Context(), []reconcile.Command{createLink("bob", app)}))(t)
			if got := failure(t, replies[0].Err).Message; got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestAccountsThatAreMissing(t *testing.T) {
	const xid = "API failure: (XID abc123) "
	for _, tt := range []struct {
		reason  string
		missing bool
	}{
		{xid + "You do not have a user named “bob”.", true},
		{xid + "You do not have a user named \"bob\".", true},
		{"You do not have a user named bob", true},
		{"The user “bob” does not exist.", true},
		{"Account bob does not exist", true},
		{"Sorry, the account does not exist.", true},
		{"User does not exist on this server", true},

		{xid + "You do not have a user named “bobby”.", false},
		{"The user “eve” does not exist.", false},
		{"You do not have access to an account named “bob”.", false},
		{"You do not own the account bob.", false},
		{"Permission denied: the user does not exist", false},
		{xid + "The file “/home/bob/.cpanel” does not exist.", false},
		{"The package of the user bob does not exist.", false},
		{"The user bob does not exist in the cache; try again later.", false},
		{"Can't locate Cpanel/User.pm", false},
		{"", false},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			answer := `{"metadata":{"result":0,"reason":` + quote(tt.reason) + `}}`
			batch := `{"metadata":{"result":0},"data":{"result":[` + answer + `,` + answer + `]}}`
			for text, commands := range map[string][]reconcile.Command{
				answer: {listLinks("bob")},
				batch:  {listLinks("bob"), listLinks("bob")},
			} {
				for _, reply := range ok(scripted(t, answers(text)).Run(t.Context(), commands))(t) {
					if f := failure(t, reply.Err); f.Missing != tt.missing || f.Scope != item {
						t.Errorf("got %+v, want missing %v", f, tt.missing)
					}
				}
			}
		})
	}
}

// quote writes a JSON string as a careless server does: bytes as they are.
func quote(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(text) {
		switch c := text[i]; {
		case c < ' ':
			b.WriteString(`\u00` + string("0123456789abcdef"[c>>4]) + string("0123456789abcdef"[c&15]))
		case c == '"' || c == '\\':
			b.WriteString(`\` + string(c))
		default:
			b.WriteByte(c)
		}
	}
	return b.String() + `"`
}

func TestConfigs(t *testing.T) {
	tests := []struct {
		name, data string
		want       map[string]string // nil means unreadable
	}{
		{"scalars", `{"userconfig":{"label":"é","order":7,"implements":true,"subscriber_unique_id":1.50,"autologin_token_url":"","url":null,"group_id":{"a":1},"base64_png_image":[1]}}`,
			map[string]string{"label": "é", "order": "7", "implements": "1", "subscriber_unique_id": "1.50", "autologin_token_url": ""}},
		{"all fields", `{"userconfig":{"label":"a","order":"1","implements":"b","subscriber_unique_id":"c","autologin_token_url":"d","url":"e","group_id":"f","base64_png_image":"g"}}`,
			map[string]string{"label": "a", "order": "1", "implements": "b", "subscriber_unique_id": "c", "autologin_token_url": "d", "url": "e", "group_id": "f", "base64_png_image": "g"}},
		{"fields that we do not write", `{"userconfig":{"app":"a","user":"bob","hide":false,"Label":"b","":"c","order":1}}`, map[string]string{"order": "1"}},
		{"a token all the same", `{"userconfig":{"token":"` + linkToken + `"}}`, map[string]string{}},
		{"an empty hash of Perl", `{"userconfig":[]}`, map[string]string{}},
		{"none", `{}`, map[string]string{}},
		{"null", `{"userconfig":null}`, map[string]string{}},
		{"no data", `null`, map[string]string{}},
		{"a word", `{"userconfig":"x"}`, nil},
		{"a list", `{"userconfig":[1]}`, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := scripted(t, answers(`{"metadata":{"result":1},"data":`+tt.data+`}`))
			reply := ok(c.Run(t.Context(), []reconcile.Command{{Function: reconcile.GetLink, User: "bob", App: app}}))(t)[0]
			if tt.want == nil {
				expect(t, reply.Err, kind{item, true, false}, "cannot be read")
				return
			}
			if reply.Err != nil || reply.Config == nil || !maps.Equal(reply.Config, tt.want) {
				t.Errorf("got %v, error %v, want %v", reply.Config, reply.Err, tt.want)
			}
		})
	}
}

func TestLinksInOtherForms(t *testing.T) {
	tests := []struct {
		data string
		want []string
		bad  bool
	}{
		{`{"links":[{"app":"a"},{"app":"b"}]}`, []string{"a", "b"}, false},
		{`{"links":{"app":"a"}}`, []string{"a"}, false},
		{`{"links":{"a":{"app":"a"},"b":"/path"}}`, []string{"a", "b"}, false},
		{`{"links":[{"else":1},null,{"app":"b"}]}`, []string{"b"}, false},
		{`{"links":null}`, nil, false},
		{`{"links":{}}`, nil, false},
		{`{}`, nil, false},
		{`null`, nil, false},
		{`{"links":"x"}`, nil, true},
		{`{"links":1}`, nil, true},
	}
	for _, tt := range tests {
		t.Run(tt.data, func(t *testing.T) {
			c := scripted(t, answers(`{"metadata":{"result":1},"data":`+tt.data+`}`))
			reply := ok(c.Run(t.Context(), []reconcile.Command{listLinks("bob")}))(t)[0]
			if tt.bad {
				expect(t, reply.Err, kind{item, true, false}, "list_integration_links")
				return
			}
			got := slices.Sorted(slices.Values(reply.Names))
			if reply.Err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("got %v, error %v, want %v", got, reply.Err, tt.want)
			}
		})
	}
}

// Packed, so that the server sends little: it is the unpacked answer that counts.
func TestAnswersHaveALimit(t *testing.T) {
	pack := func(text string) []byte {
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		ok(z.Write([]byte(text)))(t)
		must(t, z.Close())
		return packed.Bytes()
	}
	packed := append(bytes.Repeat(pack(strings.Repeat(" ", 1<<20)), 16), pack(`{"metadata":{"result":1}}`)...)
	c := scripted(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(packed)
	})
	_, err := c.Run(t.Context(), []reconcile.Command{createLink("bob", app)})
	expect(t, err, kind{item, true, true}, "16 MiB")
}

func TestAnswersWithTooManyParts(t *testing.T) {
	const head = `{"metadata":{"result":1},"data":{`
	for _, tt := range []struct {
		name, answer string
		ask          func(*whm.Client) error
		want         kind
		word         string
	}{
		{"values", head + `"acct":[""` + strings.Repeat(`,""`, 1<<20+1) + `]}}`, users, kind{item, true, false}, "more than 1048576 values"},
		{"names", head + `"acct":["x"` + strings.Repeat(`,"x"`, 100_000) + `]}}`, users, kind{item, true, false}, "listaccts that cannot be read"},
		{"links", head + `"links":["x"` + strings.Repeat(`,"x"`, 100_000) + `]}}`, links, kind{item, true, false}, "list_integration_links that cannot be read"},
	} {
		t.Run(tt.name, func(t *testing.T) { expect(t, tt.ask(scripted(t, answers(tt.answer))), tt.want, tt.word) })
	}
}

func users(c *whm.Client) error {
	_, err := c.Users(context.Background())
	return err
}

func links(c *whm.Client) error {
	replies, err := c.Run(context.Background(), []reconcile.Command{listLinks("bob")})
	return errors.Join(err, replies[0].Err)
}

// A cut icon is never one that we have written.
func TestLongFieldsAreCut(t *testing.T) {
	longest := base64.StdEncoding.EncodedLen(64 << 10) // icon that we write
	for _, tt := range []struct {
		field      string
		told, want int // bytes
	}{
		{"base64_png_image", longest, longest},
		{"base64_png_image", longest + 1, longest + 1},
		{"base64_png_image", 1 << 20, longest + 4},
		{"label", 8 << 10, 8 << 10},
		{"label", 1 << 20, 8 << 10},
		{"autologin_token_url", 1 << 20, 8 << 10},
	} {
		t.Run(fmt.Sprintf("%s of %d", tt.field, tt.told), func(t *testing.T) {
			c := scripted(t, answers(`{"metadata":{"result":1},"data":{"userconfig":{"`+tt.field+`":"`+strings.Repeat("A", tt.told)+`"}}}`))
			reply := ok(c.Run(t.Context(), []reconcile.Command{{Function: reconcile.GetLink, User: "bob", App: app}}))(t)[0]
			must(t, reply.Err)
			if got := len(reply.Config[tt.field]); got != tt.want {
				t.Errorf("got %d bytes, want %d", got, tt.want)
			}
		})
	}
}

func TestWhatIsCutIsNotKept(t *testing.T) {
	c := scripted(t, answers(`{"metadata":{"result":1},"data":{"userconfig":{"label":"`+strings.Repeat("x", 1<<20)+`"}}}`))
	used := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	var all []reconcile.Reply
	before := used()
	for range 32 {
		all = append(all, ok(c.Run(t.Context(), []reconcile.Command{{Function: reconcile.GetLink, User: "bob", App: app}}))(t)...)
	}
	if after := used(); after > before+16<<20 {
		t.Errorf("%d configs have %d MiB, want far less than their 32 MiB", len(all), (after-before)>>20)
	}
	runtime.KeepAlive(all)
}

// What a server says of itself reaches a terminal.
func TestWordsOfAServerAreFitToBeShown(t *testing.T) {
	for _, tt := range []struct{ name, told, want string }{
		{"as usual", "web01.example.com", "web01.example.com"},
		{"a number", "11.136", "11.136"},
		{"control characters", "a\x1b[31m\nb\u202ec", "a[31m bc"},
		{"too long", strings.Repeat("x", 1000), strings.Repeat("x", 253)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := scripted(t, answers(`{"metadata":{"result":1},"data":{"version":`+quote(tt.told)+`,"hostname":`+quote(tt.told)+`}}`))
			if got := ok(c.Version(t.Context()))(t); got != tt.want {
				t.Errorf("version: got %q, want %q", got, tt.want)
			}
			if got := ok(c.Hostname(t.Context()))(t); got != tt.want {
				t.Errorf("hostname: got %q, want %q", got, tt.want)
			}
		})
	}
}

func checkMessage(t *testing.T, f *reconcile.Failure) {
	t.Helper()
	if f.Message == "" || utf8.RuneCountInString(f.Message) > 500 || !utf8.ValidString(f.Message) || strings.ContainsFunc(f.Message, unicode.IsControl) {
		t.Errorf("got message %q, want 1 to 500 characters and none that controls", f.Message)
	}
	for _, secret := range []string{apiToken, linkToken} {
		if strings.Contains(fmt.Sprintf("%+v %v", f, f.Err), secret) {
			t.Errorf("the failure %q holds a secret", f.Message)
		}
	}
}
