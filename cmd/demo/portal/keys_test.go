package portal_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/cmd/demo/portal"
)

func TestKeysAreFetchedWhenNeeded(t *testing.T) {
	b := newBench(t)
	b.get("/login")
	b.post("/sso/latchkey", formOf("garbage", ""))
	if got := b.broker.fetched(); got != 0 {
		t.Errorf("got %d fetches before the first sign-in, want 0", got)
	}
	for range 5 {
		b.signIn(t, b.claims(nil))
	}
	if got := b.broker.fetched(); got != 1 {
		t.Errorf("got %d fetches after five sign-ins, want 1", got)
	}
}

func TestNewKeyIsFoundAtOnce(t *testing.T) {
	b := newBench(t)
	b.broker.publish(t, kidEC)
	wantStatus(t, b.post("/sso/latchkey", formOf(sign(t, kidEC, b.claims(nil)), origin+"/invoices?state=unpaid")), http.StatusSeeOther)
	b.broker.publish(t, kidEC, kidEd)
	b.signIn(t, b.claims(nil))
}

func TestUnknownKidsDoNotHammerTheBroker(t *testing.T) {
	b := newBench(t)
	b.signIn(t, b.claims(nil))
	for range 50 {
		res := b.post("/sso/latchkey", formOf(sign(t, "stranger", b.claims(nil)), origin+"/invoices?state=unpaid"))
		if res.StatusCode != http.StatusForbidden && res.StatusCode != http.StatusServiceUnavailable {
			t.Fatalf("got %d", res.StatusCode)
		}
	}
	if got := b.broker.fetched(); got > 5 {
		t.Errorf("got %d fetches for 50 unknown kids", got)
	}
	b.signIn(t, b.claims(nil))
}

func TestWithdrawnKeyStopsToCount(t *testing.T) {
	b := newBench(t)
	b.signIn(t, b.claims(nil))
	b.broker.publish(t, kidEC)
	b.advance(16 * time.Minute)
	wantStatus(t, b.present(t, b.claims(nil)), http.StatusForbidden)
}

func TestBrokerAway(t *testing.T) {
	b := newBench(t)
	b.broker.setDown(true)
	c := b.claims(nil)
	for range 10 {
		wantStatus(t, b.present(t, c), http.StatusServiceUnavailable)
	}
	if got := b.broker.fetched(); got != 1 {
		t.Errorf("got %d fetches from a broker that is down, want 1", got)
	}
	b.broker.setDown(false)
	b.advance(3 * time.Second)
	b.signIn(t, c) // the same assertion: nothing was spent
	b.broker.setDown(true)
	b.advance(time.Hour)
	b.signIn(t, b.claims(nil)) // with the keys from before
	b.advance(24 * time.Hour)
	wantStatus(t, b.present(t, b.claims(nil)), http.StatusServiceUnavailable)
}

func TestConfigNamesEveryProblem(t *testing.T) {
	_, err := portal.New(t.Context(), portal.Config{PublicURL: "https://portal.example.com/path", JWKSURL: "x", ExchangeURL: "ftp://x/"})
	for _, want := range []string{"PublicURL", "Issuer", "Audience", "JWKSURL", "ExchangeURL", "ClientSecret"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s in it", err, want)
		}
	}
}

func TestSecretDoesNotPrint(t *testing.T) {
	c := portal.Config{ClientSecret: portal.NewSecret("hush-hush")}
	js, err := json.Marshal(map[string]any{"s": c.ClientSecret})
	if err != nil {
		t.Fatal(err)
	}
	hidden := struct{ c portal.Config }{c}
	for _, s := range []string{
		fmt.Sprintf("%v %+v %#v %s %q", c, c, c, c.ClientSecret, c.ClientSecret),
		fmt.Sprintf("%v %+v %#v", hidden, hidden, hidden), string(js),
	} {
		if strings.Contains(s, "hush") {
			t.Errorf("printed: %s", s)
		}
	}
}

func TestClientOfTheCallerIsNotChanged(t *testing.T) {
	client := &http.Client{}
	newBench(t, func(c *portal.Config) { c.HTTPClient = client })
	if client.CheckRedirect != nil {
		t.Error("CheckRedirect of the caller's client was set")
	}
}
