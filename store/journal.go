package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

var _ reconcile.Journal = (*Store)(nil)

// What is kept of operations: at most 1,000 short logs and 50 long ones, 350,000
// entries, and beside them older logs of operations that still run. An entry usually
// takes 200 bytes of Redis memory, which is 70 MB; were each as long as it may be
// (1 KB), it would be 350 MB.
const (
	// MaxOperations is how many operations are kept; the oldest go first.
	MaxOperations = 1000
	// MaxEntries is how many entries the log of an operation takes. One more says
	// that others were dropped.
	MaxEntries = 5000
	// ShortLog is how many entries a log may have and be kept for EntryRetention. Of
	// longer ones the latest LongLogs stay whole, and those of operations that go on
	// (Pulse); of the others so many entries stay, notices and warnings first.
	ShortLog = 100
	LongLogs = 50
	// EntryRetention is how long a log is kept after its last entry.
	EntryRetention = 30 * 24 * time.Hour
)

// ErrNoOperation: there never was such an operation, or it is forgotten.
var ErrNoOperation = errors.New("there is no such operation")

// entriesSize is how many entries travel at once.
const entriesSize = 500

func (s *Store) operationsKey() string { return s.prefix + "{operations}" }

func (s *Store) entriesKey(operation int64) string {
	return s.prefix + "{operations}log:" + strconv.FormatInt(operation, 10)
}

func (s *Store) longLogsKey() string { return s.prefix + "{operations}long" }

func (s *Store) pulseKey(operation int64) string {
	return s.prefix + "{operations}pulse:" + strconv.FormatInt(operation, 10)
}

// Begin implements reconcile.Journal. When it returns an error, the operation may
// have been kept, and stays without an end.
func (s *Store) Begin(ctx context.Context, o reconcile.Operation) (int64, error) {
	o.ID = 0 // the field's name tells it
	text, err := json.Marshal(o)
	if err != nil {
		return 0, fmt.Errorf("begin operation: %w", err)
	}
	id, err := s.begin.Run(ctx, s.client, []string{s.operationsKey()}, text, MaxOperations).Int64()
	if err != nil {
		return 0, fmt.Errorf("begin operation: %w", err)
	}
	if id > MaxOperations {
		// Not in the script, which may touch no key but those that it was given. A
		// log that stays behind here goes by itself.
		_ = s.client.Del(ctx, s.entriesKey(id-MaxOperations)).Err()
	}
	return id, nil
}

// Log implements reconcile.Journal.
func (s *Store) Log(ctx context.Context, operation int64, entries []reconcile.Entry) error {
	for page := range slices.Chunk(entries, entriesSize) {
		full, err := json.Marshal(reconcile.Entry{
			At: page[len(page)-1].At, Level: reconcile.LevelWarning,
			Message: fmt.Sprintf("the log is full: of an operation %d entries are kept, more were dropped", MaxEntries),
		})
		if err != nil {
			return fmt.Errorf("log of operation %d: %w", operation, err)
		}
		args := []any{MaxEntries, EntryRetention.Milliseconds(), full, operation, ShortLog, LongLogs}
		for _, e := range page {
			text, err := json.Marshal(e)
			if err != nil {
				return fmt.Errorf("log of operation %d: %w", operation, err)
			}
			args = append(args, text)
		}
		long, err := s.log.Run(ctx, s.client, []string{s.entriesKey(operation), s.longLogsKey()}, args...).Int64Slice()
		if err != nil {
			return fmt.Errorf("log of operation %d: %w", operation, err)
		}
		// Not in the script, which may touch no key but those that it was given. The
		// next log that becomes long asks for those again that stay long here.
		_ = s.shortenLogs(ctx, long)
	}
	return nil
}

// Pulse implements reconcile.Journal.
func (s *Store) Pulse(ctx context.Context, operation int64, ttl time.Duration) error {
	if ttl < time.Millisecond {
		return fmt.Errorf("sign of life of operation %d: it would end at once", operation)
	}
	if err := s.client.Set(ctx, s.pulseKey(operation), "1", ttl).Err(); err != nil {
		return fmt.Errorf("sign of life of operation %d: %w", operation, err)
	}
	return nil
}

// Alive reports which of the operations have said that they go on, in one round
// trip.
func (s *Store) Alive(ctx context.Context, operations []int64) (map[int64]bool, error) {
	alive := map[int64]bool{}
	if len(operations) == 0 {
		return alive, nil
	}
	pipe := s.client.Pipeline()
	replies := make([]*redis.StringCmd, len(operations))
	for i, id := range operations {
		replies[i] = pipe.Get(ctx, s.pulseKey(id))
	}
	_, _ = pipe.Exec(ctx) // each reply has its own error
	for i, reply := range replies {
		switch err := reply.Err(); {
		case err == nil:
			alive[operations[i]] = true
		case !errors.Is(err, redis.Nil):
			return nil, fmt.Errorf("signs of life of operations: %w", err)
		}
	}
	return alive, nil
}

// End implements reconcile.Journal. It returns ErrNoOperation when the operation
// is forgotten.
func (s *Store) End(ctx context.Context, o reconcile.Operation) error {
	text, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("end operation %d: %w", o.ID, err)
	}
	switch found, err := s.end.Run(ctx, s.client, []string{s.operationsKey()}, o.ID, text).Int(); {
	case err != nil:
		return fmt.Errorf("end operation %d: %w", o.ID, err)
	case found != 1:
		return fmt.Errorf("end operation %d: %w", o.ID, ErrNoOperation)
	}
	return nil
}

// Operations returns the newest operations, the newest first, at most limit.
func (s *Store) Operations(ctx context.Context, limit int) ([]reconcile.Operation, error) {
	newest, err := s.number(ctx, s.operationsKey(), "last")
	if err != nil {
		return nil, fmt.Errorf("list operations: %w", err)
	}
	operations := []reconcile.Operation{}
	for page := range pagesDown(newest, min(limit, MaxOperations), 100) {
		found, err := s.operations(ctx, page)
		if err != nil {
			return nil, fmt.Errorf("list operations: %w", err)
		}
		operations = append(operations, found...)
	}
	return operations, nil
}

// Operation returns one operation, or ErrNoOperation.
func (s *Store) Operation(ctx context.Context, id int64) (reconcile.Operation, error) {
	found, err := s.operations(ctx, []int64{id})
	if err == nil && len(found) == 0 {
		err = ErrNoOperation
	}
	if err != nil {
		return reconcile.Operation{}, fmt.Errorf("operation %d: %w", id, err)
	}
	return found[0], nil
}

// operations returns those of the operations that are there.
func (s *Store) operations(ctx context.Context, ids []int64) ([]reconcile.Operation, error) {
	texts, err := s.numbered(ctx, s.operationsKey(), ids)
	if err != nil {
		return nil, err
	}
	var operations []reconcile.Operation
	for i, text := range texts {
		if text == "" {
			continue
		}
		var o reconcile.Operation
		if err := json.Unmarshal([]byte(text), &o); err != nil {
			return nil, fmt.Errorf("the record of operation %d is damaged: %w", ids[i], err)
		}
		o.ID = ids[i]
		operations = append(operations, o)
	}
	return operations, nil
}

// Entries returns the log of an operation after its first so many entries; none
// when there is no log.
func (s *Store) Entries(ctx context.Context, id int64, after int) ([]reconcile.Entry, error) {
	entries := []reconcile.Entry{}
	for start := int64(max(after, 0)); ; start += entriesSize {
		texts, err := s.client.LRange(ctx, s.entriesKey(id), start, start+entriesSize-1).Result()
		if err != nil {
			return nil, fmt.Errorf("log of operation %d: %w", id, err)
		}
		for _, text := range texts {
			var e reconcile.Entry
			if json.Unmarshal([]byte(text), &e) != nil {
				// Something stands for it, so that callers can count on.
				e = reconcile.Entry{Level: reconcile.LevelWarning, Message: "this entry of the log is damaged"}
			}
			entries = append(entries, e)
		}
		if len(texts) < entriesSize {
			return entries, nil
		}
	}
}
