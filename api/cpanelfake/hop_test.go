package cpanelfake_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/latchkey-sso/latchkey/api/cpanelfake"
)

func TestTraceTellsEachHopAndNoSecret(t *testing.T) {
	rec := new(recorder)
	b := newBroker(t, func(w http.ResponseWriter, n int) {
		write(w, http.StatusOK, "application/json", []string{`{"retry": 2}`, `{"redirect_url": "https://sso.example.com/login?one_time_token=one-time-secret#one-time-secret"}`}[n-1])
	})
	s := clickable(t, b, rec, func(l *cpanelfake.Link) {
		l.AutologinTokenURL = strings.Replace(l.AutologinTokenURL, "://", "://me:pass-word@", 1)
	})
	out, err := s.Click(t.Context(), user, app)
	if err != nil {
		t.Fatal(err)
	}
	if want := []cpanelfake.Kind{cpanelfake.Retry, cpanelfake.Redirect, cpanelfake.SignedOn}; !slices.Equal(rec.kinds(), want) {
		t.Errorf("kinds: got %v, want %v", rec.kinds(), want)
	}
	last := rec.hops[2]
	if !last.Last() || last.URL != "https://sso.example.com/login" || last.Attempt != 2 || rec.hops[1].Last() {
		t.Errorf("last hop: got %+v", last)
	}
	var said bytes.Buffer
	fmt.Fprintf(&said, "%v %+v %#v %s %v %+v %#v %s", rec.hops, rec.hops, rec.hops, rec.hops, out, out, out, out)
	log := slog.New(slog.NewJSONHandler(&said, nil))
	log.Info("click", "outcome", out, "hops", rec.hops)
	_ = json.NewEncoder(&said).Encode([]any{rec.hops, out})
	for _, word := range []string{secret, "one-time-secret", "pass-word"} {
		if strings.Contains(said.String(), word) {
			t.Errorf("%q was told: %s", word, said.String())
		}
	}
}

func TestHopReadsAsOneLine(t *testing.T) {
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	l := link(t)
	l.AutologinTokenURL, l.URL = dead.URL+"/autologin", ""
	rec := new(recorder)
	if _, err := newServer(t, cpanelfake.Config{State: stateWith(t, l), Trace: rec.trace}).Click(t.Context(), user, app); err != nil {
		t.Fatal(err)
	}
	if len(rec.hops) != 2 || rec.hops[0].Err == nil {
		t.Fatalf("got %v", rec.hops)
	}
	tests := []struct {
		name string
		hop  cpanelfake.Hop
		want string
	}{
		{"no answer", rec.hops[0], "bob/latchkey_billing: attempt 1: POST " + dead.URL + "/autologin: no answer: "},
		{"the end", rec.hops[1], "bob/latchkey_billing: nowhere"},
		{"retry", cpanelfake.Hop{User: "bob", App: "a", Kind: cpanelfake.Retry, Attempt: 1, URL: "https://x/", Status: 200, Wait: 2e9}, "bob/a: attempt 1: POST https://x/: retry (200), waiting 2s"},
		{"sign-on", cpanelfake.Hop{User: "bob", App: "a", Kind: cpanelfake.SignedOn, URL: "https://x/login"}, "bob/a: signed on at https://x/login"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.hop.String(); !strings.HasPrefix(got, tt.want) || strings.Contains(got, "\n") {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if strings.Count(tt.hop.String(), dead.URL) > 1 {
				t.Errorf("the address is told twice: %s", tt.hop)
			}
		})
	}
}

// Whatever a broker answers, the browser ends at an absolute http(s) URL, and the
// attempts stay three.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{signOn, `{"retry": 2}`, `{"retry": "1e9"}`, `{"redirect_url": "//x"}`, `[]`, ``, `{"redirect_url": "http://\u0000"}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		rec := new(recorder)
		s := newServer(t, cpanelfake.Config{State: stateWith(t, link(t)), Client: &http.Client{Transport: answering(body)}, Wait: rec.wait})
		got, err := s.Click(t.Context(), user, app)
		if err != nil || got.Attempts < 1 || got.Attempts > 3 || len(rec.waits) != got.Attempts-1 {
			t.Fatalf("got %v, error %v, %d waits", got, err, len(rec.waits))
		}
		for _, d := range rec.waits {
			if d < 0 || d > 60e9 {
				t.Errorf("waited %v", d)
			}
		}
		if lower := strings.ToLower(got.Location); !strings.HasPrefix(lower, "https://") && !strings.HasPrefix(lower, "http://") || strings.ContainsAny(lower, "\r\n\x00") {
			t.Errorf("the browser is sent to %q", got.Location)
		}
	})
}
