package hooks

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

// report is what a server says has happened. Its texts are unchecked until
// requests returned no error.
type report struct {
	server, event, user string
	// newUser is the account's name after an Accounts::Modify that renamed it, and
	// empty in all other reports.
	newUser string
}

// renamed is the event whose account may have another name now.
const renamed = "Accounts::Modify"

// member returns the place of a member that we read, or nil for all others.
func (r *report) member(name string) *string {
	switch name {
	case "server":
		return &r.server
	case "event":
		return &r.event
	case "user":
		return &r.user
	case "new_user":
		return &r.newUser
	}
	return nil
}

// requests says what to do about the report.
func (r report) requests() ([]reconcile.Request, error) {
	var kinds []reconcile.RequestKind
	users := []string{r.user}
	switch r.event {
	case renamed:
		if r.newUser != "" && r.newUser != r.user {
			users = append(users, r.newUser)
		}
		fallthrough
	case "Accounts::Create", "Accounts::Remove", "Accounts::suspendacct", "Accounts::unsuspendacct", "Accounts::change_package":
		kinds = []reconcile.RequestKind{reconcile.RequestReconcile}
	case "PkgAcct::Restore", "Restore":
		kinds = []reconcile.RequestKind{reconcile.RequestReconcile, reconcile.RequestRotate}
	case "":
		return nil, invalid("event", "is missing")
	default:
		return nil, invalid("event", "is not one that Latchkey knows")
	}
	var all []reconcile.Request
	for i, user := range users {
		account := broker.Account{Server: r.server, User: user}
		if err := checkUser([]string{"user", "new_user"}[i], account); err != nil {
			return nil, err
		}
		for _, kind := range kinds {
			all = append(all, reconcile.Request{Account: account, Kind: kind})
		}
	}
	return all, nil
}

// checkUser checks the name of an account whose server is known.
func checkUser(member string, a broker.Account) error {
	// The domain checks whole links; any app will do.
	err := broker.Link{Account: a, App: "any"}.Validate()
	if problem, is := errors.AsType[*broker.Error](err); is {
		return invalid(member, problem.Problem)
	}
	return err
}

// bind reads the report of a request.
func bind(c echo.Context) (report, error) {
	r := c.Request()
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return report{}, unsupported("Content-Encoding", "is not supported")
	}
	if kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != echo.MIMEApplicationJSON {
		return report{}, unsupported("Content-Type", "must be application/json")
	} else if charset := params["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") {
		return report{}, unsupported("Content-Type", "must have the charset UTF-8")
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.Response(), r.Body, maxBody))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return report{}, tooLong("body", "is larger than 64 KiB")
	}
	if err != nil {
		return report{}, invalid("body", "could not be read to its end")
	}
	return parse(body)
}

// parse reads one JSON object. Of members that are not ours it checks no more
// than that they are JSON, and it does not fold the case of names: a member
// called "USER" is not ours.
func parse(body []byte) (report, error) {
	malformed := invalid("body", "is not a JSON object")
	decoder := json.NewDecoder(bytes.NewReader(body))
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return report{}, malformed
	}
	var found report
	seen := map[string]bool{}
	for decoder.More() {
		key, err := decoder.Token()
		name, isName := key.(string)
		if err != nil || !isName {
			return report{}, malformed
		}
		var raw json.RawMessage
		if err := decoder.Decode(&raw); err != nil {
			return report{}, malformed
		}
		place := found.member(name)
		if place == nil {
			continue
		}
		if seen[name] {
			return report{}, invalid(name, "is there more than once")
		}
		seen[name] = true
		if *place, err = text(name, raw); err != nil {
			return report{}, err
		}
	}
	if _, err := decoder.Token(); err != nil { // the closing brace
		return report{}, malformed
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return report{}, malformed
	}
	if found.event != renamed {
		found.newUser = "" // so that nothing unchecked goes on
	}
	return found, nil
}

// text returns the text of a member of ours, "" for null.
func text(name string, raw json.RawMessage) (string, error) {
	if !utf8.Valid(raw) {
		return "", invalid(name, "is not valid UTF-8")
	}
	var value string
	if err := json.Unmarshal(raw, &value); err != nil {
		return "", invalid(name, "must be a text")
	}
	return value, nil
}
