package whm_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/latchkey-sso/latchkey/api/whm"
	"github.com/latchkey-sso/latchkey/api/whm/whmfake"
	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

// Everything that can go wrong is made to go wrong, and nothing that comes out of
// it may show the API token or a link token.
func TestNoSecretComesOut(t *testing.T) {
	var out, log bytes.Buffer
	show := func(v any) {
		_, _ = fmt.Fprintf(&out, "%v\n%+v\n%#v\n%q\n", v, v, v, v)
		if f, is := v.(*reconcile.Failure); is {
			_, _ = fmt.Fprintf(&out, "%+v %+v\n", *f, f.Err)
		}
	}
	fake := newFake(t, whmfake.Config{Log: &log})
	pin := [32]byte{1}
	clients := []*whm.Client{
		clientOf(t, fake),
		clientOf(t, fake, func(c *whm.Config) { c.Token = broker.NewSecret(apiToken + "-other") }),
		clientOf(t, fake, func(c *whm.Config) { c.CA = nil }),
		clientOf(t, fake, func(c *whm.Config) { c.CA, c.Pin = nil, &pin }),
		// Servers that say everything they were told.
		scripted(t, func(w http.ResponseWriter, r *http.Request) {
			_ = r.ParseForm()
			w.Header().Set("Location", "https://"+r.PostForm.Get("token")+".example/?token="+r.PostForm.Get("token"))
			w.WriteHeader(http.StatusFound)
		}),
		scripted(t, func(w http.ResponseWriter, r *http.Request) {
			_ = r.ParseForm()
			_, _ = fmt.Fprintf(w, `{"metadata":{"result":0,"reason":%q}}`, r.Header.Get("Authorization")+r.PostForm.Encode())
		}),
		scripted(t, func(w http.ResponseWriter, r *http.Request) {
			conn, rw, _ := http.NewResponseController(w).Hijack()
			_, _ = rw.WriteString(strings.ReplaceAll(r.Header.Get("Authorization"), " ", "_") + "\r\n\r\n")
			_ = rw.Flush()
			_ = conn.Close()
		}),
	}
	faults := []whmfake.FaultKind{
		whmfake.NoFault, whmfake.Status, whmfake.Forbidden, whmfake.Redirect, whmfake.HTMLPage, whmfake.NoReply, whmfake.LostReply,
		whmfake.HalfJSON, whmfake.HalfBody, whmfake.EmptyBody, whmfake.FailAt, whmfake.GarbageAt, whmfake.StopAt,
	}
	bad := createLink("nobody", app)
	update := reconcile.Command{Function: reconcile.UpdateToken, User: "bob", App: app, Token: token(linkToken)}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range clients {
		show(c)
		for _, f := range faults {
			fake.SetFault(whmfake.Always(whmfake.Fault{Kind: f}))
			for _, commands := range [][]reconcile.Command{{update}, {bad}, {update, bad, createLink("bob", app), listLinks("bob")}} {
				for _, ctx := range []context.Context{t.Context(), gone} {
					replies, err := c.Run(ctx, commands)
					show(err)
					for _, r := range replies {
						show(r)
						show(r.Err)
					}
				}
			}
			_, err := c.Users(t.Context())
			show(err)
		}
	}
	show(fake.Journal())
	_, err := whm.New(whm.Config{URL: "https://root:" + apiToken + "@x", Token: broker.NewSecret(apiToken + " ")})
	show(err)
	if log.Len() == 0 || out.Len() < 10_000 {
		t.Fatalf("got %d bytes of log and %d of errors, want much more to look at", log.Len(), out.Len())
	}
	for _, text := range []struct{ name, text string }{{"the access log", log.String()}, {"what was printed", out.String()}} {
		for line := range strings.Lines(text.text) {
			if strings.Contains(line, apiToken) || strings.Contains(line, linkToken) {
				t.Errorf("%s holds a secret: %s", text.name, line)
			}
		}
	}
}
