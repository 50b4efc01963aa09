package api

import (
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/latchkey-sso/latchkey/broker"
)

// maxDepth is how deep the members of an object may be nested.
const maxDepth = 1_000

// readObject reads one JSON object as it arrives and keeps the members with the
// names: texts, and numbers as they are written. What the others hold does not
// matter and, as with readForm, costs no memory.
func readObject(body io.Reader, names []string) (fields, error) {
	in := &shortener{from: body}
	found, err := members(json.NewDecoder(in), names)
	if in.err != nil && !errors.Is(in.err, io.EOF) {
		return nil, unreadable(in.err)
	}
	return found, err
}

func notAnObject() error { return broker.Invalid("body", "is not a JSON object") }

func members(in *json.Decoder, names []string) (fields, error) {
	in.UseNumber()
	if start, err := in.Token(); err != nil || start != json.Delim('{') {
		return nil, notAnObject()
	}
	found := fields{}
	for in.More() {
		key, err := in.Token()
		name, isName := key.(string)
		if err != nil || !isName {
			return nil, notAnObject()
		}
		if !slices.Contains(names, name) {
			if err := skipValue(in); err != nil {
				return nil, err
			}
			continue
		}
		value, err := memberText(in, name)
		if err != nil {
			return nil, err
		}
		found[name] = append(found[name], value)
	}
	if _, err := in.Token(); err != nil { // the closing brace
		return nil, notAnObject()
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return nil, notAnObject()
	}
	return found, nil
}

// skipValue reads one value of any kind.
func skipValue(in *json.Decoder) error {
	for depth := 0; ; {
		token, err := in.Token()
		if err != nil {
			return notAnObject()
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth > maxDepth {
			return notAnObject()
		}
		if depth == 0 {
			return nil
		}
	}
}

// memberText returns the text of a member of ours, "" for null.
func memberText(in *json.Decoder, name string) (string, error) {
	token, err := in.Token()
	if err != nil {
		return "", notAnObject()
	}
	text := ""
	switch value := token.(type) {
	case nil:
	case string:
		text = value
	case json.Number:
		text = value.String()
	default:
		return "", broker.Invalid(name, "must be a text")
	}
	switch {
	case len(text) > broker.MaxToken: // it may have been shortened
		return "", tooLongPart(name)
	case strings.ContainsRune(text, utf8.RuneError): // what the decoder makes of other bytes
		return "", broker.Invalid(name, "is not valid UTF-8")
	}
	return text, nil
}

// shortener passes JSON on and leaves out the rest of what is longer than maxPart:
// texts, numbers, and white space, so that whoever reads it has to hold no more. A
// shortened text still is one, longer than any of ours may be.
type shortener struct {
	from io.Reader
	err  error // of from

	text    bool // within quotes
	escaped bool // after a backslash
	digits  int  // of an escape sequence, still to come
	cut     bool // the rest of the text is left out

	// run is how long the text, number or white space is that goes on.
	run   int
	space bool // it is white space
}

func (s *shortener) Read(p []byte) (int, error) {
	for {
		n, err := s.from.Read(p)
		kept := 0
		for _, char := range p[:n] {
			if s.keep(char) {
				p[kept] = char
				kept++
			}
		}
		s.err = err
		if kept > 0 || err != nil || len(p) == 0 {
			return kept, err
		}
	}
}

func (s *shortener) keep(char byte) bool {
	s.run++
	if s.text {
		return s.keepText(char)
	}
	space := char == ' ' || char == '\t' || char == '\r' || char == '\n'
	switch {
	case char == '"':
		s.text, s.cut, s.run = true, false, 0
	case space != s.space, strings.IndexByte("{}[],:", char) >= 0:
		s.run = 0
	}
	s.space = space
	return s.run < maxPart
}

// keepText does not cut within an escape sequence.
func (s *shortener) keepText(char byte) bool {
	switch {
	case s.escaped:
		s.escaped = false
		if char == 'u' {
			s.digits = 4
		}
	case s.digits > 0:
		s.digits--
	case char == '"':
		s.text, s.run = false, 0
		return true
	default:
		s.cut = s.cut || s.run >= maxPart
		s.escaped = char == '\\'
	}
	return !s.cut
}
