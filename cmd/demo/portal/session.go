package portal

import (
	"container/list"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"sync"
	"time"
)

const (
	sessionCookie = "portal_session"
	sessionIdle   = 30 * time.Minute
	sessionLife   = 12 * time.Hour
	maxSessions   = 10_000
)

// session is one browser that is signed in.
type session struct {
	SignIn
	ACR string // how sure the broker was

	key   [sha256.Size]byte
	began time.Time
	seen  time.Time
}

// sessions keeps them in memory, by the SHA-256 of the id: who reads this memory,
// or the table that a real portal would use, cannot become a customer with it.
type sessions struct {
	now    func() time.Time
	secure bool
	max    int

	mu    sync.Mutex
	byKey map[[sha256.Size]byte]*list.Element
	order list.List // of *session, the one seen last in front
}

func newSessions(c Config) *sessions {
	return &sessions{
		now:    c.Now,
		secure: c.secure(),
		max:    maxSessions,
		byKey:  make(map[[sha256.Size]byte]*list.Element),
	}
}

// start makes a new session with a new id, ends the one that r belongs to, if any,
// and sets the cookie.
func (s *sessions) start(w http.ResponseWriter, r *http.Request, in SignIn, acr string) {
	var id [32]byte
	_, _ = rand.Read(id[:]) // never fails, says crypto/rand
	value := base64.RawURLEncoding.EncodeToString(id[:])
	now := s.now()
	fresh := &session{SignIn: in, ACR: acr, key: sha256.Sum256([]byte(value)), began: now, seen: now}

	s.mu.Lock()
	s.drop(s.byKey[cookieKey(r)])
	s.expire(now)
	if s.order.Len() >= s.max {
		s.drop(s.order.Back())
	}
	s.byKey[fresh.key] = s.order.PushFront(fresh)
	s.mu.Unlock()

	http.SetCookie(w, s.cookie(value))
}

// get returns the session that r belongs to and counts as activity.
func (s *sessions) get(r *http.Request) (session, bool) {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(now)
	e := s.byKey[cookieKey(r)]
	if e == nil {
		return session{}, false
	}
	found := e.Value.(*session)
	if now.Sub(found.began) >= sessionLife {
		s.drop(e)
		return session{}, false
	}
	found.seen = now
	s.order.MoveToFront(e)
	return *found, true
}

// end ends the session that r belongs to.
func (s *sessions) end(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.drop(s.byKey[cookieKey(r)])
	s.mu.Unlock()
	gone := s.cookie("")
	gone.MaxAge = -1
	http.SetCookie(w, gone)
}

// expire drops those idle for too long: they are all at the back.
func (s *sessions) expire(now time.Time) {
	for e := s.order.Back(); e != nil && now.Sub(e.Value.(*session).seen) >= sessionIdle; e = s.order.Back() {
		s.drop(e)
	}
}

func (s *sessions) drop(e *list.Element) {
	if e != nil {
		delete(s.byKey, s.order.Remove(e).(*session).key)
	}
}

// cookie has no Domain and no Expires: it stays with this host and this browser
// window's life. SameSite=Lax lets it come along with a click on a link.
func (s *sessions) cookie(value string) *http.Cookie {
	return &http.Cookie{
		Name: sessionCookie, Value: value, Path: "/",
		HttpOnly: true, Secure: s.secure, SameSite: http.SameSiteLaxMode,
	}
}

func cookieKey(r *http.Request) [sha256.Size]byte {
	c, err := r.Cookie(sessionCookie)
	if err != nil {
		return [sha256.Size]byte{}
	}
	return sha256.Sum256([]byte(c.Value))
}
