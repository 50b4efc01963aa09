package broker_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/latchkey-sso/latchkey/broker"
)

var base64URL = regexp.MustCompile(`^[A-Za-z0-9_-]*$`)

// tokenIn returns the one-time token inside an answer.
func tokenIn(t testing.TB, a broker.Answer) broker.OneTimeToken {
	t.Helper()
	_, text, _ := strings.Cut(a.RedirectURL.Reveal(), "one_time_token=")
	text, _, _ = strings.Cut(text, "&")
	return ok(broker.ParseOneTimeToken(text))(t)
}

func TestNewTokensHaveTheirShape(t *testing.T) {
	bits := bytes.Repeat([]byte{0xfb}, 32)
	text := base64.RawURLEncoding.EncodeToString(bits)
	link := ok(broker.NewLinkToken(bytes.NewReader(bits)))(t)
	once := ok(broker.NewOneTimeToken(bytes.NewReader(bits), bob))(t)
	claim := ok(broker.NewClaim(bytes.NewReader(bits)))(t)
	for _, tt := range []struct{ name, got, want string }{
		{"link token", link.Reveal(), text},
		{"one-time token", once.Reveal(), bob.Tag() + text},
		{"claim", claim.Reveal(), text},
		{"tag of the one-time token", once.Tag(), bob.Tag()},
	} {
		if tt.got != tt.want || !base64URL.MatchString(tt.got) {
			t.Errorf("%s: got %q, want %q", tt.name, tt.got, tt.want)
		}
	}
	if got := len(once.Reveal()); got != 46 {
		t.Errorf("length of a one-time token: got %d, want 46", got)
	}
	if parsed := ok(broker.ParseOneTimeToken(once.Reveal()))(t); parsed.Digest() != once.Digest() {
		t.Errorf("digest after parsing: got %v, want %v", parsed.Digest(), once.Digest())
	}
	if _, accepted := broker.ParseClaim(claim.Reveal()); !accepted {
		t.Error("a new claim was refused by ParseClaim")
	}
}

func TestNewTokensDiffer(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		text := ok(broker.NewOneTimeToken(rand.Reader, bob))(t).Reveal()
		if seen[text] {
			t.Fatalf("the token %s came twice", text)
		}
		seen[text] = true
	}
}

func TestNewTokensNeedAllTheirBits(t *testing.T) {
	broken := errors.New("no entropy")
	tests := []struct {
		name   string
		random func() io.Reader
		want   error
	}{
		{"source that fails", func() io.Reader { return iotest.ErrReader(broken) }, broken},
		{"source that ends early", func() io.Reader { return bytes.NewReader(make([]byte, 31)) }, io.ErrUnexpectedEOF},
	}
	for _, tt := range tests {
		link, err1 := broker.NewLinkToken(tt.random())
		once, err2 := broker.NewOneTimeToken(tt.random(), bob)
		claim, err3 := broker.NewClaim(tt.random())
		for _, err := range []error{err1, err2, err3} {
			if !errors.Is(err, tt.want) {
				t.Errorf("%s: got error %v, want %v", tt.name, err, tt.want)
			}
		}
		if !link.IsZero() || !once.IsZero() || !claim.IsZero() {
			t.Errorf("%s: got a secret, want none", tt.name)
		}
	}
}

func TestParseOneTimeToken(t *testing.T) {
	good := strings.Repeat("aZ9-_x", 8)[:46]
	tests := []struct {
		name string
		text string
		want bool
	}{
		{"46 characters of base64url", good, true},
		{"empty", "", false},
		{"tag alone", "abc", false},
		{"45 characters", good[:45], false},
		{"47 characters", good + "a", false},
		{"padding", good[:45] + "=", false},
		{"base64 plus", good[:45] + "+", false},
		{"base64 slash", good[:45] + "/", false},
		{"dot", good[:45] + ".", false},
		{"space at the end", good[:45] + " ", false},
		{"newline at the end", good[:45] + "\n", false},
		{"zero byte", good[:45] + "\x00", false},
		{"closing brace", "}" + good[:45], false},
		{"letter of two bytes", good[:44] + "é", false},
		{"not UTF-8", good[:45] + "\xff", false},
		{"1 MiB", strings.Repeat("a", 1<<20), false},
	}
	for _, tt := range tests {
		token, err := broker.ParseOneTimeToken(tt.text)
		if !tt.want {
			wantRefusal(t, err, broker.Error{Reason: broker.ReasonTokenUnknown})
			if !token.IsZero() {
				t.Errorf("%s: got a token beside the error", tt.name)
			}
			continue
		}
		if err != nil || token.Reveal() != tt.text || token.Tag() != tt.text[:3] {
			t.Errorf("%s: got %q, error %v, want it accepted", tt.name, token.Reveal(), err)
		}
	}
}

func TestParseClaim(t *testing.T) {
	tests := []struct {
		name string
		text string
		want bool
	}{
		{"16 characters", strings.Repeat("a", 16), true},
		{"128 characters", strings.Repeat("a", 128), true},
		{"every kind of character", "aZ09-_.aZ09-_.aZ", true},
		{"dots alone", strings.Repeat(".", 16), true},
		{"empty", "", false},
		{"15 characters", strings.Repeat("a", 15), false},
		{"129 characters", strings.Repeat("a", 129), false},
		{"bar, which divides stored records", strings.Repeat("a", 16) + "|", false},
		{"equals sign", strings.Repeat("a", 16) + "=", false},
		{"space", "a" + strings.Repeat(" ", 16), false},
		{"semicolon", strings.Repeat("a", 16) + ";", false},
		{"newline", strings.Repeat("a", 16) + "\n", false},
		{"letter of two bytes", strings.Repeat("é", 16), false},
	}
	for _, tt := range tests {
		claim, accepted := broker.ParseClaim(tt.text)
		if accepted != tt.want {
			t.Errorf("%s: got accepted %v, want %v", tt.name, accepted, tt.want)
		}
		want := ""
		if tt.want {
			want = tt.text
		}
		if claim.Reveal() != want {
			t.Errorf("%s: got claim %q, want %q", tt.name, claim.Reveal(), want)
		}
	}
}

func TestDigestsDependOnTheKindOfSecret(t *testing.T) {
	secret := broker.NewSecret(canary)
	link := broker.LinkToken{Secret: secret}.Digest()
	once := broker.OneTimeToken{Secret: secret}.Digest()
	claim := broker.Claim{Secret: secret}.ID()
	if link == once || strings.HasPrefix(claim, link.String()) || strings.HasPrefix(claim, once.String()) {
		t.Errorf("the same text: got link token %v, one-time token %v, claim %s, want three different ones", link, once, claim)
	}
	if plain := broker.Digest(sha256.Sum256([]byte(canary))); link == plain || once == plain {
		t.Error("a digest is the bare SHA-256, which another system may publish")
	}
	// Stored records hold these, so they must never change.
	want := sha256.Sum256([]byte("latchkey link token\x00" + canary))
	if link != want {
		t.Errorf("digest of a link token: got %x, want %x", link[:], want)
	}
	if got, want := link.String(), hex.EncodeToString(want[:])[:12]; got != want {
		t.Errorf("short digest: got %q, want %q", got, want)
	}
	if got := len(claim); got != 32 {
		t.Errorf("length of a claim id: got %d, want 32", got)
	}
}

// The same text is another claim for a browser, a portal and a proxy: nobody can
// bring as a cookie what stands in a log as a request id.
func TestClaimsOfDifferentKindsDiffer(t *testing.T) {
	const text = "request-1-request-1"
	browser, ok1 := broker.ParseClaim(text)
	portal, ok2 := broker.ParsePortalClaim(text)
	if !ok1 || !ok2 {
		t.Fatal("the text has not the form of a claim")
	}
	ids := map[string]bool{browser.ID(): true, portal.ID(): true, broker.ProxyClaim(text).ID(): true}
	if len(ids) != 3 {
		t.Errorf("got the ids %v, want three", ids)
	}
	one, again := broker.ProxyClaim(text), broker.ProxyClaim(text)
	if one.ID() != again.ID() {
		t.Error("the same request has two claims")
	}
	if id := (broker.Claim{}).ID(); id != "" {
		t.Errorf("no claim: got the id %q, want none", id)
	}
}

func FuzzParseOneTimeToken(f *testing.F) {
	f.Add(canary)
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		token, err := broker.ParseOneTimeToken(text)
		if err != nil {
			if broker.ReasonOf(err) != broker.ReasonTokenUnknown || !token.IsZero() {
				t.Errorf("%q: got %v and token %q, want token_unknown and none", text, err, token.Reveal())
			}
			return
		}
		if token.Reveal() != text || len(text) != 46 || !base64URL.MatchString(text) || token.Tag() != text[:3] {
			t.Errorf("%q was accepted as %q with tag %q", text, token.Reveal(), token.Tag())
		}
	})
}

func FuzzParseClaim(f *testing.F) {
	f.Add(canary)
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		claim, accepted := broker.ParseClaim(text)
		if !accepted {
			if !claim.IsZero() {
				t.Errorf("%q: refused, but got the claim %q", text, claim.Reveal())
			}
			return
		}
		if claim.Reveal() != text || len(text) < 16 || len(text) > 128 || !base64URL.MatchString(strings.ReplaceAll(text, ".", "")) {
			t.Errorf("%q was accepted as %q", text, claim.Reveal())
		}
		if id := claim.ID(); len(id) != 32 || strings.ContainsAny(id, "|/{}") {
			t.Errorf("%q: got claim id %q", text, id)
		}
	})
}
