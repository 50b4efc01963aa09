package broker

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// ControlScope is what kind of thing a Control switches sign-on off for.
type ControlScope string

// The scopes.
const (
	ScopeSubscriber ControlScope = "subscriber"
	ScopeAccount    ControlScope = "account" // named server/user
	ScopeApp        ControlScope = "app"
	ScopeServer     ControlScope = "server"
	ScopeEverything ControlScope = "everything" // has no name
)

// ControlScopes returns all scopes, from the narrowest.
func ControlScopes() []ControlScope {
	return []ControlScope{ScopeSubscriber, ScopeAccount, ScopeApp, ScopeServer, ScopeEverything}
}

// ControlTarget is what a Control switches sign-on off for.
type ControlTarget struct {
	Scope ControlScope `json:"scope"`
	// Name is that of the subscriber, account, app or server; empty for
	// ScopeEverything.
	Name string `json:"name,omitempty"`
}

// String returns "server web01", or "everything".
func (t ControlTarget) String() string {
	if t.Scope == ScopeEverything {
		return string(t.Scope)
	}
	return string(t.Scope) + " " + t.Name
}

// ParseControlTarget reads what String returns. Its error is that of Validate.
func ParseControlTarget(text string) (ControlTarget, error) {
	scope, name, _ := strings.Cut(text, " ")
	t := ControlTarget{ControlScope(scope), name}
	return t, t.Validate()
}

// Validate checks the name against the rules for its scope. Its error is an
// *Error with ReasonInvalidRequest.
func (t ControlTarget) Validate() error {
	server, user, isAccount := strings.Cut(t.Name, "/")
	switch t.Scope {
	case ScopeSubscriber:
		return ValidateSubscriber(t.Name)
	case ScopeAccount:
		if !isAccount {
			return Invalid(string(t.Scope), "must be named server/user, like web01/bob")
		}
		return errors.Join(checkName("server", server, MaxServer), checkName("user", user, MaxUser))
	case ScopeApp:
		return checkName(string(t.Scope), t.Name, MaxApp)
	case ScopeServer:
		return checkName(string(t.Scope), t.Name, MaxServer)
	case ScopeEverything:
		if t.Name != "" {
			return Invalid(string(t.Scope), "takes no name")
		}
		return nil
	}
	return Invalid("scope", "must be subscriber, account, app, server or everything")
}

// Control switches sign-on off: for good (a block) or until a time (a pause). One
// that has ended stays for ControlMemory, because one-time tokens that were issued
// before it stay dead.
type Control struct {
	Target ControlTarget `json:"target"`
	// At is when it was set. This and Until are by the clock of the store, which is
	// one for whoever sets controls and for all brokers.
	At time.Time `json:"at"`
	// Until is when it ends by itself, or was ended; zero means never.
	Until time.Time `json:"until,omitzero"`
	// Author set it, or ended it. It has MaxControlText bytes at most, as has Note.
	Author string `json:"author"`
	// Note says why, for colleagues.
	Note string `json:"note,omitempty"`
}

// MaxControlText is the longest text that people may leave with a Control, in bytes.
const MaxControlText = 255

// Validate checks the target and the texts. Its error is an *Error with
// ReasonInvalidRequest.
func (c Control) Validate() error {
	if err := c.Target.Validate(); err != nil {
		return err
	}
	for _, text := range [...]struct{ field, value string }{{"author", c.Author}, {"note", c.Note}} {
		if text.value != "" && checkText(text.field, text.value, MaxControlText) != nil {
			return Invalid(text.field, fmt.Sprintf("must be one line of text, of %d bytes at most", MaxControlText))
		}
	}
	return nil
}

// ControlMemory is how long a Control is kept after its end: much longer than a
// one-time token lives.
const ControlMemory = time.Hour

// InForce reports whether sign-on is switched off at a time.
func (c Control) InForce(at time.Time) bool { return c.Until.IsZero() || at.Before(c.Until) }

// Controls are the controls of one moment. They do not change and may be shared;
// nil is none.
type Controls struct{ byTarget map[ControlTarget]Control }

// NewControls returns the controls of a list; of two for one target the one counts
// that lasts longer.
func NewControls(list []Control) *Controls {
	c := &Controls{byTarget: make(map[ControlTarget]Control, len(list))}
	for _, control := range list {
		former, there := c.byTarget[control.Target]
		if there && (former.Until.IsZero() || !control.Until.IsZero() && control.Until.Before(former.Until)) {
			continue
		}
		c.byTarget[control.Target] = control
	}
	return c
}

// Get returns the control of a target.
func (c *Controls) Get(t ControlTarget) (Control, bool) {
	if c == nil {
		return Control{}, false
	}
	control, set := c.byTarget[t]
	return control, set
}

// List returns all controls, by scope and name.
func (c *Controls) List() []Control {
	if c == nil {
		return nil
	}
	scopes := ControlScopes()
	return slices.SortedFunc(maps.Values(c.byTarget), func(a, b Control) int {
		if by := slices.Index(scopes, a.Target.Scope) - slices.Index(scopes, b.Target.Scope); by != 0 {
			return by
		}
		return strings.Compare(a.Target.Name, b.Target.Name)
	})
}

// find returns a control that keeps a link's subscriber from signing on with
// something that was made at a time: one that is in force, or has ended since. The
// widest is found first.
func (c *Controls) find(l Link, subscriber string, made time.Time) (Control, bool) {
	if c == nil || len(c.byTarget) == 0 {
		return Control{}, false
	}
	for _, target := range [...]ControlTarget{
		{Scope: ScopeEverything}, {ScopeServer, l.Server}, {ScopeApp, l.App}, {ScopeAccount, l.Account.String()}, {ScopeSubscriber, subscriber},
	} {
		if control, set := c.byTarget[target]; set && control.InForce(made) {
			return control, true
		}
	}
	return Control{}, false
}
