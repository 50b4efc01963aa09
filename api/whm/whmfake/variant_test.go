package whmfake_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/latchkey-sso/latchkey/api/whm/whmfake"
)

func TestEverySwitchShows(t *testing.T) {
	const chunk = "want=user&api.chunk.enable=1&api.chunk.verbose=1&api.chunk.size=1&api.chunk.start="
	const mixed = "command=version&command=list_integration_links"
	tests := []struct {
		variant        whmfake.Variant
		function, form string
		before, after  string // parts of the answer without and with the switch
	}{
		{whmfake.Variant{StringResult: true}, "version", "", `"result":1,`, `"result":"1",`},
		{whmfake.Variant{NullData: true}, "remove_integration_link", "user=bob&app=a", `{"data":{},`, `{"data":null,`},
		{whmfake.Variant{NoData: true}, "remove_integration_link", "user=bob&app=a", `{"data":{},`, `{"metadata":`},
		{whmfake.Variant{NoData: true, NullData: true}, "list_integration_links", "user=none", `{"data":{},`, `{"metadata":`},
		{whmfake.Variant{NullLists: true}, "list_integration_links", "user=eve", `"links":[]`, `"links":null`},
		{whmfake.Variant{ObjectLists: true}, "list_integration_links", "user=bob", `"links":[{"app":"latchkey_billing"}]`, `"links":{"latchkey_billing":{"app":"latchkey_billing"}}`},
		{whmfake.Variant{BareConfig: true}, "get_integration_link_user_config", "user=bob&app=" + app, `"userconfig":{"app":"latchkey_billing","hide"`, `"userconfig":{"hide"`},
		{whmfake.Variant{TypedConfig: true}, "get_integration_link_user_config", "user=bob&app=" + app, `"order":"7"`, `"order":7`},
		{whmfake.Variant{TypedConfig: true}, "get_integration_link_user_config", "user=bob&app=" + app, `"hide":"0"`, `"group_id":null,"hide":false`},
		{whmfake.Variant{LaxUpdate: true}, "update_integration_link_token", "user=bob&app=none&token=x", `"result":0`, `"result":1`},
		{whmfake.Variant{FailedBatch: true}, "batch", mixed, `"reason":"OK","result":1,"version":1}}` + "\n", `"result":0,"version":1}}` + "\n"},
		{whmfake.Variant{StrictBatch: true}, "batch", "command=version&command=none", `"result":[{`, `{"data":{},"metadata":{"command":"batch","reason":"Unknown app (\"none\")`},
		{whmfake.Variant{FirstPageAgain: true}, "listaccts", chunk + "9", `"acct":[]`, `"acct":[{"user":"bob"}]`},
		{whmfake.Variant{NoChunks: true}, "listaccts", chunk + "1", `"acct":[{"user":"bob"}]`, `"acct":[{"user":"bob"},{"user":"eve"}]`},
		{whmfake.Variant{SilentChunks: true}, "listaccts", chunk + "1", `"chunk":{"start":1,"size":1,"records":2,"chunks":2,"current":1}`, `"version":1}`},
	}
	state := newState(t, "bob", "eve")
	must(t, state.PutLink("bob", link(app)))
	p := newPanel(t, whmfake.Config{State: state})
	ask := func(t *testing.T, v whmfake.Variant, function, form string) string {
		p.SetVariant(v)
		_, _, body := p.send(t, http.MethodPost, "/json-api/"+function, formType, "whm root:"+apiToken, "api.version=1&"+form)
		return body
	}
	seen := map[string]bool{}
	for _, tt := range tests {
		t.Run(tt.variant.String(), func(t *testing.T) {
			before, after := ask(t, whmfake.Variant{}, tt.function, tt.form), ask(t, tt.variant, tt.function, tt.form)
			if !strings.Contains(before, tt.before) || !strings.Contains(after, tt.after) || before == after {
				t.Errorf("got  %s and %s\nwant %s and %s", before, after, tt.before, tt.after)
			}
		})
		seen[tt.variant.String()] = true
	}
	if links := ok(state.Links("bob"))(t); len(links) != 1 {
		t.Errorf("got %d links: updating a token created one", len(links))
	}
	p.SetVariant(whmfake.Variant{LaxUpdate: true})
	for _, form := range []string{"user=bob&app=none", "user=none&app=none&token=x"} {
		if a := p.call(t, "update_integration_link_token", form); a.ok() {
			t.Errorf("%s: got a success, want one for a link alone that is not there", form)
		}
	}
	names := map[string]bool{}
	for _, v := range whmfake.Variants() {
		names[v.String()] = true
		if name := v.String(); !strings.Contains(name, ",") && name != "documented" && !seen[name] {
			t.Errorf("no test shows %s", name)
		}
	}
	if len(names) != len(whmfake.Variants()) || !names["documented"] {
		t.Errorf("got %d names for %d variants", len(names), len(whmfake.Variants()))
	}
}
