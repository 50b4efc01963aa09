package store_test

import (
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/embedded"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

func TestConformanceEmbedded(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Subject {
		r, err := embedded.Start()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = r.Close() })
		return storetest.Subject{
			Store:  store.New(store.Config{Client: r.Client(), KeyPrefix: "latchkey:"}),
			Client: r.Client(), Advance: func(d time.Duration) { storetest.Advance(t, r.Client(), d) },
		}
	})
}
