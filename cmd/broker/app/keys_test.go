package app_test

import (
	"crypto/rand"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
)

// keep puts a key that was made at an instant into a directory.
func keep(t testing.TB, dir, algorithm string, made time.Time) *broker.Key {
	t.Helper()
	key, err := broker.GenerateKey(algorithm, rand.Reader, made)
	if err != nil {
		t.Fatal(err)
	}
	content, err := key.PEM()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	// A running broker reads the directory all the time: the file is there whole, or
	// not at all.
	half := filepath.Join(t.TempDir(), key.FileName())
	writeFile(t, half, string(content))
	if err := os.Rename(half, filepath.Join(dir, key.FileName())); err != nil {
		t.Fatal(err)
	}
	return key
}

func files(t testing.TB, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	contents := map[string]string{}
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		contents[e.Name()] = string(content)
	}
	return contents
}

func TestKeysNew(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{"EdDSA", "ES256", "RS256"} {
		dir := filepath.Join(t.TempDir(), "not", "there", "yet")
		args := []string{"keys", "new", "--dir", dir, "--alg", algorithm}
		code, out, errs := run(t, args, nil)
		wantRun(t, args, code, cli.ExitDone, "stderr", errs, "only key", "signs at once")

		path := strings.TrimSpace(out)
		if filepath.Dir(path) != dir || len(files(t, dir)) != 1 {
			t.Fatalf("%s: got %q and the files %v, want the path of the one file in %s", algorithm, out, files(t, dir), dir)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode: got %v, want -rw-------", algorithm, info.Mode())
		}
		if parent, err := os.Stat(dir); err != nil || parent.Mode().Perm() != 0o700 {
			t.Errorf("%s: mode of the directory: got %v (%v), want drwx------", algorithm, parent.Mode(), err)
		}
		ring, err := broker.LoadKeys(os.DirFS(dir))
		if err != nil {
			t.Fatalf("%s: load: %v", algorithm, err)
		}
		key := ring.Keys()[0]
		if key.Algorithm != algorithm || key.FileName() != info.Name() || time.Since(key.Since) > time.Hour {
			t.Errorf("got the key %s of %v in %s, want a new one for %s in %s", key.Algorithm, key.Since, info.Name(), algorithm, key.FileName())
		}
		if secret := files(t, dir)[info.Name()]; strings.Contains(out+errs, strings.Split(secret, "\n")[1]) {
			t.Errorf("%s: the private key was printed", algorithm)
		}
	}
}

func TestKeysNewTakesTheDirectoryOfTheConfiguration(t *testing.T) {
	t.Parallel()
	file := writeConfig(t, "127.0.0.1:6379")
	keys := filepath.Join(filepath.Dir(file), "keys")
	if err := os.RemoveAll(keys); err != nil {
		t.Fatal(err)
	}
	args := []string{"keys", "new", "-c", file}
	code, out, errs := run(t, args, nil) // without the secrets that serve needs
	wantRun(t, args, code, cli.ExitDone, "stderr", errs, "signs at once")
	if filepath.Dir(strings.TrimSpace(out)) != keys || len(files(t, keys)) != 1 {
		t.Errorf("got %q and %v, want one key in %s", out, files(t, keys), keys)
	}
}

// A later key waits until every portal knows it; what is there stays untouched.
func TestKeysNewBesideAnother(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	signing := keep(t, dir, "EdDSA", time.Now().Add(-time.Hour))
	before := files(t, dir)

	args := []string{"keys", "new", "--dir", dir}
	earliest := time.Now().UTC().Truncate(time.Second).Add(broker.KeyOverlap)
	code, out, errs := run(t, args, nil)
	wantRun(t, args, code, cli.ExitDone, "stderr", errs, "is published now and signs from ", "!at once")

	_, text, _ := strings.Cut(strings.TrimSuffix(strings.TrimSpace(errs), "."), "signs from ")
	signs, err := time.Parse(time.RFC3339, text)
	if err != nil || signs.Before(earliest) || signs.After(time.Now().Add(broker.KeyOverlap)) {
		t.Errorf("signs from: got %q (%v), want ten minutes from now", text, err)
	}
	ring, err := broker.LoadKeys(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	if got := ring.Signing(signs.Add(-time.Second)).ID; got != signing.ID {
		t.Errorf("a second before: the key %s signs, want the former one", got)
	}
	if got := ring.Signing(signs).FileName(); got != filepath.Base(strings.TrimSpace(out)) {
		t.Errorf("from then on: the key %s signs, want %s", got, out)
	}
	for name, content := range before {
		if files(t, dir)[name] != content {
			t.Errorf("%s was changed", name)
		}
	}
}

// However fast keys are made, none takes the place of another.
func TestKeysNewNeverOverwrites(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	seen := map[string]string{}
	for i := range 10 {
		code, out, errs := run(t, []string{"keys", "new", "--dir", dir}, nil)
		if code != cli.ExitDone {
			t.Fatalf("exit code %d: %s", code, errs)
		}
		now := files(t, dir)
		if len(now) != i+1 {
			t.Fatalf("after %d keys: got %d files %v, want one each and nothing else", i+1, len(now), now)
		}
		for name, content := range seen {
			if now[name] != content {
				t.Errorf("%s was changed", name)
			}
		}
		seen[filepath.Base(strings.TrimSpace(out))] = now[filepath.Base(strings.TrimSpace(out))]
	}
}

func TestKeysNewFails(t *testing.T) {
	t.Parallel()
	broken := t.TempDir()
	writeFile(t, filepath.Join(broken, "0-broken.pem"), "nothing")
	blocked := writeFile(t, filepath.Join(t.TempDir(), "a-file"), "")
	tests := []struct {
		name, args string
		dir        string
		code       int
		want       []string
	}{
		{"unknown algorithm", "--alg HS256", t.TempDir(), cli.ExitUsage, []string{"--alg", `"HS256"`, "EdDSA, ES256 or RS256"}},
		{"algorithm in another case", "--alg eddsa", t.TempDir(), cli.ExitUsage, []string{"--alg", `"eddsa"`}},
		{"empty algorithm", "--alg=", t.TempDir(), cli.ExitUsage, []string{"--alg"}},
		{"directory that is a file", "", blocked, cli.ExitFailed, []string{"write signing key", blocked}},
		{"a broken key beside it", "", broken, cli.ExitFailed, []string{"the key was made", broken, "0-broken.pem"}},
	}
	for _, tt := range tests {
		args := append([]string{"keys", "new", "--dir", tt.dir}, strings.Fields(tt.args)...)
		code, out, errs := run(t, args, nil)
		wantRun(t, args, code, tt.code, "stderr", errs, tt.want...)
		if tt.code == cli.ExitUsage && (out != "" || len(files(t, tt.dir)) != 0) {
			t.Errorf("%s: got %q and the files %v, want nothing", tt.name, out, files(t, tt.dir))
		}
	}
}

// Each key is told what it is for, and when that changes.
func TestKeysListStates(t *testing.T) {
	t.Parallel()
	now := time.Now().UTC().Truncate(time.Second)
	at := func(age time.Duration) time.Time { return now.Add(-age) }
	rfc := func(t time.Time) string { return t.Format(time.RFC3339) }
	const minute = time.Minute
	tests := []struct {
		name string
		ages []time.Duration // of the keys, oldest first; -1 for a file without a time
		want []string
	}{
		{"one new key", []time.Duration{1 * minute}, []string{"signing"}},
		{"one old key", []time.Duration{9000 * time.Hour}, []string{"signing"}},
		{"a key without a time", []time.Duration{-1}, []string{"signing"}},
		{"a new key waits", []time.Duration{9 * time.Hour, 4 * minute}, []string{"signing", "next, signs from " + rfc(at(-6*minute))}},
		{"it has taken over, the old one is still needed", []time.Duration{9 * time.Hour, 14 * minute}, []string{"old, may be deleted from " + rfc(at(-6*minute)), "signing"}},
		{"the old one is no longer needed", []time.Duration{9 * time.Hour, 24 * minute}, []string{"old, may be deleted", "signing"}},
		{"a key without a time is the oldest", []time.Duration{-1, 24 * minute}, []string{"old, may be deleted", "signing"}},
		{
			"all states at once", []time.Duration{48 * time.Hour, 24 * time.Hour, 15 * minute, 5 * minute, 1 * minute},
			[]string{
				"old, may be deleted from " + rfc(at(-5*minute)), "old, may be deleted from " + rfc(at(-5*minute)), "signing",
				"next, signs from " + rfc(at(-5*minute)), "next, signs from " + rfc(at(-9*minute)),
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			var keys []*broker.Key
			for _, age := range tt.ages {
				if age >= 0 {
					keys = append(keys, keep(t, dir, "EdDSA", at(age)))
					continue
				}
				k := keep(t, dir, "EdDSA", time.Unix(0, 0))
				if err := os.Rename(filepath.Join(dir, k.FileName()), filepath.Join(dir, "mine.pem")); err != nil {
					t.Fatal(err)
				}
				keys = append(keys, k)
			}
			code, text, errs := run(t, []string{"keys", "list", "--dir", dir}, nil)
			if code != cli.ExitDone || errs != "" {
				t.Fatalf("exit code %d, stderr %q", code, errs)
			}
			code, out, _ := run(t, []string{"keys", "list", "--dir", dir, "-o", "json"}, nil)
			var rows []struct{ KID, Alg, Made, State, File string }
			if err := json.Unmarshal([]byte(out), &rows); err != nil || code != cli.ExitDone {
				t.Fatalf("exit code %d, got %q: %v", code, out, err)
			}
			lines := strings.Split(strings.TrimSpace(text), "\n")
			if len(rows) != len(keys) || len(lines) != len(keys)+1 {
				t.Fatalf("got %d rows and %d lines, want %d keys:\n%s", len(rows), len(lines), len(keys), text)
			}
			for i, k := range keys {
				file, made, shown := k.FileName(), rfc(at(tt.ages[i])), rfc(at(tt.ages[i]))
				if tt.ages[i] < 0 {
					file, made, shown = "mine.pem", "", "unknown"
				}
				if r := rows[i]; r.KID != k.ID || r.Alg != "EdDSA" || r.Made != made || r.State != tt.want[i] || r.File != file {
					t.Errorf("row %d: got %+v, want %s, made %q, %q, %s", i, r, k.ID, made, tt.want[i], file)
				}
				want := strings.Join([]string{k.ID, "EdDSA", shown, tt.want[i], file}, " ")
				if got := strings.Join(strings.Fields(lines[i+1]), " "); got != want {
					t.Errorf("line %d: got %q, want %q", i, got, want)
				}
			}
		})
	}
}

func TestKeysListFails(t *testing.T) {
	t.Parallel()
	broken := t.TempDir()
	writeFile(t, filepath.Join(broken, "k.pem"), "nothing")
	tests := []struct {
		name, dir string
		want      []string
	}{
		{"no key", t.TempDir(), []string{"broker keys new"}},
		{"no directory", "/nowhere/keys", []string{"/nowhere/keys"}},
		{"a broken key", broken, []string{broken, "k.pem", "is not PEM"}},
	}
	for _, tt := range tests {
		args := []string{"keys", "list", "--dir", tt.dir}
		code, out, errs := run(t, args, nil)
		wantRun(t, args, code, cli.ExitFailed, "stderr", errs, tt.want...)
		if out != "" {
			t.Errorf("%s: stdout: got %q, want nothing", tt.name, out)
		}
	}
}

func TestTwoKeysOfOneSecond(t *testing.T) {
	t.Parallel()
	for range 5 {
		dir := t.TempDir()
		run(t, []string{"keys", "new", "--dir", dir}, nil)
		_, _, errs := run(t, []string{"keys", "new", "--dir", dir}, nil)
		if !strings.Contains(errs, "signs from") {
			t.Errorf("second key: got %q, want to read when it signs", errs)
		}
	}
}
