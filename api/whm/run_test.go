package whm_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/latchkey-sso/latchkey/api/cpanelfake"
	"github.com/latchkey-sso/latchkey/api/whm"
	"github.com/latchkey-sso/latchkey/api/whm/whmfake"
	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

// runs are the two ways to have commands executed: each alone, or all in a batch.
var runs = map[string]func(*testing.T, *whm.Client, []reconcile.Command) []reconcile.Reply{
	"alone": func(t *testing.T, c *whm.Client, commands []reconcile.Command) []reconcile.Reply {
		var all []reconcile.Reply
		for _, cmd := range commands {
			replies := ok(c.Run(t.Context(), []reconcile.Command{cmd}))(t)
			if len(replies) != 1 {
				t.Fatalf("got %d replies to one command", len(replies))
			}
			all = append(all, replies[0])
		}
		return all
	},
	"batch": func(t *testing.T, c *whm.Client, commands []reconcile.Command) []reconcile.Reply {
		replies := ok(c.Run(t.Context(), commands))(t)
		if len(replies) != len(commands) {
			t.Fatalf("got %d replies to %d commands", len(replies), len(commands))
		}
		return replies
	},
}

func TestEveryCommandWorksWithEveryVariant(t *testing.T) {
	picture := icon(t)
	for _, v := range whmfake.Variants() {
		for how, run := range runs {
			t.Run(v.String()+"/"+how, func(t *testing.T) {
				state := newState(t)
				fake := newFake(t, whmfake.Config{State: state, Variant: v})
				create := createLink("bob", app)
				create.Link.Icon = picture
				other := createLink("bob", "latchkey_other")
				replies := run(t, clientOf(t, fake), []reconcile.Command{
					{Function: reconcile.CreateGroup, User: "bob", Group: broker.Group{ID: "latchkey", Label: "Billing & Support", Order: 3}},
					create,
					other,
					{Function: reconcile.GetLink, User: "bob", App: app},
					{Function: reconcile.ListLinks, User: "bob"},
					{Function: reconcile.ListGroups, User: "bob"},
					{Function: reconcile.UpdateToken, User: "bob", App: app, Token: token("second")},
					{Function: reconcile.RemoveLink, User: "bob", App: "latchkey_other"},
					{Function: reconcile.RemoveGroup, User: "bob", Group: broker.Group{ID: "latchkey"}},
					{Function: reconcile.ListGroups, User: "bob"},
					{Function: reconcile.ListLinks, User: "eve"},
				})
				for i, r := range replies {
					if r.Err != nil {
						t.Errorf("command %d: %v", i, r.Err)
					}
				}
				want := map[string]string{
					"implements": "billing", "label": "View Billing", "subscriber_unique_id": "1234",
					"autologin_token_url": create.Link.AutologinURL, "url": create.Link.URL, "group_id": "latchkey",
					"order": "7", "base64_png_image": base64.StdEncoding.EncodeToString(picture),
				}
				if got := replies[3].Config; !maps.Equal(got, want) {
					t.Errorf("config: got %v, want %v", got, want)
				}
				for i, want := range map[int][]string{4: {app, "latchkey_other"}, 5: {"latchkey"}, 9: nil, 10: nil} {
					if got := slices.Sorted(slices.Values(replies[i].Names)); !slices.Equal(got, want) {
						t.Errorf("names of command %d: got %v, want %v", i, got, want)
					}
				}
				links, groups := ok(state.Links("bob"))(t), ok(state.Groups("bob"))(t)
				if len(links) != 1 || links[0].App != app || links[0].Token.Reveal() != "second" || len(groups) != 0 {
					t.Errorf("state: got %d links and %d groups, want the one link with its second token", len(links), len(groups))
				}
			})
		}
	}
}

func TestValuesArriveAsTheyAre(t *testing.T) {
	values := []string{
		`a&b=c %25+é"'`, "a b", "a+b", "a%20b", "a%2520b", "%", "&command=remove_integration_link%3Fuser%3Dbob", "a?b=c#d", "ключ 🔑", "a;b", "line\nbreak", "=",
	}
	for how, run := range runs {
		for _, value := range values {
			t.Run(how+"/"+value, func(t *testing.T) {
				state := newState(t)
				cmd := createLink("bob", app)
				cmd.Token = token(value)
				cmd.Link.Label = strings.ReplaceAll(value, "'", "’") // WHM refuses apostrophes
				cmd.Link.Subscriber, cmd.Link.Implements, cmd.Link.GroupID = value, value, value
				cmd.Link.URL, cmd.Link.AutologinURL = "https://a.example/?x="+value, "https://b.example/?x="+value
				replies := run(t, clientOf(t, newFake(t, whmfake.Config{State: state})), []reconcile.Command{cmd, listLinks("bob")})
				must(t, replies[0].Err)
				got := ok(state.Link("bob", app))(t)
				want := cpanelfake.Link{
					App: app, Implements: value, Label: cmd.Link.Label, SubscriberUniqueID: value,
					AutologinTokenURL: cmd.Link.AutologinURL, URL: cmd.Link.URL, GroupID: value, Order: 7,
				}
				if got.Token.Reveal() != value {
					t.Errorf("token: got %q, want %q", got.Token.Reveal(), value)
				}
				if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
					t.Errorf("got %+v, want %+v", got, want)
				}
			})
		}
	}
}

// What goes over the wire, spelled out: a server that is stricter than the
// simulated one must understand it.
func TestRequestsAreWritten(t *testing.T) {
	one := reconcile.Command{Function: reconcile.UpdateToken, User: "bob", App: app, Token: token("a b&c")}
	link := createLink("bob", app)
	link.Link = reconcile.Fields{Implements: "billing", Label: "é", Subscriber: "1", URL: "https://p.example/"}
	tests := []struct {
		name     string
		commands []reconcile.Command
		path     string
		want     string
	}{
		{"one", []reconcile.Command{one}, "/json-api/update_integration_link_token",
			"api.version=1&user=bob&app=latchkey_billing&token=a%20b%26c"},
		{"two", []reconcile.Command{one, listLinks("bob")}, "/json-api/batch",
			"api.version=1&abort_on_error=0&command=update_integration_link_token%3Fuser%3Dbob%26app%3Dlatchkey_billing%26token%3Da%2520b%2526c" +
				"&command=list_integration_links%3Fuser%3Dbob"},
		{"a link without what is empty", []reconcile.Command{link}, "/json-api/create_integration_link",
			"api.version=1&user=bob&app=latchkey_billing&implements=billing&label=%C3%A9&subscriber_unique_id=1" +
				"&url=https%3A%2F%2Fp.example%2F&order=0&hide=0&token=" + linkToken},
		{"a group", []reconcile.Command{{Function: reconcile.CreateGroup, User: "bob", Group: broker.Group{ID: "g", Label: "G", Order: -1}}},
			"/json-api/create_integration_group", "api.version=1&user=bob&group_id=g&label=G&order=-1"},
		{"no group", []reconcile.Command{{Function: reconcile.RemoveGroup, User: "bob", Group: broker.Group{ID: "g", Label: "G"}}},
			"/json-api/remove_integration_group", "api.version=1&user=bob&group_id=g"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := scripted(t, func(w http.ResponseWriter, r *http.Request) {
				body := ok(readAll(r.Body))(t)
				if r.Method != http.MethodPost || r.RequestURI != tt.path || body != tt.want {
					t.Errorf("got %s %s %s, want POST %s %s", r.Method, r.RequestURI, body, tt.path, tt.want)
				}
				if _, err := url.ParseQuery(body); err != nil {
					t.Errorf("the body is no form: %v", err)
				}
				for name, want := range map[string]string{
					"Authorization": "whm root:" + apiToken, "Content-Type": "application/x-www-form-urlencoded", "User-Agent": "test/1",
				} {
					if got := r.Header.Get(name); got != want {
						t.Errorf("%s: got %q, want %q", name, got, want)
					}
				}
				_, _ = w.Write([]byte(`{"data":{"result":[{"metadata":{"result":1}},{"metadata":{"result":1}}]},"metadata":{"result":1}}`))
			}, func(cfg *whm.Config) { cfg.UserAgent = "test/1" })
			for _, r := range ok(c.Run(t.Context(), tt.commands))(t) {
				must(t, r.Err)
			}
		})
	}
}

func TestNoCommandsAskNobody(t *testing.T) {
	fake := newFake(t, whmfake.Config{})
	if replies, err := clientOf(t, fake).Run(t.Context(), nil); err != nil || len(replies) != 0 || fake.Requests() != 0 {
		t.Errorf("got %d replies, error %v after %d requests, want nothing", len(replies), err, fake.Requests())
	}
}

func TestRefusedCommandsSayWhy(t *testing.T) {
	apostrophe := createLink("bob", app)
	apostrophe.Link.Label = "Bob's"
	broken := createLink("bob", app)
	broken.Link.Icon = []byte("GIF89a")
	tests := []struct {
		name string
		cmd  reconcile.Command
		word string
	}{
		{"no such account", createLink("nobody", app), "You do not have a user named “nobody”."},
		{"an apostrophe", apostrophe, "The “label” parameter must not contain an apostrophe."},
		{"no PNG", broken, "The “base64_png_image” parameter is not a PNG."},
		{"a reserved name", createLink("bob", "group_x"), "The “app” parameter must not begin with group_."},
		{"a token for nothing", reconcile.Command{Function: reconcile.UpdateToken, User: "bob", App: "none", Token: token("x")},
			"The user “bob” has no integration link named “none”."},
		{"no such link", reconcile.Command{Function: reconcile.GetLink, User: "bob", App: "none"}, "none"},
	}
	for _, v := range []whmfake.Variant{{}, {StringResult: true, NoData: true}, {FailedBatch: true}} {
		for how, run := range runs {
			for _, tt := range tests {
				t.Run(v.String()+"/"+how+"/"+tt.name, func(t *testing.T) {
					state := newState(t)
					fake := newFake(t, whmfake.Config{State: state, Variant: v})
					c := clientOf(t, fake)
					replies := run(t, c, []reconcile.Command{createLink("bob", "before"), tt.cmd, createLink("eve", "after")})
					expect(t, replies[1].Err, kind{item, false, false}, tt.word)
					if m := failure(t, replies[1].Err).Message; strings.Contains(m, "XID") || strings.Contains(m, "API failure") {
						t.Errorf("got message %q, want it without what is new each time", m)
					}
					if again := run(t, c, []reconcile.Command{tt.cmd, tt.cmd}); again[0].Err.Error() != replies[1].Err.Error() {
						t.Errorf("got %q, want the same as before: %q", again[0].Err, replies[1].Err)
					}
					for _, i := range []int{0, 2} {
						if replies[i].Err != nil {
							t.Errorf("its neighbour %d: %v", i, replies[i].Err)
						}
					}
				})
			}
		}
	}
}

func TestMissingFunctionsAreAboutTheServer(t *testing.T) {
	fake := newFake(t, whmfake.Config{Missing: []string{"create_integration_link"}})
	c := clientOf(t, fake)
	commands := []reconcile.Command{createLink("bob", app), listLinks("bob")}
	for how, run := range runs {
		t.Run(how, func(t *testing.T) {
			replies := run(t, c, commands)
			expect(t, replies[0].Err, kind{server, false, false}, "create_integration_link", "cpanel-integration")
			must(t, replies[1].Err)
		})
	}
	t.Run("one fails the whole batch", func(t *testing.T) {
		fake.SetVariant(whmfake.Variant{StrictBatch: true})
		_, err := c.Run(t.Context(), commands)
		expect(t, err, kind{item, false, false}, "create_integration_link")
		if len(fake.Writes()) != 0 {
			t.Errorf("got writes %v, want none", fake.Writes())
		}
	})
	t.Run("no batch at all", func(t *testing.T) {
		fake.SetMissing("batch")
		_, err := c.Run(t.Context(), commands)
		expect(t, err, kind{item, false, false}, "batch")
	})
	t.Run("no applist", func(t *testing.T) {
		fake.SetMissing("applist")
		_, err := c.Functions(t.Context())
		expect(t, err, kind{server, false, false}, "applist")
	})
}

func TestReadingTheServer(t *testing.T) {
	for _, v := range whmfake.Variants() {
		t.Run(v.String(), func(t *testing.T) {
			fake := newFake(t, whmfake.Config{Variant: v, Missing: []string{"get_users_links"}, Version: "11.120.0.5", Name: "web07.example.com"})
			c := clientOf(t, fake)
			functions := ok(c.Functions(t.Context()))(t)
			if !slices.Contains(functions, "create_integration_link") || slices.Contains(functions, "get_users_links") {
				t.Errorf("functions: got %v", functions)
			}
			if got := ok(c.Version(t.Context()))(t); got != "11.120.0.5" {
				t.Errorf("version: got %q", got)
			}
			if got := ok(c.Hostname(t.Context()))(t); got != "web07.example.com" {
				t.Errorf("host name: got %q", got)
			}
		})
	}
}

func TestNewNamesWhatIsWrong(t *testing.T) {
	good := whm.Config{URL: "https://web01.example.com:2087/", User: "root", Token: broker.NewSecret(apiToken)}
	tests := []struct {
		name string
		edit func(*whm.Config)
		want string // empty means nothing is
	}{
		{"good", func(*whm.Config) {}, ""},
		{"plain HTTP", func(c *whm.Config) { c.URL = "http://web01.example.com:2086" }, "url:"},
		{"a path", func(c *whm.Config) { c.URL += "json-api" }, "url:"},
		{"credentials in the URL", func(c *whm.Config) { c.URL = "https://root:" + apiToken + "@web01.example.com" }, "url:"},
		{"no URL", func(c *whm.Config) { c.URL = "%" }, "url:"},
		{"no user", func(c *whm.Config) { c.User = "" }, "user:"},
		{"a user with a colon", func(c *whm.Config) { c.User = "a:b" }, "user:"},
		{"no token", func(c *whm.Config) { c.Token = broker.Secret{} }, "token_file:"},
		{"a line break behind the token", func(c *whm.Config) { c.Token = broker.NewSecret(apiToken + "\n") }, "token_file:"},
		{"no certificate", func(c *whm.Config) { c.CA = []byte("x") }, "ca_file:"},
		{"pin and CA", func(c *whm.Config) { c.CA, c.Pin = []byte("x"), new([32]byte) }, "pin_sha256:"},
		{"negative", func(c *whm.Config) { c.MaxConnections = -1 }, "negative"},
		{"two at once", func(c *whm.Config) { c.URL, c.User = "", "" }, "user:"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := good
			tt.edit(&cfg)
			_, err := whm.New(cfg)
			if tt.want == "" {
				must(t, err)
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), apiToken) {
				t.Errorf("got error %v, want one about %q without the token", err, tt.want)
			}
			if tt.name == "two at once" && !strings.Contains(err.Error(), "url:") {
				t.Errorf("got %v, want both problems", err)
			}
		})
	}
}

func TestContextErrorsAreTheContexts(t *testing.T) {
	fake := newFake(t, whmfake.Config{})
	c := clientOf(t, fake)
	gone, cancel := contextOf(t)
	cancel()
	_, err := c.Users(gone)
	if f, is := errors.AsType[*reconcile.Failure](err); !errors.Is(err, gone.Err()) || is {
		t.Errorf("got %v (failure %v), want the context's error", err, f)
	}
	if fake.Requests() != 0 {
		t.Errorf("got %d requests, want none", fake.Requests())
	}
}
