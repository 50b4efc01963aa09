package app_test

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/cmd/broker/app"
	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// denied is one reason to refuse a click.
type denied struct {
	name string
	link broker.Link
	form url.Values
	// first is done before the handler is asked; nil is nothing.
	first func()
}

// ask returns the answer, and how long it took.
func (d denied) ask(handler http.Handler) (*httptest.ResponseRecorder, time.Duration) {
	r := httptest.NewRequest(http.MethodPost, broker.AutologinURL("", d.link), strings.NewReader(d.form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	start := time.Now()
	if d.first != nil {
		d.first()
	}
	handler.ServeHTTP(w, r)
	return w, time.Since(start)
}

// refusing returns a broker over a real Redis, and every cause to refuse. The first is what
// the others are compared with.
func refusing(t *testing.T) (http.Handler, []denied) {
	t.Helper()
	redis, dir := storetest.StartRedis(t), t.TempDir()
	newKey(t, dir)
	cfg := loadConfig(t, configFile(dir, redis.Addr, freeAddress(t), freeAddress(t)))
	b := start(t, app.Options{Config: cfg, Log: cli.NewLog(io.Discard, "info")})
	waitReady(t, b.operators)
	superseded := addLink(t, b.Store(), "latchkey_billing")
	valid := broker.LinkToken{Secret: broker.NewSecret(strings.Repeat("v", len(superseded.Reveal())))}
	record := store.LinkRecord{Link: bobs("latchkey_billing"), Subscriber: "1234", Token: valid.Digest(), Created: time.Now()}
	if err := b.Store().PutLink(t.Context(), record, true); err != nil {
		t.Fatal(err)
	}
	form := func(token, subscriber string) url.Values {
		return url.Values{"token": {token}, "subscriber_unique_id": {subscriber}}
	}
	link := func(server, user, app string) broker.Link {
		return broker.Link{Account: broker.Account{Server: server, User: user}, App: app}
	}
	wrong, right := strings.Repeat("w", len(valid.Reveal())), valid.Reveal()
	public, _ := b.Handlers()
	good := denied{"none", bobs("latchkey_billing"), form(right, "1234"), nil}
	if w, _ := good.ask(public); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "redirect_url") {
		t.Fatalf("the right token: got %d %s, want 200", w.Code, w.Body)
	}
	return public, []denied{
		{"wrong token", good.link, form(wrong, "1234"), nil},
		{"superseded token", good.link, form(superseded.Reveal(), "1234"), nil},
		{"wrong subscriber", good.link, form(right, "1235"), nil},
		{"unknown account", link("web01", "eve", "latchkey_billing"), form(right, "1234"), nil},
		{"app that the account has not", bobs("latchkey_tickets"), form(right, "1234"), nil},
		{"app that nobody has", bobs("latchkey_unknown"), form(right, "1234"), nil},
		{"unknown server", link("web99", "bob", "latchkey_billing"), form(right, "1234"), nil},
	}
}

// Why a click is refused shows in no byte of the answer.
func TestRefusalsLookAlike(t *testing.T) {
	t.Parallel()
	public, causes := refusing(t)
	seen := func(d denied) string {
		w, _ := d.ask(public)
		h := w.Header().Clone()
		if id := h.Get("X-Request-Id"); len(id) != len("aaaa-bbbb-cccc-dddd") {
			t.Errorf("%s: X-Request-Id: got %q, want one", d.name, id)
		}
		h.Del("X-Request-Id")
		return fmt.Sprintf("%d %v %s", w.Code, h, w.Body)
	}
	want := seen(causes[0])
	if !strings.HasPrefix(want, "401 ") {
		t.Errorf("%s: got %s, want 401", causes[0].name, want)
	}
	for _, d := range causes[1:] {
		if got := seen(d); got != want {
			t.Errorf("%s: got %s, want what a %s gets, %s", d.name, got, causes[0].name, want)
		}
	}
	// The twin: another kind of answer is told apart.
	other := causes[0]
	other.form = url.Values{"token": {"x"}}
	if seen(other) == want {
		t.Error("a malformed request gets the same: this test would not notice a difference")
	}
}

// measure asks for every cause n times, in an order that changes each time, so that
// whatever else the machine does meets all of them.
func measure(public http.Handler, causes []denied, n int) [][]time.Duration {
	took := make([][]time.Duration, len(causes))
	for range n {
		for _, i := range rand.Perm(len(causes)) {
			_, t := causes[i].ask(public)
			took[i] = append(took[i], t)
		}
	}
	for i := range took {
		slices.Sort(took[i])
	}
	return took
}

// effect is the probability that one of a took longer than one of b, both sorted,
// above the even chance: 0 for no difference, ±0.5 for a whole one (the common
// language effect size, which belongs to the test of Mann and Whitney). Its
// standard error is about 0.41/√n where there is none.
func effect(a, b []time.Duration) float64 {
	less, equal, sum := 0, 0, 0.0
	for _, t := range a {
		for less < len(b) && b[less] < t {
			less++
		}
		for equal = max(equal, less); equal < len(b) && b[equal] == t; {
			equal++
		}
		sum += float64(less) + float64(equal-less)/2
	}
	return sum/float64(len(a)*len(b)) - 0.5
}

// mostEffect is what passes for none. Redis finds out that there is no account about
// a microsecond faster than that there is one, which is an effect of 0.03 here, where
// there is no network; to this comes the chance of the short run.
func mostEffect(n int) float64 { return 0.06 + 2.5*0.41/math.Sqrt(float64(n)) }

// Nor does it show in the time that the answer takes.
func TestRefusalsTakeAlike(t *testing.T) {
	public, causes := refusing(t)
	n := storetest.Amount(t, "TEST_TIMINGS", 2_000, 100_000)
	measure(public, causes, 100) // what happens the first time only
	took := measure(public, causes, n)
	for i, d := range causes {
		got := effect(took[i], took[0])
		t.Logf("%-30s median %v, effect %+.4f", d.name, took[i][n/2], got)
		if math.Abs(got) > mostEffect(n) {
			t.Errorf("%s: an effect of %+.4f on the time against a %s, want at most %.4f", d.name, got, causes[0].name, mostEffect(n))
		}
	}
	// The twin: a quarter of the time more is noticed.
	quarter := took[0][n/2] / 4
	slower := causes[0]
	slower.first = func() {
		for start := time.Now(); time.Since(start) < quarter; {
		}
	}
	took = measure(public, []denied{causes[0], slower}, n)
	got := effect(took[1], took[0])
	t.Logf("%-30s median %v, effect %+.4f", "a quarter more", took[1][n/2], got)
	if got <= mostEffect(n) {
		t.Errorf("a quarter of the time more has an effect of %+.4f only: this test would not notice it", got)
	}
}
