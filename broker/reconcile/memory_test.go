package reconcile_test

import (
	"cmp"
	"context"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

var _ book = (*memory)(nil)

// memory is a store without a network, for virtual time. A test compares it with
// the real one.
type memory struct {
	mu       sync.Mutex
	accounts map[broker.Account]*ledger
	leases   map[string]leased
	fences   map[string]reconcile.Fence
	queue    map[queued]time.Time
}

// ledger is the record of an account.
type ledger struct {
	fence      reconcile.Fence
	subscriber string
	group      reconcile.GroupRecord
	links      map[string]*ledgerLink
}

type ledgerLink struct {
	there      bool // the link's field; without it there are slots only
	token      broker.Digest
	created    time.Time
	generation int
	written    reconcile.Fingerprint
	superseded []broker.Digest // the newest first
	more       bool            // others that may stand on the server are not remembered
	slots      [3]*slot
}

type slot struct {
	token   broker.Digest
	created time.Time
	written reconcile.Fingerprint
}

type leased struct {
	lease reconcile.Lease
	until time.Time
}

type queued struct {
	account broker.Account
	kind    reconcile.RequestKind
}

func newMemory() *memory {
	return &memory{
		accounts: map[broker.Account]*ledger{}, leases: map[string]leased{}, fences: map[string]reconcile.Fence{}, queue: map[queued]time.Time{},
	}
}

// Accounts implements reconcile.Records.
func (m *memory) Accounts(ctx context.Context, server string) iter.Seq2[broker.Account, error] {
	m.mu.Lock()
	all := slices.Collect(maps.Keys(m.accounts))
	m.mu.Unlock()
	return func(yield func(broker.Account, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(broker.Account{}, err)
			return
		}
		for _, a := range all {
			if (server == "" || a.Server == server) && !yield(a, nil) {
				return
			}
		}
	}
}

// Load implements reconcile.Records.
func (m *memory) Load(ctx context.Context, accounts []broker.Account) ([]reconcile.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var records []reconcile.Record
	for _, a := range accounts {
		r := reconcile.Record{Account: a}
		if l := m.accounts[a]; l != nil {
			r.Subscriber, r.Group = l.subscriber, l.group
			for app, link := range l.links {
				if r.Links == nil {
					r.Links = map[string]reconcile.LinkRecord{}
				}
				r.Links[app] = link.record()
			}
		}
		records = append(records, r)
	}
	return records, ctx.Err()
}

func (l *ledgerLink) record() reconcile.LinkRecord {
	r := reconcile.LinkRecord{Generation: l.generation}
	if r.Confirmed = l.token != (broker.Digest{}); r.Confirmed {
		r.Created, r.Written = l.created, l.written
	}
	for _, s := range l.slots {
		if s != nil {
			r.Pending++
		}
	}
	return r
}

// Write implements reconcile.Records.
func (m *memory) Write(ctx context.Context, fence reconcile.Fence, changes []reconcile.AccountChanges) []error {
	m.mu.Lock()
	defer m.mu.Unlock()
	errs := make([]error, len(changes))
	for i, c := range changes {
		if errs[i] = ctx.Err(); errs[i] == nil {
			errs[i] = m.write(fence, c)
		}
	}
	return errs
}

func (m *memory) write(fence reconcile.Fence, c reconcile.AccountChanges) error {
	l := m.accounts[c.Account]
	if l == nil {
		l = &ledger{links: map[string]*ledgerLink{}}
		m.accounts[c.Account] = l
	}
	if l.fence > fence {
		return reconcile.ErrFenced
	}
	l.fence = fence
	forgotten := false
	var lost error
	for _, change := range c.Changes {
		switch change.Kind {
		case reconcile.ChangeSubscriber:
			if l.subscriber != "" && l.subscriber != change.Subscriber {
				for _, link := range l.links {
					link.revoke()
				}
			}
			l.subscriber, forgotten = change.Subscriber, false
		case reconcile.ChangeForget:
			delete(l.links, change.App)
			forgotten = true
		case reconcile.ChangeGroup:
			l.group = reconcile.GroupRecord{ID: change.GroupID, Written: change.Written}
		case reconcile.ChangeForgetGroup:
			l.group, forgotten = reconcile.GroupRecord{}, true
		case reconcile.ChangePrepare, reconcile.ChangePromote, reconcile.ChangeDrop:
			link := l.links[change.App]
			if link == nil {
				link = &ledgerLink{}
				l.links[change.App] = link
			}
			if err := link.change(change, l.subscriber); err != nil {
				lost = err
			}
			if !link.there && link.slots == [3]*slot{} {
				delete(l.links, change.App)
			}
		}
	}
	if len(l.links) == 0 && l.group.ID == "" && (forgotten || l.subscriber == "") {
		delete(m.accounts, c.Account)
	}
	return lost
}

// change returns ErrLost for a token that cannot be taken. The subscriber is the
// account's.
func (l *ledgerLink) change(c reconcile.Change, subscriber string) error {
	at := slices.IndexFunc(l.slots[:], func(s *slot) bool { return s != nil && s.token == c.Token })
	switch c.Kind {
	case reconcile.ChangePrepare:
		if l.there && l.token == c.Token {
			return nil
		}
		if at < 0 {
			at = slices.Index(l.slots[:], nil)
		}
		if at < 0 {
			at = 0
			for n, s := range l.slots {
				if s.created.Before(l.slots[at].created) {
					at = n
				}
			}
			l.supersede(l.slots[at].token)
			l.there, l.more = true, true
		}
		l.slots[at] = &slot{c.Token, c.Created.Truncate(time.Second), c.Written}
	case reconcile.ChangePromote:
		switch {
		case at >= 0:
			l.confirm(*l.slots[at])
		case l.token == c.Token || slices.Contains(l.superseded, c.Token):
		case subscriber == c.Subscriber:
			l.confirm(slot{c.Token, c.Created.Truncate(time.Second), c.Written})
		default:
			l.written = reconcile.Fingerprint{}
			return reconcile.ErrLost
		}
	case reconcile.ChangeDrop:
		if at >= 0 {
			l.slots[at] = nil
		}
	}
	return nil
}

// confirm makes a token the only one.
func (l *ledgerLink) confirm(s slot) {
	others := l.tokens(s.token)
	confirmed := l.token != broker.Digest{}
	unfinished := len(others) > 1 || len(others) == 1 && !confirmed
	l.supersede(others...)
	l.more = unfinished && (l.more || len(others) > 3)
	l.generation++
	l.there, l.token, l.created, l.written, l.slots = true, s.token, s.created, s.written, [3]*slot{}
}

// revoke leaves no token. The server may have any of them still.
func (l *ledgerLink) revoke() {
	l.more = l.supersede(l.tokens(broker.Digest{})...) || l.more
	l.there, l.token, l.written, l.slots = true, broker.Digest{}, reconcile.Fingerprint{}, [3]*slot{}
}

// tokens are the confirmed token and the prepared ones, the newest of those first, but
// for one.
func (l *ledgerLink) tokens(except broker.Digest) []broker.Digest {
	slots := slices.DeleteFunc(slices.Clone(l.slots[:]), func(p *slot) bool { return p == nil || p.token == except })
	slices.SortStableFunc(slots, func(a, b *slot) int { return b.created.Compare(a.created) })
	var list []broker.Digest
	if l.token != (broker.Digest{}) {
		list = append(list, l.token)
	}
	for _, p := range slots {
		list = append(list, p.token)
	}
	return list
}

// supersede remembers tokens before the others, and reports whether one was left out.
func (l *ledgerLink) supersede(tokens ...broker.Digest) bool {
	var all []broker.Digest
	for _, d := range slices.Concat(tokens, l.superseded) {
		if !slices.Contains(all, d) {
			all = append(all, d)
		}
	}
	l.superseded = all[:min(3, len(all))]
	return len(all) > 3
}

func (m *memory) cause(link broker.Link, token broker.Digest, subscriber string) broker.Cause {
	m.mu.Lock()
	defer m.mu.Unlock()
	account := m.accounts[link.Account]
	if account == nil || account.links[link.App] == nil {
		return broker.CauseNoLink
	}
	l := account.links[link.App]
	match := l.token == token && token != broker.Digest{}
	for _, s := range l.slots {
		match = match || s != nil && s.token == token
	}
	switch {
	case !match && (l.more || slices.Contains(l.superseded, token)):
		return broker.CauseSuperseded
	case !match:
		return broker.CauseToken
	case account.subscriber != subscriber:
		return broker.CauseSubscriber
	}
	return ""
}

// Acquire implements reconcile.Leases.
func (m *memory) Acquire(ctx context.Context, server, holder string, ttl time.Duration) (reconcile.Lease, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return reconcile.Lease{}, err
	}
	if l, held := m.leases[server]; held && l.lease.Holder != holder && time.Now().Before(l.until) {
		return reconcile.Lease{}, &reconcile.HeldError{Server: server, Holder: l.lease.Holder, For: time.Until(l.until)}
	}
	m.fences[server]++
	lease := reconcile.Lease{Server: server, Holder: holder, Fence: m.fences[server]}
	m.leases[server] = leased{lease, time.Now().Add(ttl)}
	return lease, nil
}

// Epochs implements reconcile.Leases.
func (m *memory) Epochs(ctx context.Context, servers []string) (map[string]reconcile.Epoch, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	epochs := map[string]reconcile.Epoch{}
	for _, server := range servers {
		l, held := m.leases[server]
		epochs[server] = reconcile.Epoch{Fence: m.fences[server], Held: held && time.Now().Before(l.until)}
	}
	return epochs, ctx.Err()
}

// Renew implements reconcile.Leases.
func (m *memory) Renew(ctx context.Context, l reconcile.Lease, ttl time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if now := m.leases[l.Server]; now.lease != l || !time.Now().Before(now.until) {
		return reconcile.ErrFenced
	}
	m.leases[l.Server] = leased{l, time.Now().Add(ttl)}
	return nil
}

// Release implements reconcile.Leases.
func (m *memory) Release(ctx context.Context, l reconcile.Lease) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.leases[l.Server].lease == l {
		delete(m.leases, l.Server)
	}
	return ctx.Err()
}

// Add implements reconcile.Requests.
func (m *memory) Add(ctx context.Context, requests ...reconcile.Request) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, r := range requests {
		key, now := queued{r.Account, r.Kind}, time.Now()
		at, waits := m.queue[key]
		switch {
		case !waits:
			m.queue[key] = now
		case at.After(now) && r.Kind == reconcile.RequestReconcile:
			m.queue[key] = now.Add(time.Microsecond)
		default:
			m.queue[key] = at.Add(time.Microsecond)
		}
	}
	return nil
}

// Due implements reconcile.Requests.
func (m *memory) Due(ctx context.Context, lanes []reconcile.Lane, limit int) ([]reconcile.Request, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var due []reconcile.Request
	for _, l := range lanes {
		found := m.requests(func(r reconcile.Request) bool { return r.Lane() == l && !r.Due.After(time.Now()) })
		due = append(due, found[:min(limit, len(found))]...)
	}
	return due, nil
}

// requests are those to keep, the earliest first.
func (m *memory) requests(keep func(reconcile.Request) bool) []reconcile.Request {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []reconcile.Request
	for key, at := range m.queue {
		if r := (reconcile.Request{Account: key.account, Kind: key.kind, Due: at}); keep(r) {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b reconcile.Request) int {
		return cmp.Or(a.Due.Compare(b.Due), cmp.Compare(a.Account.String(), b.Account.String()), cmp.Compare(a.Kind, b.Kind))
	})
	return all
}

// Done implements reconcile.Requests.
func (m *memory) Done(ctx context.Context, requests ...reconcile.Request) error {
	return m.settle(ctx, requests, func(key queued) { delete(m.queue, key) })
}

// PutOff implements reconcile.Requests.
func (m *memory) PutOff(ctx context.Context, wait time.Duration, requests ...reconcile.Request) error {
	return m.settle(ctx, requests, func(key queued) { m.queue[key] = time.Now().Add(wait) })
}

func (m *memory) settle(ctx context.Context, requests []reconcile.Request, change func(queued)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, r := range requests {
		if key := (queued{r.Account, r.Kind}); m.queue[key].Equal(r.Due) {
			change(key)
		}
	}
	return nil
}
