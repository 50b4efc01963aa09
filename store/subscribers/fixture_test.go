package subscribers_test

import (
	"errors"
	"io"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// canary stands wherever a secret can stand.
const canary = "canary-5ecret"

var errStop = errors.New("the caller has seen enough")

// ok ends the test when there is an error: ok(f())(t).
func ok[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// write makes a file and returns its path.
func write(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// read returns all rows of a source, also those before an error.
func read(t testing.TB, source reconcile.Subscriptions) ([]reconcile.Subscription, error) {
	t.Helper()
	var all []reconcile.Subscription
	err := source.Read(t.Context(), func(s reconcile.Subscription) error {
		all = append(all, s)
		return nil
	})
	return all, err
}

func subscription(server, user, subscriber, where string) reconcile.Subscription {
	return reconcile.Subscription{Account: broker.Account{Server: server, User: user}, Subscriber: subscriber, Where: where}
}

func wantRows(t testing.TB, got, want []reconcile.Subscription) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got rows\n%+v\nwant\n%+v", got, want)
	}
}

// wantError expects an error that has every one of parts, and no canary.
func wantError(t testing.TB, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("got no error, want one with %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("got error %q, want one with %q", err, part)
		}
	}
	wantNoSecret(t, err, canary)
}

func wantNoSecret(t testing.TB, err error, secrets ...string) {
	t.Helper()
	for ; err != nil; err = errors.Unwrap(err) {
		for _, secret := range secrets {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("error %q has the secret %q", err, secret)
			}
		}
	}
}

// quiet is for servers whose clients are expected to fail.
func quiet() *log.Logger { return log.New(io.Discard, "", 0) }
