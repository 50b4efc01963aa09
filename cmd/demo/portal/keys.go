package portal

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/time/rate"
)

const (
	keysTimeout  = 3 * time.Second  // one fetch of the JWKS
	keysFresh    = 15 * time.Minute // then they are fetched again, so that a withdrawn key stops to count
	keysUsable   = 24 * time.Hour   // old keys are better than none while the broker is away
	keysRetry    = 2 * time.Second  // between fetches that fail
	unknownKID   = 5 * time.Second  // between fetches for an unknown kid
	unknownBurst = 2
)

var errNoKeys = errors.New("the broker's keys cannot be had now")

// keySet is the broker's JWKS. It is fetched by the requests that need it, so
// there is no goroutine to look after and no network before the first sign-in.
type keySet struct {
	ctx    context.Context
	url    string
	client *http.Client
	now    func() time.Time

	mu      sync.Mutex
	keys    keyfunc.Keyfunc
	fetched time.Time
	failed  time.Time
}

// key finds the public key for a token's header and makes sure that it is of the
// kind that alg needs. The JWKS decides which key that is, never the header's own
// jwk, jku or x5u.
func (s *keySet) key(ctx context.Context, t *jwt.Token) (any, error) {
	kid, _ := t.Header["kid"].(string)
	if kid == "" || len(kid) > 128 {
		// Without one keyfunc would try every key there is.
		return nil, errors.New("no usable kid")
	}
	keys, err := s.current()
	if err != nil {
		return nil, err
	}
	// Look first, to tell "no such key" from "cannot say now" (rate limit, time-out).
	_, err = keys.Storage().KeyRead(ctx, kid)
	if errors.Is(err, jwkset.ErrKeyNotFound) {
		return nil, errors.New("unknown kid")
	} else if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoKeys, err)
	}
	key, err := keys.KeyfuncCtx(ctx)(t) // compares the key's own alg and use as well
	if err != nil {
		return nil, err
	}
	return key, fits(t.Method.Alg(), key)
}

func fits(alg string, key any) error {
	switch key := key.(type) {
	case ed25519.PublicKey:
		if alg == "EdDSA" {
			return nil
		}
	case *ecdsa.PublicKey:
		if alg == "ES256" && key.Curve == elliptic.P256() {
			return nil
		}
	case *rsa.PublicKey:
		if alg == "RS256" && key.N.BitLen() >= 2048 {
			return nil
		}
	}
	return fmt.Errorf("alg does not fit a key of type %T", key)
}

// current returns the key set, fetched now if there is none or an old one. Those
// who come while it is being fetched wait, keysTimeout at most.
func (s *keySet) current() (keyfunc.Keyfunc, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	age := now.Sub(s.fetched)
	if s.keys != nil && age < keysFresh {
		return s.keys, nil
	}
	if s.failed.IsZero() || now.Sub(s.failed) >= keysRetry {
		keys, err := s.fetch()
		if err == nil {
			s.keys, s.fetched, s.failed = keys, now, time.Time{}
			return keys, nil
		}
		s.failed = now
		if s.keys == nil {
			return nil, fmt.Errorf("%w: %w", errNoKeys, err)
		}
	}
	if s.keys == nil || age >= keysUsable {
		return nil, errNoKeys
	}
	return s.keys, nil
}

func (s *keySet) fetch() (keyfunc.Keyfunc, error) {
	storage, err := jwkset.NewStorageFromHTTP(s.url, jwkset.HTTPClientStorageOptions{
		Client:      s.client,
		Ctx:         s.ctx,
		HTTPTimeout: keysTimeout,
	})
	if err != nil {
		return nil, fmt.Errorf("fetch keys: %w", err)
	}
	storage, err = jwkset.NewHTTPClient(jwkset.HTTPClientOptions{
		HTTPURLs:          map[string]jwkset.Storage{s.url: storage},
		RefreshUnknownKID: rate.NewLimiter(rate.Every(unknownKID), unknownBurst),
		// Bounds the wait for the limiter and the fetch together.
		RateLimitWaitMax: keysTimeout,
	})
	if err != nil {
		return nil, fmt.Errorf("keep keys: %w", err)
	}
	return keyfunc.New(keyfunc.Options{
		Ctx:          s.ctx,
		Storage:      storage,
		UseWhitelist: []jwkset.USE{jwkset.UseSig, ""},
	})
}
