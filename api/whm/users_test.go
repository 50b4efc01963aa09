package whm_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/latchkey-sso/latchkey/api/cpanelfake"
	"github.com/latchkey-sso/latchkey/api/whm"
	"github.com/latchkey-sso/latchkey/api/whm/whmfake"
)

func TestUsersAreListedPageByPage(t *testing.T) {
	for _, v := range whmfake.Variants() {
		state := new(cpanelfake.State)
		fake := newFake(t, whmfake.Config{State: state, Variant: v})
		var want []string
		for _, accounts := range []int{0, 1, 2, 3, 7} {
			for i := len(want); i < accounts; i++ {
				want = append(want, fmt.Sprintf("user%d", i))
				must(t, state.AddAccount(cpanelfake.Account{User: want[i], Domain: "d.example", Suspended: i == 1}))
			}
			for _, size := range []int{1, 2, 3, 100} {
				t.Run(fmt.Sprintf("%s/%d by %d", v, accounts, size), func(t *testing.T) {
					fake.Reset()
					got := ok(clientOf(t, fake, func(c *whm.Config) { c.PageSize = size }).Users(t.Context()))(t)
					slices.Sort(got)
					if !slices.Equal(got, want) {
						t.Errorf("got %v, want %v", got, want)
					}
					if most := accounts/size + 2; fake.Requests() > most {
						t.Errorf("got %d requests, want %d at most", fake.Requests(), most)
					}
				})
			}
		}
	}
}

func TestUsersKeepsNoListThatChangedMeanwhile(t *testing.T) {
	state := new(cpanelfake.State)
	for i := range 6 {
		must(t, state.AddAccount(cpanelfake.Account{User: fmt.Sprintf("user%d", i)}))
	}
	fake := newFake(t, whmfake.Config{State: state})
	c := clientOf(t, fake, func(c *whm.Config) { c.PageSize = 2 })
	var asked atomic.Int64
	fake.SetFault(func(whmfake.Request) whmfake.Fault {
		if asked.Add(1) == 2 {
			_ = state.RemoveAccount("user0") // user2 moves to the first page, which was read
		}
		return whmfake.Fault{}
	})
	_, err := c.Users(t.Context())
	expect(t, err, kind{item, true, false}, "changed")
	if got := ok(c.Users(t.Context()))(t); len(got) != 5 {
		t.Errorf("got %v, want the five that are left", got)
	}
}

func TestListsInOtherForms(t *testing.T) {
	tests := []struct {
		name, data string
		want       []string // nil with unreadable
		unreadable bool
	}{
		{"objects", `{"acct":[{"user":"a","domain":"x"},{"user":"b"}]}`, []string{"a", "b"}, false},
		{"names", `{"acct":["a","b"]}`, []string{"a", "b"}, false},
		{"numbers for names", `{"acct":[{"user":12}]}`, []string{"12"}, false},
		{"one object", `{"acct":{"user":"a"}}`, []string{"a"}, false},
		{"an object by name", `{"acct":{"a":{"plan":"x"},"b":{"user":"b"}}}`, []string{"a", "b"}, false},
		{"twice the same", `{"acct":["a","a"]}`, []string{"a"}, false},
		{"empty", `{"acct":[]}`, nil, false},
		{"null", `{"acct":null}`, nil, false},
		{"an empty object", `{"acct":{}}`, nil, false},

		// These would make all accounts seem removed.
		{"no list", `{}`, nil, true},
		{"no data", `null`, nil, true},
		{"a word", `{"acct":"none"}`, nil, true},
		{"a number", `{"acct":3}`, nil, true},
		{"data is a list", `[]`, nil, true},
		{"an entry without a name", `{"acct":[{"user":"a"},{"domain":"x"}]}`, nil, true},
		{"a null", `{"acct":[null]}`, nil, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := scripted(t, answers(`{"metadata":{"result":1,"chunk":{"records":"1","start":[]}},"data":`+tt.data+`}`))
			got, err := c.Users(t.Context())
			if tt.unreadable {
				expect(t, err, kind{item, true, false}, "listaccts")
				return
			}
			slices.Sort(got)
			if err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("got %v, error %v, want %v", got, err, tt.want)
			}
		})
	}
}

func TestUsersEndsWithServersThatListEverMore(t *testing.T) {
	var asked atomic.Int64
	c := scripted(t, func(w http.ResponseWriter, _ *http.Request) {
		page := asked.Add(1)
		var names strings.Builder
		for i := range 5000 {
			fmt.Fprintf(&names, `,"u%d"`, page*5000+int64(i))
		}
		_, _ = fmt.Fprintf(w, `{"data":{"acct":[%s]},"metadata":{"result":1}}`, names.String()[1:])
	})
	_, err := c.Users(t.Context())
	expect(t, err, kind{server, false, false}, "more than 100000 accounts")
	if asked.Load() != 21 {
		t.Errorf("got %d requests, want 21", asked.Load())
	}
}

// A server that claims more than it shows must end us neither with a part of the
// list nor never.
func TestUsersEndsWithServersThatDoNot(t *testing.T) {
	var asked atomic.Int64
	c := scripted(t, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = w.Write([]byte(`{"data":{"acct":["a","b"]},"metadata":{"result":1,"chunk":{"records":1000000}}}`))
	}, func(c *whm.Config) { c.PageSize = 2 })
	_, err := c.Users(t.Context())
	expect(t, err, kind{item, true, false}, "listaccts")
	if asked.Load() != 2 {
		t.Errorf("got %d requests, want 2", asked.Load())
	}
}

func TestAllAccountsOnAPageThatIsTooLong(t *testing.T) {
	var asked atomic.Int64
	c := scripted(t, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = w.Write([]byte(`{"data":{"acct":["a","b","c"]},"metadata":{"result":1,"chunk":{"records":3}}}`))
	}, func(c *whm.Config) { c.PageSize = 1 })
	if got := ok(c.Users(t.Context()))(t); len(got) != 3 || asked.Load() != 1 {
		t.Errorf("got %v after %d requests, want three after one", got, asked.Load())
	}
}
