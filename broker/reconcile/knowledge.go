package reconcile

import (
	"maps"
	"sync"
	"time"
)

// knowledge says of when that is by which this process has written a server's
// accounts. A list of customers that took long to read must not give an account back
// to somebody from whom a later one has taken it.
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

// longestReading is how long a list of customers may take to be read, at most.
const longestReading = time.Hour

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
	if k.fresh == nil {
		k.fresh = map[string]time.Time{}
	}
	maps.DeleteFunc(k.fresh, func(_ string, then time.Time) bool { return then.Before(at.Add(-longestReading)) })
	for _, user := range users {
		if at.After(k.fresh[user]) {
			k.fresh[user] = at
		}
	}
}

// outdated reports whether a user is done by later knowledge than that of a time.
func (k *knowledge) outdated(user string, at time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.floor.After(at) || k.fresh[user].After(at)
}
