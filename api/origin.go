package api

import (
	"crypto/rand"
	"encoding/base32"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/latchkey-sso/latchkey/broker"
)

// ClaimCookie makes a browser a known claimant. The prefix __Host- binds it to
// our host and to HTTPS (RFC 6265bis section 4.1.3.2).
const ClaimCookie = "__Host-latchkey_claim"

const requestIDKey = "latchkey.request_id"

// proxies are the addresses whose word about a request counts.
type proxies []netip.Prefix

func (p proxies) trusts(r *http.Request) bool {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	return p.contain(peer.Addr())
}

func (p proxies) contain(address netip.Addr) bool {
	return slices.ContainsFunc(p, func(prefix netip.Prefix) bool { return prefix.Contains(address.Unmap()) })
}

// extractor finds the client's address: the peer's own, or behind trusted
// proxies the last address of X-Forwarded-For that is not one of them.
func (p proxies) extractor() echo.IPExtractor {
	if len(p) == 0 {
		return echo.ExtractIPDirect()
	}
	options := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
	for _, prefix := range p {
		prefix = prefix.Masked()
		options = append(options, echo.TrustIPRange(&net.IPNet{
			IP:   prefix.Addr().AsSlice(),
			Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen()),
		}))
	}
	return echo.ExtractIPFromXFFHeader(options...)
}

// identify gives every request an id: that of a trusted proxy, or one of ours.
func (p proxies) identify(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		id := ""
		if given, ok := p.requestID(c.Request()); ok {
			id = given
		} else {
			id = newRequestID()
		}
		c.Set(requestIDKey, id)
		c.Response().Header().Set(echo.HeaderXRequestID, id)
		return next(c)
	}
}

// requestID returns the id that a trusted proxy gave the request.
func (p proxies) requestID(r *http.Request) (string, bool) {
	given := r.Header.Values(echo.HeaderXRequestID)
	if len(given) != 1 || !p.trusts(r) || len(given[0]) < 8 || len(given[0]) > 128 {
		return "", false
	}
	for _, char := range given[0] {
		switch {
		case char >= 'a' && char <= 'z', char >= 'A' && char <= 'Z', char >= '0' && char <= '9', strings.ContainsRune("._-", char):
		default:
			return "", false
		}
	}
	return given[0], true
}

// newRequestID returns 80 random bits in four groups of four characters, which a
// person can read to another over a telephone.
func newRequestID() string {
	var bits [10]byte
	_, _ = rand.Read(bits[:]) // never fails: crypto/rand documentation, Read
	text := strings.ToLower(base32.StdEncoding.EncodeToString(bits[:]))
	return text[:4] + "-" + text[4:8] + "-" + text[8:12] + "-" + text[12:]
}

func requestID(c echo.Context) string {
	id, _ := c.Get(requestIDKey).(string)
	return id
}

func origin(c echo.Context) broker.Origin {
	address, err := netip.ParseAddr(c.RealIP())
	if err != nil {
		address = netip.Addr{}
	}
	return broker.Origin{RequestID: requestID(c), Address: address}
}

// claim finds which browser redeems; see the package documentation.
func (s *Server) claim(c echo.Context) (broker.Claim, error) {
	if cookie, err := c.Cookie(ClaimCookie); err == nil {
		if claim, ok := broker.ParseClaim(cookie.Value); ok {
			return claim, nil
		}
	}
	return broker.NewClaim(rand.Reader)
}

// proxyClaim is zero unless a trusted proxy named the request.
func (s *Server) proxyClaim(c echo.Context) broker.Claim {
	if id, ok := s.proxies.requestID(c.Request()); ok {
		return broker.ProxyClaim(id)
	}
	return broker.Claim{}
}

func (s *Server) keepClaim(c echo.Context, claim broker.Claim) {
	c.SetCookie(claimCookie(claim.Reveal(), s.cfg.ClaimTTL))
}

func (s *Server) dropClaim(c echo.Context) {
	if _, err := c.Cookie(ClaimCookie); err == nil {
		c.SetCookie(claimCookie("", -time.Second))
	}
}

func claimCookie(value string, age time.Duration) *http.Cookie {
	return &http.Cookie{
		Name: ClaimCookie, Value: value, Path: "/", MaxAge: int(age.Seconds()),
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
}
