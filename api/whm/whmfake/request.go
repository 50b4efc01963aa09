package whmfake

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
)

// maxBody is the longest body of a request in bytes.
const maxBody = 64 << 20

// call is one function with its parameters.
type call struct {
	function string
	params   url.Values
}

func (c call) get(name string) string { return c.params.Get(name) }

// flag reads a boolean, which is 1 or 0.
func (c call) flag(name string) bool { return c.get(name) == "1" }

// parse reads the call from the path, and its parameters from the query and the
// body: a form, or a JSON object.
func parse(r *http.Request) (call, error) {
	function, ok := strings.CutPrefix(r.URL.Path, "/json-api/")
	if !ok || function == "" || strings.Contains(function, "/") {
		return call{}, errNoPage
	}
	params, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return call{}, fmt.Errorf("read the query: %w", err)
	}
	c := call{function, params}
	if r.Method != http.MethodPost {
		return c, nil
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return call{}, fmt.Errorf("read the body: %w", err)
	}
	if len(body) > maxBody {
		return call{}, errors.New("the body is too long")
	}
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return call{}, fmt.Errorf("read the content type: %w", err)
	}
	var posted url.Values
	switch mediaType {
	case "application/x-www-form-urlencoded":
		posted, err = url.ParseQuery(string(body))
	case "application/json":
		posted, err = parseJSON(body)
	default:
		err = errors.New("a form or a JSON object is needed")
	}
	if err != nil {
		return call{}, fmt.Errorf("read the body: %w", err)
	}
	for name, values := range posted {
		params[name] = append(params[name], values...)
	}
	return c, nil
}

var errNoPage = errors.New("no such page")

// parseJSON reads an object of scalars and of lists of scalars.
func parseJSON(body []byte) (url.Values, error) {
	var fields map[string]any
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(&fields); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the object")
	}
	values := make(url.Values, len(fields))
	for name, value := range fields {
		list, ok := value.([]any)
		if !ok {
			list = []any{value}
		}
		for _, v := range list {
			text, ok := scalar(v)
			if !ok {
				return nil, fmt.Errorf("%q is neither a scalar nor a list of scalars", name)
			}
			values.Add(name, text)
		}
	}
	return values, nil
}

func scalar(v any) (string, bool) {
	switch v := v.(type) {
	case nil:
		return "", true
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		if v {
			return "1", true
		}
		return "0", true
	}
	return "", false
}

// parseCommand reads a command of a batch, whose outer encoding is gone already:
// function?k=v&k=v.
func parseCommand(text string) (call, error) {
	function, query, _ := strings.Cut(text, "?")
	params, err := url.ParseQuery(query)
	if err != nil {
		return call{}, err
	}
	return call{function, params}, nil
}
