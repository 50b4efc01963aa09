package store

import (
	"encoding/binary"
	"strings"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

// The fields of an account that are not links: no app has a slash.
const (
	subscriberField = "/subscriber"
	groupField      = "/group"
)

// Sizes of the fields that scripts/record.lua describes, in bytes.
const (
	digestSize    = len(linkDigest{})
	createdSize   = 4
	countSize     = 2
	writtenSize   = len(reconcile.Fingerprint{})
	confirmedSize = digestSize + createdSize + countSize + writtenSize
	preparedSize  = digestSize + createdSize + writtenSize
)

// linkDigest is what an account's hash has of a link token, and all that scripts
// get and compare: the first 160 bits of its digest. A link token has 256 random
// bits, so nobody finds another one with the same 160 bits of SHA-256; and with them,
// fourteen links and the tokens that theirs superseded take up one size class less of
// Redis's allocator. The zero linkDigest stands for no token.
type linkDigest [20]byte

func newLinkDigest(d broker.Digest) linkDigest { return linkDigest(d[:digestSize]) }

// confirmed is an app's field without the superseded tokens.
type confirmed struct {
	// token is zero when no token is confirmed.
	token      linkDigest
	created    time.Time
	generation int
	written    reconcile.Fingerprint
}

func decodeConfirmed(field string) (confirmed, error) {
	if len(field) < confirmedSize {
		return confirmed{}, ErrDamaged
	}
	text := []byte(field)
	return confirmed{
		token:      linkDigest(text[:digestSize]),
		created:    decodeCreated(text[digestSize:]),
		generation: int(binary.BigEndian.Uint16(text[digestSize+createdSize:])),
		written:    reconcile.Fingerprint(text[confirmedSize-writtenSize : confirmedSize]),
	}, nil
}

// decodePrepared reads a slot: when its token was made.
func decodePrepared(field string) (time.Time, error) {
	if len(field) != preparedSize {
		return time.Time{}, ErrDamaged
	}
	return decodeCreated([]byte(field[digestSize:])), nil
}

// encodeCreated returns unix seconds as 4 bytes, which last until 2106.
func encodeCreated(t time.Time) []byte {
	return binary.BigEndian.AppendUint32(nil, uint32(t.Unix()))
}

func decodeCreated(text []byte) time.Time {
	return time.Unix(int64(binary.BigEndian.Uint32(text)), 0)
}

// decodeRecord reads the hash of an account. A damaged field counts as missing, as
// it does in scripts/record.lua: the link is written anew then.
func decodeRecord(account broker.Account, fields map[string]string) reconcile.Record {
	r := reconcile.Record{Account: account, Subscriber: fields[subscriberField]}
	if group := fields[groupField]; len(group) > writtenSize {
		r.Group = reconcile.GroupRecord{ID: group[writtenSize:], Written: reconcile.Fingerprint([]byte(group[:writtenSize]))}
	}
	for name, value := range fields {
		app, _, isSlot := strings.Cut(name, "/")
		if app == "" {
			continue
		}
		if r.Links == nil {
			r.Links = map[string]reconcile.LinkRecord{}
		}
		link := r.Links[app]
		if isSlot {
			if _, err := decodePrepared(value); err == nil {
				link.Pending++
			}
		} else if c, err := decodeConfirmed(value); err == nil {
			link.Generation, link.Written = c.generation, c.written
			if c.token != (linkDigest{}) {
				link.Confirmed, link.Created = true, c.created
			}
		}
		r.Links[app] = link
	}
	return r
}
