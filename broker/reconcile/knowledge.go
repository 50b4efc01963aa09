package reconcile

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// knowledge says of when that is by which this process has written a server's
// accounts from one seat. A list of customers that took long to read must not give an
// account back to somebody from whom a later one has taken it.
type knowledge struct {
	// writing is held for reading by whoever writes subscribers into the store by what
	// he knows, and for writing when more is known: what was older is in the store by
	// then, and is corrected.
	writing sync.RWMutex

	mu sync.Mutex
	// floor is when the list was read for the last run of all accounts, fresh when it
	// was for accounts that were done on request: what was read before is older.
	floor time.Time
	fresh map[string]time.Time
}

// learn notes that users, or with none all of them, are being done by what is known
// at a time.
func (k *knowledge) learn(at time.Time, users []string) {
	k.writing.Lock()
	defer k.writing.Unlock()
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(users) == 0 && at.After(k.floor) {
		k.floor = at
	}
	for _, user := range users {
		if at.After(k.fresh[user]) {
			k.fresh[user] = at
		}
	}
	if len(k.fresh) > maxFresh { // names that a server invents are not to fill the memory
		for _, then := range k.fresh {
			if then.After(k.floor) {
				k.floor = then
			}
		}
		clear(k.fresh)
	}
}

// maxFresh is how many accounts are told apart. Of more, the latest list counts for all:
// then a little too much is overtaken, and comes again.
const maxFresh = 10_000

// outdated reports whether a user is done by later knowledge than that of a time.
func (k *knowledge) outdated(user string, at time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.floor.After(at) || k.fresh[user].After(at)
}

// readAgain reads the list of customers once more where somebody has worked on the
// server since it was read: he may have known more.
func (w *serverRun) readAgain(ctx context.Context, s *seat) error {
	o := w.order
	// What is done on request is read with the lease in hand.
	if o.Directory == nil || o.DryRun || o.nested || w.forgetting || o.Directory.reading.Epochs[w.server].before(s.lease) {
		return nil
	}
	again, err := w.r.queue.directory(ctx)
	if err != nil {
		return fmt.Errorf("somebody has worked on the server since the subscribers were read, and they cannot be read again: %w", err)
	}
	w.order.Directory = again
	return nil
}
