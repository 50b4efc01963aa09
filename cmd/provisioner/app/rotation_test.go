package app_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/latchkey-sso/latchkey/api/cpanelfake"
	"github.com/latchkey-sso/latchkey/api/whm/whmfake"
	"github.com/latchkey-sso/latchkey/broker"
	brokerapp "github.com/latchkey-sso/latchkey/cmd/broker/app"
	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
	"github.com/latchkey-sso/latchkey/cmd/internal/config"
	"github.com/latchkey-sso/latchkey/store/embedded"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// rotationWorld is a server with alice and bob, their page, a broker, and one
// clock for broker and provisioner that is moved by hand.
type rotationWorld struct {
	*faultWorld
	embedded *embedded.Redis
	audit    *observer.ObservedLogs
	ahead    atomic.Int64

	mu sync.Mutex
	// pauses are told the page's waiting between two attempts; nil does not wait.
	pause func(context.Context) error
	panel *cpanelfake.Server
}

const rotationAge = time.Hour // broker.link_token_max_age

// newRotationWorld starts everything but a daemon and applies.
func newRotationWorld(t *testing.T) *rotationWorld {
	t.Helper()
	r, err := embedded.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	w := &rotationWorld{faultWorld: newFaultWorldOn(t, r.Addr(), r.Client()), embedded: r}
	w.now = func() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }
	web01 := w.addServer("web01", whmfake.Config{})
	w.account("web01/alice", "web01/bob")
	w.subscribers("web01,alice,1001", "web01,bob,1002")
	w.panel, err = cpanelfake.New(cpanelfake.Config{
		Name: "web01.example.com", State: web01.state, Variant: cpanelfake.Variant{},
		Wait: func(ctx context.Context, d time.Duration) error {
			w.mu.Lock()
			pause := w.pause
			w.mu.Unlock()
			if pause == nil {
				return ctx.Err()
			}
			return pause(ctx)
		},
	})
	w.must(err)
	w.startBroker()
	w.ok("apply")
	return w
}

// startBroker assembles a broker over the world's store and clock.
func (w *rotationWorld) startBroker() {
	w.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	w.must(err)
	key, err := broker.GenerateKey("EdDSA", rand.Reader, time.Now())
	w.must(err)
	pem, err := key.PEM()
	w.must(err)
	write(w.t, filepath.Join(w.dir, "keys", key.FileName()), string(pem))
	w.configure(faultSettings{
		public: "http://" + listener.Addr().String(),
		broker: fmt.Sprintf(", signing_keys_dir: keys, drain_delay: 0s, link_token_max_age: %s, operator_listen: \"127.0.0.1:%d\", limits: {per_address_rate: 0, per_account_rate: 0, per_server_rate: 0}",
			rotationAge, storetest.FreePort(w.t)),
	})
	cfg, report := config.Load(config.LoadOptions{
		Path: w.config, Role: config.RoleBroker, Environ: []string{"LATCHKEY_STORE_MODE=" + config.StoreEmbedded},
	})
	w.must(report.Err())
	core, log := observer.New(zap.DebugLevel)
	w.audit = log
	b, err := brokerapp.New(brokerapp.Options{Config: cfg, Log: zap.New(core), Now: w.now, Listener: listener, Embedded: w.embedded})
	w.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("stop the broker: %v", err)
		}
	})
	eventually(w.t, soon, "the broker has read the store", func() bool { return log.FilterMessage("store is ready").Len() > 0 })
}

// later moves the clock.
func (w *rotationWorld) later(d time.Duration) { w.ahead.Add(int64(d)) }

// seen waits until the broker has learnt whether a daemon is alive: it asks each
// second.
func (w *rotationWorld) seen(alive bool) {
	w.t.Helper()
	eventually(w.t, soon, "the store knows of the daemon", func() bool {
		status, err := w.store.Status(w.t.Context())
		return err == nil && status.Daemon == alive
	})
	w.must(waitFor(w.t.Context(), 2500*time.Millisecond)) // nothing tells when it has asked
}

// untilRotated makes the page wait, between two attempts, until the account has
// other tokens. took is how long that was.
func (w *rotationWorld) untilRotated(user string) (took func() time.Duration) {
	a := broker.Account{Server: "web01", User: user}
	former := w.tokensOf(a)
	var waited atomic.Int64
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pause = func(context.Context) error {
		waited.Store(int64(eventually(w.t, soon, "the tokens of "+user+" were replaced", func() bool {
			now := w.tokensOf(a)
			for app, token := range former {
				if now[app] == token {
					return false
				}
			}
			return true
		})))
		return nil
	}
	return func() time.Duration { return time.Duration(waited.Load()) }
}

// click clicks and tells how it ended and what the audit has of it: "denied: cause".
func (w *rotationWorld) click(user, app string) (cpanelfake.Outcome, []string) {
	w.t.Helper()
	w.audit.TakeAll()
	out, err := w.panel.Click(w.t.Context(), user, app)
	w.must(err)
	var events []string
	for _, e := range w.audit.All() {
		if e.LoggerName != cli.AuditName {
			continue
		}
		fields := e.ContextMap()
		text := e.Message
		if cause, has := fields["cause"]; has {
			text += ": " + fmt.Sprint(cause)
		}
		if fields["server"] != "web01" || fields["user"] != user || fields["app"] != app {
			w.t.Errorf("audit: got %v, want web01/%s %s", fields, user, app)
		}
		events = append(events, text)
	}
	return out, events
}

func (w *rotationWorld) wantClick(what, user string, kind cpanelfake.Kind, attempts int, want ...string) {
	w.t.Helper()
	out, events := w.click(user, "latchkey_invoices")
	if out.Kind != kind || out.Attempts != attempts || !slices.Equal(events, want) {
		w.t.Errorf("%s: got %v with audit %q, want %s after %d attempts with %q", what, out, events, kind, attempts, want)
	}
}

// What the audit says.
const (
	auditIssued          = "issued"
	auditAskedAged       = "rotation asked for: link token past its maximum age"
	auditAskedSuperseded = "rotation asked for: superseded link token"
	auditAcceptedAged    = "aged link token accepted"
	auditDeniedAged      = "denied: link token past its maximum age"
	auditDeniedOld       = "denied: superseded link token"
)

// supersede puts the account's tokens of before a rotation back, as a backup does.
func (w *rotationWorld) supersede(user string) {
	w.t.Helper()
	former := w.tokensOf(broker.Account{Server: "web01", User: user})
	w.ok("rotate", "--account", "web01/"+user)
	for app, token := range former {
		w.must(w.servers["web01"].state.SetToken(user, app, cpanelfake.NewToken(token)))
	}
}

// An aged or superseded token is replaced during the click that shows it, when a
// daemon is there: one retry, then signed on.
func TestRotationDuringAClick(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		spoil func(*rotationWorld)
		asked string
	}{
		{"aged", func(w *rotationWorld) { w.later(rotationAge + time.Minute) }, auditAskedAged},
		{"aged beyond what is accepted", func(w *rotationWorld) { w.later(2*rotationAge + time.Minute) }, auditAskedAged},
		{"superseded", func(w *rotationWorld) { w.supersede("alice") }, auditAskedSuperseded},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newRotationWorld(t)
			d := w.daemon()
			w.seen(true)
			w.wantClick("before", "alice", cpanelfake.SignedOn, 1, auditIssued)
			tt.spoil(w)
			bobs := w.tokensOf(broker.Account{Server: "web01", User: "bob"})
			took := w.untilRotated("alice")
			w.wantClick("the click", "alice", cpanelfake.SignedOn, 2, tt.asked, auditIssued)
			t.Logf("the tokens were replaced %s after the broker had asked for it", took().Round(time.Millisecond))
			w.wantClick("the next click", "alice", cpanelfake.SignedOn, 1, auditIssued)
			if err := w.consistent(); tt.name == "superseded" && err != nil {
				t.Error(err)
			}
			for app, token := range w.tokensOf(broker.Account{Server: "web01", User: "bob"}) {
				if bobs[app] != token {
					t.Errorf("bob's %s has another token, and nobody asked for it", app)
				}
			}
			eventually(t, soon, "the request is done", func() bool { return len(w.waiting()) == 0 })
			if out := w.ok("log").out; strings.Count(out, "rotate ") < 1 || strings.Contains(out, "failed") {
				t.Errorf("the log lists\n%s\nwant a rotation and no failure", out)
			}
			if code := d.stop(); code != cli.ExitDone {
				t.Errorf("run: got exit code %d, want 0\n%s", code, d.log)
			}
		})
	}
}

// Without a living daemon an aged token is accepted for one more maximum age, then
// refused; a superseded one is refused. Each is logged.
func TestWithoutADaemon(t *testing.T) {
	t.Parallel()
	w := newRotationWorld(t)
	w.wantClick("new", "alice", cpanelfake.SignedOn, 1, auditIssued)
	w.later(rotationAge + time.Minute)
	w.wantClick("aged", "alice", cpanelfake.SignedOn, 1, auditAcceptedAged, auditIssued)
	w.later(rotationAge - 2*time.Minute)
	w.wantClick("just before twice the age", "alice", cpanelfake.SignedOn, 1, auditAcceptedAged, auditIssued)
	w.later(2 * time.Minute)
	w.wantClick("past twice the age", "alice", cpanelfake.FellBack, 1, auditDeniedAged)
	w.supersede("bob")
	w.wantClick("superseded", "bob", cpanelfake.FellBack, 1, auditDeniedOld)
	if got := w.waiting(); len(got) != 0 {
		t.Errorf("got the requests %q, want none: nobody would do them", got)
	}
	w.ok("apply") // replaces what has aged
	w.wantClick("after an apply", "alice", cpanelfake.SignedOn, 1, auditIssued)
	w.ok("rotate", "--account", "web01/bob")
	w.wantClick("after a rotation", "bob", cpanelfake.SignedOn, 1, auditIssued)
}

// A daemon that was killed counts as alive for its last seconds. The last attempt
// of a click is answered as if there were none.
func TestDaemonThatWasJustKilled(t *testing.T) {
	t.Parallel()
	w := newRotationWorld(t)
	w.supersede("bob")
	w.must(w.store.Beat(t.Context(), time.Minute))
	w.seen(true)
	w.later(rotationAge + time.Minute)
	w.wantClick("aged", "alice", cpanelfake.SignedOn, 3, auditAskedAged, auditAskedAged, auditAskedAged, auditAcceptedAged, auditIssued)
	w.wantClick("superseded", "bob", cpanelfake.FellBack, 3, auditAskedSuperseded, auditAskedSuperseded, auditAskedSuperseded, auditDeniedOld)
	w.must(w.store.Resign(t.Context()))
	w.seen(false)
	w.wantClick("aged, without", "alice", cpanelfake.SignedOn, 1, auditAcceptedAged, auditIssued)
	w.wantClick("superseded, without", "bob", cpanelfake.FellBack, 1, auditDeniedOld)
	want := []string{"rotate web01/alice", "rotate web01/bob"}
	if got := w.waiting(); !slices.Equal(slices.Sorted(slices.Values(got)), want) {
		t.Errorf("got the requests %q, want %q for the next daemon", got, want)
	}

	// The next one does what was asked for.
	w.daemon()
	eventually(t, soon, "the requests are done", func() bool { return len(w.waiting()) == 0 })
	w.wantClick("aged, with the next daemon", "alice", cpanelfake.SignedOn, 1, auditIssued)
	w.wantClick("superseded, with the next daemon", "bob", cpanelfake.SignedOn, 1, auditIssued)
}

// The daemon is stopped by what can happen at each step of a rotation: the click
// gets in all the same, with whichever token the server has.
func TestRotationInTrouble(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		fault whmfake.Fault
		// changed: the server has the new token although nobody said so.
		changed bool
	}{
		{"the server executes it and the reply is lost", whmfake.Fault{Kind: whmfake.LostReply}, true},
		{"the server answers half", whmfake.Fault{Kind: whmfake.HalfJSON}, true},
		{"the server does nothing", whmfake.Fault{Kind: whmfake.Status, Status: 503}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newRotationWorld(t)
			web01 := w.servers["web01"].whm
			web01.SetFault(func(r whmfake.Request) whmfake.Fault {
				if writing(r) {
					return tt.fault
				}
				return whmfake.Fault{}
			})
			d := w.daemon()
			w.seen(true)
			w.later(rotationAge + time.Minute)
			if tt.changed {
				w.untilRotated("alice")
				w.wantClick("in trouble", "alice", cpanelfake.SignedOn, 2, auditAskedAged, auditIssued)
			} else {
				w.wantClick("in trouble", "alice", cpanelfake.SignedOn, 3, auditAskedAged, auditAskedAged, auditAskedAged, auditAcceptedAged, auditIssued)
			}
			begun := time.Now()
			d.stop() // in the middle of its retries
			if took := time.Since(begun); took > soon {
				t.Errorf("it took the daemon %s to stop, want no more retries then", took)
			}
			if got := w.waiting(); !slices.Contains(got, "rotate web01/alice") {
				t.Errorf("got the requests %q, want the rotation that was not finished", got)
			}
			out, _ := w.click("alice", "latchkey_tickets")
			if out.Kind != cpanelfake.SignedOn {
				t.Errorf("after the daemon: got %v, want signed on", out)
			}
			web01.SetFault(nil)
			w.daemon()
			eventually(t, soon, "the next daemon has finished it", func() bool { return len(w.waiting()) == 0 })
			w.wantClick("at last", "alice", cpanelfake.SignedOn, 1, auditIssued)
			if err := w.consistent(); err != nil {
				t.Error(err)
			}
			records, err := w.store.Load(t.Context(), []broker.Account{{Server: "web01", User: "alice"}})
			w.must(err)
			for app, l := range records[0].Links {
				if !l.Confirmed || l.Pending != 0 {
					t.Errorf("%s: got confirmed %v with %d prepared tokens, want confirmed with none", app, l.Confirmed, l.Pending)
				}
			}
		})
	}
}
