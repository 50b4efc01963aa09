package store

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
)

var _ broker.SignOns = (*Store)(nil)

// grantRecord is what is stored of a Grant. Later versions may add members.
type grantRecord struct {
	Token      string `json:"t"`
	Server     string `json:"s"`
	User       string `json:"u"`
	App        string `json:"a"`
	Subscriber string `json:"id"`
	// IssuedAt is in unix milliseconds by the clock of the controls; 0 in records of
	// versions that kept "at", seconds by the clock of a broker, and judged them by
	// that.
	IssuedAt int64 `json:"ms"`
}

func encodeDigest(d broker.Digest) string { return base64.RawURLEncoding.EncodeToString(d[:]) }

func encodeGrant(g broker.Grant) ([]byte, error) {
	return json.Marshal(grantRecord{
		Token: encodeDigest(g.Token), Server: g.Link.Server, User: g.Link.User, App: g.Link.App,
		Subscriber: g.Subscriber, IssuedAt: g.IssuedAt.UnixMilli(),
	})
}

func decodeGrant(text string) (broker.Grant, error) {
	var r grantRecord
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return broker.Grant{}, fmt.Errorf("%w: decode grant: %w", ErrDamaged, err)
	}
	token, err := base64.RawURLEncoding.DecodeString(r.Token)
	if err != nil || len(token) != len(broker.Digest{}) {
		return broker.Grant{}, fmt.Errorf("%w: decode grant: token digest", ErrDamaged)
	}
	grant := broker.Grant{
		Token:      broker.Digest(token),
		Link:       broker.Link{Account: broker.Account{Server: r.Server, User: r.User}, App: r.App},
		Subscriber: r.Subscriber,
	}
	if r.IssuedAt != 0 {
		grant.IssuedAt = time.UnixMilli(r.IssuedAt)
	}
	return grant, nil
}

var causes = map[string]broker.Cause{
	"no_link":    broker.CauseNoLink,
	"token":      broker.CauseToken,
	"subscriber": broker.CauseSubscriber,
	"aged":       broker.CauseAged,
	"superseded": broker.CauseSuperseded,
}

// Issue implements broker.SignOns.
func (s *Store) Issue(ctx context.Context, in broker.Issue) (broker.Issued, error) {
	grant, err := encodeGrant(in.Grant)
	if err != nil {
		return broker.Issued{}, fmt.Errorf("issue: %w", err)
	}
	var keep int64
	if !in.CheckOnly {
		keep = (in.TTL + Retention).Milliseconds()
	}
	var notBefore int64
	if !in.NotBefore.IsZero() {
		notBefore = in.NotBefore.Unix()
	}
	keys, token := []string{s.accountKey(in.Link.Account), s.tokenKey(in.Token)}, newLinkDigest(in.LinkToken)
	reply, err := s.issue.Run(ctx, s.client, keys, in.Link.App, token[:], in.Subscriber,
		notBefore, keep, in.Redeemer, grant, s.durability).StringSlice()
	if err != nil {
		return broker.Issued{}, fmt.Errorf("issue: %w", err)
	}
	if len(reply) == 1 {
		if cause, ok := causes[reply[0]]; ok {
			return broker.Issued{}, &broker.DeniedError{Cause: cause}
		}
	}
	if len(reply) != 2 || reply[0] != "ok" {
		return broker.Issued{}, fmt.Errorf("issue: %w: Redis answered %d values, which is not known", ErrDamaged, len(reply))
	}
	created, err := strconv.ParseInt(reply[1], 10, 64)
	if err != nil {
		return broker.Issued{}, fmt.Errorf("issue: %w: creation time of the link: %w", ErrDamaged, err)
	}
	return broker.Issued{Created: time.Unix(created, 0)}, nil
}

var outcomes = map[string]broker.Outcome{
	"granted":  broker.Granted,
	"repeated": broker.Repeated,
	"used":     broker.Used,
	"expired":  broker.Expired,
}

// Redeem implements broker.SignOns.
func (s *Store) Redeem(ctx context.Context, in broker.Redeem) (broker.Redemption, error) {
	keys := []string{s.tokenKey(in.Token)}
	args := []any{in.Redeemer, in.Claim.ID(), in.ProxyClaim.ID(), in.At.Unix(), Retention.Milliseconds(), s.durability}
	var reply []string
	var err error
	if s.durability == replicated {
		reply, err = s.runReplicated(ctx, s.redeem, keys, args)
	} else {
		reply, err = s.redeem.Run(ctx, s.client, keys, args...).StringSlice()
	}
	if err != nil {
		return broker.Redemption{}, fmt.Errorf("redeem: %w", err)
	}
	if len(reply) == 1 && reply[0] == "unknown" {
		return broker.Redemption{Outcome: broker.Unknown}, nil
	}
	if len(reply) != 4 {
		return broker.Redemption{}, fmt.Errorf("redeem: %w: Redis answered %d values, want 4", ErrDamaged, len(reply))
	}
	outcome, ok := outcomes[reply[0]]
	if !ok {
		return broker.Redemption{}, fmt.Errorf("redeem: %w: Redis answered an outcome that is not known", ErrDamaged)
	}
	grant, err := decodeGrant(reply[1])
	if err != nil {
		return broker.Redemption{}, fmt.Errorf("redeem: %w", err)
	}
	if grant.IssuedAt.IsZero() && outcome != broker.Used {
		outcome = broker.Expired // no control could be compared with it
	}
	found := broker.Redemption{Outcome: outcome, Grant: grant, ClaimedBy: reply[2]}
	if reply[3] != "" {
		at, err := strconv.ParseInt(reply[3], 10, 64)
		if err != nil {
			return broker.Redemption{}, fmt.Errorf("redeem: %w: time of the redemption: %w", ErrDamaged, err)
		}
		found.RedeemedAt = time.Unix(at, 0)
	}
	return found, nil
}
