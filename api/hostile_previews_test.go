package api_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/latchkey-sso/latchkey/api"
)

// previews are what programs send that look at a link before, or instead of, a
// person. A program that drives a whole browser sends what a person's browser
// sends; against those helps broker.confirm: always.
var previews = map[string][]string{
	"Slack":                      {"User-Agent: Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", "Accept: */*", "Range: bytes=0-32768"},
	"Slack's pictures":           {"User-Agent: Slack-ImgProxy (+https://api.slack.com/robots)", "Accept: image/*"},
	"Facebook and WhatsApp":      {"User-Agent: facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)", "Accept: */*", "Range: bytes=0-524287"},
	"WhatsApp on a telephone":    {"User-Agent: WhatsApp/2.23.20.0 A", "Accept: */*"},
	"Twitter":                    {"User-Agent: Twitterbot/1.0", "Accept: */*"},
	"LinkedIn":                   {"User-Agent: LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)", "Accept: */*"},
	"Telegram":                   {"User-Agent: TelegramBot (like TwitterBot)", "Accept: */*"},
	"Discord":                    {"User-Agent: Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)"},
	"Skype and Teams":            {"User-Agent: Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5 skype-url-preview@microsoft.com", "Accept: */*"},
	"iMessage":                   {"User-Agent: Mozilla/5.0 (Macintosh; Intel Mac OS X 10_11_1) AppleWebKit/601.2.4 (KHTML, like Gecko) Version/9.0.1 Safari/601.2.4 facebookexternalhit/1.1 Facebot Twitterbot/1.0", "Accept: text/html,application/xhtml+xml"},
	"Outlook's Safe Links":       {"User-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36", "Accept: text/html,application/xhtml+xml", "X-Forwarded-For: 40.94.0.1"},
	"Proofpoint":                 {"User-Agent: Mozilla/5.0 (compatible; MSIE 9.0; Windows NT 6.1; Trident/5.0)", "Accept: text/html"},
	"Barracuda":                  {"User-Agent: BarracudaCentral/1.0", "Accept: */*"},
	"Google's crawler":           {"User-Agent: Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "Accept: text/html", "From: googlebot(at)googlebot.com"},
	"Bing's crawler":             {"User-Agent: Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)"},
	"curl":                       {"User-Agent: curl/8.5.0", "Accept: */*"},
	"wget":                       {"User-Agent: Wget/1.21.4", "Accept: */*"},
	"Go":                         {"User-Agent: Go-http-client/1.1"},
	"Python":                     {"User-Agent: python-requests/2.32.0", "Accept: */*"},
	"nobody":                     {},
	"Chrome, prefetch":           {"Sec-Purpose: prefetch", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: empty", "Purpose: prefetch"},
	"Chrome, speculation rules":  {"Sec-Purpose: prefetch", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Sec-Fetch-Site: same-origin", "Upgrade-Insecure-Requests: 1"},
	"Chrome, prerender":          {"Sec-Purpose: prefetch;prerender", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"},
	"Chrome's proxy":             {"Sec-Purpose: prefetch;anonymous-client-ip", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"},
	"Firefox, prefetch":          {"X-Moz: prefetch", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"},
	"Safari, top sites":          {"X-Purpose: preview", "Accept: text/html"},
	"Safari, preload":            {"Purpose: prefetch", "Accept: text/html"},
	"Chrome, a frame":            {"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe", "Sec-Fetch-Site: cross-site"},
	"Chrome, a picture":          {"Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image", "Accept: image/avif,image/webp"},
	"Chrome, a script":           {"Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: script"},
	"Chrome, fetch with cookies": {"Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty", "Origin: https://web01.example.com:2083", "Cookie: " + api.ClaimCookie + "=" + claimText},
	"Chrome, a download":         {"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: empty"},
	"Chrome, a service worker":   {"Sec-Fetch-Mode: same-origin", "Sec-Fetch-Dest: serviceworker", "Service-Worker: script"},
	"a check of CORS":            {"Origin: https://evil.example", "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: x"},
}

// Whoever looks at a one-time URL first, and however often, the person who follows
// it is signed in: through a real broker. (No twin: the last request of each case
// shows that the token is there to be consumed, and consumes it.)
func TestPreviewsConsumeNothing(t *testing.T) {
	for _, mode := range []api.Confirm{api.ConfirmAuto, api.ConfirmAlways} {
		for _, name := range slices.Sorted(maps.Keys(previews)) {
			t.Run(string(mode)+" "+name, func(t *testing.T) {
				b, store := newBroker(t)
				s := newServer(t, b, confirm(mode))
				_, token, _ := strings.Cut(s.send(t, autologin()).body, "one_time_token=")
				token, _, _ = strings.Cut(token, `"`)
				path := "/login?one_time_token=" + token
				before := store.called()
				for _, method := range []string{"HEAD", "OPTIONS", "GET", "GET"} {
					r := httptest.NewRequest(method, path, nil)
					for _, h := range previews[name] {
						key, value, _ := strings.Cut(h, ": ")
						r.Header.Add(key, value)
					}
					a := s.send(t, r)
					if a.status/100 != 2 || strings.Contains(a.body, "assertion") {
						t.Errorf("%s: got %d %s, want 2xx that hands nobody over", method, a.status, a.body)
					}
					if method != "GET" && (a.body != "" || len(a.header.Values("Set-Cookie")) > 0) {
						t.Errorf("%s: got %q and the cookies %v, want none", method, a.body, a.header.Values("Set-Cookie"))
					}
				}
				if got := store.called() - before; got != 0 {
					t.Errorf("the store was asked %d times, want 0", got)
				}
				person := navigation(path)
				if mode == api.ConfirmAlways {
					person = post("/login", formType, "one_time_token="+token)
				}
				if a := s.send(t, person); a.status != http.StatusOK || !strings.Contains(a.body, `name="assertion"`) {
					t.Errorf("the person: got %d %s, want to be handed over", a.status, a.body)
				}
			})
		}
	}
}
