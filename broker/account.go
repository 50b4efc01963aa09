package broker

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Account is a cPanel account on one server.
type Account struct {
	// Server is the id that the operator gave the server, like "web01".
	Server string `json:"server"`
	// User is the account's name, the `user` field of the contract.
	User string `json:"user"`
}

func (a Account) String() string { return a.Server + "/" + a.User }

// Tag is a short name of the account's shard: 3 characters of base64url, 18
// bits of a hash. A one-time token begins with the tag of its account, so that
// a store spread over many nodes finds both on one node without a look-up. The
// tag does not identify the account.
func (a Account) Tag() string {
	sum := sha256.Sum256([]byte(a.Server + "/" + a.User))
	return base64.RawURLEncoding.EncodeToString(sum[:3])[:tagLength]
}

const tagLength = 3

// Link is one entry in one account's cPanel interface.
type Link struct {
	Account
	// App is the link's name on WHM, the `app` field of the contract.
	App string
}

func (l Link) String() string { return l.Account.String() + "/" + l.App }

// Longest values of the contract's fields, in bytes. cPanel account names have
// at most 16 characters, WHM documents no limit for the others.
const (
	MaxServer     = 64
	MaxUser       = 64
	MaxApp        = 128
	MaxSubscriber = 255
	MaxToken      = 512
)

// Validate checks the names of an account, which are parts of keys. Its error is an
// *Error with ReasonInvalidRequest.
func (a Account) Validate() error {
	if err := checkName("server", a.Server, MaxServer); err != nil {
		return err
	}
	return checkName("user", a.User, MaxUser)
}

// Validate checks the names of a link, which are parts of keys and file names.
// Its error is an *Error with ReasonInvalidRequest.
func (l Link) Validate() error {
	if err := l.Account.Validate(); err != nil {
		return err
	}
	return checkName("app", l.App, MaxApp)
}

// ValidateSubscriber checks a subscriber_unique_id.
func ValidateSubscriber(id string) error {
	return checkText("subscriber_unique_id", id, MaxSubscriber)
}

// checkName accepts what can be an account name, a server id or a file name.
func checkName(field, value string, most int) error {
	if err := checkText(field, value, most); err != nil {
		return err
	}
	if value == "." || value == ".." || value[0] == '-' {
		return Invalid(field, "is not a name")
	}
	for _, r := range value {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("._-", r):
		default:
			return Invalid(field, "has a character other than letters, digits, dot, underscore and hyphen")
		}
	}
	return nil
}

// checkText accepts any printable text of a bounded length that is not blank.
func checkText(field, value string, most int) error {
	switch {
	case value == "":
		return Invalid(field, "is missing")
	case len(value) > most:
		return Invalid(field, "is too long")
	case !utf8.ValidString(value):
		return Invalid(field, "is not valid UTF-8")
	}
	for _, r := range value {
		switch {
		case unicode.IsControl(r):
			return Invalid(field, "has a control character")
		case !unicode.IsPrint(r):
			return Invalid(field, "has an invisible character")
		}
	}
	if strings.TrimSpace(value) == "" {
		return Invalid(field, "is missing")
	}
	return nil
}
