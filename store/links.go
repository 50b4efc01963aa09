package store

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/latchkey-sso/latchkey/broker"
)

// Errors of PutLink.
var (
	// ErrLinkExists: there is a link of this name, whose token would be lost.
	ErrLinkExists = errors.New("the link is there already")
	// ErrOtherSubscriber: the account's other links belong to somebody else.
	ErrOtherSubscriber = errors.New("the account has links of another subscriber")
)

// LinkRecord is a link as it is stored.
type LinkRecord struct {
	Link       broker.Link
	Subscriber string
	// Token is the digest of the link token.
	Token broker.Digest
	// Created is when the link token was made, to the second.
	Created time.Time
	// Generation counts the link tokens that this link has had, from 1.
	Generation int
}

const subscriberField = "/subscriber"

// PutLink keeps a link; Generation is counted by the store. With replace, a
// link of the same name gets the new token, and its former token is dead at
// once. It returns ErrLinkExists or ErrOtherSubscriber and changes nothing then.
func (s *Store) PutLink(ctx context.Context, r LinkRecord, replace bool) error {
	flag := "0"
	if replace {
		flag = "1"
	}
	reply, err := s.putLink.Run(ctx, s.client, []string{s.accountKey(r.Link.Account)},
		r.Link.App, r.Token[:], encodeCreated(r.Created), r.Subscriber, flag).StringSlice()
	if err != nil {
		return fmt.Errorf("put link: %w", err)
	}
	switch {
	case slices.Equal(reply, []string{"ok"}):
		return nil
	case slices.Equal(reply, []string{"exists"}):
		return ErrLinkExists
	case slices.Equal(reply, []string{"subscriber"}):
		return ErrOtherSubscriber
	}
	return errors.New("put link: Redis answered something that is not known")
}

// RemoveLink forgets a link and reports whether it was there. One-time tokens
// that it has issued live on for their seconds.
func (s *Store) RemoveLink(ctx context.Context, link broker.Link) (bool, error) {
	removed, err := s.removeLink.Run(ctx, s.client, []string{s.accountKey(link.Account)}, link.App).Int()
	if err != nil {
		return false, fmt.Errorf("remove link: %w", err)
	}
	return removed == 1, nil
}

// Links lists the links of a server, or of all when server is empty, by server,
// user and app. It walks through all of Redis in small steps.
func (s *Store) Links(ctx context.Context, server string) ([]LinkRecord, error) {
	var mu sync.Mutex
	var all []LinkRecord
	err := s.eachNode(ctx, func(ctx context.Context, node redis.Cmdable) error {
		pattern := s.prefix + "acct:{*}*"
		if server != "" {
			pattern = s.prefix + "acct:{*}" + escapeGlob(server) + "/*"
		}
		keys := node.Scan(ctx, 0, pattern, 500).Iterator()
		for keys.Next(ctx) {
			links, err := s.readAccount(ctx, node, keys.Val())
			if err != nil {
				return err
			}
			mu.Lock()
			all = append(all, links...)
			mu.Unlock()
		}
		return keys.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	slices.SortFunc(all, func(a, b LinkRecord) int {
		return cmp.Or(cmp.Compare(a.Link.Server, b.Link.Server), cmp.Compare(a.Link.User, b.Link.User), cmp.Compare(a.Link.App, b.Link.App))
	})
	// A scan may return a key twice (Redis documentation, SCAN guarantees).
	return slices.CompactFunc(all, func(a, b LinkRecord) bool { return a.Link == b.Link }), nil
}

// eachNode visits every primary.
func (s *Store) eachNode(ctx context.Context, visit func(context.Context, redis.Cmdable) error) error {
	if cluster, ok := s.client.(*redis.ClusterClient); ok {
		return cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error { return visit(ctx, node) })
	}
	return visit(ctx, s.client)
}

func (s *Store) readAccount(ctx context.Context, node redis.Cmdable, key string) ([]LinkRecord, error) {
	_, name, _ := strings.Cut(key, "}")
	server, user, ok := strings.Cut(name, "/")
	if !ok {
		return nil, fmt.Errorf("the key %q does not name an account", key)
	}
	fields, err := node.HGetAll(ctx, key).Result()
	if err != nil {
		return nil, err
	}
	var links []LinkRecord
	for app, value := range fields {
		if app == subscriberField {
			continue
		}
		r, err := decodeLink(value)
		if err != nil {
			return nil, fmt.Errorf("link %s of %s: %w", app, name, err)
		}
		r.Link = broker.Link{Account: broker.Account{Server: server, User: user}, App: app}
		r.Subscriber = fields[subscriberField]
		links = append(links, r)
	}
	return links, nil
}

// encodeCreated returns unix seconds as 4 bytes, which last until 2106.
func encodeCreated(t time.Time) []byte {
	return binary.BigEndian.AppendUint32(nil, uint32(t.Unix()))
}

// decodeLink reads an app's field: digest, encodeCreated, generation in decimal.
func decodeLink(value string) (LinkRecord, error) {
	const size = len(broker.Digest{})
	if len(value) < size+4 {
		return LinkRecord{}, errors.New("its record is damaged")
	}
	created := binary.BigEndian.Uint32([]byte(value[size : size+4]))
	generation, err := strconv.Atoi(value[size+4:])
	if err != nil {
		return LinkRecord{}, fmt.Errorf("its record is damaged: %w", err)
	}
	return LinkRecord{
		Token: broker.Digest([]byte(value[:size])), Created: time.Unix(int64(created), 0), Generation: generation,
	}, nil
}

func escapeGlob(text string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`).Replace(text)
}
