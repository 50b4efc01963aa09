package whmfake_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/latchkey-sso/latchkey/api/cpanelfake"
	"github.com/latchkey-sso/latchkey/api/whm/whmfake"
)

func TestRequestsInEveryForm(t *testing.T) {
	const auth = "whm root:" + apiToken
	tests := []struct {
		name                            string
		method, path, contentType, body string
	}{
		{"GET", "GET", "/json-api/remove_integration_link?api.version=1&user=bob&app=a%26b", "", ""},
		{"form", "POST", "/json-api/remove_integration_link", formType, "api.version=1&user=bob&app=a%26b"},
		{"form with a character set", "POST", "/json-api/remove_integration_link", formType + "; charset=utf-8", "api.version=1&user=bob&app=a%26b"},
		{"form and query", "POST", "/json-api/remove_integration_link?api.version=1", formType, "user=bob&app=a%26b"},
		{"JSON", "POST", "/json-api/remove_integration_link", jsonType, `{"api.version": 1, "user": "bob", "app": "a&b", "x": [true, null]}`},
		{"batch by GET", "GET", "/json-api/batch?api.version=1&command=remove_integration_link%3Fuser%3Dbob%26app%3Da%2526b", "", ""},
		{"batch as a form", "POST", "/json-api/batch", formType, "api.version=1&command=remove_integration_link%3Fuser%3Dbob%26app%3Da%2526b"},
		{"batch as JSON", "POST", "/json-api/batch", jsonType, `{"api.version": "1", "command": ["remove_integration_link?user=bob&app=a%26b", "version"]}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			state := newState(t, "bob")
			must(t, state.PutLink("bob", link("a&b")))
			p := newPanel(t, whmfake.Config{State: state})
			status, contentType, body := p.send(t, tt.method, tt.path, tt.contentType, auth, tt.body)
			if a := decode(t, body); status != 200 || contentType != jsonType || !a.ok() || a.Metadata.Version != 1 || a.Metadata.Reason != "OK" {
				t.Errorf("got %d %s %s, want a success", status, contentType, body)
			}
			if left := ok(state.Links("bob"))(t); len(left) != 0 {
				t.Errorf("got %d links, want the one removed", len(left))
			}
		})
	}
}

func TestRequestsThatAreNone(t *testing.T) {
	const auth = "whm root:" + apiToken
	tests := []struct {
		name                                  string
		method, path, contentType, auth, body string
		want                                  int
	}{
		{"no authorization", "GET", "/json-api/version?api.version=1", "", "", "", 403},
		{"another token", "GET", "/json-api/version?api.version=1", "", auth + "x", "", 403},
		{"another user", "GET", "/json-api/version?api.version=1", "", "whm eve:" + apiToken, "", 403},
		{"another scheme", "GET", "/json-api/version?api.version=1", "", "Bearer " + apiToken, "", 403},
		{"no function", "GET", "/json-api/", "", auth, "", 404},
		{"another page", "GET", "/", "", auth, "", 404},
		{"two functions", "GET", "/json-api/version/x", "", auth, "", 404},
		{"PUT", "PUT", "/json-api/version", formType, auth, "", 405},
		{"no media type", "POST", "/json-api/version", "", auth, "x", 400},
		{"multipart", "POST", "/json-api/version", "multipart/form-data; boundary=x", auth, "", 400},
		{"broken form", "POST", "/json-api/version", formType, auth, "a=%zz", 400},
		{"broken query", "GET", "/json-api/version?a=%zz", "", auth, "", 400},
		{"broken JSON", "POST", "/json-api/version", jsonType, auth, "{", 400},
		{"JSON of two", "POST", "/json-api/version", jsonType, auth, "{}{}", 400},
		{"JSON within JSON", "POST", "/json-api/version", jsonType, auth, `{"a":{"b":1}}`, 400},
	}
	p := newPanel(t, whmfake.Config{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, contentType, body := p.send(t, tt.method, tt.path, tt.contentType, tt.auth, tt.body)
			if status != tt.want {
				t.Fatalf("got %d %s, want %d", status, body, tt.want)
			}
			const denied = `{"cpanelresult":{"apiversion":"2","error":"Access denied","data":{"reason":"Access denied","result":"0"},"type":"text"}}`
			if tt.want == 403 && (contentType != "text/plain" || body != denied) {
				t.Errorf("got %s %s, want text/plain %s", contentType, body, denied)
			}
		})
	}
	if len(p.Journal()) != 0 || p.Requests() != len(tests) {
		t.Errorf("got %d commands of %d requests, want none of %d", len(p.Journal()), p.Requests(), len(tests))
	}
}

func TestFailuresAreSuccessesOfHTTP(t *testing.T) {
	xid := regexp.MustCompile(`^API failure: \(XID [0-9a-z]{6}\) .*“.*”.*\.$`)
	tests := []struct{ name, function, form string }{
		{"no account", "create_integration_link", "user=none&app=a&implements=b&label=c&subscriber_unique_id=d&token=e&url=f"},
		{"no user", "list_integration_links", ""},
		{"a required field", "create_integration_link", "user=bob&app=a"},
		{"no such link", "get_integration_link_user_config", "user=bob&app=none"},
		{"a token for no link", "update_integration_link_token", "user=bob&app=none&token=x"},
		{"no token", "update_integration_link_token", "user=bob&app=none"},
		{"no panel", "get_users_links", "user=none"},
		{"a broken pattern", "listaccts", "search=("},
		{"nothing to do", "batch", ""},
	}
	p := newPanel(t, whmfake.Config{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			first, second := p.call(t, tt.function, tt.form), p.call(t, tt.function, tt.form)
			if first.ok() || string(first.Metadata.Result) != "0" || !xid.MatchString(first.Metadata.Reason) {
				t.Errorf("got result %s, reason %q", first.Metadata.Result, first.Metadata.Reason)
			}
			if first.Metadata.Reason == second.Metadata.Reason {
				t.Errorf("got %q twice, want another XID each time", first.Metadata.Reason)
			}
		})
	}
	for _, function := range []string{"none", "create_user_session"} {
		if got, want := p.call(t, function, "user=bob").Metadata.Reason, `Unknown app ("`+function+`") requested for this version (1) of the API.`; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	_, _, body := p.send(t, "GET", "/json-api/version", "", "whm root:"+apiToken, "")
	if decode(t, body).ok() {
		t.Error("a call without api.version succeeds")
	}
}

func TestFunctionsTellWhatIsThere(t *testing.T) {
	state := newState(t, "bob")
	must(t, state.PutGroup("bob", cpanelfake.Group{ID: "latchkey", Label: "Billing"}))
	must(t, state.PutLink("bob", link(app)))
	p := newPanel(t, whmfake.Config{State: state, Missing: []string{"get_users_links", "batch"}})
	tests := []struct{ function, form, want string }{
		{"version", "", `{"version":"11.136.0.13"}`},
		{"gethostname", "", `{"hostname":"web01.example.com"}`},
		{"list_integration_links", "user=bob", `{"links":[{"app":"latchkey_billing"}]}`},
		{"list_integration_groups", "user=bob", `{"links":[{"group":"latchkey"}]}`},
		{"get_integration_link_user_config", "user=bob&app=latchkey_billing",
			`{"userconfig":{"app":"latchkey_billing","hide":"0","implements":"billing","label":"Bills","order":"7","subscriber_unique_id":"1234","url":"https://portal.example.com/","user":"bob"}}`},
		{"remove_integration_link", "user=bob&app=none", `{}`},
		{"applist", "", `{"app":["applist","create_integration_group","create_integration_link","get_integration_link_user_config","gethostname",` +
			`"list_integration_groups","list_integration_links","listaccts","remove_integration_group","remove_integration_link","update_integration_link_token","version"]}`},
	}
	for _, tt := range tests {
		a := p.call(t, tt.function, tt.form)
		if string(a.Data) != tt.want || !a.ok() || a.Metadata.Command != tt.function {
			t.Errorf("%s: got %s %s, want %s", tt.function, a.Data, a.Metadata.Reason, tt.want)
		}
	}
	p.SetMissing()
	if a := p.call(t, "get_users_links", "user=bob"); !strings.Contains(string(a.Data), "frontend/jupiter") {
		t.Errorf("got %s, want paths by key", a.Data)
	}
}

// What is written here is what a click uses, token included.
func TestClicksUseWhatWasWritten(t *testing.T) {
	var posted url.Values
	broker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		posted = r.PostForm
		_, _ = w.Write([]byte(`{"redirect_url":"https://sso.example.com/login"}`))
	}))
	t.Cleanup(broker.Close)
	state := newState(t, "bob")
	p := newPanel(t, whmfake.Config{State: state})
	form := url.Values{
		"user": {"bob"}, "app": {app}, "implements": {"billing"}, "label": {"Bills"}, "subscriber_unique_id": {"1234"},
		"token": {"first"}, "autologin_token_url": {broker.URL + "/autologin"}, "order": {"3"}, "hide": {"0"},
	}
	if a := p.call(t, "create_integration_link", form.Encode()); !a.ok() {
		t.Fatal(a.Metadata.Reason)
	}
	if a := p.call(t, "update_integration_link_token", "user=bob&app="+app+"&token=second"); !a.ok() {
		t.Fatal(a.Metadata.Reason)
	}
	server := ok(cpanelfake.New(cpanelfake.Config{Name: "web01", State: state}))(t)
	if out, err := server.Click(t.Context(), "bob", app); err != nil || out.Kind != cpanelfake.SignedOn {
		t.Fatalf("got %v, error %v, want a sign-on", out, err)
	}
	if posted.Get("token") != "second" || posted.Get("subscriber_unique_id") != "1234" {
		t.Errorf("got %v, want the second token", posted)
	}
}

func TestTheAccessLogIsThatOfAWebServer(t *testing.T) {
	var log bytes.Buffer
	p := newPanel(t, whmfake.Config{Log: &log})
	p.call(t, "update_integration_link_token", "user=bob&app=a&token=in-the-body")
	p.send(t, "GET", "/json-api/update_integration_link_token?api.version=1&token=in-the-URL", "", "whm root:wrong", "")
	got := strings.Split(log.String(), "\n")
	want := []*regexp.Regexp{
		regexp.MustCompile(`^127\.0\.0\.1 - root \[\S+ \+0000\] "POST /json-api/update_integration_link_token HTTP/1\.1" 200 \d+$`),
		regexp.MustCompile(`^127\.0\.0\.1 - - \[\S+ \+0000\] "GET /json-api/update_integration_link_token\?api\.version=1&token=in-the-URL HTTP/1\.1" 403 \d+$`),
	}
	if len(got) != 3 || !want[0].MatchString(got[0]) || !want[1].MatchString(got[1]) {
		t.Errorf("got %q, want lines like %v", got, want)
	}
}

func FuzzRequest(f *testing.F) {
	f.Add("POST", "/json-api/batch", "", formType, "api.version=1&command=create_integration_link%3Fuser%3Dbob%26app%3Da&command=version")
	f.Add("POST", "/json-api/listaccts", "api.version=1", jsonType, `{"api.chunk.enable":1,"api.chunk.size":"2","api.chunk.start":-1,"search":"b"}`)
	f.Add("GET", "/json-api/listaccts", "api.version=1&api.filter.a.field=user&api.filter.a.type=matches&api.filter.a.arg0=(&api.columns.enable=1&api.columns.x=user", "", "")
	f.Add("GET", "/json-api/batch", "api.version=1&command=%3F&command=batch%3Fcommand%3Dversion&abort_on_error=1", "", "")
	p := newPanel(f, whmfake.Config{NoJournal: true})
	f.Fuzz(func(t *testing.T, method, path, query, contentType, body string) {
		u := url.URL{Path: "/" + strings.TrimLeft(path, "/"), RawQuery: query}
		req, err := http.NewRequestWithContext(t.Context(), method, p.URL()+u.EscapedPath()+"?"+query, strings.NewReader(body))
		if err != nil {
			return
		}
		req.Header.Set("Authorization", "whm root:"+apiToken)
		req.Header["Content-Type"] = []string{contentType}
		resp, err := p.client.Do(req)
		if err != nil {
			if strings.Contains(err.Error(), "EOF") {
				t.Fatalf("the server broke down: %v", err)
			}
			return // no request that this client sends
		}
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode >= 500 {
			t.Errorf("got %d", resp.StatusCode)
		}
		if resp.StatusCode == 200 && method != http.MethodHead {
			var a answer
			if err := json.NewDecoder(resp.Body).Decode(&a); err != nil || len(a.Metadata.Result) == 0 {
				t.Errorf("got no envelope: %v", err)
			}
		}
	})
}
