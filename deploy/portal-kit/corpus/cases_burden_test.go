package corpus_test

import (
	"encoding/json"
	"fmt"
	"strings"
)

// burdens are what a parser may fail at in a way of its own: an exception that nobody
// catches, a stack that ends. How deep JSON may nest is the parser's choice (RFC 8259
// section 9), so these are refused for another reason as well, which is found later:
// the header's by the signature, the payload's by exp.
func (m *maker) burdens() {
	const rule = "RFC 8259 section 9"
	header := func(name, why string, x any) {
		m.bad("burden", name+" in the header", rule, why+", and a stranger signed it",
			m.jws(spec{key: stranger, header: members{"kid": m.keys[ed25519Key].kid, "x": x}}))
	}
	payload := func(name, why string, x any) {
		m.bad("burden", name+" in the payload", rule, why+", and exp is an hour ago",
			m.jws(spec{claims: members{"iat": now - 3660, "nbf": now - 3660, "exp": now - 3600, "x": x}}))
	}
	const deep = "a parser may refuse what nests so deep, and must not break"
	depths := []int{100, 500, 5000}
	// A stack of 1,000 calls is Python's. Where it ends depends on who has called, and
	// a second parser of the same text may be two calls further up.
	for depth := 900; depth <= 1000; depth += 2 {
		depths = append(depths, depth)
	}
	for _, depth := range depths {
		header(fmt.Sprintf("%d arrays", depth), deep, nested("[", "]", depth))
		if depth%10 == 0 {
			payload(fmt.Sprintf("%d arrays", depth), deep, nested("[", "]", depth))
		}
	}
	header("1000 objects", deep, nested(`{"x":`, "}", 1000))
	payload("1000 objects", deep, nested(`{"x":`, "}", 1000))
	const long = "a parser may refuse a number of so many digits, and must not break"
	for _, digits := range []int{400, 5000} {
		header(fmt.Sprintf("an integer of %d digits", digits), long, integer(digits))
		payload(fmt.Sprintf("an integer of %d digits", digits), long, integer(digits))
	}
}

// nested is null in that many arrays or objects.
func nested(open, end string, depth int) json.RawMessage {
	return json.RawMessage(strings.Repeat(open, depth) + "null" + strings.Repeat(end, depth))
}

// integer has that many digits, in full.
func integer(digits int) json.RawMessage { return json.RawMessage("1" + strings.Repeat("0", digits-1)) }
