package whmfake

import (
	"maps"
	"slices"
	"sync"
)

// Call is one executed command. It never has a token.
type Call struct {
	// Request is the number of the HTTP request, from 1.
	Request int
	// Batch is the same number for a command of a batch, else 0.
	Batch int
	// Position is the place in the batch, from 0.
	Position int
	Function string
	User     string
	App      string
	Group    string
	// Write: the function changes the server.
	Write bool
	// OK: it did what it was asked.
	OK bool
}

// journal keeps calls in the order in which they ended.
type journal struct {
	countOnly bool

	mu       sync.Mutex
	calls    []Call
	reads    map[string]int
	writes   map[string]int
	requests int
	number   int // of the last request; Reset leaves it
}

// begin counts a request and returns its number.
func (j *journal) begin() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.requests++
	j.number++
	return j.number
}

func (j *journal) add(c Call) {
	j.mu.Lock()
	defer j.mu.Unlock()
	counts := &j.reads
	if c.Write {
		counts = &j.writes
	}
	if *counts == nil {
		*counts = make(map[string]int)
	}
	(*counts)[c.Function]++
	if !j.countOnly {
		j.calls = append(j.calls, c)
	}
}

// Journal returns the commands that were executed since the last Reset, those that
// failed included, in the order in which they ended. It is empty with
// Config.NoJournal.
func (s *Server) Journal() []Call {
	s.journal.mu.Lock()
	defer s.journal.mu.Unlock()
	return slices.Clone(s.journal.calls)
}

// Writes returns how often each function that changes the server was executed
// since the last Reset.
func (s *Server) Writes() map[string]int {
	s.journal.mu.Lock()
	defer s.journal.mu.Unlock()
	return maps.Clone(s.journal.writes)
}

// Reads returns the same for functions that change nothing.
func (s *Server) Reads() map[string]int {
	s.journal.mu.Lock()
	defer s.journal.mu.Unlock()
	return maps.Clone(s.journal.reads)
}

// Requests returns how many HTTP requests arrived since the last Reset, whatever
// became of them.
func (s *Server) Requests() int {
	s.journal.mu.Lock()
	defer s.journal.mu.Unlock()
	return s.journal.requests
}

// Reset forgets the journal and the counts. Numbers of requests go on.
func (s *Server) Reset() {
	s.journal.mu.Lock()
	defer s.journal.mu.Unlock()
	s.journal.calls, s.journal.reads, s.journal.writes, s.journal.requests = nil, nil, nil, 0
}
