package cpanelfake_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/latchkey-sso/latchkey/api/cpanelfake"
)

func TestEveryVariantPostsWhatItSays(t *testing.T) {
	variants := cpanelfake.Variants()
	names := map[string]bool{}
	for _, v := range variants {
		names[v.String()] = true
		t.Run(v.String(), func(t *testing.T) {
			b := newBroker(t, func(w http.ResponseWriter, n int) {
				write(w, http.StatusOK, "application/json", []string{`{"retry": 1}`, signOn}[n-1])
			})
			const query = "?server=web01&user=bob&app=latchkey_billing&x=a%20b"
			l := link(t)
			l.AutologinTokenURL = b.URL + "/autologin" + query
			s := newServer(t, cpanelfake.Config{State: stateWith(t, l), Variant: v, Wait: new(recorder).wait})
			if got, err := s.Click(t.Context(), user, app); err != nil || got.Kind != cpanelfake.SignedOn {
				t.Fatalf("got %v, error %v, want a sign-on", got, err)
			}
			if len(b.got()) != 2 {
				t.Fatalf("got %d requests, want 2", len(b.got()))
			}
			for i, r := range b.got() {
				if r.Method != http.MethodPost || r.URI != "/autologin"+query {
					t.Errorf("got %s %s, want the URL as stored", r.Method, r.URI)
				}
				got := decode(t, v, r)
				if want := expected(l, v, i+1); !maps.Equal(got, want) {
					t.Errorf("attempt %d: got %v, want %v", i+1, got, want)
				}
			}
		})
	}
	if len(variants) != 32 || len(names) != 32 {
		t.Errorf("got %d variants with %d names, want 32 of each", len(variants), len(names))
	}
	if got := (cpanelfake.Variant{}).String(); got != "form" {
		t.Errorf("the zero Variant is called %q, want form", got)
	}
}

// expected is the documented body, spelled out independently of Link.Fields.
func expected(l cpanelfake.Link, v cpanelfake.Variant, attempt int) map[string]string {
	want := map[string]string{"token": secret, "subscriber_unique_id": "1234"}
	if !v.OmitApp {
		want["app"] = app
	}
	if !v.OmitUser {
		want["user"] = user
	}
	if v.Attempt {
		want["attempt"] = strconv.Itoa(attempt)
	}
	if v.AllFields {
		maps.Copy(want, map[string]string{
			"implements": "billing", "label": "View Billing", "group_id": "latchkey", "order": "7", "hide": "1",
			"autologin_token_url": l.AutologinTokenURL, "url": fallback, "base64_png_image": l.Base64PNGImage,
		})
	}
	return want
}

func decode(t *testing.T, v cpanelfake.Variant, r request) map[string]string {
	t.Helper()
	got := map[string]string{}
	if v.JSON {
		var fields map[string]any
		if err := json.Unmarshal(r.Body, &fields); err != nil || r.Header.Get("Content-Type") != "application/json" {
			t.Fatalf("got %q as %s: %v", r.Body, r.Header.Get("Content-Type"), err)
		}
		for name, value := range fields {
			got[name] = fmt.Sprint(value)
		}
		return got
	}
	form, err := url.ParseQuery(string(r.Body))
	if err != nil || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
		t.Fatalf("got %q as %s: %v", r.Body, r.Header.Get("Content-Type"), err)
	}
	for name, values := range form {
		got[name] = strings.Join(values, "|")
	}
	return got
}
