package cpanelfake

import (
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// answer is what a server makes of the body of a 2xx.
type answer struct {
	kind     Kind
	location string        // for Redirect
	wait     time.Duration // for Retry: as asked, up to an hour
}

// judge reads the body of a 2xx. A redirect_url wins over a retry beside it; null
// and the empty string are as good as absent.
func judge(body []byte) answer {
	if len(body) > maxAnswer {
		return answer{kind: TooLarge}
	}
	// A map and not a struct: encoding/json would take Redirect_URL for redirect_url.
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil || fields == nil {
		return answer{kind: NotJSON}
	}
	var location string
	if raw, ok := fields["redirect_url"]; ok {
		if err := json.Unmarshal(raw, &location); err != nil {
			return answer{kind: Unusable}
		}
	}
	if location != "" {
		if !absoluteHTTP(location) {
			return answer{kind: Unusable}
		}
		return answer{kind: Redirect, location: location}
	}
	if raw, ok := fields["retry"]; ok {
		if wait, ok := seconds(raw); ok {
			return answer{kind: Retry, wait: wait}
		}
	}
	return answer{kind: Unusable}
}

// seconds reads a number, or a number in quotes: a server written in Perl tells no
// difference. Zero asks for another attempt at once.
func seconds(raw json.RawMessage) (time.Duration, bool) {
	text := string(raw)
	if strings.HasPrefix(text, `"`) {
		if err := json.Unmarshal(raw, &text); err != nil {
			return 0, false
		}
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n >= 0) { // written so that NaN fails
		return 0, false
	}
	const most = 3600 // so that no number is too large for a Duration
	return time.Duration(min(n, most) * float64(time.Second)), true
}

// absoluteHTTP tells whether a browser can be sent to the URL.
func absoluteHTTP(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != ""
}
