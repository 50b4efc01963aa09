package reconcile

import (
	"context"

	"github.com/latchkey-sso/latchkey/broker"
)

// Host is the WHM of one server. Every error it returns is a *Failure or the
// context's. It repeats nothing on its own: who may be asked again is decided
// here.
type Host interface {
	// Functions names the WHM functions that our API token may use (applist).
	Functions(ctx context.Context) ([]string, error)
	// Users names the server's accounts (listaccts), in no order. Names are as the
	// server tells them, here and in a Reply: any text.
	Users(ctx context.Context) ([]string, error)
	// Run executes commands in their order, in one request. It returns a Reply
	// for each, in the same order; an error means that the request failed as a
	// whole.
	Run(ctx context.Context, commands []Command) ([]Reply, error)
}

// Function is a WHM API 1 function that a Command calls.
type Function string

// The functions.
const (
	ListLinks   Function = "list_integration_links"           // Reply.Names are apps
	ListGroups  Function = "list_integration_groups"          // Reply.Names are group ids
	GetLink     Function = "get_integration_link_user_config" // Reply.Config
	CreateLink  Function = "create_integration_link"          // replaces a link of the same app as a whole
	UpdateToken Function = "update_integration_link_token"
	RemoveLink  Function = "remove_integration_link" // succeeds when there is none
	CreateGroup Function = "create_integration_group"
	RemoveGroup Function = "remove_integration_group" // leaves the group's links
)

// Writes reports whether the function changes the server.
func (f Function) Writes() bool { return f != ListLinks && f != ListGroups && f != GetLink }

// Command is one call of a WHM function. Fields that the function does not take
// are zero.
type Command struct {
	Function Function
	User     string
	// App is that of a link function.
	App string
	// Group is that of a group function; RemoveGroup takes its ID alone.
	Group broker.Group
	// Link is what CreateLink writes.
	Link Fields
	// Token is that of CreateLink and UpdateToken.
	Token broker.LinkToken
}

// Fields are what a link has on its server, beside its app and its token.
type Fields struct {
	Implements string
	Label      string
	// Subscriber is the subscriber_unique_id.
	Subscriber string
	// AutologinURL is the autologin_token_url: broker.AutologinURL of the link.
	AutologinURL string
	// URL is where a click ends when there is no sign-on.
	URL     string
	GroupID string
	Order   int
	// Icon is a PNG, shared by all links of an app and never changed.
	Icon []byte
}

// Reply is the answer to one Command.
type Reply struct {
	// Err is nil when WHM said that it is done, else a *Failure.
	Err error
	// Names is the answer to ListLinks and ListGroups, in no order.
	Names []string
	// Config is the answer to GetLink: what the link has of Fields, under WHM's names
	// and as far as this version of WHM tells it. Icons that are longer than any that
	// we write, and other values of more than 8 KiB, may be cut. It never has the token.
	Config map[string]string
}

// Scope says how much to give up after a Failure that remains.
type Scope uint8

// The scopes.
const (
	// ScopeItem: this command alone cannot be done.
	ScopeItem Scope = iota + 1
	// ScopeServer: nothing can be done on this server: wrong token, wrong
	// certificate, a missing function, no connection. Unless Again is set as well,
	// it is not asked another time.
	ScopeServer
)

// Failure is why WHM did not do what it was asked.
type Failure struct {
	Scope Scope
	// Again: the same request may succeed a little later (5xx, time-outs, lost or
	// broken answers, commands of a batch that were not run).
	Again bool
	// Maybe: the command may have been executed all the same.
	Maybe bool
	// Missing: WHM said in so many words that it has no such account. Any other refusal
	// (a right that is missing, a function that broke down) tells nothing about it.
	Missing bool
	// Message says what the server or the network answered and, where that is
	// known, what to do. It holds no secret, and stays the same when the same
	// happens again (WHM's XIDs are taken out).
	Message string
	// Err is the cause, when there is one in this program.
	Err error
}

func (f *Failure) Error() string { return f.Message }
func (f *Failure) Unwrap() error { return f.Err }
