package api_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestAutologinNamesTheFieldThatIsWrong shows that malformed requests are told
// what is wrong, without repeating what a client sent, and never reach the
// store. The value "hostile" stands for it.
func TestAutologinNamesTheFieldThatIsWrong(t *testing.T) {
	const (
		token      = "token=" + linkToken
		subscriber = "subscriber_unique_id=1234"
		jsonRest   = `"token":"` + linkToken + `","subscriber_unique_id":"1234"`
	)
	long := func(n int) string { return "hostile" + strings.Repeat("x", n-len("hostile")+1) }
	tests := []struct {
		name, query, contentType, body string
		field                          string
	}{
		{"no server", "user=bob&app=latchkey_billing", formType, linkBody, "server"},
		{"no server but in the body", "user=bob&app=latchkey_billing", formType, linkBody + "&server=web01", "server"},
		{"no user", "server=web01&app=latchkey_billing", formType, linkBody, "user"},
		{"no app", "server=web01&user=bob", formType, linkBody, "app"},
		{"no token", linkQuery, formType, subscriber, "token"},
		{"an empty token", linkQuery, formType, subscriber + "&token=", "token"},
		{"the token in the URL", linkQuery + "&token=hostile", formType, subscriber, "token"},
		{"no subscriber", linkQuery, formType, token, "subscriber_unique_id"},
		{"an empty body", linkQuery, formType, "", "token"},
		{"an empty JSON object", linkQuery, jsonType, "{}", "token"},
		{"another app in the body", linkQuery, formType, linkBody + "&app=hostile", "app"},
		{"another user in the body", linkQuery, formType, linkBody + "&user=hostile", "user"},
		{"another user in JSON", linkQuery, jsonType, `{"user":"hostile",` + jsonRest + "}", "user"},
		{"a user that differs in case", linkQuery, formType, linkBody + "&user=Bob", "user"},
		{"server twice", "server=web01&" + linkQuery, formType, linkBody, "server"},
		{"user twice in the URL", linkQuery + "&user=hostile", formType, linkBody, "user"},
		{"app twice in the URL", linkQuery + "&app=latchkey_billing", formType, linkBody, "app"},
		{"token twice", linkQuery, formType, linkBody + "&token=hostile", "token"},
		{"token twice and equal", linkQuery, formType, linkBody + "&" + token, "token"},
		{"subscriber twice", linkQuery, formType, linkBody + "&subscriber_unique_id=hostile", "subscriber_unique_id"},
		{"attempt twice", linkQuery, formType, linkBody + "&attempt=1&attempt=2", "attempt"},
		{"token twice in JSON", linkQuery, jsonType, "{" + jsonRest + `,"token":"hostile"}`, "token"},
		{"subscriber twice in JSON", linkQuery, jsonType, "{" + jsonRest + `,"subscriber_unique_id":1234}`, "subscriber_unique_id"},
		{"user twice in JSON", linkQuery, jsonType, "{" + jsonRest + `,"user":"bob","user":"bob"}`, "user"},
		{"a key twice in JSON, once with escapes", linkQuery, jsonType, "{" + jsonRest + `,"\u0074oken":"hostile"}`, "token"},
		{"user twice in JSON, once null", linkQuery, jsonType, "{" + jsonRest + `,"user":null,"user":"bob"}`, "user"},
		{"null token", linkQuery, jsonType, `{"token":null,"subscriber_unique_id":"1234"}`, "token"},
		{"boolean token", linkQuery, jsonType, `{"token":true,"subscriber_unique_id":"1234"}`, "token"},
		{"array as token", linkQuery, jsonType, `{"token":["hostile"],"subscriber_unique_id":"1234"}`, "token"},
		{"object as token", linkQuery, jsonType, `{"token":{"hostile":1},"subscriber_unique_id":"1234"}`, "token"},
		{"boolean subscriber", linkQuery, jsonType, `{"token":"x","subscriber_unique_id":false}`, "subscriber_unique_id"},
		{"array as user", linkQuery, jsonType, `{"user":["bob"],` + jsonRest + "}", "user"},
		{"object as app", linkQuery, jsonType, `{"app":{},` + jsonRest + "}", "app"},
		{"boolean attempt", linkQuery, jsonType, `{"attempt":true,` + jsonRest + "}", "attempt"},
		{"bad percent-encoding in the URL", linkQuery + "&x=%zzhostile", formType, linkBody, "query"},
		{"half a percent-encoding in the URL", linkQuery + "&x=hostile%4", formType, linkBody, "query"},
		{"a semicolon in the URL", linkQuery + ";x=hostile", formType, linkBody, "query"},
		{"bad percent-encoding in the body", linkQuery, formType, linkBody + "&x=%zzhostile", "body"},
		{"bad UTF-8 in the user", "server=web01&user=hostile%FF&app=latchkey_billing", formType, linkBody, "user"},
		{"bad UTF-8 in the token", linkQuery, formType, subscriber + "&token=hostile%C3%28", "token"},
		{"bad UTF-8 in the subscriber", linkQuery, formType, token + "&subscriber_unique_id=hostile\xff", "subscriber_unique_id"},
		{"bad UTF-8 in the attempt", linkQuery, formType, linkBody + "&attempt=%FF", "attempt"},
		{"bad UTF-8 in JSON", linkQuery, jsonType, `{"token":"hostile` + "\xff" + `","subscriber_unique_id":"1234"}`, "token"},
		{"a control character in the token", linkQuery, formType, subscriber + "&token=hostile%00", "token"},
		{"a new line in the subscriber", linkQuery, formType, token + "&subscriber_unique_id=hostile%0A", "subscriber_unique_id"},
		{"a C1 control in the subscriber", linkQuery, formType, token + "&subscriber_unique_id=hostile%C2%85", "subscriber_unique_id"},
		{"a control character in JSON", linkQuery, jsonType, `{"token":"hostile\u0007","subscriber_unique_id":"1234"}`, "token"},
		{"a slash in the server", "server=web01%2Fhostile&user=bob&app=latchkey_billing", formType, linkBody, "server"},
		{"a brace in the user", "server=web01&user=%7Bhostile%7D&app=latchkey_billing", formType, linkBody, "user"},
		{"markup in the app", "server=web01&user=bob&app=%3Chostile%3E", formType, linkBody, "app"},
		{"a server too long", "server=" + long(64) + "&user=bob&app=latchkey_billing", formType, linkBody, "server"},
		{"a user too long", "server=web01&user=" + long(64) + "&app=latchkey_billing", formType, linkBody, "user"},
		{"an app too long", "server=web01&user=bob&app=" + long(128), formType, linkBody, "app"},
		{"a subscriber too long", linkQuery, formType, token + "&subscriber_unique_id=" + long(255), "subscriber_unique_id"},
		{"a token too long", linkQuery, formType, subscriber + "&token=" + long(512), "token"},
		{"another charset", linkQuery, formType + "; charset=iso-8859-1", linkBody, "Content-Type"},
		{"another charset of JSON", linkQuery, jsonType + "; charset=utf-16", "{" + jsonRest + "}", "Content-Type"},
		{"multipart", linkQuery, "multipart/form-data; boundary=hostile", "--hostile--", "Content-Type"},
		{"plain text", linkQuery, "text/plain", linkBody, "Content-Type"},
		{"a type like JSON", linkQuery, "application/hostile+json", "{" + jsonRest + "}", "Content-Type"},
		{"a malformed type", linkQuery, "hostile/;;=", linkBody, "Content-Type"},
		{"attempt 0", linkQuery, formType, linkBody + "&attempt=0", "attempt"},
		{"attempt 4", linkQuery, formType, linkBody + "&attempt=4", "attempt"},
		{"attempt -1", linkQuery, formType, linkBody + "&attempt=-1", "attempt"},
		{"attempt abc", linkQuery, formType, linkBody + "&attempt=hostile", "attempt"},
		{"attempt 1.0", linkQuery, jsonType, `{"attempt":1.0,` + jsonRest + "}", "attempt"},
		{"attempt 1e0", linkQuery, jsonType, `{"attempt":1e0,` + jsonRest + "}", "attempt"},
		{"attempt too large for any type", linkQuery, jsonType, `{"attempt":99999999999999999999,` + jsonRest + "}", "attempt"},
		{"JSON 0 as attempt", linkQuery, jsonType, `{"attempt":0,` + jsonRest + "}", "attempt"},
		{"rubbish after the JSON", linkQuery, jsonType, "{" + jsonRest + "} hostile", "body"},
		{"a second JSON object", linkQuery, jsonType, "{" + jsonRest + "}{}", "body"},
		{"no JSON", linkQuery, jsonType, "hostile", "body"},
		{"JSON without an end", linkQuery, jsonType, "{" + jsonRest, "body"},
		{"JSON with a comma too many", linkQuery, jsonType, "{" + jsonRest + ",}", "body"},
		{"a form as JSON", linkQuery, jsonType, linkBody, "body"},
		{"a JSON array", linkQuery, jsonType, `[{"token":"hostile"}]`, "body"},
		{"a JSON text", linkQuery, jsonType, `"hostile"`, "body"},
		{"JSON null", linkQuery, jsonType, "null", "body"},
		{"nothing as JSON", linkQuery, jsonType, "", "body"},
		{"deep JSON", linkQuery, jsonType, strings.Repeat("[", 100_000), "body"},
		{"deep JSON in an unknown member", linkQuery, jsonType, `{"x":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + "," + jsonRest + "}", "body"},
		{"one byte over 1 MiB", linkQuery, formType, padded(linkBody+"&x=", 1<<20+1, ""), "body"},
		{"one byte over 1 MiB of JSON", linkQuery, jsonType, padded("{"+jsonRest+`,"x":"`, 1<<20+1, `"}`), "body"},
		{"very many fields", linkQuery, formType, linkBody + strings.Repeat("&hostile=", 50_000), "body"},
	}
	b, store := newBroker(t)
	s := newServer(t, b)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a := s.send(t, post("/autologin?"+test.query, test.contentType, test.body))
			checkInvalid(t, a, test.field)
		})
	}
	t.Run("over 1 MiB in chunks", func(t *testing.T) {
		body := unsized{strings.NewReader(padded(linkBody+"&x=", 1<<20+1, ""))}
		checkInvalid(t, s.send(t, withType(httptest.NewRequest("POST", "/autologin?"+linkQuery, body), formType)), "body")
	})
	for _, encoding := range []string{"gzip", "deflate", "br", "hostile"} {
		t.Run("encoding "+encoding, func(t *testing.T) {
			r := autologin()
			r.Header.Set("Content-Encoding", encoding)
			checkInvalid(t, s.send(t, r), "Content-Encoding")
		})
	}
	if got := store.called(); got != 0 {
		t.Errorf("the store was called %d times, want 0", got)
	}
	if strings.Contains(s.log.String(), "hostile") {
		t.Error("the log repeats what clients sent")
	}
}

// checkInvalid checks a 400 that names a field.
func checkInvalid(t *testing.T, a answer, field string) {
	t.Helper()
	if a.status != http.StatusBadRequest {
		t.Fatalf("got %d %s, want 400", a.status, a.body)
	}
	p := a.problem(t)
	if p.Error != "invalid_request" {
		t.Errorf("error: got %q, want invalid_request", p.Error)
	}
	if !strings.HasPrefix(p.Description, about(field)+" ") {
		t.Errorf("error_description: got %q, want one about %s", p.Description, field)
	}
	for _, value := range []string{"hostile", "canary", "1234", "%"} {
		if strings.Contains(p.Description, value) {
			t.Errorf("error_description %q repeats what the client sent", p.Description)
		}
	}
	if want := a.header.Get("X-Request-Id"); p.RequestID != want {
		t.Errorf("request_id: got %q, want that of the header, %q", p.RequestID, want)
	}
}

// TestIdentityEncodingIsNone: some clients say that they do not compress.
func TestIdentityEncodingIsNone(t *testing.T) {
	r := autologin()
	r.Header.Set("Content-Encoding", "identity")
	if a := newServer(t, &domain{}).send(t, r); a.status != http.StatusOK {
		t.Errorf("got %d %s, want 200", a.status, a.body)
	}
}

// about is how a sentence on a part of a request begins.
func about(part string) string {
	switch part {
	case "body", "query":
		return "The " + part
	case "Content-Type", "Content-Encoding":
		return "The header " + part
	}
	return "The field " + part
}
