package api_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// asked is what an autologin reads from a body, by field, where the library reads
// values. Fields without a value are left out.
type asked map[string]string

func (d *domain) asked(t *testing.T) asked {
	t.Helper()
	b := d.bound(t)
	found := asked{"app": b.app, "token": b.token, "user": b.user, "subscriber_unique_id": b.subscriber}
	for name, value := range found {
		if value == "" {
			delete(found, name)
		}
	}
	return found
}

func (a asked) equal(t *testing.T, want asked) {
	t.Helper()
	for _, name := range []string{"app", "token", "user", "subscriber_unique_id"} {
		if a[name] != want[name] {
			t.Errorf("%s: got %q, the library reads %q", name, a[name], want[name])
		}
	}
}

// FuzzForm holds our reading of a form, which keeps next to nothing in memory, to
// url.ParseQuery, which keeps it all. A long field of another name may stand before
// or after, so that parts of the body come in several reads.
func FuzzForm(f *testing.F) {
	for _, body := range []string{
		linkBody, "token=%31+2&user=b%6fb", "to%6ben=x", "&&=&=x&token", "token=%zz", "x=%", "x=%4", "token=1;user=2", "token=a&token=a", "user=\xff", "x=%e2%82%ac",
	} {
		f.Add(body, uint16(0), false)
		f.Add(body, uint16(4095), false)
		f.Add(body, uint16(9000), true)
	}
	d := &domain{}
	s := newServer(f, d)
	f.Fuzz(func(t *testing.T, body string, long uint16, after bool) {
		switch {
		case long > 0 && after:
			body += strings.Repeat("y", int(long))
		case long > 0:
			body = "x=" + strings.Repeat("%41", int(long)/3) + strings.Repeat("A", int(long)%3) + body
		}
		a := fuzzed(t, s, d, post("/autologin", formType, body))
		values, err := url.ParseQuery(body)
		if err != nil {
			if a.status != http.StatusBadRequest {
				t.Errorf("%.200q: got %d, want 400: %v", body, a.status, err)
			}
			return
		}
		if a.status != http.StatusOK {
			if !slices.ContainsFunc([]string{"app", "token", "user", "subscriber_unique_id", "attempt"}, func(name string) bool { return refused(values[name]) || name == "attempt" && values.Has(name) }) {
				t.Errorf("%.200q: got %d %s, want 200", body, a.status, a.body)
			}
			return
		}
		want := asked{}
		for name := range values {
			want[name] = values.Get(name)
		}
		d.asked(t).equal(t, want)
	})
}

// refused says that a field may be refused: it is there twice, or its value is not
// one that any of ours may have.
func refused(values []string) bool {
	return len(values) > 1 || len(values) == 1 && (len(values[0]) > 512 || strings.ToValidUTF8(values[0], "") != values[0])
}

// FuzzObject holds our reading of JSON to encoding/json, where both take it.
func FuzzObject(f *testing.F) {
	for _, body := range []string{
		`{"token":"x","subscriber_unique_id":1234}`, `{"a":[{"token":"y"}],"token":"\u0031\n","user":null}`, `{"x":"\ud83d\ude00\\\"","token":1e5}`,
		`{"x":12345678901234567890,"token":"z"}`, `{"token":"a"}{}`, `{"x":[1,],"token":"a"}`, `{"x":{"y":tru},"token":"a"}`, `{"x" "y"}`,
	} {
		f.Add(body, uint16(0))
		f.Add(body, uint16(5000))
	}
	d := &domain{}
	s := newServer(f, d)
	f.Fuzz(func(t *testing.T, body string, long uint16) {
		if long > 0 { // where there is a backslash, the long text is full of them
			filler := strings.Repeat("A", int(long))
			if strings.Contains(body, `\`) {
				filler = strings.Repeat(`\"\u00e4`, int(long)/8)
			}
			body = strings.Replace(body, "{", `{"filler":"`+filler+`","space":`+strings.Repeat(" ", int(long))+`[`+strings.Repeat("1", int(long))+`],`, 1)
		}
		a := fuzzed(t, s, d, post("/autologin", jsonType, body))
		if !json.Valid([]byte(body)) {
			// What a long text is left out of is not judged.
			if a.status != http.StatusBadRequest && len(body) < 4<<10 {
				t.Errorf("%.200q: got %d, want 400", body, a.status)
			}
			return
		}
		if a.status != http.StatusOK {
			return
		}
		var members map[string]any
		decoder := json.NewDecoder(bytes.NewReader([]byte(body)))
		decoder.UseNumber()
		if err := decoder.Decode(&members); err != nil {
			t.Fatalf("%.200q: got 200, the library says %v", body, err)
		}
		want := asked{}
		for name, value := range members {
			switch value := value.(type) {
			case string:
				want[name] = value
			case json.Number:
				want[name] = value.String()
			}
		}
		d.asked(t).equal(t, want)
	})
}
