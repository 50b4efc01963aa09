package whm_test

import (
	"fmt"
	"testing"

	"github.com/latchkey-sso/latchkey/api/cpanelfake"
	"github.com/latchkey-sso/latchkey/api/whm/whmfake"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

// A command through both packages and TLS: what a run over many servers in a test
// pays for it.
func BenchmarkBatchOf100(b *testing.B) {
	for _, picture := range []bool{false, true} {
		b.Run(map[bool]string{false: "without icons", true: "with icons"}[picture], func(b *testing.B) {
			state := new(cpanelfake.State)
			for i := range 1000 {
				must(b, state.AddAccount(cpanelfake.Account{User: fmt.Sprintf("user%d", i)}))
			}
			c := clientOf(b, newFake(b, whmfake.Config{State: state, NoJournal: true}))
			image := icon(b)
			commands := make([]reconcile.Command, 100)
			n := 0
			for b.Loop() {
				for i := range commands {
					commands[i] = createLink(fmt.Sprintf("user%d", n/14%1000), fmt.Sprintf("latchkey_%d", n%14))
					if picture {
						commands[i].Link.Icon = image
					}
					n++
				}
				for _, r := range ok(c.Run(b.Context(), commands))(b) {
					must(b, r.Err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(n), "µs/command")
			b.ReportMetric(0, "ns/op")
		})
	}
}
