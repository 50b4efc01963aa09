//go:build long

package app_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// A sample in real time, of what all other tests see in moved time.
func TestLifetimeInRealTime(t *testing.T) {
	t.Parallel()
	redis := storetest.StartRedis(t)
	brokers := []*process{startProcess(t, redis.Addr)}
	link := addLink(t, store.New(store.Config{Client: redis.Client(), KeyPrefix: "latchkey:"}), "latchkey_billing")

	before := time.Now()
	_, early, _ := strings.Cut(autologin(t, brokers[0].url, "latchkey_billing", link), "?")
	_, late, _ := strings.Cut(autologin(t, brokers[0].url, "latchkey_billing", link), "?")
	after := time.Now()
	for _, c := range []struct {
		query  string
		at     time.Time
		status int
		page   string
	}{
		{early, before.Add(119 * time.Second), http.StatusOK, `name="assertion"`},
		{late, after.Add(121 * time.Second), http.StatusGone, "expired"},
	} {
		time.Sleep(time.Until(c.at))
		asked := time.Now()
		status, page := redeemAsBrowser(t, brokers, c.query)
		if status != c.status || !strings.Contains(page, c.page) {
			t.Errorf("%v after it was issued: got status %d, want %d and a page with %q:\n%s",
				asked.Sub(before).Round(time.Millisecond), status, c.status, c.page, page)
		}
	}
}
