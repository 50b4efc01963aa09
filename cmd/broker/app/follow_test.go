package app_test

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/cmd/broker/app"
	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/embedded"
)

// following is a broker over an embedded store that others write into.
type following struct {
	*running
	t     *testing.T
	redis *embedded.Redis
	log   *observer.ObservedLogs
	// billing and tickets are the link tokens of bob; stale was superseded.
	billing, tickets, stale broker.LinkToken
}

func startFollowing(t *testing.T) *following {
	t.Helper()
	return startFollowingOver(t, startRedis(t))
}

func startRedis(t *testing.T) *embedded.Redis {
	t.Helper()
	r, err := embedded.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func startFollowingOver(t *testing.T, r *embedded.Redis) *following {
	t.Helper()
	dir := t.TempDir()
	newKey(t, dir)
	core, log := observer.New(zap.InfoLevel)
	text := changed(t, configFile(dir, "127.0.0.1:6379", freeAddress(t), freeAddress(t)), "store: {", "store: {mode: embedded, ")
	o := app.Options{Config: loadConfig(t, text), Log: zap.New(core), Embedded: r}
	app.AnyRotations(&o) // a test asks again and again
	f := &following{t: t, redis: r, log: log, running: start(t, o)}
	waitReady(t, f.operators)
	f.billing, f.tickets = addLink(t, f.Store(), "latchkey_billing"), addLink(t, f.Store(), "latchkey_tickets")
	f.stale = f.supersede("latchkey_stale")
	return f
}

// supersede makes a link whose token was replaced, and returns the former.
func (f *following) supersede(app string) broker.LinkToken {
	f.t.Helper()
	former := addLink(f.t, f.Store(), app)
	token, err := broker.NewLinkToken(rand.Reader)
	if err != nil {
		f.t.Fatal(err)
	}
	record := store.LinkRecord{Link: bobs(app), Subscriber: "1234", Token: token.Digest(), Created: time.Now()}
	if err := f.Store().PutLink(f.t.Context(), record, true); err != nil {
		f.t.Fatal(err)
	}
	return former
}

// click posts as a server does and says how that ended: "signed on", "retry" or the
// status.
func (f *following) click(app string, token broker.LinkToken) string {
	f.t.Helper()
	form := url.Values{"token": {token.Reveal()}, "subscriber_unique_id": {"1234"}, "attempt": {"1"}}
	status, body := postForm(f.t, broker.AutologinURL(f.url, bobs(app)), form, nil)
	switch {
	case status == http.StatusOK && strings.Contains(body, "redirect_url"):
		return "signed on"
	case status == http.StatusOK && strings.Contains(body, "retry"):
		return "retry"
	}
	return fmt.Sprint(status)
}

// becomes waits until a click ends in a way, and returns how long that took.
func (f *following) becomes(app string, token broker.LinkToken, want string) time.Duration {
	f.t.Helper()
	begun := time.Now()
	got := ""
	eventually(f.t, app+" is answered with "+want, func() bool { got = f.click(app, token); return got == want })
	if got != want {
		f.t.Fatalf("%s: got %s, want %s", app, got, want)
	}
	return time.Since(begun)
}

func (f *following) stays(app string, token broker.LinkToken, want string) {
	f.t.Helper()
	if got := f.click(app, token); got != want {
		f.t.Errorf("%s: got %s, want %s", app, got, want)
	}
}

// publish puts links in force after the revision base.
func (f *following) publish(base int, links ...broker.LinkDefinition) {
	f.t.Helper()
	publishTo(f.t, f.Store(), base, links...)
}

func publishTo(t *testing.T, s *store.Store, base int, links ...broker.LinkDefinition) {
	t.Helper()
	r := broker.Revision{Author: "console", Source: broker.SourceImport, At: time.Now(), Group: broker.Group{ID: "latchkey", Label: "Billing"}, Links: links}
	if _, err := s.Publish(t.Context(), r, base); err != nil {
		t.Fatal(err)
	}
}

// looksAgain returns after the broker has asked the store twice more: it has seen a
// daemon come and go.
func (f *following) looksAgain() {
	f.t.Helper()
	if err := f.Store().Beat(f.t.Context(), time.Minute); err != nil {
		f.t.Fatal(err)
	}
	f.becomes("latchkey_stale", f.stale, "retry")
	if err := f.Store().Resign(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
	f.becomes("latchkey_stale", f.stale, "401")
}

func link(id, portal string, enabled bool) broker.LinkDefinition {
	return broker.LinkDefinition{ID: id, Enabled: enabled, Label: id, Implements: "billing", Portal: portal, Path: "/" + id}
}

const (
	logInForce = "revision of the catalogue in force"
	logBad     = "a revision of the catalogue cannot be used: publish one that can"
	logGone    = "the store has no revision of the catalogue any more: the configuration's links are in force"
	logLeftOut = "link left out"
	logAway    = "the store does not tell what has changed; the known catalogue stays in force, and after five seconds servers are told to retry"
)

// wantLogged wants a message so many times and returns the fields of the last.
func (f *following) wantLogged(message string, times int) map[string]any {
	f.t.Helper()
	found := f.log.FilterMessage(message).All()
	if len(found) != times {
		f.t.Fatalf("the log has %q %d times, want %d", message, len(found), times)
	}
	if times == 0 {
		return nil
	}
	return found[times-1].ContextMap()
}

// A published revision is in force within two seconds, without a restart; one that
// cannot be used changes nothing and is logged once.
func TestRevisionsAreFollowed(t *testing.T) {
	t.Parallel()
	f := startFollowing(t)
	f.stays("latchkey_billing", f.billing, "signed on")
	stale := link("stale", "portal", true)

	f.publish(0, link("billing", "portal", false), link("tickets", "support", true), stale)
	took := f.becomes("latchkey_billing", f.billing, "403")
	t.Logf("in force after %s", took.Round(time.Millisecond))
	if limit := 2 * time.Second; took > 5*limit { // five times, for a machine with much else to do
		t.Errorf("in force after %s, want %s", took, limit)
	}
	f.stays("latchkey_tickets", f.tickets, "signed on")
	if got := f.wantLogged(logInForce, 1); got["revision"] != int64(1) || got["author"] != "console" {
		t.Errorf("the log has %v, want revision 1 of console", got)
	}

	double := link("tickets", "portal", true)
	f.publish(1, link("billing", "portal", true), double, double, stale)
	eventually(t, "the log tells of the bad revision", func() bool { return f.log.FilterMessage(logBad).Len() > 0 })
	f.looksAgain()
	if got := f.wantLogged(logBad, 1); got["revision"] != int64(2) || got["in_force"] != "revision 1" || !strings.Contains(fmt.Sprint(got["error"]), `link "tickets": is there twice`) {
		t.Errorf("the log has %v, want revision 2 and what is wrong with it", got)
	}
	f.stays("latchkey_billing", f.billing, "403")
	f.stays("latchkey_tickets", f.tickets, "signed on")

	f.publish(2, link("billing", "portal", true), stale)
	f.becomes("latchkey_billing", f.billing, "signed on")
	f.stays("latchkey_tickets", f.tickets, "403")
	f.wantLogged(logInForce, 2)
	f.wantLogged(logBad, 1)
}

// A broker that starts while the last revisions cannot be used does as those that
// were there before: the last one that can be used is in force. When there is none,
// the configuration's links are. Either is logged, once.
func TestStartWithARevisionThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	double, stale := link("tickets", "portal", true), link("stale", "portal", true)
	tests := []struct {
		name             string
		revisions        [][]broker.LinkDefinition
		bad              int64
		inForce          string
		billing, tickets string // how a click ends
	}{
		{"one before can", [][]broker.LinkDefinition{
			{link("billing", "portal", true), stale}, {link("billing", "portal", false), link("tickets", "support", true), stale}, {double, double}, {double, double, stale},
		}, 4, "revision 2", "403", "signed on"},
		{"none can", [][]broker.LinkDefinition{{double, double}}, 1, "the configuration's links", "signed on", "signed on"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := startRedis(t)
			s := store.New(store.Config{Client: r.Client(), KeyPrefix: "latchkey:"})
			for base, links := range tt.revisions {
				publishTo(t, s, base, links...)
			}
			f := startFollowingOver(t, r)
			f.stays("latchkey_billing", f.billing, tt.billing)
			f.stays("latchkey_tickets", f.tickets, tt.tickets)
			if got := f.wantLogged(logBad, 1); got["revision"] != tt.bad || got["in_force"] != tt.inForce {
				t.Errorf("the log has %v, want revision %d and %q in force", got, tt.bad, tt.inForce)
			}
			f.publish(len(tt.revisions), link("billing", "portal", true), stale)
			f.becomes("latchkey_tickets", f.tickets, "403")
			f.stays("latchkey_billing", f.billing, "signed on")
			f.looksAgain()
			f.wantLogged(logBad, 1)
		})
	}
}

// A link that leads to a portal that this broker does not know is left out and
// named; the others are in force.
func TestRevisionWithAnUnknownPortal(t *testing.T) {
	t.Parallel()
	f := startFollowing(t)
	f.publish(0, link("billing", "shop", true), link("tickets", "support", true), link("stale", "portal", true))
	f.becomes("latchkey_billing", f.billing, "403")
	f.stays("latchkey_tickets", f.tickets, "signed on")
	f.looksAgain()
	got := f.wantLogged(logLeftOut, 1)
	if got["revision"] != int64(1) || got["problem"] != `billing leads to the portal "shop", which is not in this configuration` {
		t.Errorf("the log has %v, want billing of revision 1 and its portal", got)
	}
}

// When the store has forgotten its revisions the configuration's links are in force
// again, and that is logged.
func TestRevisionsThatAreGone(t *testing.T) {
	t.Parallel()
	f := startFollowing(t)
	f.publish(0, link("billing", "portal", false), link("stale", "portal", true))
	f.becomes("latchkey_billing", f.billing, "403")
	if err := f.redis.Client().Del(t.Context(), "latchkey:{catalogue}").Err(); err != nil {
		t.Fatal(err)
	}
	f.becomes("latchkey_billing", f.billing, "signed on")
	f.wantLogged(logGone, 1)
	f.publish(0, link("billing", "portal", false), link("stale", "portal", true))
	f.becomes("latchkey_billing", f.billing, "403")
}

// A daemon is believed as long as it says that it is alive.
func TestDaemonIsSeenAndLost(t *testing.T) {
	t.Parallel()
	f := startFollowing(t)
	f.publish(0, link("billing", "portal", true), link("stale", "portal", true))
	eventually(t, "the revision is in force", func() bool { return f.log.FilterMessage(logInForce).Len() > 0 })
	f.stays("latchkey_stale", f.stale, "401")
	beat := func() {
		t.Helper()
		if err := f.Store().Beat(t.Context(), 8*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	beat()
	t.Logf("seen after %s", f.becomes("latchkey_stale", f.stale, "retry").Round(time.Millisecond))
	if err := f.Store().Resign(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("its end was seen after %s", f.becomes("latchkey_stale", f.stale, "401").Round(time.Millisecond))
	beat()
	f.becomes("latchkey_stale", f.stale, "retry")
	f.redis.Advance(9 * time.Second) // killed, it says nothing more
	f.becomes("latchkey_stale", f.stale, "401")
	f.stays("latchkey_billing", f.billing, "signed on")
}

// While the store is away the known catalogue stays in force, no daemon is counted
// on, and the log says so once.
func TestStoreThatIsAwayIsFollowedAgain(t *testing.T) {
	t.Parallel()
	f := startFollowing(t)
	f.publish(0, link("tickets", "support", true), link("stale", "portal", true))
	f.becomes("latchkey_billing", f.billing, "403")
	f.looksAgain()
	f.redis.SetError("LOADING the dataset")
	eventually(t, "the log tells that the store is away", func() bool { return f.log.FilterMessage(logAway).Len() > 0 })
	for begun := time.Now(); time.Since(begun) < 2500*time.Millisecond; { // two more looks
		f.stays("latchkey_tickets", f.tickets, "retry") // of an outage, not of a rotation
	}
	f.redis.SetError("")
	f.looksAgain()
	f.wantLogged("the store tells again what has changed", 1)
	if got := f.wantLogged(logAway, 1); !strings.Contains(fmt.Sprint(got["error"]), "LOADING") {
		t.Errorf("the log has %v, want what Redis said", got)
	}
	f.stays("latchkey_billing", f.billing, "403")
	f.stays("latchkey_tickets", f.tickets, "signed on")
}
