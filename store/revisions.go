package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/latchkey-sso/latchkey/broker"
)

// MaxRevisions is how many revisions of the catalogue are kept; the oldest go first.
const MaxRevisions = 100

// ErrNoRevision: there never was such a revision, or it is forgotten.
var ErrNoRevision = errors.New("there is no such revision of the catalogue")

// RevisionConflictError says that somebody else has published meanwhile.
type RevisionConflictError struct {
	// Current is the revision in force; 0 when there is none.
	Current int
}

func (e *RevisionConflictError) Error() string {
	return fmt.Sprintf("the catalogue is at revision %d meanwhile", e.Current)
}

const currentField = "current"

func (s *Store) catalogueKey() string { return s.prefix + "{catalogue}" }

// Publish keeps a revision under the number after base and puts it in force, in
// one atomic step, and returns it with its number. It returns a
// *RevisionConflictError when base (0: none) is not in force; nothing was changed
// then. The same revision published again on the same base is the same one.
func (s *Store) Publish(ctx context.Context, r broker.Revision, base int) (broker.Revision, error) {
	r.Number = base + 1
	text, err := json.Marshal(r)
	if err != nil {
		return broker.Revision{}, fmt.Errorf("publish revision: %w", err)
	}
	reply, err := s.publish.Run(ctx, s.client, []string{s.catalogueKey()}, base, text, MaxRevisions).StringSlice()
	switch {
	case err != nil:
		return broker.Revision{}, fmt.Errorf("publish revision: %w", err)
	case len(reply) == 1 && reply[0] == "ok":
		return r, nil
	case len(reply) == 2 && reply[0] == "conflict":
		current, err := strconv.Atoi(reply[1])
		if err != nil {
			return broker.Revision{}, fmt.Errorf("publish revision: number of the one in force: %w", err)
		}
		return broker.Revision{}, &RevisionConflictError{Current: current}
	}
	return broker.Revision{}, errors.New("publish revision: Redis answered something that is not known")
}

// Revision returns a revision of the catalogue, 0 for the one in force, or
// ErrNoRevision.
func (s *Store) Revision(ctx context.Context, number int) (broker.Revision, error) {
	if number == 0 {
		current, err := s.number(ctx, s.catalogueKey(), currentField)
		if err != nil {
			return broker.Revision{}, fmt.Errorf("revision in force: %w", err)
		}
		number = int(current)
	}
	found, err := s.revisions(ctx, []int64{int64(number)})
	if err == nil && len(found) == 0 {
		err = ErrNoRevision
	}
	if err != nil {
		return broker.Revision{}, fmt.Errorf("revision %d: %w", number, err)
	}
	return found[0], nil
}

// Revisions returns the newest revisions of the catalogue, the newest first, at
// most limit.
func (s *Store) Revisions(ctx context.Context, limit int) ([]broker.Revision, error) {
	current, err := s.number(ctx, s.catalogueKey(), currentField)
	if err != nil {
		return nil, fmt.Errorf("list revisions: %w", err)
	}
	revisions := []broker.Revision{}
	// With icons a revision may be large, so few are read at once.
	for page := range pagesDown(current, min(limit, MaxRevisions), 5) {
		found, err := s.revisions(ctx, page)
		if err != nil {
			return nil, fmt.Errorf("list revisions: %w", err)
		}
		revisions = append(revisions, found...)
	}
	return revisions, nil
}

// revisions returns those of the revisions that are there.
func (s *Store) revisions(ctx context.Context, numbers []int64) ([]broker.Revision, error) {
	texts, err := s.numbered(ctx, s.catalogueKey(), numbers)
	if err != nil {
		return nil, err
	}
	var revisions []broker.Revision
	for i, text := range texts {
		if text == "" {
			continue
		}
		var r broker.Revision
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			return nil, fmt.Errorf("the record of revision %d is damaged: %w", numbers[i], err)
		}
		r.Number = int(numbers[i])
		revisions = append(revisions, r)
	}
	return revisions, nil
}
