package api

import (
	"bytes"
	"encoding/json"
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

// bindBody reads a form or a JSON object. A body without a type is a form.
func bindBody(r *http.Request) (fields, error) {
	kind, err := mediaType(r)
	if err != nil {
		return nil, err
	}
	body, err := readBody(r)
	if err != nil {
		return nil, err
	}
	switch kind {
	case echo.MIMEApplicationForm, "":
		return parseForm(body)
	case echo.MIMEApplicationJSON:
		return parseJSON(body)
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
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, broker.Invalid("body", "is larger than it may be")
	}
	if _, refused := errors.AsType[*broker.Error](err); refused {
		return nil, err
	}
	if err != nil {
		return nil, broker.Invalid("body", "could not be read to its end")
	}
	return body, nil
}

func parseForm(body []byte) (fields, error) {
	values, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, broker.Invalid("body", "is not a valid form")
	}
	return fields(values), nil
}

// parseJSON reads the members of one object that are fields of ours: texts, and
// numbers as they are written. What the others hold does not matter.
func parseJSON(body []byte) (fields, error) {
	malformed := broker.Invalid("body", "is not a JSON object")
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return nil, malformed
	}
	found := fields{}
	for decoder.More() {
		key, err := decoder.Token()
		name, isName := key.(string)
		if err != nil || !isName {
			return nil, malformed
		}
		var raw json.RawMessage
		if err := decoder.Decode(&raw); err != nil {
			return nil, malformed
		}
		if !isField(name) {
			continue
		}
		value, err := jsonText(name, raw)
		if err != nil {
			return nil, err
		}
		found[name] = append(found[name], value)
	}
	if _, err := decoder.Token(); err != nil { // the closing brace
		return nil, malformed
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, malformed
	}
	return found, nil
}

// jsonText returns the text of a member of ours, "" for null.
func jsonText(name string, raw json.RawMessage) (string, error) {
	switch first := raw[0]; {
	case first == '"':
		if !utf8.Valid(raw) {
			return "", broker.Invalid(name, "is not valid UTF-8")
		}
		var text string
		if err := json.Unmarshal(raw, &text); err != nil {
			return "", broker.Invalid(name, "is not a JSON text")
		}
		return text, nil
	case first == '-' || first >= '0' && first <= '9':
		return string(raw), nil
	case first == 'n':
		return "", nil
	}
	return "", broker.Invalid(name, "must be a text")
}

// isField knows the names of our fields, so that no other text of a client gets
// into an answer or a log.
func isField(name string) bool {
	switch name {
	case "app", "token", "user", "subscriber_unique_id", "attempt":
		return true
	}
	return false
}
