package subscribers_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
	"github.com/latchkey-sso/latchkey/store/subscribers"
)

const csvList = "server,user,subscriber_unique_id\nweb01,bob,1234\nweb02,ann,77\n"

// newHTTP returns a source for an URL, with a canary as its bearer token.
func newHTTP(t testing.TB, url string) *subscribers.HTTP {
	t.Helper()
	return ok(subscribers.NewHTTP(subscribers.HTTPConfig{URL: url, Bearer: broker.NewSecret(canary)}))(t)
}

func serve(t testing.TB, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

// raw answers with bytes and closes the connection.
func raw(t testing.TB, answer string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Errorf("hijack: %v", err)
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, answer)
	}
}

func zipped(text string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return b.Bytes()
}

func TestHTTPHasRows(t *testing.T) {
	want := []reconcile.Subscription{subscription("web01", "bob", "1234", "line 2"), subscription("web02", "ann", "77", "line 3")}
	const lines = "\n{\"server\":\"web01\",\"user\":\"bob\",\"subscriber_unique_id\":1234}\n{\"server\":\"web02\",\"user\":\"ann\",\"subscriber_unique_id\":77}\n"
	const array = "[\n{\"server\":\"web01\",\"user\":\"bob\",\"subscriber_unique_id\":1234},\n{\"server\":\"web02\",\"user\":\"ann\",\"subscriber_unique_id\":77}]"
	header := "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
	chunked := func(text string) string { return fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(text), text) }
	tests := []struct {
		name, answer string
		want         []reconcile.Subscription
	}{
		{"CSV with a length", fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", header, len(csvList), csvList), want},
		{"CSV in chunks", header + "Transfer-Encoding: chunked\r\n\r\n" + chunked(csvList), want},
		{"CSV of HTTP/1.0 with a length", fmt.Sprintf("HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(csvList), csvList), want},
		{"JSON lines", header + "Transfer-Encoding: chunked\r\n\r\n" + chunked(lines), want},
		{"JSON array", header + "Transfer-Encoding: chunked\r\n\r\n" + chunked(array), want},
		{"compressed", fmt.Sprintf("%sContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", header, len(zipped(csvList)), zipped(csvList)), want},
		{"compressed, to the end of the connection", fmt.Sprintf("%sContent-Encoding: gzip\r\n\r\n%s", header, zipped(csvList)), want},
		{"nothing", header + "Content-Length: 0\r\n\r\n", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := read(t, newHTTP(t, serve(t, raw(t, tt.answer)).URL))
			if err != nil {
				t.Errorf("got error %v, want none", err)
			}
			wantRows(t, got, tt.want)
		})
	}
}

func TestHTTPListThatIsCutShortIsAnError(t *testing.T) {
	const header = "HTTP/1.1 200 OK\r\n"
	bomb := zipped(csvList)
	tests := []struct{ name, answer, want string }{
		{"a length that is not reached, at the end of a line", fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", header, len(csvList)+1, csvList), "line 3: the list broke off after this line"},
		{"a length that is not reached, inside a line", header + "Content-Length: 999\r\n\r\n" + csvList + "web03,zo", "line 3: the list broke off"},
		{"a length that is not reached, inside a quote", header + "Content-Length: 999\r\n\r\n" + csvList + "web03,\"zo", "line 3: the list broke off"},
		{"a length of which nothing comes", header + "Content-Length: 999\r\n\r\n", "line 1: the list broke off"},
		{"chunks without the last one", fmt.Sprintf("%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", header, len(csvList), csvList), "line 3: the list broke off"},
		{"half a chunk", header + "Transfer-Encoding: chunked\r\n\r\nfff\r\n" + csvList, "line 3: the list broke off"},
		{"JSON lines", header + "Content-Length: 999\r\n\r\n{\"server\":\"web01\",\"user\":\"bob\",\"subscriber_unique_id\":1}\n{\"ser", "line 1: the list broke off"},
		{"an array that is closed", header + "Content-Length: 999\r\n\r\n[{\"server\":\"web01\",\"user\":\"bob\",\"subscriber_unique_id\":1}]", "line 1: the list broke off"},
		{"an array that is not", header + "Content-Length: 999\r\n\r\n[{\"server\":\"web01\",\"user\":\"bob\",\"subscriber_unique_id\":1}", "line 1: the list broke off"},
		{"compressed", fmt.Sprintf("%sContent-Encoding: gzip\r\n\r\n%s", header, bomb[:len(bomb)-3]), "the list broke off"},
		{"neither length nor chunks", header + "\r\n" + csvList, "neither a Content-Length nor chunks"},
		{"HTTP/1.0 without a length", "HTTP/1.0 200 OK\r\n\r\n" + csvList, "neither a Content-Length nor chunks"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			url := serve(t, raw(t, tt.answer)).URL
			_, err := read(t, newHTTP(t, url+"/list"))
			wantError(t, err, url+"/list", tt.want)
		})
	}
}

func TestHTTP2StreamThatIsCutShortIsAnError(t *testing.T) {
	cut := true
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("got HTTP/%d, want HTTP/2", r.ProtoMajor)
		}
		_, _ = io.WriteString(w, csvList)
		if cut {
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	source := ok(subscribers.NewHTTP(subscribers.HTTPConfig{URL: s.URL, RootCAs: roots}))(t)
	if _, err := read(t, source); err == nil {
		t.Error("got no error from a stream that was cut, want one")
	}
	cut = false
	if got := ok(read(t, source))(t); len(got) != 2 {
		t.Errorf("got %d rows from a whole stream, want 2", len(got))
	}
}

func TestHTTPRequest(t *testing.T) {
	tests := []struct {
		name          string
		bearer        broker.Secret
		authorization string
	}{
		{"with a token", broker.NewSecret("some-token"), "Bearer some-token"},
		{"with a token from a file that ends with a line end", broker.NewSecret("some-token\n"), "Bearer some-token"},
		{"without a token", broker.Secret{}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if got := r.Header.Get("Authorization"); got != tt.authorization {
					t.Errorf("got Authorization %q, want %q", got, tt.authorization)
				}
				if got, want := r.Header.Get("Accept"), "text/csv, application/x-ndjson, application/json"; got != want {
					t.Errorf("got Accept %q, want %q", got, want)
				}
				if got, want := r.Method+" "+r.RequestURI, "GET /list?active=1"; got != want {
					t.Errorf("got %q, want %q", got, want)
				}
				_, _ = io.WriteString(w, csvList)
			})
			source := ok(subscribers.NewHTTP(subscribers.HTTPConfig{URL: s.URL + "/list?active=1", Bearer: tt.bearer}))(t)
			ok(read(t, source))(t)
		})
	}
}

func TestHTTPAnswersThatAreNoList(t *testing.T) {
	tests := []struct {
		status int
		want   []string
	}{
		{http.StatusNoContent, []string{"204 No Content", "must answer 200"}},
		{http.StatusBadRequest, []string{"400 Bad Request", "must answer 200"}},
		{http.StatusUnauthorized, []string{"401 Unauthorized", "subscribers.http.bearer_file"}},
		{http.StatusForbidden, []string{"403 Forbidden", "subscribers.http.bearer_file"}},
		{http.StatusNotFound, []string{"404 Not Found", "check subscribers.http.url"}},
		{http.StatusTooManyRequests, []string{"429 Too Many Requests", "try again later"}},
		{http.StatusInternalServerError, []string{"500 Internal Server Error", "look into its log"}},
		{http.StatusMovedPermanently, []string{"301 Moved Permanently", "not followed", "if that is https://other.example/list"}},
		{http.StatusTemporaryRedirect, []string{"307 Temporary Redirect", "not followed", "https://other.example/list"}},
		{http.StatusNotModified, []string{"304 Not Modified", "must answer 200"}},
	}
	for _, tt := range tests {
		t.Run(http.StatusText(tt.status), func(t *testing.T) {
			asked := 0
			s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				asked++
				w.Header().Set("Location", "https://user:"+canary+"@other.example/list?key="+canary)
				w.WriteHeader(tt.status)
				if tt.status != http.StatusNoContent && tt.status != http.StatusNotModified {
					_, _ = io.WriteString(w, csvList)
				}
			})
			got, err := read(t, newHTTP(t, strings.Replace(s.URL, "://", "://user:"+canary+"@", 1)+"/path?key="+canary))
			wantError(t, err, append(tt.want, "GET "+s.URL+"/path: ")...)
			if len(got) != 0 || asked != 1 {
				t.Errorf("got %d rows after %d requests, want none after 1", len(got), asked)
			}
		})
	}
}

func TestHTTPSaysWhatIsWrong(t *testing.T) {
	t.Run("on a line", func(t *testing.T) {
		s := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, csvList+"web03\n") })
		_, err := read(t, newHTTP(t, s.URL+"/list?key="+canary))
		wantError(t, err, s.URL+"/list: line 4: the row has not as many fields as the header (1, not 3)")
	})
	t.Run("when the endpoint sends the token back", func(t *testing.T) {
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = fmt.Fprintf(w, "Authorization: %s, not good", r.Header.Get("Authorization"))
		})
		_, err := read(t, newHTTP(t, s.URL))
		wantError(t, err, "line 1: the header must name", "[redacted]")
	})
	t.Run("when nobody listens", func(t *testing.T) {
		s := serve(t, nil)
		s.Close()
		_, err := read(t, newHTTP(t, s.URL+"/list?key="+canary))
		wantError(t, err, "GET "+s.URL+"/list: ", "connection refused")
	})
	t.Run("when the certificate is not trusted", func(t *testing.T) {
		s := httptest.NewUnstartedServer(http.NotFoundHandler())
		s.Config.ErrorLog = quiet()
		s.StartTLS()
		t.Cleanup(s.Close)
		_, err := read(t, newHTTP(t, s.URL+"/list?key="+canary))
		wantError(t, err, "GET "+s.URL+"/list: ", "certificate")
	})
}

func TestHTTPConfigIsChecked(t *testing.T) {
	tests := []struct{ name, url, bearer, want string }{
		{"no URL", "", "", "subscribers.http.url must be an absolute http or https URL"},
		{"a path", "/list", "", "subscribers.http.url"},
		{"another scheme", "ftp://user:" + canary + "@portal.example/list", "", "subscribers.http.url"},
		{"a URL that is none, with a password", "https://user:" + canary + " x@portal.example:port/", "", "subscribers.http.url"},
		{"a token of two lines", "https://portal.example/list", canary + "\n" + canary, "subscribers.http.bearer_file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := subscribers.NewHTTP(subscribers.HTTPConfig{URL: tt.url, Bearer: broker.NewSecret(tt.bearer)})
			wantError(t, err, tt.want)
		})
	}
}

func TestHTTPEndsInTime(t *testing.T) {
	// A server that says where it stops, and waits for its client to go.
	hanging := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if text != "" {
				_, _ = io.WriteString(w, text)
				_ = http.NewResponseController(w).Flush()
			}
			<-r.Context().Done()
		}
	}
	tests := []struct{ name, text, want string }{
		{"no answer", "", "GET "},
		{"half a list", csvList, "line 3: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, hanging(tt.text))
			source := ok(subscribers.NewHTTP(subscribers.HTTPConfig{URL: s.URL, Timeout: 200 * time.Millisecond}))(t)
			_, err := read(t, source)
			wantError(t, err, tt.want, "not finished after 200ms")
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, want one that is context.DeadlineExceeded", err)
			}
		})
	}
	t.Run("the caller goes", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := serve(t, hanging(csvList))
		err := newHTTP(t, s.URL).Read(ctx, func(reconcile.Subscription) error { cancel(); return nil })
		wantError(t, err, "line 2: ")
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want one that is context.Canceled", err)
		}
	})
	t.Run("the row goes", func(t *testing.T) {
		s := serve(t, hanging(csvList))
		err := newHTTP(t, s.URL).Read(t.Context(), func(reconcile.Subscription) error { return errStop })
		if err != errStop { // the very error
			t.Errorf("got %v, want %v", err, errStop)
		}
	})
}

func TestHTTPIsNeverHeldInMemory(t *testing.T) {
	const rows = 200_000
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "server,user,subscriber_unique_id\n")
		for i := range rows {
			_, _ = fmt.Fprintf(w, "web%03d,user%d,%d\n", i%200, i, i)
		}
	})
	wantSmallHeap(t, rows, newHTTP(t, s.URL))
}
