package app_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/latchkey-sso/latchkey/cmd/broker/app"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// A click costs one command to issue and one to redeem or to exchange: nothing
// else reaches Redis.
func TestOneRoundTripEach(t *testing.T) {
	redis := storetest.StartRedis(t)
	proxy := storetest.StartProxy(t, redis.Addr)
	dir := t.TempDir()
	newKey(t, dir)
	// With the limits that are the default.
	text := changed(t, configFile(dir, proxy.Addr, freeAddress(t), freeAddress(t)), "  limits: "+noLimits+"\n", "")
	b := start(t, app.Options{Config: loadConfig(t, text)})
	waitReady(t, b.operators)
	billing, tickets := addLink(t, b.Store(), "latchkey_billing"), addLink(t, b.Store(), "latchkey_tickets")

	wantOne := func(what string) {
		t.Helper()
		if got := proxy.Commands(); !slices.Equal(got, []string{"evalsha"}) {
			t.Errorf("%s: Redis got %q, want one evalsha", what, got)
		}
	}
	tokenOf := func(oneTimeURL string) string {
		u, err := url.Parse(oneTimeURL)
		if err != nil {
			t.Fatal(err)
		}
		return u.Query().Get("one_time_token")
	}
	asked := false // once about its settings, beside all requests
	eventually(t, "the broker has asked about its Redis", func() bool {
		asked = slices.Contains(proxy.Commands(), "info") || asked
		return asked
	})
	proxy.Commands()
	for range 3 {
		oneTime := autologin(t, b.url, "latchkey_billing", billing)
		wantOne("issue")
		if status, body := get(t, b.url+"/login?one_time_token="+tokenOf(oneTime), navigation); status != http.StatusOK || !strings.Contains(body, `name="assertion"`) {
			t.Errorf("login: status %d, want the hand-over page", status)
		}
		wantOne("redeem")

		oneTime = autologin(t, b.url, "latchkey_tickets", tickets)
		wantOne("issue for the exchange")
		form := url.Values{"one_time_token": {tokenOf(oneTime)}, "client_id": {"support"}, "client_secret": {clientSecret}}
		if status, body := postForm(t, b.url+"/exchange", form, nil); status != http.StatusOK || !strings.Contains(body, `"sub":"1234"`) {
			t.Errorf("exchange: status %d, body %s, want the claims", status, body)
		}
		wantOne("exchange")
	}
	if status, _ := get(t, b.url+"/login?one_time_token="+strings.Repeat("x", 46), nil); status != http.StatusOK {
		t.Errorf("page with the button: status %d", status)
	}
	if got := proxy.Commands(); len(got) != 0 {
		t.Errorf("the page with the button: Redis got %q, want nothing", got)
	}
}
