package reconcile

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
)

// cutOff ends sign-on for the former subscribers of accounts that have changed hands.
// It comes first and asks the store alone: whether the server can be reached must not
// matter. The portions read the records once more, 25 microseconds an account with 14
// links: to keep all of them that long would cost memory, and they change meanwhile.
func (w *serverRun) cutOff(ctx context.Context, s *session) error {
	if w.order.DryRun || w.order.Directory == nil || w.order.Policy.Remove || w.order.Policy.Rotate {
		return nil
	}
	var accounts []broker.Account
	for user := range w.recorded {
		accounts = append(accounts, broker.Account{Server: w.server, User: user})
	}
	named := w.usersOf(w.order.Accounts)
	for _, user := range named {
		accounts = append(accounts, broker.Account{Server: w.server, User: user})
	}
	known := w.order.known()
	if len(named) > 0 || len(w.order.Accounts) == 0 {
		s.learn(known, named)
	}
	for page := range slices.Chunk(accounts, 500) {
		if err := w.cutOffPage(ctx, s, page, known); err != nil {
			return err
		}
	}
	return nil
}

func (w *serverRun) cutOffPage(ctx context.Context, s *session, accounts []broker.Account, known time.Time) error {
	s.writing.RLock()
	defer s.writing.RUnlock()
	records, err := s.load(ctx, accounts)
	if err != nil {
		return err
	}
	var changes []AccountChanges
	for _, r := range records {
		subscriber, owned := w.order.Directory.Subscriber(r.Account)
		if owned && r.Subscriber != "" && r.Subscriber != subscriber && !s.outdated(r.Account.User, known) {
			s.handOver(r.Account.User, subscriber)
			changes = append(changes, AccountChanges{Account: r.Account, Changes: []Change{{Kind: ChangeSubscriber, Subscriber: subscriber}}})
			w.log.add(s.entry(LevelInformation, r.Account.User, "", fmt.Sprintf("belongs to subscriber %s now; sign-on for %s has ended", subscriber, r.Subscriber)))
		}
	}
	_, err = s.write(ctx, changes)
	return err
}
