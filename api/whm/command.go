package whm

import (
	"encoding/base64"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

// form is the parameters of a function, encoded, each with an & before it.
type form struct{ encoded []byte }

// add adds a parameter, unless it is empty.
func (f *form) add(name, value string) {
	if value != "" {
		f.addEncoded(name, escape(value))
	}
}

func (f *form) addEncoded(name, value string) {
	if value == "" {
		return
	}
	f.encoded = append(f.encoded, '&')
	f.encoded = append(f.encoded, name...)
	f.encoded = append(f.encoded, '=')
	f.encoded = append(f.encoded, value...)
}

// escape writes a space as %20: whether WHM reads the + of forms inside a command
// of a batch is not documented.
func escape(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }

// form returns the parameters of a command. Those of a link are all there, each
// time: WHM replaces a link as a whole.
func (c *Client) form(cmd reconcile.Command) form {
	var f form
	f.add("user", cmd.User)
	switch cmd.Function {
	case reconcile.CreateGroup:
		f.add("group_id", cmd.Group.ID)
		f.add("label", cmd.Group.Label)
		f.add("order", strconv.Itoa(cmd.Group.Order))
		return f
	case reconcile.RemoveGroup:
		f.add("group_id", cmd.Group.ID)
		return f
	case reconcile.ListLinks, reconcile.ListGroups:
		return f
	}
	f.add("app", cmd.App)
	if cmd.Function == reconcile.CreateLink {
		f.add("implements", cmd.Link.Implements)
		f.add("label", cmd.Link.Label)
		f.add("subscriber_unique_id", cmd.Link.Subscriber)
		f.add("autologin_token_url", cmd.Link.AutologinURL)
		f.add("url", cmd.Link.URL)
		f.add("group_id", cmd.Link.GroupID)
		f.add("order", strconv.Itoa(cmd.Link.Order))
		f.add("hide", "0")
		f.addEncoded("base64_png_image", c.icons.encoded(cmd.Link.Icon))
	}
	if cmd.Function == reconcile.CreateLink || cmd.Function == reconcile.UpdateToken {
		f.add("token", cmd.Token.Reveal())
	}
	return f
}

// icons keeps the encoded forms of icons, which are few and sent with every link.
type icons struct {
	mu    sync.Mutex
	known map[string]string
}

// maxIcons is far more than a catalogue has; one that changes for weeks does not
// fill the memory.
const maxIcons = 256

func (i *icons) encoded(icon []byte) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	text, ok := i.known[string(icon)]
	if !ok {
		if len(i.known) >= maxIcons || i.known == nil {
			i.known = make(map[string]string)
		}
		text = escape(base64.StdEncoding.EncodeToString(icon))
		i.known[string(icon)] = text
	}
	return text
}
