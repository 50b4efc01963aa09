package whmfake

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/latchkey-sso/latchkey/api/cpanelfake"
)

const (
	deniedType = "text/plain"
	denied     = `{"cpanelresult":{"apiversion":"2","error":"Access denied","data":{"reason":"Access denied","result":"0"},"type":"text"}}`
)

// nothing is the data of functions that have nothing to tell.
type nothing struct{}

// envelope is the answer to one command.
type envelope struct {
	command string
	data    any
	chunk   *chunk
	reason  string // of a failure; empty means success
}

func (e envelope) ok() bool { return e.reason == "" }

// append writes the envelope as JSON.
func (e envelope) append(b *bytes.Buffer, v Variant) {
	type metadata struct {
		Command string `json:"command"`
		Reason  string `json:"reason"`
		Result  any    `json:"result"`
		Version int    `json:"version"`
		Chunk   *chunk `json:"chunk,omitempty"`
	}
	m := metadata{Command: e.command, Reason: e.reason, Result: 0, Version: 1, Chunk: e.chunk}
	if e.ok() {
		m.Reason, m.Result = "OK", 1
	}
	if v.StringResult {
		m.Result = fmt.Sprint(m.Result)
	}
	data := e.data
	if !e.ok() && data == nil {
		data = nothing{}
	}
	b.WriteByte('{')
	switch raw, isRaw := data.(json.RawMessage); {
	case data == nothing{} && v.NoData:
	case data == nothing{} && v.NullData:
		b.WriteString(`"data":null,`)
	case isRaw: // a batch, which is large
		b.WriteString(`"data":`)
		b.Write(raw)
		b.WriteByte(',')
	default:
		b.WriteString(`"data":`)
		marshal(b, data)
		b.WriteByte(',')
	}
	b.WriteString(`"metadata":`)
	marshal(b, m)
	b.WriteByte('}')
}

// marshal writes what always can be written.
func marshal(b *bytes.Buffer, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("whmfake: %v", err))
	}
	b.Write(text)
}

// failure makes the sentence of a function that failed, with an XID of its own.
func (s *Server) failure(sentence string) string {
	// Steps that have no factor in common with the number of XIDs: each comes once.
	const step, all = 1_234_567_891, 36 * 36 * 36 * 36 * 36 * 36
	n := s.xid.Add(1) * step % all
	xid := "00000" + strconv.FormatUint(n, 36)
	return fmt.Sprintf("API failure: (XID %s) %s", xid[len(xid)-6:], sentence)
}

// sentence is what WHM would say about an error of the State.
func sentence(err error, c call) string {
	if field, ok := errors.AsType[*cpanelfake.FieldError](err); ok {
		return fmt.Sprintf("The “%s” parameter %s.", field.Field, field.Problem)
	}
	switch {
	case errors.Is(err, cpanelfake.ErrUnknownAccount):
		return fmt.Sprintf("You do not have a user named “%s”.", c.get("user"))
	case errors.Is(err, cpanelfake.ErrUnknownLink):
		return fmt.Sprintf("The user “%s” has no integration link named “%s”.", c.get("user"), c.get("app"))
	}
	return err.Error()
}

func unknownFunction(name string) string {
	return fmt.Sprintf(`Unknown app ("%s") requested for this version (1) of the API.`, name)
}
