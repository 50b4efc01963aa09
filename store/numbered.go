package store

import (
	"context"
	"iter"
	"strconv"
)

// Operations and revisions are numbered from 1, and are fields of a hash under
// their number.

// number reads a number out of a hash; 0 when it is not there.
func (s *Store) number(ctx context.Context, key, field string) (int64, error) {
	values, err := s.client.HMGet(ctx, key, field).Result()
	if err != nil {
		return 0, err
	}
	if len(values) == 0 || values[0] == nil {
		return 0, nil
	}
	text, _ := values[0].(string)
	return strconv.ParseInt(text, 10, 64)
}

// numbered reads fields whose names are numbers; those that are not there are
// empty.
func (s *Store) numbered(ctx context.Context, key string, numbers []int64) ([]string, error) {
	fields := make([]string, len(numbers))
	for i, n := range numbers {
		fields[i] = strconv.FormatInt(n, 10)
	}
	values, err := s.client.HMGet(ctx, key, fields...).Result()
	if err != nil {
		return nil, err
	}
	texts := make([]string, len(numbers))
	for i, value := range values {
		texts[i], _ = value.(string)
	}
	return texts, nil
}

// pagesDown yields the numbers from newest down to 1, at most so many of them, in
// pages.
func pagesDown(newest int64, most, page int) iter.Seq[[]int64] {
	return func(yield func([]int64) bool) {
		last := max(newest-int64(max(most, 0)), 0)
		for n := newest; n > last; {
			var numbers []int64
			for ; n > last && len(numbers) < page; n-- {
				numbers = append(numbers, n)
			}
			if !yield(numbers) {
				return
			}
		}
	}
}
