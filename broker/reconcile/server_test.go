package reconcile_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

var _ reconcile.Host = (*server)(nil)

// server is a simulated WHM. It obeys the contract of the port, remembers what it
// was asked, and fails when it is told to. Everything happens under the mutex of
// its world.
type server struct {
	w         *world
	id        string
	accounts  map[string]*panel
	functions []string
	// unlisted accounts are there, but listaccts does not name them.
	unlisted map[string]bool
	// hidden are stored fields that this version does not tell.
	hidden []string
	// takes is how long a request takes.
	takes time.Duration
	// fault decides what happens to a request, the n-th counted from 1.
	fault func(n int, r request) fault

	asked  []request
	writes []write
	busy   map[string]int // accounts that requests are writing to
}

// panel is one account on a server.
type panel struct {
	links  map[string]shown
	groups map[string]heading
}

// shown is a link in an account's interface.
type shown struct {
	fields  reconcile.Fields
	token   broker.LinkToken
	foreign bool
}

type heading struct {
	group   broker.Group
	foreign bool
}

// request is what a server was asked.
type request struct {
	at       time.Time
	function string // applist, listaccts, or run
	commands []reconcile.Command
}

// reads counts commands that only look.
func (r request) reads() int {
	n := 0
	for _, c := range r.commands {
		if !c.Function.Writes() {
			n++
		}
	}
	return n
}

// write is a change that a server has made.
type write struct {
	account  broker.Account
	function reconcile.Function
	name     string // of the link or the group
}

func (w write) String() string { return fmt.Sprintf("%s %s %s", w.account, w.function, w.name) }

// fault is how a request fails. The zero fault is none.
type fault struct {
	// err fails the request as a whole, after the first executed commands.
	err      error
	executed int
	// refuse fails commands that are not executed, lose those that are; by position.
	refuse, lose map[int]error
}

func newServer(w *world, id string) *server {
	return &server{
		w: w, id: id, accounts: map[string]*panel{}, unlisted: map[string]bool{}, busy: map[string]int{},
		functions: []string{"applist", "listaccts", string(reconcile.CreateLink)},
	}
}

func (s *server) add(users ...string) {
	for _, user := range users {
		s.accounts[user] = &panel{links: map[string]shown{}, groups: map[string]heading{}}
	}
}

// foreign puts somebody else's link into an account.
func (s *server) foreign(user, app, url string) {
	s.accounts[user].links[app] = shown{fields: reconcile.Fields{Label: "Theirs", AutologinURL: url}, foreign: true}
}

func (s *server) foreignGroup(user, id string) {
	s.accounts[user].groups[id] = heading{group: broker.Group{ID: id, Label: "Theirs"}, foreign: true}
}

// edit changes a link behind our back.
func (s *server) edit(user, app string, change func(*reconcile.Fields)) {
	l := s.accounts[user].links[app]
	change(&l.fields)
	s.accounts[user].links[app] = l
}

// copyTo copies an account with its links and tokens, as a backup does. Nothing
// tells whose the groups are that come along.
func (s *server) copyTo(user string, to *server, as string) {
	groups := map[string]heading{}
	for id, g := range s.accounts[user].groups {
		groups[id] = heading{group: g.group, foreign: true}
	}
	if former := to.accounts[as]; former != nil {
		groups = former.groups
	}
	to.accounts[as] = &panel{links: maps.Clone(s.accounts[user].links), groups: groups}
}

// begin notes a request and lets it take its time.
func (s *server) begin(ctx context.Context, r request) (fault, error) {
	s.w.mu.Lock()
	r.at = time.Now()
	s.asked = append(s.asked, r)
	n, takes, decide := len(s.asked), s.takes, s.fault
	s.w.mu.Unlock()
	if takes > 0 {
		if err := wait(ctx, takes); err != nil {
			return fault{}, err
		}
	}
	if err := ctx.Err(); err != nil {
		return fault{}, err
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if s.w.dead() {
		return fault{}, errDead
	}
	if decide == nil {
		return fault{}, nil
	}
	return decide(n, r), nil
}

// Functions implements reconcile.Host.
func (s *server) Functions(ctx context.Context) ([]string, error) {
	f, err := s.begin(ctx, request{function: "applist"})
	if err = errors.Join(err, f.err); err != nil {
		return nil, err
	}
	return s.functions, nil
}

// Users implements reconcile.Host.
func (s *server) Users(ctx context.Context) ([]string, error) {
	f, err := s.begin(ctx, request{function: "listaccts"})
	if err = errors.Join(err, f.err); err != nil {
		return nil, err
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	users := slices.Collect(maps.Keys(s.accounts))
	return slices.DeleteFunc(users, func(user string) bool { return s.unlisted[user] }), nil
}

// Run implements reconcile.Host.
func (s *server) Run(ctx context.Context, commands []reconcile.Command) ([]reconcile.Reply, error) {
	defer s.alone(commands)()
	f, err := s.begin(ctx, request{function: "run", commands: commands})
	if err != nil {
		return nil, err
	}
	replies := make([]reconcile.Reply, len(commands))
	for i, c := range commands {
		if f.err != nil && i == f.executed {
			return nil, f.err
		}
		if refusal := f.refuse[i]; refusal != nil {
			replies[i].Err = refusal
			continue
		}
		replies[i] = s.execute(c)
		if replies[i].Err == nil {
			replies[i].Err = f.lose[i]
		}
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if s.w.dead() {
		return nil, errDead
	}
	return replies, f.err
}

// alone notes when two requests write to one account at once.
func (s *server) alone(commands []reconcile.Command) (end func()) {
	users := map[string]bool{}
	for _, c := range commands {
		if c.Function.Writes() {
			users[c.User] = true
		}
	}
	count := func(by int) {
		s.w.mu.Lock()
		defer s.w.mu.Unlock()
		for user := range users {
			if s.busy[user] += by; s.busy[user] > 1 && !s.w.superseding {
				s.w.broke("two requests write to %s/%s at once", s.id, user)
			}
		}
	}
	count(1)
	return func() { count(-1) }
}

func (s *server) execute(c reconcile.Command) reconcile.Reply {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if s.w.dead() {
		return reconcile.Reply{Err: errDead}
	}
	a := s.accounts[c.User]
	if a == nil {
		return reconcile.Reply{Err: missing(c.User)}
	}
	switch c.Function {
	case reconcile.ListLinks:
		return reconcile.Reply{Names: slices.Collect(maps.Keys(a.links))}
	case reconcile.ListGroups:
		return reconcile.Reply{Names: slices.Collect(maps.Keys(a.groups))}
	case reconcile.GetLink:
		l, there := a.links[c.App]
		if !there {
			return reconcile.Reply{Err: refused("there is no link " + c.App)}
		}
		return reconcile.Reply{Config: s.config(l)}
	}
	s.change(a, c)
	return reconcile.Reply{}
}

// change executes a command that writes, and notes what must not be.
func (s *server) change(a *panel, c reconcile.Command) {
	account := broker.Account{Server: s.id, User: c.User}
	broke := func(format string, args ...any) {
		s.w.broke("%s %s %s%s: "+format, append([]any{account, c.Function, c.App, c.Group.ID}, args...)...)
	}
	former, there := a.links[c.App]
	if c.App != "" && former.foreign {
		broke("the link is somebody else's")
	}
	if c.Group.ID != "" && a.groups[c.Group.ID].foreign {
		broke("the group is somebody else's")
	}
	switch c.Function {
	case reconcile.CreateLink:
		if c.Token.IsZero() || c.Link.Label == "" || c.Link.Subscriber == "" || c.Link.AutologinURL == "" || c.Link.URL == "" || c.Link.GroupID == "" {
			broke("a field is missing in %+v", c.Link)
		}
		a.links[c.App] = shown{fields: c.Link, token: c.Token}
		s.w.worked[place{account, c.App}] = true
	case reconcile.UpdateToken:
		if !there {
			broke("there is no such link")
		}
		a.links[c.App] = shown{fields: former.fields, token: c.Token}
		s.w.worked[place{account, c.App}] = true
	case reconcile.RemoveLink:
		delete(a.links, c.App)
		delete(s.w.worked, place{account, c.App})
	case reconcile.CreateGroup:
		a.groups[c.Group.ID] = heading{group: c.Group}
	case reconcile.RemoveGroup:
		delete(a.groups, c.Group.ID)
	}
	s.writes = append(s.writes, write{account, c.Function, c.App + c.Group.ID})
	s.w.happened()
	s.w.check(account)
}

func (s *server) config(l shown) map[string]string {
	c := map[string]string{
		"label": l.fields.Label, "implements": l.fields.Implements, "subscriber_unique_id": l.fields.Subscriber,
		"autologin_token_url": l.fields.AutologinURL, "url": l.fields.URL, "group_id": l.fields.GroupID,
		"order": strconv.Itoa(l.fields.Order), "base64_png_image": base64.StdEncoding.EncodeToString(l.fields.Icon),
	}
	for _, name := range s.hidden {
		delete(c, name)
	}
	return c
}

// link returns a link that must be there.
func (s *server) link(user, app string) shown {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	a := s.accounts[user]
	if a == nil {
		s.w.t.Fatalf("%s has no account %s", s.id, user)
	}
	l, there := a.links[app]
	if !there {
		s.w.t.Fatalf("%s/%s has no link %s", s.id, user, app)
	}
	return l
}
