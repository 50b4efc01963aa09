package whm

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

// envelope is what every function answers. Its parts are read one by one, so that
// what has an unexpected form does not spoil the rest.
type envelope struct {
	Data     json.RawMessage `json:"data"`
	Metadata struct {
		Result json.RawMessage `json:"result"`
		Reason json.RawMessage `json:"reason"`
		Chunk  json.RawMessage `json:"chunk"`
	} `json:"metadata"`
}

// open reads an envelope; ok is false for what is none.
func open(body []byte) (e envelope, ok bool) {
	if err := json.Unmarshal(body, &e); err != nil {
		return envelope{}, false
	}
	return e, !absent(e.Metadata.Result)
}

func absent(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// succeeded: nothing but 1 is a success, as a number or in quotes.
func (e envelope) succeeded() bool {
	result := string(e.Metadata.Result)
	return result == `1` || result == `"1"`
}

func (e envelope) reason() string {
	text, _ := scalar(e.Metadata.Reason)
	return text
}

// member returns a member of data, nil where data is no object or has none.
func (e envelope) member(name string) json.RawMessage {
	members, _ := object(e.Data)
	return members[name]
}

// object returns the members of an object.
func object(raw json.RawMessage) (map[string]json.RawMessage, bool) {
	var members map[string]json.RawMessage
	err := json.Unmarshal(raw, &members)
	return members, err == nil && members != nil
}

// scalar reads a string, a number or a boolean as Perl prints it. Null is no
// scalar here: it stands for nothing.
func scalar(raw json.RawMessage) (string, bool) {
	if absent(raw) {
		return "", false
	}
	switch raw[0] {
	case '"':
		var text string
		err := json.Unmarshal(raw, &text)
		return text, err == nil
	case '{', '[':
		return "", false
	case 't':
		return "1", true
	case 'f':
		return "0", true
	}
	return string(raw), true
}

// number reads a number, in quotes or not.
func number(raw json.RawMessage) (int, bool) {
	text, _ := scalar(raw)
	n, err := strconv.Atoi(text)
	return n, err == nil
}

const (
	// maxNames is how many names a list has at most.
	maxNames = 100_000
	// maxIcon is how many bytes of a stored icon are read: 64 KiB in base64 are the
	// longest that we write, and four more show that another one is longer.
	maxIcon = (64<<10+2)/3*4 + 4
	// maxText is so for every other stored field. The longest are addresses, and few
	// programs take one of that length.
	maxText = 8 << 10
)

// nameList reads a list of names: of strings, of objects that have the name as a
// member, or an object with such values. Nothing and null are the empty list.
// unreadable counts the entries without a name; ok is false for what is no list, or
// one of more than maxNames.
func nameList(raw json.RawMessage, member string) (names []string, unreadable int, ok bool) {
	if absent(raw) {
		return nil, 0, true
	}
	add := func(entry json.RawMessage, otherwise string) {
		members, isObject := object(entry)
		if !isObject {
			members = map[string]json.RawMessage{member: entry}
		}
		name, _ := scalar(members[member])
		if otherwise != "" && (name == "" || !isObject) {
			name = otherwise
		}
		if name == "" {
			unreadable++
			return
		}
		names = append(names, name)
	}
	var entries []json.RawMessage
	if json.Unmarshal(raw, &entries) == nil {
		if len(entries) > maxNames {
			return nil, 0, false
		}
		for _, entry := range entries {
			add(entry, "")
		}
		return names, unreadable, true
	}
	members, isObject := object(raw)
	if name, single := scalar(members[member]); single {
		return []string{name}, 0, true
	}
	if len(members) > maxNames {
		return nil, 0, false
	}
	for key, entry := range members {
		add(entry, key)
	}
	return names, unreadable, isObject
}

// reply makes the answer to one command of its envelope.
func (c *Client) reply(cmd reconcile.Command, e envelope) reconcile.Reply {
	if !e.succeeded() {
		f := c.refused(e.reason())
		f.Missing = missing(f.Message, cmd.User)
		return reconcile.Reply{Err: c.clean(f, cmd)}
	}
	unreadable := reconcile.Reply{Err: c.clean(c.unreadable(string(cmd.Function), false))}
	switch cmd.Function {
	case reconcile.ListLinks, reconcile.ListGroups:
		member := "app"
		if cmd.Function == reconcile.ListGroups {
			member = "group"
		}
		// An entry without a name is not ours: we never make one.
		found, _, ok := nameList(e.member("links"), member)
		if !ok {
			return unreadable
		}
		return reconcile.Reply{Names: found}
	case reconcile.GetLink:
		config, ok := userConfig(e.member("userconfig"))
		if !ok {
			return unreadable
		}
		return reconcile.Reply{Config: config}
	}
	return reconcile.Reply{}
}

// userConfig reads those stored fields of a link that we write. Perl writes an empty
// object as a list now and then.
func userConfig(raw json.RawMessage) (map[string]string, bool) {
	config := map[string]string{}
	if absent(raw) || string(raw) == "[]" {
		return config, true
	}
	members, ok := object(raw)
	for name, value := range members {
		most := longest(name)
		if most == 0 {
			continue
		}
		if text, ok := scalar(value); ok {
			if len(text) > most {
				text = strings.Clone(text[:most]) // else the whole stays in memory
			}
			config[name] = text
		}
	}
	return config, ok
}

// longest is how many bytes of a stored field are read; 0 for what is none of ours.
// The token is never told: should it be one day, it goes no further.
func longest(field string) int {
	switch field {
	case "base64_png_image":
		return maxIcon
	case "implements", "label", "subscriber_unique_id", "autologin_token_url", "url", "group_id", "order":
		return maxText
	}
	return 0
}

// unreadable is the Failure of an answer that makes no sense.
func (c *Client) unreadable(function string, maybe bool) *reconcile.Failure {
	return c.unsettled(reconcile.ScopeItem, maybe, nil, "%s gave an answer to %s that cannot be read: "+
		"a page instead of data, only a part of it, or too much", c.host, function)
}
