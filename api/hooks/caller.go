package hooks

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/latchkey-sso/latchkey/broker"
)

const (
	callsPerSecond = 50
	callsAtOnce    = 500
)

// digest is the SHA-256 of a secret: digests have one length, so comparing them
// tells nothing about the secret's.
type digest [sha256.Size]byte

func (d digest) is(other digest) bool { return subtle.ConstantTimeCompare(d[:], other[:]) == 1 }

// caller is one server that may report.
type caller struct {
	secret digest
	limit  *rate.Limiter
}

// callers are those servers by their id.
type callers map[string]caller

func newCallers(secrets map[string]broker.Secret) callers {
	all := callers{}
	for server, secret := range secrets {
		if secret.IsZero() {
			continue
		}
		all[server] = caller{sha256.Sum256([]byte(secret.Reveal())), rate.NewLimiter(callsPerSecond, callsAtOnce)}
	}
	return all
}

// recognise returns the digest of the shown secret when it is that of any server.
func (all callers) recognise(h http.Header) (digest, error) {
	shown := digest(sha256.Sum256([]byte(bearer(h))))
	found := false
	for _, c := range all { // to the end, whoever it is
		found = c.secret.is(shown) || found
	}
	if !found {
		return digest{}, denied()
	}
	return shown, nil
}

// admit lets a server speak for itself, a limited number of times.
func (all callers) admit(server string, shown digest, now time.Time) error {
	c, known := all[server]
	if !known || !c.secret.is(shown) {
		return denied()
	}
	if !c.limit.AllowN(now, 1) {
		return slowDown(time.Second)
	}
	return nil
}

// bearer returns the credentials of the scheme Bearer (RFC 6750 section 2.1), or
// "" when there are none or several.
func bearer(h http.Header) string {
	all := h.Values("Authorization")
	if len(all) != 1 {
		return ""
	}
	scheme, secret, _ := strings.Cut(all[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(secret)
}
