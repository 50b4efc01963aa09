package app_test

import (
	"crypto/tls"
	"encoding/pem"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/api/cpanelfake"
	"github.com/latchkey-sso/latchkey/broker"
)

// hooksFleet is a daemon that has done its first round, on one server with alice
// and bob.
func hooksFleet(t *testing.T) (*faultWorld, *runningDaemon) {
	w := newFaultWorld(t, "web01")
	w.account("web01/alice", "web01/bob")
	w.subscribers("web01,alice,1001", "web01,bob,1002")
	w.configure(w.takesHooks())
	d := w.daemon()
	d.ready(t)
	if err := w.reached(wantLinks("Invoices", "Tickets", "web01/alice 1001", "web01/bob 1002")); err != nil {
		t.Fatal(err)
	}
	return w, d
}

// settled waits until nothing is in the queue.
func (w *faultWorld) settled() {
	w.t.Helper()
	eventually(w.t, soon, "the queue is empty", func() bool { return len(w.waiting()) == 0 })
}

// A new account has its links seconds after its server reported it.
func TestHookOfANewAccount(t *testing.T) {
	t.Parallel()
	w, _ := hooksFleet(t)
	w.account("web01/dave")
	w.subscribers("web01,alice,1001", "web01,bob,1002", "web01,dave,1003")
	w.report("Accounts::Create", "user", "dave")
	took := w.reachedSoon("dave has links", wantLinks("Invoices", "Tickets", "web01/alice 1001", "web01/bob 1002", "web01/dave 1003"))
	t.Logf("the links were there %s after the hook", took.Round(time.Millisecond))
	w.settled()
	if out := w.ok("log").out; !strings.Contains(out, "reconcile") {
		t.Errorf("the log lists\n%s\nwant the operation of the hook", out)
	}
}

// The portal may know a new account a little later than its server does.
func TestHookBeforeTheSubscriberIsKnown(t *testing.T) {
	t.Parallel()
	w, _ := hooksFleet(t)
	w.account("web01/dave")
	w.report("Accounts::Create", "user", "dave")
	eventually(t, soon, "the daemon has looked for dave", func() bool { return strings.Contains(w.ok("log").out, "reconcile") })
	w.subscribers("web01,alice,1001", "web01,bob,1002", "web01,dave,1003")
	took := w.reachedSoon("dave has links", wantLinks("Invoices", "Tickets", "web01/alice 1001", "web01/bob 1002", "web01/dave 1003"))
	t.Logf("the links were there %s after the subscriber was known", took.Round(time.Millisecond))
	w.settled()
}

// Of an account that was removed nothing is left in the store after the next round,
// and the report itself breaks nothing.
func TestHookOfARemovedAccount(t *testing.T) {
	t.Parallel()
	w, d := hooksFleet(t)
	w.must(w.servers["web01"].state.RemoveAccount("bob"))
	w.report("Accounts::Remove", "user", "bob")
	w.settled()
	w.ok("apply")
	if err := w.reached(wantLinks("Invoices", "Tickets", "web01/alice 1001")); err != nil {
		t.Error(err)
	}
	if log := d.log.String(); strings.Contains(log, `"level":"warn"`) || strings.Contains(log, `"level":"error"`) {
		t.Errorf("the daemon has\n%s\nwant no warning", log)
	}
}

// A renamed account's links lead to its new name within seconds, and its clicks
// work all the time.
func TestHookOfARenamedAccount(t *testing.T) {
	t.Parallel()
	w, _ := hooksFleet(t)
	w.must(w.servers["web01"].state.ModifyAccount("alice", func(a *cpanelfake.Account) { a.User = "alicia" }))
	if err := w.consistent(); err != nil {
		t.Errorf("just renamed: %v", err)
	}
	w.subscribers("web01,alicia,1001", "web01,bob,1002")
	w.report("Accounts::Modify", "user", "alice", "new_user", "alicia")
	want := wantLinks("Invoices", "Tickets", "web01/alicia 1001", "web01/bob 1002")
	var refused error
	took := eventually(t, soon, "the links lead to alicia", func() bool {
		if err := w.consistent(); err != nil {
			refused = err
		}
		return !slices.ContainsFunc(slices.Collect(maps.Keys(w.ours())), func(line string) bool { return strings.Contains(line, "BUT") })
	})
	t.Logf("the links lead to the new name %s after the hook", took.Round(time.Millisecond))
	if refused != nil {
		t.Errorf("on the way: %v", refused)
	}
	w.settled()
	w.ok("apply") // alice's records go with the next round
	if err := w.reached(want); err != nil {
		t.Error(err)
	}
}

// An account that came back from a backup has older tokens, or none that we know:
// it gets new ones.
func TestHookOfARestoredAccount(t *testing.T) {
	t.Parallel()
	w, _ := hooksFleet(t)
	alice := broker.Account{Server: "web01", User: "alice"}
	backup, err := w.servers["web01"].state.Links("alice")
	w.must(err)
	w.ok("rotate", "--account", "web01/alice")
	for _, l := range backup {
		w.must(w.servers["web01"].state.PutLink("alice", l))
	}
	if err := w.consistent(); err == nil {
		t.Fatal("the tokens of the backup are accepted: the test tells nothing")
	}
	before := w.tokensOf(alice)
	w.report("PkgAcct::Restore", "user", "alice")
	want := wantLinks("Invoices", "Tickets", "web01/alice 1001", "web01/bob 1002")
	took := w.reachedSoon("alice's tokens are accepted again", want)
	t.Logf("the tokens were replaced %s after the hook", took.Round(time.Millisecond))
	for app, token := range w.tokensOf(alice) {
		if before[app] == token {
			t.Errorf("%s has the token of the backup", app)
		}
	}
	w.settled()
}

// A backup of an account whose links were made since, or changed, comes back as it
// was: the daemon brings all of it to what is wanted.
func TestHookOfAnOldBackup(t *testing.T) {
	t.Parallel()
	w, _ := hooksFleet(t)
	state := w.servers["web01"].state
	w.must(state.RemoveLink("alice", "latchkey_tickets"))
	old, err := state.Link("alice", "latchkey_invoices")
	w.must(err)
	old.Label, old.SubscriberUniqueID, old.Token = "Former", "666", cpanelfake.NewToken("of-a-former-installation")
	w.must(state.PutLink("alice", old))
	w.must(state.RemoveGroup("alice", "latchkey"))
	w.report("Restore", "user", "alice")
	w.reachedSoon("alice has what is wanted", wantLinks("Invoices", "Tickets", "web01/alice 1001", "web01/bob 1002"))
	eventually(t, soon, "the group is back", func() bool {
		groups, err := state.Groups("alice")
		return err == nil && len(groups) == 1 && groups[0].ID == "latchkey"
	})
	w.settled()
}

// A renewed certificate is served without a restart, and files that do not fit
// together, as while they are being replaced, change nothing.
func TestHooksCertificateIsRenewed(t *testing.T) {
	t.Parallel()
	w := newFaultWorld(t, "web01")
	w.account("web01/alice")
	w.subscribers("web01,alice,1001")
	w.configure(w.takesHooks())
	d := w.daemonWaiting(hurried) // ten seconds are a fifth of one
	d.ready(t)
	served := func() string {
		conn, err := tls.Dial("tcp", w.hooks, &tls.Config{InsecureSkipVerify: true}) // which one is the question
		w.must(err)
		defer conn.Close()
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: conn.ConnectionState().PeerCertificates[0].Raw}))
	}
	former := w.file("hooks.crt")
	renewed, key := selfSigned(t)
	write(t, filepath.Join(w.dir, "hooks.crt"), renewed)
	eventually(t, soon, "the log complains of files that do not fit", func() bool {
		return strings.Contains(d.log.String(), "the certificate could not be read again; the former one stays")
	})
	if served() != former {
		t.Error("the certificate was replaced by one without a key")
	}
	write(t, filepath.Join(w.dir, "hooks.key"), key)
	eventually(t, soon, "the renewed certificate is served", func() bool { return served() == renewed })
	w.report("Accounts::Modify", "user", "alice") // over the renewed one
}
