package cpanelfake

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
)

// Variant is how one version of cPanel posts. Real servers differ, and a broker
// must work with all of them. The zero Variant posts a form with app, user, token
// and subscriber_unique_id.
type Variant struct {
	JSON      bool // a JSON object instead of a form
	OmitApp   bool // app is known from the URL only
	OmitUser  bool // user is known from the URL only
	Attempt   bool // attempt is sent: 1, 2, 3
	AllFields bool // every stored field of the link is sent along, the icon too
}

// Variants returns every Variant there is.
func Variants() []Variant {
	const switches = 5
	all := make([]Variant, 0, 1<<switches)
	for bits := range 1 << switches {
		all = append(all, Variant{
			JSON:      bits&1 != 0,
			OmitApp:   bits&2 != 0,
			OmitUser:  bits&4 != 0,
			Attempt:   bits&8 != 0,
			AllFields: bits&16 != 0,
		})
	}
	return all
}

// String names the variant, for instance "form" or "json,no-app,attempt".
func (v Variant) String() string {
	words := []string{"form"}
	if v.JSON {
		words[0] = "json"
	}
	for _, w := range []struct {
		on   bool
		word string
	}{{v.OmitApp, "no-app"}, {v.OmitUser, "no-user"}, {v.Attempt, "attempt"}, {v.AllFields, "all-fields"}} {
		if w.on {
			words = append(words, w.word)
		}
	}
	return strings.Join(words, ",")
}

// body returns what is posted for a link of the user, and its media type.
func (v Variant) body(user string, l Link, attempt int) (mediaType string, body []byte, err error) {
	fields := map[string]any{"subscriber_unique_id": l.SubscriberUniqueID}
	if v.AllFields {
		for name, value := range l.Fields() {
			fields[name] = value
		}
	}
	fields["token"] = l.Token.Reveal()
	fields["app"] = l.App
	if v.OmitApp {
		delete(fields, "app")
	}
	if !v.OmitUser {
		fields["user"] = user
	}
	if v.Attempt {
		fields["attempt"] = attempt
	}
	if v.JSON {
		body, err = json.Marshal(fields)
		return "application/json", body, err
	}
	form := make(url.Values, len(fields))
	for name, value := range fields {
		form.Set(name, fmt.Sprint(value))
	}
	return "application/x-www-form-urlencoded", []byte(form.Encode()), nil
}
