package reconcile

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/url"
	"strconv"
	"strings"

	"github.com/latchkey-sso/latchkey/broker"
)

// Wanted is what every account's links shall be. It does not change after
// NewWanted and may be shared.
type Wanted struct {
	// Group is the group that holds the links.
	Group broker.Group
	// Revision is that of the catalogue; 0 when it is not from the store.
	Revision int

	prefix string
	public *url.URL
	base   string
	apps   []string // in the catalogue's order
	links  map[string]wantedLink
	off    map[string]bool // apps that are in the catalogue and switched off
}

type wantedLink struct {
	fields Fields // without Subscriber, AutologinURL and GroupID
	icon   [sha256.Size]byte
	base64 string
}

// NewWanted works out what a catalogue asks for. publicURL is the brokers', which
// was checked by whoever read the configuration.
func NewWanted(c *broker.Catalogue, publicURL string, revision int) (*Wanted, error) {
	public, err := url.Parse(publicURL)
	if err != nil {
		return nil, err
	}
	w := &Wanted{
		Group: c.Group, Revision: revision, prefix: c.Prefix, public: public, base: publicURL,
		links: map[string]wantedLink{}, off: map[string]bool{},
	}
	for _, d := range c.Destinations() {
		if !d.Enabled {
			w.off[d.App] = true
			continue
		}
		w.apps = append(w.apps, d.App)
		w.links[d.App] = wantedLink{
			fields: Fields{
				Implements: d.Link.Implements, Label: d.Link.Label, URL: d.FallbackURL,
				Order: d.Link.Order, Icon: d.Link.Icon,
			},
			icon:   sha256.Sum256(d.Link.Icon),
			base64: base64.StdEncoding.EncodeToString(d.Link.Icon),
		}
	}
	return w, nil
}

// Apps are the links that every account shall have, in the catalogue's order.
func (w *Wanted) Apps() []string { return w.apps }

// Knows reports whether an app is in the catalogue, switched on or off.
func (w *Wanted) Knows(app string) bool {
	_, on := w.links[app]
	return on || w.off[app]
}

// inGroup is the same with the links in another group.
func (w *Wanted) inGroup(id string) *Wanted {
	other := *w
	other.Group.ID = id
	return &other
}

func (w *Wanted) fields(link broker.Link, subscriber string) Fields {
	f := w.links[link.App].fields
	f.Subscriber, f.GroupID = subscriber, w.Group.ID
	f.AutologinURL = broker.AutologinURL(w.base, link)
	return f
}

// fingerprint is that of the link's wanted fields.
func (w *Wanted) fingerprint(link broker.Link, subscriber string) Fingerprint {
	f := w.fields(link, subscriber)
	icon := w.links[link.App].icon
	return linkFingerprint(f.Implements, f.Label, f.Subscriber, f.AutologinURL, f.URL, f.GroupID, strconv.Itoa(f.Order), icon)
}

func linkFingerprint(implements, label, subscriber, autologinURL, url, group, order string, icon [sha256.Size]byte) Fingerprint {
	return fingerprint(implements, label, subscriber, autologinURL, url, group, order, string(icon[:]))
}

// asWritten reports whether a server's link is, field by field, what the store says
// that we wrote: then it is ours, also when the brokers' address has changed since.
func asWritten(config map[string]string, written Fingerprint) bool {
	icon, err := base64.StdEncoding.DecodeString(config[fieldIcon])
	return err == nil && !written.IsZero() && written == linkFingerprint(config[fieldImplements], config[fieldLabel],
		config[fieldSubscriber], config[fieldAutologinURL], config[fieldURL], config[fieldGroup], config[fieldOrder], sha256.Sum256(icon))
}

func (w *Wanted) groupFingerprint() Fingerprint {
	return fingerprint(w.Group.ID, w.Group.Label, strconv.Itoa(w.Group.Order))
}

func fingerprint(parts ...string) Fingerprint {
	h := sha256.New()
	for _, p := range parts {
		var size [4]byte
		binary.BigEndian.PutUint32(size[:], uint32(len(p)))
		h.Write(size[:])
		h.Write([]byte(p))
	}
	f := Fingerprint(h.Sum(nil)[:len(Fingerprint{})])
	if f.IsZero() {
		f[0] = 1 // zero says that nothing is known
	}
	return f
}

// WHM's names of a link's stored fields.
const (
	fieldImplements   = "implements"
	fieldLabel        = "label"
	fieldSubscriber   = "subscriber_unique_id"
	fieldAutologinURL = "autologin_token_url"
	fieldURL          = "url"
	fieldGroup        = "group_id"
	fieldOrder        = "order"
	fieldIcon         = "base64_png_image"
)

// drift names the fields in which a server's link is not as wanted. A field that
// this version of WHM does not tell is taken as right.
func (w *Wanted) drift(link broker.Link, subscriber string, config map[string]string) []string {
	f := w.fields(link, subscriber)
	var differ []string
	for _, want := range []struct{ name, value string }{
		{fieldLabel, f.Label}, {fieldImplements, f.Implements}, {fieldSubscriber, f.Subscriber},
		{fieldAutologinURL, f.AutologinURL}, {fieldURL, f.URL}, {fieldGroup, f.GroupID},
		{fieldOrder, strconv.Itoa(f.Order)}, {fieldIcon, w.links[link.App].base64},
	} {
		if got, told := config[want.name]; told && got != want.value {
			differ = append(differ, want.name)
		}
	}
	return differ
}

// mayBeOurs reports whether an app's name is one that we give.
func (w *Wanted) mayBeOurs(app string) bool { return strings.HasPrefix(app, w.prefix) }

// ours reports whether a server's link leads to our brokers. Anything else was
// made by somebody else, whatever its name is.
func (w *Wanted) ours(config map[string]string) bool {
	u, err := url.Parse(config[fieldAutologinURL])
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, w.public.Host) && u.Path == w.public.Path+"/autologin"
}

// copiedFrom returns the account that a link's URL names when it is another one.
func copiedFrom(config map[string]string, a broker.Account) (broker.Account, bool) {
	u, err := url.Parse(config[fieldAutologinURL])
	if err != nil {
		return broker.Account{}, false
	}
	q := u.Query()
	from := broker.Account{Server: q.Get("server"), User: q.Get("user")}
	return from, from.Server != "" && from.User != "" && from != a
}
