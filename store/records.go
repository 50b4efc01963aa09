package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

var _ reconcile.Records = (*Store)(nil)

const (
	// pageSize is how many accounts are read in one round trip. The replies of a
	// page come within the client's time-out.
	pageSize = 200
	// writeSize is how many accounts are written in one round trip.
	writeSize = 50
)

// Accounts implements reconcile.Records.
func (s *Store) Accounts(ctx context.Context, server string) iter.Seq2[broker.Account, error] {
	// A tag has three characters.
	pattern := escapeGlob(s.prefix) + "acct:{???}*"
	if server != "" {
		pattern = escapeGlob(s.prefix) + "acct:{???}" + escapeGlob(server) + "/*"
	}
	return func(yield func(broker.Account, error) bool) {
		nodes, err := s.nodes(ctx)
		if err != nil {
			yield(broker.Account{}, fmt.Errorf("list accounts: %w", err))
			return
		}
		for _, node := range nodes {
			keys := node.Scan(ctx, 0, pattern, 500).Iterator()
			for keys.Next(ctx) {
				if account, is := s.accountOf(keys.Val()); is && !yield(account, nil) {
					return
				}
			}
			if err := keys.Err(); err != nil {
				yield(broker.Account{}, fmt.Errorf("list accounts: %w", err))
				return
			}
		}
	}
}

// nodes returns every primary.
func (s *Store) nodes(ctx context.Context) ([]redis.Cmdable, error) {
	cluster, is := s.client.(*redis.ClusterClient)
	if !is {
		return []redis.Cmdable{s.client}, nil
	}
	var mu sync.Mutex
	var nodes []redis.Cmdable
	err := cluster.ForEachMaster(ctx, func(_ context.Context, node *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		nodes = append(nodes, node)
		return nil
	})
	return nodes, err
}

// accountOf returns the account whose key it is.
func (s *Store) accountOf(key string) (broker.Account, bool) {
	_, name, _ := strings.Cut(strings.TrimPrefix(key, s.prefix), "}")
	server, user, _ := strings.Cut(name, "/")
	account := broker.Account{Server: server, User: user}
	return account, server != "" && user != "" && s.accountKey(account) == key
}

// Load implements reconcile.Records.
func (s *Store) Load(ctx context.Context, accounts []broker.Account) ([]reconcile.Record, error) {
	records := make([]reconcile.Record, 0, len(accounts))
	for page := range slices.Chunk(accounts, pageSize) {
		hashes, err := s.hashes(ctx, page)
		if err != nil {
			return nil, fmt.Errorf("load records: %w", err)
		}
		for i, fields := range hashes {
			records = append(records, decodeRecord(page[i], fields))
		}
	}
	return records, nil
}

// hashes reads accounts in one round trip (on a cluster one to each node).
func (s *Store) hashes(ctx context.Context, accounts []broker.Account) ([]map[string]string, error) {
	if len(accounts) == 0 {
		return nil, nil
	}
	pipe := s.client.Pipeline()
	replies := make([]*redis.MapStringStringCmd, len(accounts))
	for i, account := range accounts {
		replies[i] = pipe.HGetAll(ctx, s.accountKey(account))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, err
	}
	hashes := make([]map[string]string, len(accounts))
	for i, reply := range replies {
		hashes[i] = reply.Val()
	}
	return hashes, nil
}

// Write implements reconcile.Records. Of an account that is forgotten the fence is
// forgotten, too.
func (s *Store) Write(ctx context.Context, fence reconcile.Fence, changes []reconcile.AccountChanges) []error {
	errs := make([]error, 0, len(changes))
	for page := range slices.Chunk(changes, writeSize) {
		writes := make([]*write, len(page))
		for i, c := range page {
			writes[i] = s.newWrite(fence, c)
		}
		s.send(ctx, writes)
		for i, w := range writes {
			if w.err != nil && !errors.Is(w.err, reconcile.ErrFenced) && !errors.Is(w.err, reconcile.ErrLost) {
				w.err = fmt.Errorf("write records of %s: %w", page[i].Account, w.err)
			}
			errs = append(errs, w.err)
		}
	}
	return errs
}

// write is what is sent for one account.
type write struct {
	call
	err error
}

func (s *Store) newWrite(fence reconcile.Fence, c reconcile.AccountChanges) *write {
	w := &write{call: call{keys: []string{s.accountKey(c.Account)}, args: []any{strconv.FormatUint(uint64(fence), 10)}}}
	for _, change := range c.Changes {
		args, err := encodeChange(c.Account, change)
		if err != nil {
			w.err = err
			return w
		}
		w.args = append(w.args, args...)
	}
	return w
}

// send makes the calls that have no error yet in one round trip.
func (s *Store) send(ctx context.Context, writes []*write) {
	var calls []*call
	for _, w := range writes {
		if w.err == nil {
			calls = append(calls, &w.call)
		}
	}
	s.runAll(ctx, s.change, calls)
	for _, w := range writes {
		if w.err != nil {
			continue
		}
		answer, err := w.reply.StringSlice()
		switch {
		case err != nil:
			w.err = err
		case slices.Equal(answer, []string{"fenced"}):
			w.err = reconcile.ErrFenced
		case slices.Equal(answer, []string{"lost"}):
			w.err = reconcile.ErrLost
		case !slices.Equal(answer, []string{"ok"}):
			w.err = errors.New("the answer of Redis is not known")
		}
	}
}

// encodeChange returns the arguments of scripts/change.lua. It refuses what would
// damage a record.
func encodeChange(account broker.Account, c reconcile.Change) ([]any, error) {
	token := newLinkDigest(c.Token)
	link := func(kind string, token, created, written []byte) ([]any, error) {
		if err := (broker.Link{Account: account, App: c.App}).Validate(); err != nil {
			return nil, err
		}
		if token != nil && linkDigest(token) == (linkDigest{}) {
			return nil, fmt.Errorf("%s %s: the token is missing", kind, c.App)
		}
		return []any{kind, c.App, token, created, written, c.Subscriber}, nil
	}
	switch c.Kind {
	case reconcile.ChangeSubscriber:
		return []any{"subscriber", c.Subscriber, "", "", "", ""}, broker.ValidateSubscriber(c.Subscriber)
	case reconcile.ChangePrepare:
		return link("prepare", token[:], encodeCreated(c.Created), c.Written[:])
	case reconcile.ChangePromote:
		return link("promote", token[:], encodeCreated(c.Created), c.Written[:])
	case reconcile.ChangeDrop:
		return link("drop", token[:], nil, nil)
	case reconcile.ChangeForget:
		return link("forget", nil, nil, nil)
	case reconcile.ChangeGroup:
		if c.GroupID == "" {
			return nil, errors.New("the id of the group is missing")
		}
		return []any{"group", c.GroupID, "", "", c.Written[:], ""}, nil
	case reconcile.ChangeForgetGroup:
		return []any{"forget_group", "", "", "", "", ""}, nil
	}
	return nil, fmt.Errorf("the change of kind %d is not known", c.Kind)
}

func escapeGlob(text string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`).Replace(text)
}
