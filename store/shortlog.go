package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

// shortNote is what the last entry of a log says when others are gone.
const shortNote = "this log was shortened: of an older operation the most severe entries are kept"

// shortenLogs leaves ShortLog entries of the logs of operations that do not go on.
func (s *Store) shortenLogs(ctx context.Context, operations []int64) error {
	// One that goes on would be long again a second later, and lose what it has time
	// and again.
	alive, err := s.Alive(ctx, operations)
	if err != nil {
		return err
	}
	var errs []error
	for _, id := range operations {
		if !alive[id] {
			errs = append(errs, s.shortenLog(ctx, id))
		}
	}
	return errors.Join(errs...)
}

func (s *Store) shortenLog(ctx context.Context, operation int64) error {
	entries, err := s.Entries(ctx, operation, 0)
	if err != nil {
		return err
	}
	args := []any{operation, len(entries)}
	if len(entries) > ShortLog {
		for _, e := range mostSevere(entries) {
			text, err := json.Marshal(e)
			if err != nil {
				return fmt.Errorf("shorten the log of operation %d: %w", operation, err)
			}
			args = append(args, text)
		}
	}
	if err := s.shorten.Run(ctx, s.client, []string{s.entriesKey(operation), s.longLogsKey()}, args...).Err(); err != nil {
		return fmt.Errorf("shorten the log of operation %d: %w", operation, err)
	}
	return nil
}

// mostSevere returns ShortLog of more entries, in their order; the last of them says
// that others are gone. It is as severe as the worst of those, so that whoever would
// have been shown them is told. None before it is less severe: when the log is
// shortened again it goes first, and stands there once.
func mostSevere(entries []reconcile.Entry) []reconcile.Entry {
	severity := func(i int) int { return slices.Index(reconcile.Levels(), entries[i].Level) }
	order := make([]int, len(entries))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return severity(b) - severity(a) })
	kept, gone := order[:ShortLog-1], order[ShortLog-1:]
	slices.Sort(kept)
	var list []reconcile.Entry
	for _, i := range kept {
		list = append(list, entries[i])
	}
	worst := 0 // a damaged level is none
	for _, i := range gone {
		worst = max(worst, severity(i))
	}
	return append(list, reconcile.Entry{At: entries[len(entries)-1].At, Level: reconcile.Levels()[worst], Message: shortNote})
}
