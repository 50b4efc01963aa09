package api_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/latchkey-sso/latchkey/broker"
)

// TestEveryReasonHasItsAnswer holds the whole table of refusals, so that a new
// Reason without a row, or a row that changes, is seen.
func TestEveryReasonHasItsAnswer(t *testing.T) {
	type want struct {
		status int
		code   string
	}
	table := map[broker.Reason]struct {
		json  want
		page  int
		title string
		oauth want
	}{
		broker.ReasonInvalidRequest: {
			want{400, "invalid_request"}, 400, "This link is not complete", want{400, "invalid_request"},
		},
		broker.ReasonAccessDenied: {
			want{401, "access_denied"}, 401, "This link is not valid", want{400, "invalid_grant"},
		},
		broker.ReasonSignOnDisabled: {
			want{403, "sign_on_disabled"}, 403, "Signing in from cPanel is switched off", want{400, "invalid_grant"},
		},
		broker.ReasonSlowDown: {
			want{429, "slow_down"}, 429, "Too many requests", want{429, "slow_down"},
		},
		broker.ReasonUnavailable: {
			want{503, "temporarily_unavailable"}, 503, "One moment, please", want{503, "temporarily_unavailable"},
		},
		broker.ReasonTokenUnknown: {
			want{410, "invalid_grant"}, 410, "This link is not valid", want{400, "invalid_grant"},
		},
		broker.ReasonTokenExpired: {
			want{410, "invalid_grant"}, 410, "This link has expired", want{400, "invalid_grant"},
		},
		broker.ReasonTokenUsed: {
			want{410, "invalid_grant"}, 410, "This link has already been used", want{400, "invalid_grant"},
		},
		broker.ReasonInvalidClient: {
			want{401, "invalid_client"}, 401, "Something went wrong", want{401, "invalid_client"},
		},
	}
	if got, want := len(table), len(broker.Reasons()); got != want {
		t.Errorf("the table has %d rows, want one for each of the %d reasons", got, want)
	}
	for _, reason := range broker.Reasons() {
		t.Run(reason.String(), func(t *testing.T) {
			row, ok := table[reason]
			if !ok {
				t.Fatalf("the reason %s has no row in this table", reason)
			}
			d := &domain{}
			// Wrapped, as a caller may.
			d.refuse(fmt.Errorf("while asking: %w", &broker.Error{Reason: reason, Err: errPrivate}))
			s := newServer(t, d)

			a := s.send(t, autologin())
			if p := a.problem(t); a.status != row.json.status || p.Error != row.json.code {
				t.Errorf("/autologin: got %d %s, want %d %s", a.status, p.Error, row.json.status, row.json.code)
			}
			page := s.send(t, navigation(loginPath))
			if page.status != row.page || !strings.Contains(page.body, "<h1>"+row.title+"</h1>") {
				t.Errorf("/login: got %d %s, want %d with the title %q", page.status, page.body, row.page, row.title)
			}
			if got := page.header.Get("Content-Type"); got != "text/html; charset=UTF-8" {
				t.Errorf("/login: got Content-Type %q, want text/html; charset=UTF-8", got)
			}
			oauth := s.send(t, exchange())
			if p := oauth.problem(t); oauth.status != row.oauth.status || p.Error != row.oauth.code {
				t.Errorf("/exchange: got %d %s, want %d %s", oauth.status, p.Error, row.oauth.status, row.oauth.code)
			}
			for _, got := range []answer{a, page, oauth} {
				if strings.Contains(got.body, "private") || strings.Contains(got.body, "while asking") {
					t.Errorf("the private text is shown: %s", got.body)
				}
			}
		})
	}
}
