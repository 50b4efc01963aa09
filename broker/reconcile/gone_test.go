package reconcile_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

// everyone are the accounts of a settled world.
func everyone() []string { return []string{"web01/bob", "web01/eve", "web02/carol"} }

func TestAccountsThatAreGoneAreForgotten(t *testing.T) {
	gone := func(w *world) { delete(w.web01().accounts, "bob") }
	kept := "notice web01: 1 accounts are gone; their links are kept until a run has looked at every server and done everything there, because they may have moved"
	for _, tt := range []struct {
		name   string
		change func(*world)
		order  func(*reconcile.Order)
		want   []string // accounts in the store
		log    string
		failed bool
	}{
		{"forgotten", gone, nil, everyone()[1:], "debug web01 latchkey_invoices: end: forget, 1 done", false},
		{"kept while another server fails", func(w *world) {
			gone(w)
			w.web02().fault = func(int, request) fault { return fault{err: forbidden()} }
		}, nil, everyone(), kept, true},
		{"kept by a run on its server alone", gone, func(o *reconcile.Order) { o.Servers = []string{"web01"} }, everyone(), kept, false},
		{"kept by a run on one app", gone, func(o *reconcile.Order) { o.Policy.Apps = []string{invoices} }, everyone(), kept, false},
		{"kept by a run that does not look", gone, func(o *reconcile.Order) { o.Policy.TrustStore = true }, everyone(), kept, false},
		{"not looked for by a rotation", gone, func(o *reconcile.Order) { o.Policy.Rotate = true }, everyone(), "", false},
		{"not looked for by a run on another server", gone, func(o *reconcile.Order) { o.Servers = []string{"web02"} }, everyone(), "", false},
		{
			"not looked for by a run on single accounts", gone, func(o *reconcile.Order) { o.Accounts = []broker.Account{eve} }, everyone(), "", false,
		},
		{"kept while something is not done that may be where it has moved", func(w *world) {
			w.web01().copyTo("bob", w.web02(), "robert")
			w.subscribers[broker.Account{Server: "web02", User: "robert"}] = "1001"
			gone(w)
			w.web02().fault = refuseReads("robert")
		}, nil, everyone(), kept, true},
		{"kept while it may have moved to an account without a subscriber", func(w *world) {
			w.web01().copyTo("bob", w.web02(), "robert")
			gone(w)
		}, nil, everyone(), kept, false},
		{"forgotten though another account has no subscriber", func(w *world) {
			gone(w)
			w.web02().add("dave")
			delete(w.subscribers, carol)
		}, nil, everyone()[1:], "", false},
		{"forgotten though somebody else has the name of a link of ours", func(w *world) {
			gone(w)
			w.web02().foreign("carol", invoices, theirs)
			clear(w.worked)
			w.spec.link("invoices").Label = "Bills"
		}, nil, everyone()[1:], "", true},
		{"kept where the server still answers for it", func(w *world) { w.web01().unlisted["bob"] = true }, nil, everyone(),
			"notice web01 bob: listaccts does not name the account, but the server knows it: its links are left as they are", false},
		{"kept where the server does not answer for it", func(w *world) {
			gone(w)
			w.web01().fault = refuseReadsBy("bob", &reconcile.Failure{Scope: reconcile.ScopeServer, Message: "503"})
		}, nil, everyone(), "warning web01: 503", true},
		{"kept where the server refuses to answer for it", func(w *world) {
			gone(w)
			w.web01().fault = refuseReads("bob")
		}, nil, everyone(), "notice web01 bob: listaccts does not name the account, and WHM does not say that it is gone: its links are left as they are: Perl is broken", false},
		{"removing all of one server forgets", gone, func(o *reconcile.Order) {
			o.Servers, o.Policy = []string{"web01"}, reconcile.Policy{Remove: true}
		}, everyone()[2:], "", false},
		{"removing one app does not", gone, func(o *reconcile.Order) {
			o.Servers, o.Policy = []string{"web01"}, reconcile.Policy{Remove: true, Apps: []string{invoices}}
		}, everyone(), kept, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.settled()
			tt.change(w)
			o := w.order(reconcile.Policy{})
			if tt.order != nil {
				tt.order(&o)
			}
			if o.Policy.Remove {
				o.Directory = nil
			}
			r := w.run(o)
			wantLines(t, "accounts in the store", w.accounts(), tt.want)
			if lines := w.journal.lines(r.Operation, reconcile.LevelDebug); tt.log != "" && !contains(lines, tt.log) {
				t.Errorf("log:\ngot  %q\nwant %q in it", lines, tt.log)
			}
			if r.OK() == tt.failed {
				t.Errorf("got %+v, want failed %v", r, tt.failed)
			}
		})
	}
}

func refuseReads(user string) func(int, request) fault {
	return refuseReadsBy(user, refused("Perl is broken"))
}

// refuseReadsBy refuses all questions about a user.
func refuseReadsBy(user string, err error) func(int, request) fault {
	return func(_ int, r request) fault {
		f := fault{refuse: map[int]error{}}
		for i, c := range r.commands {
			if c.User == user {
				f.refuse[i] = err
			}
		}
		return f
	}
}

// A listing that lacks most accounts speaks of the token's rights.
func TestManyAccountsAreNotForgottenAtOnce(t *testing.T) {
	for _, tt := range []struct {
		name       string
		gone, stay int
		edit       func(*reconcile.Order)
		forgotten  bool
	}{
		{"20 of 22", 20, 2, nil, true},
		{"21 of 42", 21, 21, nil, true},
		{"21 of 41", 21, 20, nil, false},
		{"21 of 41, meant so", 21, 20, func(o *reconcile.Order) { o.ForgetMany = true }, true},
		{"21 of 41, removing everything", 21, 20, func(o *reconcile.Order) { o.Policy.Remove = true }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.web01().accounts = map[string]*panel{}
			w.subscribers = map[broker.Account]string{carol: "1003"}
			for i := range tt.gone + tt.stay {
				a := broker.Account{Server: "web01", User: fmt.Sprint("u", i)}
				w.web01().add(a.User)
				w.subscribers[a] = fmt.Sprint(2000 + i)
			}
			w.settled()
			for i := range tt.gone {
				delete(w.web01().accounts, fmt.Sprint("u", i))
			}
			o := w.order(reconcile.Policy{})
			if tt.edit != nil {
				tt.edit(&o)
			}
			r := w.run(o)
			if r.OK() != tt.forgotten {
				t.Errorf("got %+v, want OK %v", r.Servers, tt.forgotten)
			}
			want := fmt.Sprintf("%d of %d accounts seem to be gone: their links are kept; check the rights of the API token, or use --forget", tt.gone, tt.gone+tt.stay)
			if got := r.Servers[0].Problem; !tt.forgotten && got != want {
				t.Errorf("problem:\ngot  %q\nwant %q", got, want)
			}
			n := len(slices.DeleteFunc(w.accounts(), func(name string) bool { return name == "web02/carol" }))
			wantKept := tt.gone + tt.stay
			if tt.forgotten {
				wantKept = tt.stay
			}
			if o.Policy.Remove {
				wantKept = 0
			}
			if n != wantKept {
				t.Errorf("accounts in the store: got %d, want %d", n, wantKept)
			}
		})
	}
}

func TestAMoveThatIsNotFinishedLosesNoClick(t *testing.T) {
	w := newWorld(t)
	w.settled()
	robert := broker.Account{Server: "web02", User: "robert"}
	w.web01().copyTo("bob", w.web02(), "robert")
	delete(w.web01().accounts, "bob")
	w.subscribers[robert] = "1001"
	w.mu.Lock()
	w.check(bob)
	w.mu.Unlock()
	w.web02().fault = func(_ int, r request) fault {
		for i, c := range r.commands {
			if c.Function == reconcile.CreateLink && c.App == tickets {
				return fault{refuse: map[int]error{i: refused("the disk is full")}}
			}
		}
		return fault{}
	}
	if r := w.run(w.order(reconcile.Policy{})); r.OK() {
		t.Errorf("got %+v, want a failure", r)
	}
	w.web02().fault = nil
	w.apply(reconcile.Policy{})
	w.wantAllWork(robert)
	wantLines(t, "accounts in the store", w.accounts(), []string{"web01/eve", "web02/carol", "web02/robert"})
}

func TestAccountsThatAreMissingAreNamed(t *testing.T) {
	w := newWorld(t)
	for i := range 7 {
		w.subscribers[broker.Account{Server: "web02", User: fmt.Sprint("m", i)}] = "77"
	}
	r := w.apply(reconcile.Policy{})
	want := "notice web02: 7 accounts have a subscriber and are not on the server: m0, m1, m2, m3, m4, ..."
	if r.Counts.Missing != 7 {
		t.Errorf("counts: got %+v, want 7 missing", r.Counts)
	}
	if lines := w.journal.lines(r.Operation, reconcile.LevelNotice); !slices.Equal(lines, []string{want}) {
		t.Errorf("log:\ngot  %q\nwant %q", lines, want)
	}
	r = w.apply(reconcile.Policy{Rotate: true})
	if lines := w.journal.lines(r.Operation, reconcile.LevelNotice); len(lines) > 0 {
		t.Errorf("log of a rotation: got %q, want nothing", lines)
	}
}

func TestRecordsOfOtherServersAreLeftAlone(t *testing.T) {
	w := newWorld(t)
	w.settled()
	delete(w.servers, "web02")
	delete(w.subscribers, carol)
	r := w.apply(reconcile.Policy{})
	want := []string{"notice web02: the store has links of 1 accounts of this server, which is not in the configuration; they are left alone"}
	wantLines(t, "log", w.journal.lines(r.Operation, reconcile.LevelNotice), want)
	wantLines(t, "accounts in the store", w.accounts(), everyone())
}

func TestServersWithoutSupport(t *testing.T) {
	w := newWorld(t)
	w.web02().functions = []string{"applist", "listaccts"}
	r := w.apply(reconcile.Policy{})
	if got := r.Servers[1].State; got != reconcile.ServerUnsupported {
		t.Errorf("state: got %q, want unsupported", got)
	}
	wantLines(t, "log", w.journal.lines(r.Operation, reconcile.LevelInformation),
		[]string{"information web02: the server does not support integration links"})
	if writes := w.web02().writes; len(writes) > 0 {
		t.Errorf("it wrote %v", writes)
	}

	w.web01().functions = nil // where links of ours are, it is the token that lacks something
	r = w.run(w.order(reconcile.Policy{}))
	if s := r.Servers[0]; s.State != reconcile.ServerFailed || !strings.Contains(s.Problem, "links of 2 accounts are there: check the token's privileges") {
		t.Errorf("a server with links of ours: got %+v, want it failed", s)
	}

	none := newWorld(t)
	none.web01().functions, none.web02().functions = nil, nil
	r = none.apply(reconcile.Policy{})
	lines := none.journal.lines(r.Operation, reconcile.LevelInformation)
	if len(lines) != 3 || lines[2] != "notice: no server supports integration links" {
		t.Errorf("log: got %q, want a notice that no server supports them", lines)
	}
}

// An account that has moved works by its old records while its new server cannot be
// written to, for whatever reason.
func TestMovedToAServerWithoutSupport(t *testing.T) {
	w := newWorld(t)
	w.settled()
	w.web02().functions = []string{"applist", "listaccts"}
	delete(w.web01().accounts, "bob")
	delete(w.subscribers, bob)
	w.run(w.order(reconcile.Policy{}))
	if w.record(bob).Empty() {
		t.Error("the records of an account that may have moved are gone")
	}
}

// Whoever lost an account is cut off although the account's server cannot be reached.
func TestFormerSubscribersAreCutOffFirst(t *testing.T) {
	for name, policy := range map[string]reconcile.Policy{"looking": {}, "trusting the store": {TrustStore: true}, "one link only": {Apps: []string{tickets}}} {
		w := newWorld(t)
		w.settled()
		w.subscribers[bob] = "2002"
		w.superseding = true
		w.web01().functions = nil
		w.web01().hidden = nil
		delete(w.servers, "web01")
		w.servers["web01"] = newServer(w, "web01") // it has forgotten everything
		w.servers["web01"].functions = nil
		w.run(w.order(policy))
		r := w.record(bob)
		if r.Subscriber != "2002" {
			t.Errorf("%s: subscriber: got %s, want 2002", name, r.Subscriber)
		}
		for app, link := range r.Links {
			if link.Confirmed {
				t.Errorf("%s: a token of %s is accepted still", name, app)
			}
		}
		if other := w.record(eve); other.Subscriber != "1002" || !other.Links[invoices].Confirmed {
			t.Errorf("%s: somebody else's account: got %+v, want it unchanged", name, other)
		}
	}
}
