package cpanelfake

import (
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"time"
)

// Kind says how an attempt was answered, or how a click ended.
type Kind string

// How one attempt was answered. All but Redirect and Retry end the click at the
// link's url.
const (
	Redirect Kind = "redirect"     // 2xx, JSON, a redirect_url to follow
	Retry    Kind = "retry"        // 2xx, JSON, asks for another attempt
	Refused  Kind = "refused"      // the status is not 2xx; redirects are not followed
	NotJSON  Kind = "not json"     // 2xx, and the body is not one JSON object
	Unusable Kind = "unusable"     // 2xx, JSON, neither an absolute http(s) redirect_url nor a number of seconds
	TooLarge Kind = "too large"    // 2xx, and the body is longer than a server would keep
	NoAnswer Kind = "no answer"    // the connection failed, or there was no address to post to
	TimedOut Kind = "timed out"    // no whole answer within the time of one attempt
	LinkGone Kind = "link is gone" // the link was removed while the server waited for its next attempt
)

// How a click ended.
const (
	SignedOn Kind = "signed on" // at the broker's redirect_url
	FellBack Kind = "fell back" // at the link's url
	Nowhere  Kind = "nowhere"   // the link has no url: an error page
)

// Outcome is the end of a click. Its Location may be a one-time URL, a secret for
// as long as nobody has followed it: printing or logging an Outcome leaves the
// query out, and JSON the whole of it.
type Outcome struct {
	Kind     Kind   // SignedOn, FellBack or Nowhere
	Location string `json:"-"` // absolute http(s) URL for the browser; empty for Nowhere
	Attempts int    // how often the broker was asked; 0 without an autologin_token_url
	Last     Kind   // the answer that decided; empty without attempts
}

// Format prints the Outcome without the query of its Location.
func (o Outcome) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "%s at %q after %d attempts (last: %s)", o.Kind, withoutQuery(o.Location), o.Attempts, o.Last)
}

// LogValue does the same for structured logs.
func (o Outcome) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("kind", string(o.Kind)),
		slog.String("location", withoutQuery(o.Location)),
		slog.Int("attempts", o.Attempts),
		slog.String("last", string(o.Last)),
	)
}

// Hop is one step of a click, told when it has happened: one for every attempt,
// and a last one for the end. It holds no link token, and no query of a URL that
// a browser is sent to.
type Hop struct {
	User, App   string
	Kind        Kind          // how this attempt was answered; for the last hop how the click ended
	Attempt     int           // 1 to 3; for the last hop the number of attempts made
	URL         string        // where this attempt was posted; for the last hop where the browser goes
	Status      int           // HTTP status; 0 without an answer and for the last hop
	ContentType string        // the answer's, as sent
	Wait        time.Duration // after Retry: the pause that now begins
	Err         error         // why there was no answer; nil otherwise
}

// Last tells whether this hop is the end of its click.
func (h Hop) Last() bool { return h.Kind == SignedOn || h.Kind == FellBack || h.Kind == Nowhere }

// String is one line for people.
func (h Hop) String() string {
	var b strings.Builder
	if h.Last() {
		_, _ = fmt.Fprintf(&b, "%s/%s: %s", h.User, h.App, h.Kind)
		if h.URL != "" {
			_, _ = io.WriteString(&b, " at "+h.URL)
		}
		return b.String()
	}
	_, _ = fmt.Fprintf(&b, "%s/%s: attempt %d: POST %s: %s", h.User, h.App, h.Attempt, h.URL, h.Kind)
	if h.Status != 0 {
		_, _ = fmt.Fprintf(&b, " (%d)", h.Status)
	}
	if h.Kind == Retry {
		_, _ = fmt.Fprintf(&b, ", waiting %s", h.Wait)
	}
	if h.Err != nil {
		_, _ = fmt.Fprintf(&b, ": %v", h.Err)
	}
	return b.String()
}

// withoutQuery cuts what may be secret out of a URL: query, fragment and
// credentials.
func withoutQuery(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	u.User, u.RawQuery, u.ForceQuery, u.Fragment, u.RawFragment = nil, "", false, "", ""
	return u.String()
}
