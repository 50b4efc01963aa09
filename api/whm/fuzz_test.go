package whm_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/latchkey-sso/latchkey/api/cpanelfake"
	"github.com/latchkey-sso/latchkey/api/whm/whmfake"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

// FuzzAnswer: whatever a server answers, every command has a reply or the request
// an error, and all that is told is a Failure that can be shown.
func FuzzAnswer(f *testing.F) {
	f.Add(200, `{"data":{"result":[{"metadata":{"result":1}},{"metadata":{"result":"0","reason":"API failure: (XID abc123) no"}}]},"metadata":{"result":1}}`)
	f.Add(200, `{"data":{"links":[{"app":"a"}],"userconfig":{"order":1}},"metadata":{"result":"1"}}`)
	f.Add(200, `{"data":{"links":{"app":"a"},"userconfig":[],"acct":{"bob":{"user":"bob"}},"app":["x"]},"metadata":{"result":1,"chunk":{"records":"1"}}}`)
	f.Add(200, `{"data":null,"metadata":{"result":0,"reason":"Unknown app (\"batch\") requested for this version (1) of the API."}}`)
	f.Add(403, `{"cpanelresult":{"error":"Access denied"}}`)
	f.Add(503, `<html>`)
	var status atomic.Int64
	var body atomic.Pointer[string]
	c := scripted(f, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(int(status.Load()))
		_, _ = w.Write([]byte(*body.Load()))
	})
	runs := [][]reconcile.Command{
		{createLink("bob", app)},
		{listLinks("bob")},
		{{Function: reconcile.GetLink, User: "bob", App: app}},
		{createLink("bob", app), listLinks("bob"), {Function: reconcile.ListGroups, User: "bob"}, {Function: reconcile.GetLink, User: "bob", App: app}},
	}
	f.Fuzz(func(t *testing.T, code int, text string) {
		if code < 200 || code > 599 {
			code = 200
		}
		status.Store(int64(code))
		body.Store(&text)
		for _, commands := range runs {
			replies, err := c.Run(t.Context(), commands)
			if err != nil {
				checkMessage(t, failure(t, err))
				continue
			}
			if len(replies) != len(commands) {
				t.Errorf("got %d replies to %d commands", len(replies), len(commands))
			}
			for i, r := range replies {
				switch {
				case r.Err != nil:
					checkMessage(t, failure(t, r.Err))
				case commands[i].Function == reconcile.GetLink && r.Config == nil:
					t.Error("got no config and no error")
				}
				if r.Err == nil && !strings.Contains(text, "1") {
					t.Errorf("got a success from %q", text)
				}
			}
		}
		for _, read := range []func() error{
			func() error { _, err := c.Users(t.Context()); return err },
			func() error { _, err := c.Functions(t.Context()); return err },
			func() error { _, err := c.Version(t.Context()); return err },
		} {
			if err := read(); err != nil {
				checkMessage(t, failure(t, err))
			}
		}
	})
}

// FuzzEncoding: a link is stored with the values that it was sent with, alone and
// in a batch.
func FuzzEncoding(f *testing.F) {
	f.Add("a&b=c %25+é\"'", "x", "https://a.example/?q=1&r=%20")
	f.Add("+", "&app=other", "?")
	f.Add("\x00\xff", ";", "%zz")
	state := newState(f)
	c := clientOf(f, newFake(f, whmfake.Config{State: state}))
	f.Fuzz(func(t *testing.T, label, subscriber, address string) {
		if label == "" || subscriber == "" || address == "" {
			return
		}
		label = strings.ReplaceAll(label, "'", "")
		cmd := createLink("bob", app)
		cmd.Link.Label, cmd.Link.Subscriber, cmd.Link.URL = label, subscriber, address
		for _, commands := range [][]reconcile.Command{{cmd}, {listLinks("bob"), cmd}} {
			must(t, state.RemoveLink("bob", app))
			replies := ok(c.Run(t.Context(), commands))(t)
			if err := replies[len(replies)-1].Err; label == "" {
				expect(t, err, kind{item, false, false}, "label")
				continue
			}
			must(t, replies[len(replies)-1].Err)
			got := ok(state.Link("bob", app))(t)
			want := cpanelfake.Link{Label: label, SubscriberUniqueID: subscriber, URL: address}
			if got.Label != want.Label || got.SubscriberUniqueID != want.SubscriberUniqueID || got.URL != want.URL {
				t.Errorf("got %+v, want %+v", got, want)
			}
		}
	})
}
