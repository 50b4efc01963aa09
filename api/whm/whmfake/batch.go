package whmfake

import (
	"bytes"
	"encoding/json"
)

// commandsOf returns the commands of a batch, or the one call itself. There is
// at least one.
func commandsOf(c call) ([]call, error) {
	texts := c.params["command"]
	if c.function != batchName || len(texts) == 0 {
		return []call{c}, nil
	}
	commands := make([]call, len(texts))
	for i, text := range texts {
		var err error
		if commands[i], err = parseCommand(text); err != nil {
			return nil, err
		}
	}
	return commands, nil
}

// batch executes commands one after the other.
func (s *Server) batch(c call, commands []call, request Request, f Fault, v Variant) envelope {
	outer := envelope{command: batchName}
	if !s.callable(batchName) {
		outer.reason = unknownFunction(batchName)
		return outer
	}
	if len(c.params["command"]) == 0 {
		outer.reason = s.failure("Provide the “command” parameter.")
		return outer
	}
	if v.StrictBatch {
		for _, command := range commands {
			if !s.callable(command.function) {
				outer.reason = unknownFunction(command.function)
				return outer
			}
		}
	}
	var b bytes.Buffer
	b.WriteString(`{"result":[`)
	for i, command := range commands {
		if f.Kind == StopAt && i >= f.At {
			break
		}
		if i > 0 {
			b.WriteByte(',')
		}
		var e envelope
		if f.Kind == FailAt && i == f.At {
			e = s.broken(command)
		} else {
			e = s.execute(command, Call{Request: request.N, Batch: request.N, Position: i}, v)
		}
		if f.Kind == GarbageAt && i == f.At {
			b.WriteString(`"<h1>500</h1>"`)
		} else {
			e.append(&b, v)
		}
		if e.ok() {
			continue
		}
		if v.FailedBatch {
			outer.reason = "One or more of the commands failed."
		}
		if c.flag("abort_on_error") {
			break
		}
	}
	if f.Kind == SurplusAt {
		b.WriteString(`,{"metadata":{"result":1}}`)
	}
	b.WriteString(`]}`)
	outer.data = json.RawMessage(b.Bytes())
	return outer
}
