package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

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
	// Token is the digest of the link token that PutLink is to keep. It stays zero in
	// what Links returns: the store does not have all of it.
	Token broker.Digest
	// Created is when the link token was made, to the second; without a confirmed
	// one, when the newest of the others was.
	Created time.Time
	// Generation counts the link tokens that were confirmed; 0 for a link whose
	// first writing was not finished.
	Generation int
}

// PutLink keeps a link that is registered by hand; Generation is counted by the
// store. With replace, a link of the same name gets the new token, and its former
// tokens, prepared ones included, are superseded at once. It returns ErrLinkExists or
// ErrOtherSubscriber and changes nothing then, and refuses a record without a token.
func (s *Store) PutLink(ctx context.Context, r LinkRecord, replace bool) error {
	token := newLinkDigest(r.Token)
	if token == (linkDigest{}) {
		return errors.New("put link: the token is missing")
	}
	flag := "0"
	if replace {
		flag = "1"
	}
	reply, err := s.putLink.Run(ctx, s.client, []string{s.accountKey(r.Link.Account)},
		r.Link.App, token[:], encodeCreated(r.Created), r.Subscriber, flag).StringSlice()
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
	var all []LinkRecord
	list := func(page []broker.Account) error {
		hashes, err := s.hashes(ctx, page)
		for i, fields := range hashes {
			links, err := decodeLinks(page[i], fields)
			if err != nil {
				return err
			}
			all = append(all, links...)
		}
		return err
	}
	var page []broker.Account
	for account, err := range s.Accounts(ctx, server) {
		if err != nil {
			return nil, fmt.Errorf("list links: %w", err)
		}
		if page = append(page, account); len(page) < pageSize {
			continue
		}
		if err := list(page); err != nil {
			return nil, fmt.Errorf("list links: %w", err)
		}
		page = page[:0]
	}
	if err := list(page); err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	slices.SortFunc(all, func(a, b LinkRecord) int {
		return cmp.Or(cmp.Compare(a.Link.Server, b.Link.Server), cmp.Compare(a.Link.User, b.Link.User), cmp.Compare(a.Link.App, b.Link.App))
	})
	// A scan may return a key twice (Redis documentation, SCAN guarantees).
	return slices.CompactFunc(all, func(a, b LinkRecord) bool { return a.Link == b.Link }), nil
}

// decodeLinks reads the links out of the hash of an account.
func decodeLinks(account broker.Account, fields map[string]string) ([]LinkRecord, error) {
	links := map[string]LinkRecord{}
	hasToken := map[string]bool{} // apps with a confirmed one
	for name, value := range fields {
		app, slot, isSlot := strings.Cut(name, "/")
		if app == "" {
			continue
		}
		link := broker.Link{Account: account, App: app}
		r, known := links[app]
		if !known {
			r = LinkRecord{Link: link, Subscriber: fields[subscriberField]}
		}
		if isSlot {
			made, err := decodePrepared(value)
			if err != nil {
				return nil, fmt.Errorf("token %s of link %s: %w", slot, link, err)
			}
			if !hasToken[app] && made.After(r.Created) {
				r.Created = made
			}
		} else {
			c, err := decodeConfirmed(value)
			if err != nil {
				return nil, fmt.Errorf("link %s: %w", link, err)
			}
			r.Generation, hasToken[app] = c.generation, c.token != (linkDigest{})
			if hasToken[app] || c.created.After(r.Created) {
				r.Created = c.created
			}
		}
		links[app] = r
	}
	return slices.Collect(maps.Values(links)), nil
}
