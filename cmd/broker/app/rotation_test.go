package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/cmd/broker/app"
)

// publishWithin is longer than a running broker takes to read its keys again.
const publishWithin = 30 * time.Second

// published returns the ids of a broker's key set.
func published(t testing.TB, base string) []string {
	t.Helper()
	status, body := get(t, base+"/.well-known/jwks.json", nil)
	var set struct{ Keys []struct{ KID string } }
	if err := json.Unmarshal([]byte(body), &set); err != nil || status != http.StatusOK {
		t.Fatalf("key set: got %d %s (%v)", status, body, err)
	}
	var ids []string
	for _, k := range set.Keys {
		ids = append(ids, k.KID)
	}
	return ids
}

// waitPublished waits until a running broker has read its directory again.
func waitPublished(t testing.TB, base string, want ...*broker.Key) {
	t.Helper()
	var ids, got []string
	for _, k := range want {
		ids = append(ids, k.ID)
	}
	for deadline := time.Now().Add(publishWithin); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if got = published(t, base); slices.Equal(got, ids) {
			return
		}
	}
	t.Fatalf("key set: got %v, want %v", got, ids)
}

// signedBy returns the id of the key that signs now. It verifies as a portal
// does, with the published key set.
func signedBy(t *testing.T, b *running, link broker.LinkToken) string {
	t.Helper()
	assertion := assertionOf(t, autologin(t, b.url, "latchkey_billing", link))
	_, set := get(t, b.url+"/.well-known/jwks.json", nil)
	keys, err := keyfunc.NewJWKSetJSON(json.RawMessage(set))
	if err != nil {
		t.Fatalf("key set %s: %v", set, err)
	}
	// The clock of the test runs ahead, so the times are not judged here.
	token, err := jwt.NewParser(jwt.WithoutClaimsValidation()).Parse(assertion, keys.Keyfunc)
	if err != nil {
		t.Fatalf("assertion: %v", err)
	}
	kid, _ := token.Header["kid"].(string)
	return kid
}

// assertionOf follows a one-time URL of ours as a browser does.
func assertionOf(t *testing.T, oneTimeURL string) string {
	t.Helper()
	status, page := get(t, oneTimeURL, navigation)
	_, rest, found := strings.Cut(page, `name="assertion" value="`)
	assertion, _, _ := strings.Cut(rest, `"`)
	if status != http.StatusOK || !found || strings.Count(assertion, ".") != 2 {
		t.Fatalf("login: got %d %s, want the hand-over page", status, page)
	}
	return assertion
}

// A running broker publishes a key that is put beside another, stops publishing
// one that is gone, and signs with the new one ten minutes later. A file that
// cannot be read changes nothing.
func TestKeysAreRotatedWithoutARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	keys := filepath.Join(dir, "keys")
	started := time.Now()
	retired := keep(t, keys, "RS256", started.Add(-48*time.Hour))
	former := keep(t, keys, "EdDSA", started.Add(-time.Hour))
	var ahead atomic.Int64
	core, log := observer.New(zap.InfoLevel)
	text := changed(t, configFile(dir, "127.0.0.1:6379", freeAddress(t), freeAddress(t)), "store: {", "store: {mode: embedded, ")
	b := start(t, app.Options{
		KeyInterval: 20 * time.Millisecond,
		Config:      loadConfig(t, text), Log: zap.New(core),
		Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) },
	})
	waitReady(t, b.operators)
	link := addLink(t, b.Store(), "latchkey_billing")
	wantSigning := func(when string, want *broker.Key) {
		t.Helper()
		if got := signedBy(t, b, link); got != want.ID {
			t.Errorf("%s: signed with the key %s, want %s", when, got, want.ID)
		}
	}
	wantSigning("at first", former)

	if err := os.Remove(filepath.Join(keys, retired.FileName())); err != nil {
		t.Fatal(err)
	}
	next := keep(t, keys, "ES256", started)
	waitPublished(t, b.url, former, next)
	wantSigning("a new key that portals may not know yet", former)
	ahead.Store(int64(broker.KeyOverlap + time.Minute))
	wantSigning("ten minutes later", next)

	writeFile(t, filepath.Join(keys, "0-broken.pem"), "nothing")
	const complaint = "signing keys could not be read again"
	deadline := time.Now().Add(publishWithin)
	for log.FilterMessageSnippet(complaint).Len() == 0 && time.Now().Before(deadline) {
		time.Sleep(50 * time.Millisecond)
	}
	complaints := log.FilterMessageSnippet(complaint).All()
	if len(complaints) == 0 {
		t.Fatal("a broken key file: the log has no word about it")
	}
	if c := complaints[0].ContextMap(); c["dir"] != keys || !strings.Contains(fmt.Sprint(c["error"]), "0-broken.pem: is not PEM") {
		t.Errorf("a broken key file: the log has %v, want it to name the directory and the file", c)
	}
	waitPublished(t, b.url, former, next)
	wantSigning("a broken key file", next)
}
