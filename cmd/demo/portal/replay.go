package portal

import (
	"crypto/sha256"
	"errors"
	"sync"
	"time"
)

const (
	maxSpent   = 100_000 // assertions remembered; 40 bytes and a little each
	sweepEvery = 10 * time.Second
)

var (
	errSpent     = errors.New("assertion was used before")
	errSpentFull = errors.New("too many assertions to remember")
)

// spent remembers the assertions that were used, for as long as the clock alone
// would still accept them. When it is full it refuses: forgetting one would let it
// be used again.
type spent struct {
	now func() time.Time
	max int

	mu    sync.Mutex
	until map[[sha256.Size]byte]time.Time
	swept time.Time
}

// take returns nil to exactly one caller for each jti, errSpent to all others.
func (s *spent) take(jti string, until time.Time) error {
	id := sha256.Sum256([]byte(jti))
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.until[id]; ok {
		return errSpent
	}
	if now := s.now(); now.Sub(s.swept) >= sweepEvery {
		s.swept = now
		for id, until := range s.until {
			if now.After(until) {
				delete(s.until, id)
			}
		}
	}
	if len(s.until) >= s.max {
		return errSpentFull
	}
	s.until[id] = until
	return nil
}
