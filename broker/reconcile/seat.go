package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// seat is this process's right to work on a server: its lease, kept alive. All
// that the process does on the server goes on from one seat.
type seat struct {
	knowledge
	lease Lease
	// alive ends when the lease is lost, and with it all work on the server.
	alive context.Context
	halt  context.CancelCauseFunc
	done  chan struct{} // closed when nobody renews any more

	mu   sync.Mutex
	busy map[string]*userLock
	// owners are the subscribers that this process has given accounts, by user.
	owners map[string]string
}

type userLock struct {
	held    chan struct{} // full while somebody has the lock
	waiting int
}

// seats are those of this process, by server.
type seats struct {
	leases Leases
	holder string
	ttl    time.Duration
	wait   func(context.Context, time.Duration) error
	now    func() time.Time

	mu     sync.Mutex
	places map[string]*place
}

// place is where the seat at one server stands. Its mutex is held while the
// store is asked, so that a slow store holds up one server only.
type place struct {
	sync.Mutex
	seat  *seat
	users int
}

func (s *seats) place(server string) *place {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.places[server]
	if p == nil {
		p = &place{}
		s.places[server] = p
	}
	return p
}

// take returns the seat at a server, the one that the process has or a new one.
// It returns a *HeldError while another process works there.
func (s *seats) take(ctx context.Context, server string) (*seat, error) {
	p := s.place(server)
	p.Lock()
	defer p.Unlock()
	if p.seat != nil && p.seat.alive.Err() == nil {
		p.users++
		return p.seat, nil
	}
	if p.seat != nil {
		return nil, fmt.Errorf("%s: the lease was lost, and its work has not ended yet: %w", server, context.Cause(p.seat.alive))
	}
	asked := s.now()
	lease, err := s.leases.Acquire(ctx, server, s.holder, s.ttl)
	if err != nil {
		return nil, err
	}
	p.seat, p.users = newSeat(ctx, lease), 1
	go s.keep(p.seat, asked.Add(s.ttl))
	return p.seat, nil
}

// has reports whether this process works on a server.
func (s *seats) has(server string) bool {
	p := s.place(server)
	p.Lock()
	defer p.Unlock()
	return p.seat != nil && p.seat.alive.Err() == nil
}

func newSeat(ctx context.Context, lease Lease) *seat {
	alive, halt := context.WithCancelCause(context.WithoutCancel(ctx))
	return &seat{
		knowledge: knowledge{fresh: map[string]time.Time{}}, lease: lease, alive: alive, halt: halt, done: make(chan struct{}),
		busy: map[string]*userLock{}, owners: map[string]string{},
	}
}

// handOver notes to whom a user is being given. It comes before the store is
// written: a rotation that asks too early is overwritten by whoever hands over.
func (s *seat) handOver(user, subscriber string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owners[user] = subscriber
}

// handedOver reports whether a user has been given to somebody else.
func (s *seat) handedOver(user, subscriber string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	owner, noted := s.owners[user]
	return noted && owner != subscriber
}

// errReleased ends a seat whose work is done.
var errReleased = errors.New("the work is done")

// keep renews the lease of a seat until it is given back. The work ends a while
// before the lease may go to somebody else.
func (s *seats) keep(seat *seat, until time.Time) {
	defer close(seat.done)
	for seat.alive.Err() == nil {
		if s.wait(seat.alive, s.ttl/6) != nil {
			return
		}
		ctx, cancel := context.WithTimeout(seat.alive, s.ttl/6)
		asked := s.now()
		err := s.leases.Renew(ctx, seat.lease, s.ttl)
		cancel()
		switch {
		case err == nil:
			until = asked.Add(s.ttl)
		case errors.Is(err, ErrFenced):
			seat.halt(err)
		case !s.now().Before(until.Add(-s.ttl / 3)):
			seat.halt(fmt.Errorf("the lease of %s could not be renewed: %w", seat.lease.Server, err))
		}
	}
}

// leave gives a seat back; with the last user of the process goes the lease.
func (s *seats) leave(seat *seat) error {
	p := s.place(seat.lease.Server)
	p.Lock()
	defer p.Unlock()
	if p.users--; p.users > 0 {
		return nil
	}
	p.seat = nil
	lost := seat.alive.Err() != nil
	seat.halt(errReleased)
	<-seat.done
	if lost {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeGrace)
	defer cancel()
	return s.leases.Release(ctx, seat.lease)
}

// lock keeps two jobs of this process from writing one account at once. The
// function that it returns ends that.
func (s *seat) lock(jobs []*job) (unlock func()) {
	var users []string
	for _, j := range jobs {
		users = append(users, j.plan.Account.User)
	}
	slices.Sort(users) // one order for all, so that no two wait for each other
	for _, user := range users {
		s.mu.Lock()
		l := s.busy[user]
		if l == nil {
			l = &userLock{held: make(chan struct{}, 1)}
			s.busy[user] = l
		}
		l.waiting++
		s.mu.Unlock()
		l.held <- struct{}{}
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, user := range users {
			l := s.busy[user]
			if l.waiting--; l.waiting == 0 {
				delete(s.busy, user)
			}
			<-l.held
		}
	}
}
