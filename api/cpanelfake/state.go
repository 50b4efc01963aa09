package cpanelfake

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"sync"
	"time"
)

// What State and Click answer about things that are not there, or not in use.
// Match with errors.Is.
var (
	ErrUnknownAccount = errors.New("no such account")
	ErrUnknownLink    = errors.New("no such link")
	ErrAccountExists  = errors.New("the account exists already")
	ErrSuspended      = errors.New("the account is suspended")
)

// Account is a cPanel account. Only User is required; the rest is what WHM's
// listaccts tells about it.
type Account struct {
	User          string
	Domain        string
	Email         string
	Owner         string
	Plan          string
	Suspended     bool // nobody can open the interface of a suspended account
	SuspendReason string
	Created       time.Time
}

// State is what one server stores: accounts, and for each its groups and links.
// The zero State is empty and ready. It is safe for concurrent use; what its
// methods return are copies.
type State struct {
	mu       sync.RWMutex
	accounts map[string]*stored

	// images has the digests of pictures that were checked: the same few come with
	// every account, and decoding one takes longer than everything else.
	images sync.Map
}

type stored struct {
	Account
	groups map[string]Group
	links  map[string]Link
}

var userName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,31}$`)

func (a Account) check() error {
	if !userName.MatchString(a.User) {
		return &FieldError{"user", "must be 1 to 32 small letters, digits, - or _, a letter first"}
	}
	return nil
}

// AddAccount adds an account without groups or links. It answers ErrAccountExists
// where the user name is taken.
func (s *State) AddAccount(a Account) error {
	if err := a.check(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.accounts[a.User] != nil {
		return fmt.Errorf("%w: %q", ErrAccountExists, a.User)
	}
	if s.accounts == nil {
		s.accounts = make(map[string]*stored)
	}
	s.accounts[a.User] = &stored{Account: a, groups: make(map[string]Group), links: make(map[string]Link)}
	return nil
}

// ModifyAccount lets change edit the account in one atomic step; change must not
// call State. A new User renames the account, and its groups and links come along
// unchanged: their URLs still name the old one, as on a real server.
func (s *State) ModifyAccount(user string, change func(*Account)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.find(user)
	if err != nil {
		return err
	}
	edited := a.Account
	change(&edited)
	if err := edited.check(); err != nil {
		return err
	}
	if edited.User != user {
		if s.accounts[edited.User] != nil {
			return fmt.Errorf("%w: %q", ErrAccountExists, edited.User)
		}
		delete(s.accounts, user)
		s.accounts[edited.User] = a
	}
	a.Account = edited
	return nil
}

// RemoveAccount removes the account with its groups and links.
func (s *State) RemoveAccount(user string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.find(user); err != nil {
		return err
	}
	delete(s.accounts, user)
	return nil
}

// Accounts returns all accounts in the order of their user names.
func (s *State) Accounts() []Account {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := make([]Account, 0, len(s.accounts))
	for _, a := range s.accounts {
		all = append(all, a.Account)
	}
	slices.SortFunc(all, func(a, b Account) int { return cmp.Compare(a.User, b.User) })
	return all
}

// Account returns one account.
func (s *State) Account(user string) (Account, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	a, err := s.find(user)
	if err != nil {
		return Account{}, err
	}
	return a.Account, nil
}

// PutGroup adds the group, or replaces the one with the same id.
func (s *State) PutGroup(user string, g Group) error {
	if err := g.check(); err != nil {
		return err
	}
	return s.edit(user, func(a *stored) { a.groups[g.ID] = g })
}

// PutLink adds the link, or replaces the one with the same app as a whole: fields
// left empty are empty afterwards. A refused link (a *FieldError) changes nothing.
func (s *State) PutLink(user string, l Link) error {
	if err := l.check(); err != nil {
		return err
	}
	digest := sha256.Sum256([]byte(l.Base64PNGImage))
	if _, known := s.images.Load(digest); !known {
		if err := checkImage(l.Base64PNGImage); err != nil {
			return err
		}
		s.images.Store(digest, true)
	}
	return s.edit(user, func(a *stored) { a.links[l.App] = l })
}

// SetToken replaces the token of a link and nothing else, as
// update_integration_link_token does. It answers ErrUnknownLink where there is
// none; some versions of cPanel call that a success.
func (s *State) SetToken(user, app string, t Token) error {
	if t.IsZero() {
		return &FieldError{"token", "is required"}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.find(user)
	if err != nil {
		return err
	}
	l, ok := a.links[app]
	if !ok {
		return fmt.Errorf("%w: %q of account %q", ErrUnknownLink, app, user)
	}
	l.Token = t
	a.links[app] = l
	return nil
}

// RemoveLink removes a link. Removing one that is not there succeeds.
func (s *State) RemoveLink(user, app string) error {
	return s.edit(user, func(a *stored) { delete(a.links, app) })
}

// RemoveGroup removes a group and leaves its links. Removing one that is not
// there succeeds.
func (s *State) RemoveGroup(user, id string) error {
	return s.edit(user, func(a *stored) { delete(a.groups, id) })
}

// Groups returns the groups of an account in the order in which its page shows
// them.
func (s *State) Groups(user string) ([]Group, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	a, err := s.find(user)
	if err != nil {
		return nil, err
	}
	return slices.SortedFunc(maps.Values(a.groups), func(a, b Group) int {
		return cmp.Or(cmp.Compare(a.Order, b.Order), cmp.Compare(a.Label, b.Label), cmp.Compare(a.ID, b.ID))
	}), nil
}

// Links returns the links of an account, hidden ones included, in the order in
// which a group shows them: by order, then label, then app.
func (s *State) Links(user string) ([]Link, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	a, err := s.find(user)
	if err != nil {
		return nil, err
	}
	return slices.SortedFunc(maps.Values(a.links), func(a, b Link) int {
		return cmp.Or(cmp.Compare(a.Order, b.Order), cmp.Compare(a.Label, b.Label), cmp.Compare(a.App, b.App))
	}), nil
}

// Link returns one link with its token as it is at this moment.
func (s *State) Link(user, app string) (Link, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	a, err := s.find(user)
	if err != nil {
		return Link{}, err
	}
	l, ok := a.links[app]
	if !ok {
		return Link{}, fmt.Errorf("%w: %q of account %q", ErrUnknownLink, app, user)
	}
	return l, nil
}

func (s *State) edit(user string, change func(*stored)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.find(user)
	if err != nil {
		return err
	}
	change(a)
	return nil
}

// find is called with mu held.
func (s *State) find(user string) (*stored, error) {
	a := s.accounts[user]
	if a == nil {
		return nil, fmt.Errorf("%w: %q", ErrUnknownAccount, user)
	}
	return a, nil
}
