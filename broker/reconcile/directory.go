package reconcile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
)

// Directory knows whose each account is. A nil one knows nobody.
type Directory struct {
	subscribers map[broker.Account]string
	reading     Reading
}

// Reading is when a list of customers is read.
type Reading struct {
	// Servers are the ids that the configuration knows.
	Servers []string
	// At is when the reading begins: of two lists, the one that began later knows
	// more.
	At time.Time
	// Epochs are those of the servers at that time. Where somebody has worked since,
	// or where they are not known, a run reads the list once more.
	Epochs map[string]Epoch
}

// Subscriber returns whose an account is.
func (d *Directory) Subscriber(a broker.Account) (string, bool) {
	if d == nil {
		return "", false
	}
	id, ok := d.subscribers[a]
	return id, ok
}

// Len counts the accounts.
func (d *Directory) Len() int { return len(d.subscribers) }

// maxRowProblems is how many problems of a source are told one by one.
const maxRowProblems = 20

// SourceError is what is wrong with the rows of a source. Nothing of it is used
// then: a row that is not clear may sign in the wrong person.
type SourceError struct {
	Problems []string
	// More counts the problems that are not listed.
	More int
}

func (e *SourceError) Error() string {
	text := "subscribers: " + strings.Join(e.Problems, "\nsubscribers: ")
	if e.More > 0 {
		text += fmt.Sprintf("\nsubscribers: %d more problems", e.More)
	}
	return text
}

func (e *SourceError) add(format string, args ...any) {
	if len(e.Problems) == maxRowProblems {
		e.More++
		return
	}
	e.Problems = append(e.Problems, fmt.Sprintf(format, args...))
}

// ReadDirectory reads all subscribers. Its error is a *SourceError when rows are
// wrong: a server that is not known, an empty or impossible name or id, an account
// that is there twice.
func ReadDirectory(ctx context.Context, source Subscriptions, reading Reading) (*Directory, error) {
	d := &Directory{subscribers: map[broker.Account]string{}, reading: reading}
	known := map[string]bool{}
	for _, s := range reading.Servers {
		known[s] = true
	}
	problems := &SourceError{}
	unknown := map[string]*unknownServer{}
	ids := map[string]string{} // one copy of each subscriber id and server name
	err := source.Read(ctx, func(row Subscription) error {
		server := row.Account.Server
		if server != "" && !known[server] {
			u := unknown[server]
			if u == nil {
				u = &unknownServer{first: row.Where}
				unknown[server] = u
			}
			u.rows++
			return nil
		}
		if err := checkRow(row); err != nil {
			problems.add("%s: %s", row.Where, err)
			return nil
		}
		if former, there := d.subscribers[row.Account]; there {
			if former == row.Subscriber {
				problems.add("%s: %s is there twice, with the same subscriber: keep one row", row.Where, row.Account)
			} else {
				problems.add("%s: %s is there twice, for subscriber %q and for %q: an account belongs to one", row.Where, row.Account, former, row.Subscriber)
			}
			return nil
		}
		d.subscribers[broker.Account{Server: intern(ids, server), User: row.Account.User}] = intern(ids, row.Subscriber)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read subscribers: %w", err)
	}
	for _, server := range slices.Sorted(maps.Keys(unknown)) {
		u := unknown[server]
		problems.add("%s: server %q is not in the configuration (%d rows): add it to `servers`, or leave these rows out", u.first, server, u.rows)
	}
	if len(problems.Problems) > 0 {
		return nil, problems
	}
	return d, nil
}

type unknownServer struct {
	first string
	rows  int
}

func intern(known map[string]string, text string) string {
	if kept, ok := known[text]; ok {
		return kept
	}
	text = strings.Clone(text)
	known[text] = text
	return text
}

func checkRow(row Subscription) error {
	link := broker.Link{Account: row.Account, App: "x"}
	for _, err := range []error{link.Validate(), broker.ValidateSubscriber(row.Subscriber)} {
		if invalid, is := errors.AsType[*broker.Error](err); is {
			return fmt.Errorf("%s %s", invalid.Field, invalid.Problem)
		}
	}
	return nil
}
