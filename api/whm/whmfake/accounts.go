package whmfake

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"

	"github.com/latchkey-sso/latchkey/api/cpanelfake"
)

// CopyAccount copies an account as a transfer between servers does: with its
// groups and links, whose tokens and URLs stay as they are and still name the old
// server and the old user. It answers cpanelfake.ErrUnknownAccount or
// ErrAccountExists (match with errors.Is) and then has copied nothing.
func CopyAccount(from *cpanelfake.State, user string, to *cpanelfake.State, newUser string) error {
	account, err := from.Account(user)
	if err != nil {
		return fmt.Errorf("copy account %q: %w", user, err)
	}
	groups, err := from.Groups(user)
	if err != nil {
		return fmt.Errorf("copy the groups of account %q: %w", user, err)
	}
	links, err := from.Links(user)
	if err != nil {
		return fmt.Errorf("copy the links of account %q: %w", user, err)
	}
	account.User = newUser
	if err := to.AddAccount(account); err != nil {
		return fmt.Errorf("copy account %q to %q: %w", user, newUser, err)
	}
	for _, g := range groups {
		if err := to.PutGroup(newUser, g); err != nil {
			return fmt.Errorf("copy group %q to account %q: %w", g.ID, newUser, err)
		}
	}
	for _, l := range links {
		if err := to.PutLink(newUser, l); err != nil {
			return fmt.Errorf("copy link %q to account %q: %w", l.App, newUser, err)
		}
	}
	return nil
}

func (s *Server) listAccounts(c call, v Variant) (any, *chunk, error) {
	matches := func(record) bool { return true }
	if search := c.get("search"); search != "" {
		field := cmp.Or(c.get("searchtype"), "domain")
		re, err := regexp.Compile(search)
		if err != nil {
			return nil, nil, &cpanelfake.FieldError{Field: "search", Problem: "must be a pattern"}
		}
		matches = func(r record) bool {
			text, _ := scalar(r[field])
			if c.get("searchmethod") == "exact" {
				return text == search
			}
			return re.MatchString(text)
		}
	}
	var records []record
	for _, a := range s.state.Accounts() {
		if r := accountRecord(a); matches(r) {
			records = append(records, r)
		}
	}
	records, told := c.page(c.filter(records), v)
	c.columns(records, v)
	return map[string]any{"acct": shape(records, "user", v)}, told, nil
}

func accountRecord(a cpanelfake.Account) record {
	number := func(b bool) json.Number {
		if b {
			return "1"
		}
		return "0"
	}
	r := record{
		"user": a.User, "domain": a.Domain, "email": a.Email, "owner": a.Owner, "plan": a.Plan,
		"suspended": number(a.Suspended), "suspendreason": a.SuspendReason, "is_locked": number(false),
	}
	if !a.Created.IsZero() {
		r["unix_startdate"] = json.Number(strconv.FormatInt(a.Created.Unix(), 10))
	}
	return r
}

// shape makes what a list is in the answers of this version.
func shape(records []record, key string, v Variant) any {
	switch {
	case len(records) == 0 && v.NullLists:
		return nil
	case v.ObjectLists:
		object := make(map[string]any, len(records))
		for _, r := range records {
			name, _ := scalar(r[key])
			object[name] = r
		}
		return object
	case len(records) == 0:
		return []record{}
	}
	return records
}
