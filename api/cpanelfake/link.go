package cpanelfake

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"image/png"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Link is one entry in one account's interface: the fields of WHM's
// create_integration_link under its names.
type Link struct {
	App                string // the link's name, unique within the account
	Implements         string // what the link does, for instance "billing"
	Label              string
	SubscriberUniqueID string
	Token              Token
	AutologinTokenURL  string // where a click posts; empty means straight to URL
	URL                string // where a click ends when the broker cannot help
	Base64PNGImage     string
	GroupID            string // a Group of the same account; may name one that is not there
	Order              int    // position within the group, lowest first
	Hide               bool
}

// Group is a heading under which an account's page gathers links.
type Group struct {
	ID    string
	Label string
	Order int // position on the page, lowest first
}

// FieldError says which field of a link, group or account was refused, and why.
type FieldError struct {
	Field   string // WHM's name for it
	Problem string
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Problem }

// Fields returns the stored fields under WHM's names and in WHM's spelling (hide
// is "1" or "0"). Empty fields are left out, and the token is never among them.
func (l Link) Fields() map[string]string {
	fields := map[string]string{
		"app":                  l.App,
		"implements":           l.Implements,
		"label":                l.Label,
		"subscriber_unique_id": l.SubscriberUniqueID,
		"autologin_token_url":  l.AutologinTokenURL,
		"url":                  l.URL,
		"base64_png_image":     l.Base64PNGImage,
		"group_id":             l.GroupID,
	}
	for name, value := range fields {
		if value == "" {
			delete(fields, name)
		}
	}
	fields["order"] = strconv.Itoa(l.Order)
	fields["hide"] = "0"
	if l.Hide {
		fields["hide"] = "1"
	}
	return fields
}

// check checks everything but the picture.
func (l Link) check() error {
	required := []struct{ field, value string }{
		{"app", l.App},
		{"implements", l.Implements},
		{"label", l.Label},
		{"subscriber_unique_id", l.SubscriberUniqueID},
		{"token", l.Token.Reveal()},
	}
	for _, r := range required {
		if r.value == "" {
			return &FieldError{r.field, "is required"}
		}
	}
	if err := checkName("app", l.App); err != nil {
		return err
	}
	if strings.Contains(l.Label, "'") {
		return &FieldError{"label", "must not contain an apostrophe"}
	}
	if l.AutologinTokenURL == "" && l.URL == "" {
		return &FieldError{"autologin_token_url", "is required where url is missing"}
	}
	return nil
}

func (g Group) check() error {
	if g.ID == "" {
		return &FieldError{"group_id", "is required"}
	}
	if g.Label == "" {
		return &FieldError{"label", "is required"}
	}
	return checkName("group_id", g.ID)
}

// checkName holds a name against what WHM makes of it, a file beside those of the
// groups, which are called group_ and their id.
func checkName(field, name string) error {
	const longest = 255 // bytes, NAME_MAX
	switch {
	case name == "." || name == ".." || len(name) > longest || strings.ContainsAny(name, "/\x00") || !utf8.ValidString(name):
		return &FieldError{field, "must be a valid file name"}
	case strings.HasPrefix(name, "group_"):
		return &FieldError{field, "must not begin with group_"}
	}
	return nil
}

// maxIconPixels keeps a small file from unfolding into a large amount of memory.
// The limit is ours: none is documented.
const maxIconPixels = 4 << 20

// checkImage decodes the whole picture: a right header over a broken body is not
// a real PNG.
func checkImage(text string) error {
	if text == "" {
		return nil
	}
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return &FieldError{"base64_png_image", "is not Base64"}
	}
	size, err := png.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return &FieldError{"base64_png_image", "is not a PNG"}
	}
	if int64(size.Width)*int64(size.Height) > maxIconPixels {
		return &FieldError{"base64_png_image", fmt.Sprintf("is larger than %d pixels", maxIconPixels)}
	}
	if _, err := png.Decode(bytes.NewReader(data)); err != nil {
		return &FieldError{"base64_png_image", "is not a PNG"}
	}
	return nil
}

// icon returns the bytes of the picture, nil where there is none.
func (l Link) icon() []byte {
	data, err := base64.StdEncoding.DecodeString(l.Base64PNGImage)
	if err != nil || len(data) == 0 {
		return nil
	}
	return data
}
