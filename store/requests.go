package store

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

var _ reconcile.Requests = (*Store)(nil)

// requestsSize is how many requests are added or removed in one command.
const requestsSize = 500

func (s *Store) requestsKey() string { return s.prefix + "requests" }

// encodeRequest returns "rotate web01/bob".
func encodeRequest(r reconcile.Request) string { return string(r.Kind) + " " + r.Account.String() }

func decodeRequest(member string, score float64) (reconcile.Request, bool) {
	kind, name, _ := strings.Cut(member, " ")
	server, user, _ := strings.Cut(name, "/")
	r := reconcile.Request{
		Account: broker.Account{Server: server, User: user}, Kind: reconcile.RequestKind(kind), Due: time.UnixMilli(int64(score)),
	}
	known := r.Kind == reconcile.RequestRotate || r.Kind == reconcile.RequestReconcile
	named := broker.Link{Account: r.Account, App: "any"}.Validate() == nil
	return r, known && named && score == math.Trunc(score) && math.Abs(score) < 1<<53
}

// Add implements reconcile.Requests.
func (s *Store) Add(ctx context.Context, requests ...reconcile.Request) error {
	var rotations, others []redis.Z
	for _, r := range requests {
		z := redis.Z{Score: float64(r.Due.UnixMilli()), Member: encodeRequest(r)}
		if _, good := decodeRequest(encodeRequest(r), z.Score); !good {
			return fmt.Errorf("add request: %q is none", encodeRequest(r))
		}
		if r.Kind == reconcile.RequestRotate {
			rotations = append(rotations, z)
		} else {
			others = append(others, z)
		}
	}
	for page := range slices.Chunk(rotations, requestsSize) {
		if err := s.client.ZAddNX(ctx, s.requestsKey(), page...).Err(); err != nil {
			return fmt.Errorf("add requests: %w", err)
		}
	}
	for page := range slices.Chunk(others, requestsSize) {
		if err := s.client.ZAdd(ctx, s.requestsKey(), page...).Err(); err != nil {
			return fmt.Errorf("add requests: %w", err)
		}
	}
	return nil
}

// RequestRotation asks the provisioner for new link tokens of an account, from
// at on, in one command. A rotation of the account that waits keeps its time.
func (s *Store) RequestRotation(ctx context.Context, account broker.Account, at time.Time) error {
	return s.Add(ctx, reconcile.Request{Account: account, Kind: reconcile.RequestRotate, Due: at})
}

// Due implements reconcile.Requests. What is due and no request is removed.
func (s *Store) Due(ctx context.Context, now time.Time, limit int) ([]reconcile.Request, error) {
	if limit <= 0 {
		return nil, nil
	}
	for {
		found, err := s.client.ZRangeByScoreWithScores(ctx, s.requestsKey(), &redis.ZRangeBy{
			Min: "-inf", Max: strconv.FormatInt(now.UnixMilli(), 10), Count: int64(limit),
		}).Result()
		if err != nil {
			return nil, fmt.Errorf("read requests: %w", err)
		}
		var due []reconcile.Request
		var junk []any
		for _, z := range found {
			member, _ := z.Member.(string)
			if r, good := decodeRequest(member, z.Score); good {
				due = append(due, r)
			} else {
				junk = append(junk, member)
			}
		}
		if len(junk) == 0 {
			return due, nil
		}
		// It would stand before others for ever.
		if err := s.client.ZRem(ctx, s.requestsKey(), junk...).Err(); err != nil {
			return nil, fmt.Errorf("remove what is no request: %w", err)
		}
	}
}

// Done implements reconcile.Requests.
func (s *Store) Done(ctx context.Context, requests ...reconcile.Request) error {
	for page := range slices.Chunk(requests, requestsSize) {
		var args []any
		for _, r := range page {
			args = append(args, encodeRequest(r), r.Due.UnixMilli())
		}
		if err := s.done.Run(ctx, s.client, []string{s.requestsKey()}, args...).Err(); err != nil {
			return fmt.Errorf("remove requests: %w", err)
		}
	}
	return nil
}
