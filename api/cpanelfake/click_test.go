package cpanelfake_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/latchkey-sso/latchkey/api/cpanelfake"
)

const oneTimeURL = "https://sso.example.com/login?one_time_token=one-time-secret"

var signOn = `{"redirect_url": "` + oneTimeURL + `"}`

// clickable returns a server whose only link posts to the broker.
func clickable(t testing.TB, b *broker, rec *recorder, edit func(*cpanelfake.Link)) *cpanelfake.Server {
	t.Helper()
	l := link(t)
	l.AutologinTokenURL = b.URL + "/autologin?server=web01&user=bob&app=latchkey_billing"
	if edit != nil {
		edit(&l)
	}
	return newServer(t, cpanelfake.Config{State: stateWith(t, l), Wait: rec.wait, Trace: rec.trace})
}

func TestClickFollowsOneAnswer(t *testing.T) {
	const page = "text/html; charset=utf-8"
	const jsonType = "application/json"
	tests := []struct {
		name              string
		status            int
		contentType, body string
		want              cpanelfake.Kind // of the answer
	}{
		{"200 with redirect_url", 200, jsonType, signOn, cpanelfake.Redirect},
		{"201 with redirect_url", 201, jsonType, signOn, cpanelfake.Redirect},
		{"299 with redirect_url", 299, jsonType, signOn, cpanelfake.Redirect},
		{"JSON under another name", 200, "text/plain", signOn, cpanelfake.Redirect},
		{"unknown fields and spaces", 200, jsonType, " {\"x\": [1], \"redirect_url\": \"" + oneTimeURL + "\"}\n", cpanelfake.Redirect},
		{"redirect_url beside retry", 200, jsonType, `{"retry": 3, "redirect_url": "` + oneTimeURL + `"}`, cpanelfake.Redirect},

		{"400", 400, jsonType, `{"error": "invalid_request"}`, cpanelfake.Refused},
		{"401 with a redirect_url all the same", 401, jsonType, signOn, cpanelfake.Refused},
		{"403", 403, jsonType, `{"error": "sign_on_disabled"}`, cpanelfake.Refused},
		{"404 page", 404, page, "<h1>Not found</h1>", cpanelfake.Refused},
		{"429 with a retry", 429, jsonType, `{"retry": 1}`, cpanelfake.Refused},
		{"500", 500, page, "<h1>Sorry</h1>", cpanelfake.Refused},
		{"502 of a balancer", 502, page, "<html></html>", cpanelfake.Refused},
		{"503 with a retry", 503, jsonType, `{"retry": 1}`, cpanelfake.Refused},
		{"304", 304, jsonType, "", cpanelfake.Refused},

		{"HTML", 200, page, "<!DOCTYPE html><p>Hello", cpanelfake.NotJSON},
		{"empty", 200, jsonType, "", cpanelfake.NotJSON},
		{"204", 204, jsonType, "", cpanelfake.NotJSON},
		{"cut off", 200, jsonType, signOn[:20], cpanelfake.NotJSON},
		{"two objects", 200, jsonType, signOn + signOn, cpanelfake.NotJSON},
		{"list", 200, jsonType, "[" + signOn + "]", cpanelfake.NotJSON},
		{"null", 200, jsonType, "null", cpanelfake.NotJSON},
		{"bare string", 200, jsonType, `"` + oneTimeURL + `"`, cpanelfake.NotJSON},
		{"huge", 200, jsonType, `{"x": "` + strings.Repeat("x", 1<<20) + `", "redirect_url": "` + oneTimeURL + `"}`, cpanelfake.TooLarge},

		{"empty object", 200, jsonType, "{}", cpanelfake.Unusable},
		{"an error with 200", 200, jsonType, `{"error": "access_denied"}`, cpanelfake.Unusable},
		{"wrong capitals", 200, jsonType, `{"Redirect_URL": "` + oneTimeURL + `"}`, cpanelfake.Unusable},
		{"redirect_url is a number", 200, jsonType, `{"redirect_url": 1}`, cpanelfake.Unusable},
		{"redirect_url is empty", 200, jsonType, `{"redirect_url": ""}`, cpanelfake.Unusable},
		{"redirect_url is null", 200, jsonType, `{"redirect_url": null}`, cpanelfake.Unusable},
		{"redirect_url is a path", 200, jsonType, `{"redirect_url": "/login?one_time_token=x"}`, cpanelfake.Unusable},
		{"redirect_url without scheme", 200, jsonType, `{"redirect_url": "//sso.example.com/login"}`, cpanelfake.Unusable},
		{"redirect_url without host", 200, jsonType, `{"redirect_url": "https:///login"}`, cpanelfake.Unusable},
		{"redirect_url with a port only", 200, jsonType, `{"redirect_url": "https://:443/login"}`, cpanelfake.Unusable},
		{"redirect_url is a script", 200, jsonType, `{"redirect_url": "javascript:alert(1)"}`, cpanelfake.Unusable},
		{"redirect_url is a file", 200, jsonType, `{"redirect_url": "file://host/etc/passwd"}`, cpanelfake.Unusable},
		{"redirect_url breaks the header", 200, jsonType, `{"redirect_url": "https://a.example/\r\nX-Y: z"}`, cpanelfake.Unusable},
		{"retry is negative", 200, jsonType, `{"retry": -1}`, cpanelfake.Unusable},
		{"retry is a word", 200, jsonType, `{"retry": "soon"}`, cpanelfake.Unusable},
		{"retry is NaN", 200, jsonType, `{"retry": "NaN"}`, cpanelfake.Unusable},
		{"retry is true", 200, jsonType, `{"retry": true}`, cpanelfake.Unusable},
		{"retry is null", 200, jsonType, `{"retry": null}`, cpanelfake.Unusable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rec := new(recorder)
			b := newBroker(t, always(tt.status, tt.contentType, tt.body))
			got, err := clickable(t, b, rec, nil).Click(t.Context(), user, app)
			want := cpanelfake.Outcome{Kind: cpanelfake.FellBack, Location: fallback, Attempts: 1, Last: tt.want}
			if tt.want == cpanelfake.Redirect {
				want.Kind, want.Location = cpanelfake.SignedOn, oneTimeURL
			}
			if err != nil || got != want {
				t.Errorf("got %v, error %v, want %v", got, err, want)
			}
			if len(rec.waits) != 0 || len(b.got()) != 1 {
				t.Errorf("got %d waits and %d requests, want 0 and 1", len(rec.waits), len(b.got()))
			}
			if len(rec.hops) != 2 || rec.hops[0].Status != tt.status || rec.hops[0].Kind != tt.want || rec.hops[1].Kind != want.Kind {
				t.Errorf("hops: got %v", rec.hops)
			}
		})
	}
}

func TestClickObeysRetry(t *testing.T) {
	retry := func(s string) string { return `{"retry": ` + s + `, "attempt": 1}` }
	const s = time.Second
	tests := []struct {
		name    string
		answers []string
		waits   []time.Duration
		want    cpanelfake.Kind
	}{
		{"once", []string{retry("2"), signOn}, []time.Duration{2 * s}, cpanelfake.SignedOn},
		{"twice", []string{retry("1"), retry("5"), signOn}, []time.Duration{s, 5 * s}, cpanelfake.SignedOn},
		{"three times is too often", []string{retry("1"), retry("2"), retry("3")}, []time.Duration{s, 2 * s}, cpanelfake.FellBack},
		{"at most a minute", []string{retry("61"), retry("1e300"), signOn}, []time.Duration{60 * s, 60 * s}, cpanelfake.SignedOn},
		{"a whole minute", []string{retry("60"), signOn}, []time.Duration{60 * s}, cpanelfake.SignedOn},
		{"in quotes", []string{retry(`"3"`), signOn}, []time.Duration{3 * s}, cpanelfake.SignedOn},
		{"a fraction", []string{retry("0.5"), signOn}, []time.Duration{s / 2}, cpanelfake.SignedOn},
		{"at once", []string{retry("0"), signOn}, []time.Duration{0}, cpanelfake.SignedOn},
		{"then nonsense", []string{retry("1"), "<html>"}, []time.Duration{s}, cpanelfake.FellBack},
		{"beside an empty redirect_url", []string{`{"redirect_url": null, "retry": 4}`, signOn}, []time.Duration{4 * s}, cpanelfake.SignedOn},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rec := new(recorder)
			b := newBroker(t, func(w http.ResponseWriter, n int) {
				write(w, http.StatusOK, "application/json", tt.answers[min(n, len(tt.answers))-1])
			})
			got, err := clickable(t, b, rec, nil).Click(t.Context(), user, app)
			if err != nil || got.Kind != tt.want || got.Attempts != len(tt.answers) || len(b.got()) != len(tt.answers) {
				t.Errorf("got %v, error %v, %d requests, want %s after %d", got, err, len(b.got()), tt.want, len(tt.answers))
			}
			if !slices.Equal(rec.waits, tt.waits) {
				t.Errorf("waits: got %v, want %v", rec.waits, tt.waits)
			}
			for i, want := range tt.waits {
				if h := rec.hops[i]; h.Kind != cpanelfake.Retry || h.Attempt != i+1 || h.Wait != want {
					t.Errorf("hop %d: got %v, want a retry with %v", i, h, want)
				}
			}
		})
	}
}

func TestClickReadsTheTokenBeforeEachAttempt(t *testing.T) {
	rec := new(recorder)
	b := newBroker(t, func(w http.ResponseWriter, n int) {
		write(w, http.StatusOK, "application/json", []string{`{"retry": 1}`, `{"retry": 1}`, signOn}[n-1])
	})
	s := clickable(t, b, rec, nil)
	rec.then = func(n int) {
		if err := s.State().SetToken(user, app, cpanelfake.NewToken(fmt.Sprintf("rotated-%d", n))); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.Click(t.Context(), user, app); err != nil {
		t.Fatal(err)
	}
	want := []string{secret, "rotated-1", "rotated-2"}
	for i, r := range b.got() {
		form, err := url.ParseQuery(string(r.Body))
		if err != nil || form.Get("token") != want[i] {
			t.Errorf("attempt %d posted token %q, want %q", i+1, form.Get("token"), want[i])
		}
	}
}

func TestClickOnALinkRemovedWhileWaitingFallsBack(t *testing.T) {
	rec := new(recorder)
	b := newBroker(t, always(http.StatusOK, "application/json", `{"retry": 1}`))
	s := clickable(t, b, rec, nil)
	rec.then = func(int) {
		if err := s.State().RemoveLink(user, app); err != nil {
			t.Error(err)
		}
	}
	got, err := s.Click(t.Context(), user, app)
	want := cpanelfake.Outcome{Kind: cpanelfake.FellBack, Location: fallback, Attempts: 1, Last: cpanelfake.LinkGone}
	if err != nil || got != want {
		t.Errorf("got %v, error %v, want %v", got, err, want)
	}
}

func TestClickDoesNotFollowRedirects(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			elsewhere := newBroker(t, always(http.StatusOK, "application/json", signOn))
			b := newBroker(t, func(w http.ResponseWriter, _ int) {
				w.Header().Set("Location", elsewhere.URL)
				write(w, status, "application/json", signOn)
			})
			got, err := clickable(t, b, new(recorder), nil).Click(t.Context(), user, app)
			if err != nil || got.Kind != cpanelfake.FellBack || got.Last != cpanelfake.Refused {
				t.Errorf("got %v, error %v, want the fallback", got, err)
			}
			if n := len(elsewhere.got()); n != 0 {
				t.Errorf("the token was posted on to another address %d times", n)
			}
		})
	}
}

func TestClickLeavesTheCallersClientAlone(t *testing.T) {
	client := &http.Client{Timeout: time.Minute}
	newServer(t, cpanelfake.Config{State: stateWith(t), Client: client})
	if client.CheckRedirect != nil {
		t.Error("New changed the client that it was given")
	}
}

func TestClickWithoutABrokerOrAFallback(t *testing.T) {
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	tests := []struct {
		name     string
		autolog  string
		fallback string
		want     cpanelfake.Outcome
	}{
		{"nobody listens", dead.URL, fallback, cpanelfake.Outcome{Kind: cpanelfake.FellBack, Location: fallback, Attempts: 1, Last: cpanelfake.NoAnswer}},
		{"address is not a URL", "sso.example.com/autologin", fallback, cpanelfake.Outcome{Kind: cpanelfake.FellBack, Location: fallback, Attempts: 1, Last: cpanelfake.NoAnswer}},
		{"only a url", "", fallback, cpanelfake.Outcome{Kind: cpanelfake.FellBack, Location: fallback}},
		{"nobody listens, no url", dead.URL, "", cpanelfake.Outcome{Kind: cpanelfake.Nowhere, Attempts: 1, Last: cpanelfake.NoAnswer}},
		{"the url is a script", dead.URL, "javascript:alert(1)", cpanelfake.Outcome{Kind: cpanelfake.Nowhere, Attempts: 1, Last: cpanelfake.NoAnswer}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := link(t)
			l.AutologinTokenURL, l.URL = tt.autolog, tt.fallback
			got, err := newServer(t, cpanelfake.Config{State: stateWith(t, l)}).Click(t.Context(), user, app)
			if err != nil || got != tt.want {
				t.Errorf("got %v, error %v, want %v", got, err, tt.want)
			}
		})
	}
}

func TestClickOnNothing(t *testing.T) {
	state := stateWith(t, link(t))
	if err := state.AddAccount(cpanelfake.Account{User: "dave", Suspended: true}); err != nil {
		t.Fatal(err)
	}
	if err := state.PutLink("dave", link(t)); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, user, app string
		want            error
	}{
		{"no such account", "eve", app, cpanelfake.ErrUnknownAccount},
		{"no such link", user, "nothing", cpanelfake.ErrUnknownLink},
		{"suspended account", "dave", app, cpanelfake.ErrSuspended},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rec := new(recorder)
			_, err := newServer(t, cpanelfake.Config{State: state, Trace: rec.trace}).Click(t.Context(), tt.user, tt.app)
			if !errors.Is(err, tt.want) || len(rec.hops) != 0 {
				t.Errorf("got %v and %d hops, want %v and none", err, len(rec.hops), tt.want)
			}
		})
	}
}

// silent answers nothing before the request's time is up.
type silent struct{}

func (silent) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestClickGivesABrokerThirtySeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, cpanelfake.Config{State: stateWith(t, link(t)), Client: &http.Client{Transport: silent{}}})
		began := time.Now()
		got, err := s.Click(t.Context(), user, app)
		if took := time.Since(began); took != 30*time.Second {
			t.Errorf("took %v, want 30 s", took)
		}
		if err != nil || got.Kind != cpanelfake.FellBack || got.Last != cpanelfake.TimedOut || got.Attempts != 1 {
			t.Errorf("got %v, error %v, want the fallback after one time-out", got, err)
		}
	})
}

// answering answers every request alike, without a network.
type answering string

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	_, _ = w.WriteString(string(a))
	return w.Result(), nil
}

// endless is a body without an end that counts what is taken from it.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) { e.read += len(p); return len(p), nil }
func (e *endless) Close() error               { return nil }
func (e *endless) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: e}, nil
}

func TestClickReadsOnlySoMuch(t *testing.T) {
	body := new(endless)
	s := newServer(t, cpanelfake.Config{State: stateWith(t, link(t)), Client: &http.Client{Transport: body}})
	got, err := s.Click(t.Context(), user, app)
	if err != nil || got.Kind != cpanelfake.FellBack || got.Last != cpanelfake.TooLarge || body.read > 128<<10 {
		t.Errorf("got %v, error %v after %d bytes, want the fallback after 128 KiB at most", got, err, body.read)
	}
}

func TestClickWaitsByTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, cpanelfake.Config{State: stateWith(t, link(t)), Client: &http.Client{Transport: answering(`{"retry": 90}`)}})
		began := time.Now()
		got, err := s.Click(t.Context(), user, app)
		if took := time.Since(began); err != nil || got.Attempts != 3 || took != 2*time.Minute {
			t.Errorf("got %v, error %v after %v, want three attempts in two minutes", got, err, took)
		}
	})
}

func TestClickEndsWithItsContext(t *testing.T) {
	tests := []struct {
		name      string
		transport http.RoundTripper
	}{
		{"while the broker thinks", silent{}},
		{"while the server waits", answering(`{"retry": 60}`)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, cpanelfake.Config{State: stateWith(t, link(t)), Client: &http.Client{Transport: tt.transport}})
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				began := time.Now()
				got, err := s.Click(ctx, user, app)
				if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 10*time.Second {
					t.Errorf("got %v, error %v after %v, want the context's error after 10 s", got, err, time.Since(began))
				}
			})
		})
	}
}

func TestNewNeedsANameAndAState(t *testing.T) {
	tests := []struct {
		name string
		cfg  cpanelfake.Config
	}{
		{"no name", cpanelfake.Config{State: new(cpanelfake.State)}},
		{"no state", cpanelfake.Config{Name: "web01"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if s, err := cpanelfake.New(tt.cfg); err == nil {
				t.Errorf("got %v, want an error", s)
			}
		})
	}
}
