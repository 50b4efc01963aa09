package subscribers

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
)

// jsonLines has an object on each line.
type jsonLines struct {
	in *bufio.Reader
	// line is the last one that was read.
	line int
}

func (j *jsonLines) next() (row, error) {
	for {
		text, err := j.readLine()
		if err != nil && !errors.Is(err, io.EOF) {
			return row{}, err
		}
		j.line++
		if text = bytes.TrimSpace(text); len(text) > 0 {
			return parseObject(text, j.line)
		}
		if err != nil {
			return row{}, err
		}
	}
}

// readLine returns a line; with the last one comes io.EOF.
func (j *jsonLines) readLine() ([]byte, error) {
	text, err := j.in.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return text, err
	}
	long := bytes.Clone(text) // limited reads its end sometime
	for errors.Is(err, bufio.ErrBufferFull) {
		text, err = j.in.ReadSlice('\n')
		long = append(long, text...)
	}
	return long, err
}

// jsonArray is one array of objects.
type jsonArray struct {
	dec   *json.Decoder
	lines *lineCounter
}

func newJSONArray(in *bufio.Reader, blank int) (*jsonArray, error) {
	lines := &lineCounter{in: in, line: blank + 1}
	a := &jsonArray{dec: json.NewDecoder(lines), lines: lines}
	_, err := a.dec.Token() // the [ that open has seen
	return a, err
}

func (a *jsonArray) next() (row, error) {
	if !a.dec.More() {
		return row{}, a.end()
	}
	var object json.RawMessage
	if err := a.dec.Decode(&object); err != nil {
		return row{}, a.translate(err)
	}
	return parseObject(object, a.lines.at(a.dec.InputOffset()-int64(len(object))))
}

// end returns io.EOF when the array is closed and nothing follows.
func (a *jsonArray) end() error {
	if _, err := a.dec.Token(); err != nil {
		return a.translate(err)
	}
	switch _, err := a.dec.Token(); {
	case errors.Is(err, io.EOF):
		return io.EOF
	case err != nil && !isSyntax(err):
		return err
	}
	return faultf(a.lines.at(a.dec.InputOffset()), "something follows the end of the JSON array")
}

func (a *jsonArray) translate(err error) error {
	line := a.lines.at(a.dec.InputOffset())
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return faultf(line, "the JSON array is not closed after this line: the list is not complete")
	case isSyntax(err):
		return faultf(line, "the list is not JSON from here on: %v", err)
	}
	return err
}

func isSyntax(err error) bool {
	_, is := errors.AsType[*json.SyntaxError](err)
	return is
}

// parseObject reads one object. Members with other names are left alone.
func parseObject(text []byte, line int) (row, error) {
	if err := json.Unmarshal(text, new(json.RawMessage)); err != nil {
		return row{}, faultf(line, "the row is not one whole JSON object on its line: %v", err)
	}
	if text[0] != '{' {
		return row{}, faultf(line, "the row is not a JSON object")
	}
	// Unmarshal has seen that the text is right, and into a struct it would let the last
	// of two members win, whatever the case of their letters.
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	r := row{line: line}
	var has [fieldCount]bool
	names := fieldNames()
	_, err := dec.Token()
	for err == nil && dec.More() {
		var name json.Token
		if name, err = dec.Token(); err != nil {
			break
		}
		field := slices.Index(names[:], name.(string))
		if field < 0 {
			err = dec.Decode(new(json.RawMessage))
			continue
		}
		if has[field] {
			return row{}, faultf(line, "the row has the member %s twice", names[field])
		}
		has[field] = true
		var value json.Token
		if value, err = dec.Token(); err != nil {
			break
		}
		switch v := value.(type) {
		case string:
			r.values[field] = v
		case json.Number:
			r.values[field] = v.String()
		case nil:
		default:
			return row{}, faultf(line, "%s must be text or a number", names[field])
		}
	}
	if err != nil {
		return row{}, faultf(line, "the row is not a JSON object: %v", err)
	}
	if i := slices.Index(has[:], false); i >= 0 {
		return row{}, faultf(line, "the row has no member %s", names[i])
	}
	return r, nil
}

// lineCounter knows on which line each byte stands, though its reader reads
// ahead.
type lineCounter struct {
	in io.Reader
	// line is that of the offset last asked for.
	line int
	read int64
	// ends are the offsets of line ends from there on.
	ends []int64
}

func (l *lineCounter) Read(p []byte) (int, error) {
	n, err := l.in.Read(p)
	for i, c := range p[:n] {
		if c == '\n' {
			l.ends = append(l.ends, l.read+int64(i))
		}
	}
	l.read += int64(n)
	return n, err
}

// at returns the line of a byte. Offsets must not go back.
func (l *lineCounter) at(offset int64) int {
	passed := 0
	for passed < len(l.ends) && l.ends[passed] < offset {
		passed++
	}
	l.line += passed
	l.ends = slices.Delete(l.ends, 0, passed)
	return l.line
}
