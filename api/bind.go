package api

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"github.com/latchkey-sso/latchkey/broker"
)

// fields are the values of one request part by name. A name that was there
// several times has several values.
type fields map[string][]string

// one returns the only value of a field, or "" when it is not there.
func (f fields) one(name string) (string, error) {
	switch values := f[name]; len(values) {
	case 0:
		return "", nil
	case 1:
		if !utf8.ValidString(values[0]) {
			return "", broker.Invalid(name, "is not valid UTF-8")
		}
		return values[0], nil
	}
	return "", broker.Invalid(name, "is there more than once")
}

func bindQuery(r *http.Request) (fields, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, broker.Invalid("query", "is not valid percent-encoding")
	}
	return fields(values), nil
}

// bindForm reads a body of type application/x-www-form-urlencoded.
func bindForm(r *http.Request) (fields, error) {
	if kind, err := mediaType(r); err != nil || kind != echo.MIMEApplicationForm {
		return nil, broker.Invalid("Content-Type", "must be application/x-www-form-urlencoded")
	}
	body, err := readBody(r)
	if err != nil {
		return nil, err
	}
	return parseForm(body)
}

// bindBody reads a form or a JSON object of the named fields. A body without a
// type is a form. It keeps nothing but those fields, however much is sent along:
// see readForm and readObject.
func bindBody(r *http.Request, names ...string) (fields, error) {
	kind, err := mediaType(r)
	if err != nil {
		return nil, err
	}
	switch kind {
	case echo.MIMEApplicationForm, "":
		return readForm(r.Body, names)
	case echo.MIMEApplicationJSON:
		return readObject(r.Body, names)
	}
	return nil, broker.Invalid("Content-Type", "must be application/x-www-form-urlencoded or application/json")
}

func mediaType(r *http.Request) (string, error) {
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return "", broker.Invalid("Content-Encoding", "is not supported")
	}
	header := r.Header.Get("Content-Type")
	if header == "" {
		return "", nil
	}
	kind, params, err := mime.ParseMediaType(header)
	if err != nil {
		return "", broker.Invalid("Content-Type", "is malformed")
	}
	if charset := params["charset"]; charset != "" && !isUTF8(charset) {
		return "", broker.Invalid("Content-Type", "must have the charset UTF-8")
	}
	return kind, nil
}

func isUTF8(charset string) bool {
	switch charset {
	case "utf-8", "UTF-8", "utf8", "UTF8", "Utf-8", "us-ascii", "US-ASCII":
		return true
	}
	return false
}

func readBody(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, unreadable(err)
	}
	return body, nil
}

// unreadable says why reading a body failed.
func unreadable(err error) error {
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return broker.Invalid("body", "is larger than it may be")
	}
	return broker.Invalid("body", "could not be read to its end")
}

func parseForm(body []byte) (fields, error) {
	values, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, notAForm()
	}
	return fields(values), nil
}

func notAForm() error { return broker.Invalid("body", "is not a valid form") }

// maxPart is how many bytes of one field or member are looked at: more than any of
// ours may have in the widest encoding.
const maxPart = 4 << 10

func tooLongPart(name string) error { return broker.Invalid(name, "is longer than it may be") }
