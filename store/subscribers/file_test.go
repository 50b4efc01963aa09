package subscribers_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/latchkey-sso/latchkey/broker/reconcile"
	"github.com/latchkey-sso/latchkey/store/subscribers"
)

func TestFileHasRows(t *testing.T) {
	bob := func(where string) []reconcile.Subscription {
		return []reconcile.Subscription{subscription("web01", "bob", "1234", where)}
	}
	tests := []struct {
		name, text string
		want       []reconcile.Subscription
	}{
		{"CSV", "server,user,subscriber_unique_id\nweb01,bob,1234\nweb02,ann,77\n", []reconcile.Subscription{
			subscription("web01", "bob", "1234", "list:2"), subscription("web02", "ann", "77", "list:3"),
		}},
		{"CSV without a last line end", "server,user,subscriber_unique_id\nweb01,bob,1234", bob("list:2")},
		{"CSV with its columns in another order and more of them",
			"e-mail,subscriber_unique_id,user,note,server\nb@x.example,1234,bob,,web01\n", bob("list:2")},
		{"CSV with a BOM", "\ufeffserver,user,subscriber_unique_id\nweb01,bob,1234\n", bob("list:2")},
		{"CSV with CRLF", "server,user,subscriber_unique_id\r\nweb01,bob,1234\r\n", bob("list:2")},
		{"CSV with everything quoted", "\"server\",\"user\",\"subscriber_unique_id\"\n\"web01\",\"bob\",\"1234\"\n", bob("list:2")},
		{"CSV with spaces around values", " server , user , subscriber_unique_id \n web01\t, \"bob\",  1234  \n", bob("list:2")},
		{"CSV with blank lines", "\n \nserver,user,subscriber_unique_id\n\n   \n\t\nweb01,bob,1234\n\n", bob("list:7")},
		{"CSV with a value over two lines counts lines",
			"server,user,subscriber_unique_id,note\nweb02,ann,77,\"two\nlines, \"\"quoted\"\"\"\nweb01,bob,1234,\n", []reconcile.Subscription{
				subscription("web02", "ann", "77", "list:2"), subscription("web01", "bob", "1234", "list:4"),
			}},
		{"CSV values are not judged", "server,user,subscriber_unique_id\n,,\nnowhere,BOB!,=1+1\nnowhere,BOB!,=1+1\n", []reconcile.Subscription{
			subscription("", "", "", "list:2"), subscription("nowhere", "BOB!", "=1+1", "list:3"), subscription("nowhere", "BOB!", "=1+1", "list:4"),
		}},

		{"JSON lines", "{\"server\":\"web01\",\"user\":\"bob\",\"subscriber_unique_id\":\"1234\"}\n" +
			"{\"subscriber_unique_id\":77,\"user\":\"ann\",\"server\":\"web02\"}\n", []reconcile.Subscription{
			subscription("web01", "bob", "1234", "list:1"), subscription("web02", "ann", "77", "list:2"),
		}},
		{"JSON lines with BOM, CRLF and blank lines", "\ufeff\r\n{\"server\":\"web01\",\"user\":\"bob\",\"subscriber_unique_id\":1234}\r\n \r\n", bob("list:2")},
		{"JSON lines without a last line end", `{"server":"web01","user":"bob","subscriber_unique_id":1234}`, bob("list:1")},
		{"JSON numbers keep their digits", `{"server":"web01","user":1e3,"subscriber_unique_id":12345678901234567890}`, []reconcile.Subscription{
			subscription("web01", "1e3", "12345678901234567890", "list:1"),
		}},
		{"JSON null is no subscriber", `{"server":"web01","user":"bob","subscriber_unique_id":null}`, []reconcile.Subscription{
			subscription("web01", "bob", "", "list:1"),
		}},
		{"JSON with other members", `{"Server":"other","x":{"server":"other"},"server":"web01","y":[1,{}],"user":"bob","x":1,"subscriber_unique_id":" 1234 "}`, bob("list:1")},
		{"JSON lines longer than the buffer", `{"note":"` + strings.Repeat("x", 200<<10) + `","server":"web01","user":"bob","subscriber_unique_id":"1234"}` + "\n" +
			`{"server":"web02","user":"ann","subscriber_unique_id":77}`, []reconcile.Subscription{
			subscription("web01", "bob", "1234", "list:1"), subscription("web02", "ann", "77", "list:2"),
		}},

		{"JSON array", "\n[\n  {\"server\": \"web01\", \"user\": \"bob\",\n \"subscriber_unique_id\": \"1234\"},\n\n  {\"server\":\"web02\",\"user\":\"ann\",\"subscriber_unique_id\":77}\n]\n",
			[]reconcile.Subscription{subscription("web01", "bob", "1234", "list:3"), subscription("web02", "ann", "77", "list:6")}},
		{"JSON array on one line", `[{"server":"web01","user":"bob","subscriber_unique_id":"1234"},{"server":"web02","user":"ann","subscriber_unique_id":77}]`,
			[]reconcile.Subscription{subscription("web01", "bob", "1234", "list:1"), subscription("web02", "ann", "77", "list:1")}},

		{"empty", "", nil},
		{"blank", " \r\n\t\n", nil},
		{"nothing but a BOM", "\ufeff", nil},
		{"nothing but a header", "server,user,subscriber_unique_id\n\n", nil},
		{"empty array", " [ ] \n", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := read(t, subscribers.NewFile(write(t, "list", tt.text)))
			if err != nil {
				t.Errorf("got error %v, want none", err)
			}
			wantRows(t, got, tt.want)
		})
	}
}

func TestFileSaysWhatIsWrongAndWhere(t *testing.T) {
	const header = "server,user,subscriber_unique_id\n"
	const line = `{"server":"web01","user":"bob","subscriber_unique_id":"1234"}` + "\n"
	tests := []struct {
		name, text string
		rows       int
		want       []string
	}{
		{"no header", "web01,bob,1234\n", 0, []string{"accounts.csv:1: ", "has no server and no user and no subscriber_unique_id", "web01,bob,1234"}},
		{"a column is missing", "\nserver,username,subscriber_unique_id\n", 0, []string{"accounts.csv:2: ", "has no user:"}},
		{"a column is in other letters", "server,User,subscriber_unique_id\n", 0, []string{"has no user:", "server,User,"}},
		{"a column comes twice", "server,user,subscriber_unique_id,user\n", 0, []string{"accounts.csv:1: ", "the column user twice"}},
		{"semicolons", "\"server\";\"user\";\"subscriber_unique_id\"\n", 0, []string{"accounts.csv:1: ", "separated by semicolons"}},
		{"a spreadsheet's sep= line", "sep=;\nserver;user;subscriber_unique_id\n", 0, []string{"accounts.csv:1: ", "separated by semicolons"}},
		{"tabs", "server\tuser\tsubscriber_unique_id\n", 0, []string{"accounts.csv:1: ", "separated by tabs"}},
		{"UTF-16", "\xff\xfes\x00e\x00", 0, []string{"accounts.csv:1: ", "save it as UTF-8"}},
		{"a web page", "<!DOCTYPE html>\n<html>", 0, []string{"accounts.csv:1: ", "<!DOCTYPE html>"}},
		{"a field too few", header + "web01,bob,1234\nweb01,ann\n", 1, []string{"accounts.csv:3: ", "not as many fields as the header (2, not 3)"}},
		{"a field too many", header + "web01,bob,12,34\n", 0, []string{"accounts.csv:2: ", "not as many fields as the header (4, not 3)", "comma inside a value"}},
		{"a quote inside a value", header + "web01,bob,1234\nweb01,bo\"b,1234\n", 1, []string{"accounts.csv:3: ", "quote", "column 9"}},
		{"a quote that is not closed", header + "web01,bob,1234\nweb01,\"ann,1234\nweb02,zoe,5\n", 1, []string{"accounts.csv:3: ", "quote is not closed"}},
		{"a quote that is not closed for long", header + "web01,bob,1234\nweb01,\"ann,1234\n" + strings.Repeat("web02,zoe,5\n", 200_000), 1,
			[]string{"accounts.csv:3: ", "longer than 1 MiB"}},
		{"a wrong quote after leading blank lines", "\n\n" + header + "web01,bo\"b,1234\n", 0, []string{"accounts.csv:4: ", "line 4"}},

		{"JSON that is cut short", line + `{"server":"web01","us`, 1, []string{"accounts.csv:2: ", "not one whole JSON object"}},
		{"JSON object over many lines", "{\n\"server\": \"web01\"\n}\n", 0, []string{"accounts.csv:1: ", "not one whole JSON object on its line"}},
		{"two objects on a line", strings.TrimSpace(line) + line, 0, []string{"accounts.csv:1: ", "not one whole JSON object"}},
		{"JSON line that is no object", line + "[1]\n", 1, []string{"accounts.csv:2: ", "not a JSON object"}},
		{"a member is missing", line + `{"server":"web01","user":"bob","subscriber":"1"}`, 1, []string{"accounts.csv:2: ", "no member subscriber_unique_id"}},
		{"a member comes twice", `{"server":"web01","user":"bob","user":"bob","subscriber_unique_id":"1"}`, 0, []string{"accounts.csv:1: ", "the member user twice"}},
		{"a member comes twice, once escaped", `{"server":"web01","user":"bob","\u0075ser":"ann","subscriber_unique_id":"1"}`, 0, []string{"the member user twice"}},
		{"a member is true", `{"server":"web01","user":true,"subscriber_unique_id":"1"}`, 0, []string{"accounts.csv:1: ", "user must be text or a number"}},
		{"a member is a list", `{"server":"web01","user":"bob","subscriber_unique_id":["1"]}`, 0, []string{"accounts.csv:1: ", "subscriber_unique_id must be text or a number"}},
		{"a JSON line without end", line + `{"server":"` + strings.Repeat("x", 2<<20), 1, []string{"accounts.csv:2: ", "longer than 1 MiB"}},

		{"array that is not closed", "[\n" + line, 1, []string{"accounts.csv:2: ", "not closed", "not complete"}},
		{"array that is not closed after a comma", "[\n" + line + ",", 1, []string{"accounts.csv:", "not closed"}},
		{"array that breaks off inside an object", "[\n" + line + ",\n{\"server\":", 1, []string{"accounts.csv:", "not closed"}},
		{"array without a comma", "[\n" + line + line + "]", 1, []string{"accounts.csv:3: ", "not JSON", "comma"}},
		{"array with a comma too many", "[\n" + line + ",]", 1, []string{"accounts.csv:", "not JSON"}},
		{"array with something after it", "[\n" + line + "]\n" + line, 1, []string{"accounts.csv:4: ", "follows the end"}},
		{"array closed by a brace", "[\n" + line + "}", 1, []string{"accounts.csv:", "not JSON"}},
		{"array of numbers", "[\n1\n]", 0, []string{"accounts.csv:2: ", "not a JSON object"}},
		{"array with an object that lacks a member", "[\n" + line + ",\n{\"server\":\"web01\"}]", 1, []string{"accounts.csv:4: ", "no member user"}},
		{"array with a value without end", "[" + line + `,"` + strings.Repeat("x", 2<<20), 1, []string{"accounts.csv:2: ", "longer than 1 MiB"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := read(t, subscribers.NewFile(write(t, "accounts.csv", tt.text)))
			wantError(t, err, tt.want...)
			if len(got) != tt.rows {
				t.Errorf("got %d rows before the error, want %d", len(got), tt.rows)
			}
		})
	}
}

func TestFileThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	_, err := read(t, subscribers.NewFile(filepath.Join(dir, "none.csv")))
	wantError(t, err, "subscribers.file.path", "none.csv", "no such file")
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want one that is os.ErrNotExist", err)
	}
	_, err = read(t, subscribers.NewFile(dir))
	wantError(t, err, "subscribers.file.path", dir+" is a directory")
}

func TestFileThatGrowsMeanwhileIsAnError(t *testing.T) {
	path := write(t, "accounts.csv", "server,user,subscriber_unique_id\nweb01,bob,1\n")
	err := subscribers.NewFile(path).Read(t.Context(), func(reconcile.Subscription) error {
		return os.WriteFile(path, []byte("server,user,subscriber_unique_id\n"), 0o600)
	})
	wantError(t, err, "accounts.csv was changed while it was read", "rename")
}

func TestRowsErrorEndsTheReading(t *testing.T) {
	texts := map[string]string{
		"CSV":        "server,user,subscriber_unique_id\nweb01,bob,1\nweb01,ann,2\nweb01,zoe,3\n",
		"JSON lines": strings.Repeat(`{"server":"web01","user":"bob","subscriber_unique_id":1}`+"\n", 3),
		"JSON array": `[` + strings.Repeat(`{"server":"web01","user":"bob","subscriber_unique_id":1},`, 2) + `{"server":"web01","user":"bob","subscriber_unique_id":1}]`,
	}
	for name, text := range texts {
		t.Run(name, func(t *testing.T) {
			calls := 0
			err := subscribers.NewFile(write(t, "list", text)).Read(t.Context(), func(reconcile.Subscription) error {
				calls++
				if calls == 2 {
					return errStop
				}
				return nil
			})
			if err != errStop || calls != 2 { // the very error
				t.Errorf("got error %v after %d calls, want %v after 2", err, calls, errStop)
			}
		})
	}
}

func TestFileStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	path := write(t, "accounts.csv", "server,user,subscriber_unique_id\nweb01,bob,1\nweb01,ann,2\n")
	calls := 0
	err := subscribers.NewFile(path).Read(ctx, func(reconcile.Subscription) error {
		calls++
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) || calls != 1 {
		t.Errorf("got error %v after %d calls, want %v after 1", err, calls, context.Canceled)
	}
	wantError(t, err, "accounts.csv:2: ")
}

// manyRows writes a list of count rows.
func manyRows(t testing.TB, count int, head, format, separator, tail string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "list")
	f := ok(os.Create(path))(t)
	w := bufio.NewWriter(f)
	_, _ = w.WriteString(head)
	for i := range count {
		if i > 0 {
			_, _ = w.WriteString(separator)
		}
		_, _ = fmt.Fprintf(w, format, i%200, i, i)
	}
	_, _ = w.WriteString(tail)
	if err := errors.Join(w.Flush(), f.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFileIsNeverHeldInMemory(t *testing.T) {
	const object = `{"server":"web%03d","user":"user%d","subscriber_unique_id":%d}`
	tests := []struct {
		name                          string
		rows                          int
		head, format, separator, tail string
	}{
		{"CSV", 500_000, "server,user,subscriber_unique_id\n", "web%03d,user%d,%d", "\n", "\n"},
		{"JSON lines", 100_000, "", object, "\n", "\n"},
		{"JSON array", 100_000, "[", object, ",\n", "]"},
		{"JSON array on one line", 100_000, "[", object, ",", "]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := subscribers.NewFile(manyRows(t, tt.rows, tt.head, tt.format, tt.separator, tt.tail))
			wantSmallHeap(t, tt.rows, file)
		})
	}
}

// wantSmallHeap reads a source and looks at what is on the heap meanwhile.
func wantSmallHeap(t *testing.T, want int, source reconcile.Subscriptions) {
	t.Helper()
	const limit = 2 << 20
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, most, count := heap(), uint64(0), 0
	err := source.Read(t.Context(), func(reconcile.Subscription) error {
		if count++; count%(want/5) == 0 {
			most = max(most, heap())
		}
		return nil
	})
	if err != nil || count != want {
		t.Errorf("got %d rows and error %v, want %d and none", count, err, want)
	}
	if most > before+limit {
		t.Errorf("got %d KiB more on the heap while reading, want %d at most", (most-before)>>10, limit>>10)
	}
}

func BenchmarkFile(b *testing.B) {
	file := subscribers.NewFile(manyRows(b, 500_000, "server,user,subscriber_unique_id\n", "web%03d,user%d,%d", "\n", "\n"))
	b.ReportAllocs()
	for b.Loop() {
		if err := file.Read(b.Context(), func(reconcile.Subscription) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
