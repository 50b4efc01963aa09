package storetest

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

// What tests of an account's record share.

const aFence = 7

var (
	written      = reconcile.Fingerprint{1, 2, 3, 4, 5}
	writtenLater = reconcile.Fingerprint{0, 0xff, '|', 0, 9}
)

func subscriber(id string) reconcile.Change {
	return reconcile.Change{Kind: reconcile.ChangeSubscriber, Subscriber: id}
}

func prepare(app string, token broker.LinkToken, at time.Time) reconcile.Change {
	return reconcile.Change{Kind: reconcile.ChangePrepare, App: app, Token: token.Digest(), Created: at, Written: written}
}

func promote(app string, token broker.LinkToken) reconcile.Change {
	return reconcile.Change{
		Kind: reconcile.ChangePromote, App: app, Token: token.Digest(), Created: created, Written: written, Subscriber: aCustomer,
	}
}

func drop(app string, token broker.LinkToken) reconcile.Change {
	return reconcile.Change{Kind: reconcile.ChangeDrop, App: app, Token: token.Digest()}
}

func forget(app string) reconcile.Change {
	return reconcile.Change{Kind: reconcile.ChangeForget, App: app}
}

func group(id string, written reconcile.Fingerprint) reconcile.Change {
	return reconcile.Change{Kind: reconcile.ChangeGroup, GroupID: id, Written: written}
}

func forgetGroup() reconcile.Change { return reconcile.Change{Kind: reconcile.ChangeForgetGroup} }

// write applies changes to the account of aLink.
func write(t *testing.T, s Subject, fence reconcile.Fence, list ...reconcile.Change) error {
	t.Helper()
	errs := s.Store.Write(t.Context(), fence, []reconcile.AccountChanges{{Account: aLink.Account, Changes: list}})
	if len(errs) != 1 {
		t.Fatalf("write: got %d errors, want one for the account", len(errs))
	}
	return errs[0]
}

func apply(t *testing.T, s Subject, list ...reconcile.Change) {
	t.Helper()
	if err := write(t, s, aFence, list...); err != nil {
		t.Fatalf("write: %v", err)
	}
}

// load returns the record of aLink's account.
func load(t *testing.T, s Subject) reconcile.Record {
	t.Helper()
	records := must[[]reconcile.Record](t)(s.Store.Load(t.Context(), []broker.Account{aLink.Account}))
	if len(records) != 1 || records[0].Account != aLink.Account {
		t.Fatalf("load: got %+v, want one record of %s", records, aLink.Account)
	}
	return records[0]
}

func wantLink(t *testing.T, s Subject, want reconcile.LinkRecord) {
	t.Helper()
	wantLinks(t, s, map[string]reconcile.LinkRecord{aLink.App: want})
}

func wantLinks(t *testing.T, s Subject, want map[string]reconcile.LinkRecord) {
	t.Helper()
	if got := load(t, s).Links; !reflect.DeepEqual(got, want) {
		t.Errorf("links:\ngot  %+v\nwant %+v", got, want)
	}
}

func wantNothing(t *testing.T, s Subject) {
	t.Helper()
	if dump := Dump(t, s.Client); dump != "" {
		t.Errorf("something was left behind:\n%s", dump)
	}
}

// wantCause posts a token of aLink; no cause means that it is accepted.
func wantCause(t *testing.T, s Subject, what string, token broker.LinkToken, want broker.Cause) {
	t.Helper()
	wantCauseFor(t, s, what, issueInput(t, token), want)
}

func wantCauseFor(t *testing.T, s Subject, what string, in broker.Issue, want broker.Cause) {
	t.Helper()
	_, err := s.Store.Issue(t.Context(), in)
	var got broker.Cause
	if denied, is := errors.AsType[*broker.DeniedError](err); is {
		got = denied.Cause
	} else if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if got != want {
		t.Errorf("%s: got cause %q, want %q", what, got, want)
	}
}

// keyOf returns the only key there is beside one-time tokens.
func keyOf(t *testing.T, s Subject) string {
	t.Helper()
	keys := slices.DeleteFunc(Keys(t, s.Client), func(key string) bool { return !strings.HasPrefix(key, "latchkey:acct:") })
	if len(keys) != 1 {
		t.Fatalf("got keys %q, want one account", keys)
	}
	return keys[0]
}
