package api_test

import (
	"net/http/httptest"
	"strings"
	"testing"
)

// bound is what the domain was asked.
type bound struct {
	server, user, app, token, subscriber string
	attempt                              int
}

// TestAutologinUnderstandsWhatServersSend shows that the variants of real
// servers all reach the domain as the same question.
func TestAutologinUnderstandsWhatServersSend(t *testing.T) {
	usual := bound{"web01", "bob", "latchkey_billing", linkToken, "1234", 0}
	with := func(change func(*bound)) bound {
		b := usual
		change(&b)
		return b
	}
	const jsonBody = `"token":"` + linkToken + `","subscriber_unique_id":"1234"`
	tests := []struct {
		name, query, contentType, body string
		want                           bound
	}{
		{"form", linkQuery, formType, linkBody, usual},
		{"form with charset", linkQuery, formType + "; charset=UTF-8", linkBody, usual},
		{"form with charset in small letters", linkQuery, formType + ";charset=utf-8", linkBody, usual},
		{"form with a type in capitals", linkQuery, "Application/X-WWW-Form-URLEncoded", linkBody, usual},
		{"form without a type", linkQuery, "", linkBody, usual},
		{"app and user in both, alike", linkQuery, formType, linkBody + "&app=latchkey_billing&user=bob", usual},
		{"app and user in the body alone", "server=web01", formType, linkBody + "&app=latchkey_billing&user=bob", usual},
		{"app in the body, user in the URL", "server=web01&user=bob", formType, linkBody + "&app=latchkey_billing", usual},
		{"empty app and user in the body", linkQuery, formType, linkBody + "&app=&user=", usual},
		{"empty app and user in the URL", "server=web01&app=&user=", formType, linkBody + "&app=latchkey_billing&user=bob", usual},
		{"server in the body does not count", linkQuery, formType, linkBody + "&server=web02", usual},
		{"token and subscriber in the URL do not count", linkQuery + "&token=x&subscriber_unique_id=2", formType, linkBody, usual},
		{"unknown fields, several times", linkQuery + "&x=1&x=2", formType, linkBody + "&label=a&label=b&base64_png_image=iVBORw0%2B%2F%3D", usual},
		{"percent-encoding", "server=web%301&user=b%6Fb&app=latchkey%5Fbilling", formType, "token=" + linkToken + "&subscriber_unique_id=%31234", usual},
		{"plus is a space", linkQuery, formType, "token=" + linkToken + "&subscriber_unique_id=12+34", with(func(b *bound) { b.subscriber = "12 34" })},
		{"a subscriber in UTF-8", linkQuery, formType, "token=" + linkToken + "&subscriber_unique_id=M%C3%BCller", with(func(b *bound) { b.subscriber = "Müller" })},
		{"JSON", linkQuery, jsonType, "{" + jsonBody + "}", usual},
		{"JSON with charset", linkQuery, jsonType + "; charset=utf-8", "{" + jsonBody + "}", usual},
		{"JSON with a type in capitals", linkQuery, "Application/JSON", "{" + jsonBody + "}", usual},
		{"JSON with white space around", linkQuery, jsonType, "\r\n\t {" + jsonBody + "} \n", usual},
		{"JSON with app and user", "server=web01", jsonType, `{"app":"latchkey_billing","user":"bob",` + jsonBody + "}", usual},
		{"JSON with null app and user", linkQuery, jsonType, `{"app":null,"user":null,"attempt":null,` + jsonBody + "}", usual},
		{"JSON with numbers", linkQuery, jsonType, `{"token":"` + linkToken + `","subscriber_unique_id":1234,"attempt":2}`, with(func(b *bound) { b.attempt = 2 })},
		{"JSON with a number too large for any type", linkQuery, jsonType, `{"token":"` + linkToken + `","subscriber_unique_id":12345678901234567890123}`, with(func(b *bound) { b.subscriber = "12345678901234567890123" })},
		{"JSON with escapes", linkQuery, jsonType, `{"token":"` + linkToken + `","subscriber_unique_id":"\u0031234"}`, usual},
		{"JSON with unknown members of every type", linkQuery, jsonType, `{"a":null,"b":true,"c":[1,{"token":"x"}],"d":{"token":"x","user":"eve"},"e":1e9,"f":"x",` + jsonBody + "}", usual},
		{"JSON with unknown members twice", linkQuery, jsonType, `{"label":"a","label":"b",` + jsonBody + "}", usual},
		{"JSON with an unknown member that is named body", linkQuery, jsonType, `{"body":{"a":1},` + jsonBody + "}", usual},
		{"JSON with an unknown member that is not UTF-8", linkQuery, jsonType, `{"label":"B` + "\xfc" + `ro",` + jsonBody + "}", usual},
		{"JSON names are told apart by case", linkQuery, jsonType, `{"TOKEN":"x","User":"eve",` + jsonBody + "}", usual},
		{"attempt 1", linkQuery, formType, linkBody + "&attempt=1", with(func(b *bound) { b.attempt = 1 })},
		{"attempt 2", linkQuery, formType, linkBody + "&attempt=2", with(func(b *bound) { b.attempt = 2 })},
		{"attempt 3", linkQuery, formType, linkBody + "&attempt=3", with(func(b *bound) { b.attempt = 3 })},
		{"attempt empty", linkQuery, formType, linkBody + "&attempt=", usual},
		{"attempt empty in JSON", linkQuery, jsonType, `{"attempt":"",` + jsonBody + "}", usual},
		{"attempt as JSON text", linkQuery, jsonType, `{"attempt":"3",` + jsonBody + "}", with(func(b *bound) { b.attempt = 3 })},
		{"attempt in the URL does not count", linkQuery + "&attempt=9", formType, linkBody, usual},
		{"nearly 1 MiB of other fields", linkQuery, formType, padded(linkBody+"&base64_png_image=", 1<<20, ""), usual},
		{"exactly 1 MiB of JSON", linkQuery, jsonType, padded("{"+jsonBody+`,"base64_png_image":"`, 1<<20, `"}`), usual},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := &domain{}
			a := newServer(t, d).send(t, post("/autologin?"+test.query, test.contentType, test.body))
			if want := `{"redirect_url":"` + redirectURL + `"}` + "\n"; a.status != 200 || a.body != want {
				t.Fatalf("got %d %s, want 200 %s", a.status, a.body, want)
			}
			if got := d.bound(t); got != test.want {
				t.Errorf("the domain was asked %+v, want %+v", got, test.want)
			}
		})
	}
}

// padded returns text of size bytes that begins and ends as given.
func padded(start string, size int, end string) string {
	return start + strings.Repeat("A", size-len(start)-len(end)) + end
}

// bound returns the only question that the domain was asked.
func (d *domain) bound(t *testing.T) bound {
	t.Helper()
	if len(d.autologins) != 1 {
		t.Fatalf("the domain was asked %d times, want once", len(d.autologins))
	}
	r := d.autologins[0]
	return bound{r.Link.Server, r.Link.User, r.Link.App, r.Token.Reveal(), r.Subscriber, r.Attempt}
}

func TestAutologinReadsABodyInChunks(t *testing.T) {
	d := &domain{}
	body := unsized{strings.NewReader(padded(linkBody+"&x=", 1<<20, ""))}
	r := httptest.NewRequest("POST", "/autologin?"+linkQuery, body)
	if a := newServer(t, d).send(t, withType(r, formType)); a.status != 200 {
		t.Fatalf("got %d %s, want 200", a.status, a.body)
	}
	if got, want := d.bound(t).token, linkToken; got != want {
		t.Errorf("token: got %q, want %q", got, want)
	}
}

// TestHostDecidesNothing shows that headers a client invents change no byte.
func TestHostDecidesNothing(t *testing.T) {
	b, _ := newBroker(t)
	s := newServer(t, b)
	for _, name := range []string{"Host", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Prefix", "X-Original-Url", "X-Rewrite-Url", "Forwarded", "X_Forwarded_For"} {
		t.Run(name, func(t *testing.T) {
			r := autologin()
			r.Header.Set(name, "evil.example")
			if name == "Host" {
				r.Host = "evil.example"
			}
			a := s.send(t, r)
			if !strings.HasPrefix(a.body, `{"redirect_url":"`+publicURL+"/login?one_time_token=") {
				t.Errorf("got %s, want a URL under %s", a.body, publicURL)
			}
			page := get(loginPath)
			page.Header, page.Host = r.Header, r.Host
			if got := s.send(t, page).body; strings.Contains(got, "evil.example") || !strings.Contains(got, `action="`+publicURL+`/login"`) {
				t.Errorf("the page follows the header: %s", got)
			}
		})
	}
}
