package app_test

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/cmd/loadgen/clicks"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// oneOf is a value for the long form, on a quiet machine, and one for a busy machine,
// where tests share the processor.
func oneOf[T any](strict, slack T) T {
	if storetest.Long {
		return strict
	}
	return slack
}

// bobAt clicks bob's billing, as often as a test likes.
func bobAt(t testing.TB, target string, link broker.LinkToken) clicks.Person {
	client := clicks.NewClient()
	t.Cleanup(client.CloseIdleConnections)
	return clicks.Person{URL: target, Client: client, Link: bobs("latchkey_billing"), Token: link, Subscriber: "1234"}
}

// anyRequest makes one of the requests that servers and browsers make.
func anyRequest(p clicks.Person) func(context.Context) string {
	return func(ctx context.Context) string {
		if rand.IntN(4) == 0 {
			return p.Login(ctx, "one_time_token="+strings.Repeat("x", 46))
		}
		_, outcome := p.Autologin(ctx, 1+rand.IntN(broker.MaxAttempts))
		return outcome
	}
}
