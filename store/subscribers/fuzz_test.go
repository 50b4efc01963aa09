package subscribers_test

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/latchkey-sso/latchkey/store/subscribers"
)

// FuzzFile shows that no file makes reading panic, that errors and rows say where
// they are from, and that a list written out again is the same list.
func FuzzFile(f *testing.F) {
	f.Add([]byte("server,user,subscriber_unique_id\nweb01,bob,1234\n"))
	f.Add([]byte("{\"server\":\"web01\",\"user\":\"bob\",\"subscriber_unique_id\":1234}\n"))
	f.Add([]byte("[{\"server\":\"web01\",\"user\":\"bob\",\"subscriber_unique_id\":\"1234\"},\n{}]"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(dir, "list.txt")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		file := subscribers.NewFile(path)
		rows, err := read(t, file)
		if err != nil && !strings.HasPrefix(err.Error(), "list.txt:") {
			t.Fatalf("got error %q, want one that begins with its place", err)
		}
		var again strings.Builder
		w := csv.NewWriter(&again)
		_ = w.Write([]string{"server", "user", "subscriber_unique_id"})
		last := 0
		for _, r := range rows {
			place, is := strings.CutPrefix(r.Where, "list.txt:")
			line, numberErr := strconv.Atoi(place)
			if !is || numberErr != nil || line < max(last, 1) {
				t.Fatalf("got place %q after line %d, want a later one", r.Where, last)
			}
			last = line
			_ = w.Write([]string{r.Account.Server, r.Account.User, r.Subscriber})
		}
		w.Flush()
		if err := os.WriteFile(path, []byte(again.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		same, err := read(t, file)
		if err != nil || len(same) != len(rows) {
			t.Fatalf("got %d rows and error %v from a list written out again, want %d", len(same), err, len(rows))
		}
		for i, r := range rows {
			// A CSV has one kind of line end, inside values, too.
			subscriber := strings.ReplaceAll(r.Subscriber, "\r\n", "\n")
			if got := same[i].Subscriber; got != subscriber {
				t.Fatalf("got subscriber %q in a list written out again, want %q", got, subscriber)
			}
		}
	})
}
