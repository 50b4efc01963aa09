package portal_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/cmd/demo/portal"
	"github.com/latchkey-sso/latchkey/deploy/portal-kit/corpus"
)

func TestEveryCaseOfTheCorpusIsJudgedRight(t *testing.T) {
	all, err := corpus.Read()
	if err != nil {
		t.Fatal(err)
	}
	broker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(all.JWKS) }))
	t.Cleanup(broker.Close)
	for _, c := range all.Cases {
		t.Run(c.Name, func(t *testing.T) {
			// A portal for each: the keys for an unknown kid are fetched at a limited
			// rate, and most cases have one jti.
			b := newBench(t, func(cfg *portal.Config) {
				cfg.PublicURL, cfg.Issuer, cfg.Audience = all.Origin, all.Issuer, all.Audience
				cfg.JWKSURL = broker.URL
				cfg.Now = func() time.Time { return time.Unix(all.Now, 0) }
			})
			form := url.Values{"assertion": {c.Assertion}}.Encode()
			if !c.Accept {
				b.mustRefuse(t, form)
				return
			}
			res := b.post("/sso/latchkey", form)
			if res.StatusCode != http.StatusSeeOther {
				t.Fatalf("got %d, want 303: %s: %v", res.StatusCode, c.Why, b.reasons())
			}
			if got := b.signIns(); len(got) != 1 || got[0].Subscriber != c.Subject {
				t.Errorf("signed in: got %+v, want %s", got, c.Subject)
			}
			page := all.Origin + b.signIns()[0].Page
			if page != c.TargetLinkURI && page != c.TargetLinkURI+"/" {
				t.Errorf("page: got %s, want %s", page, c.TargetLinkURI)
			}
		})
	}
}
