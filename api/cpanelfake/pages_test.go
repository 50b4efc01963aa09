package cpanelfake_test

import (
	"encoding/base64"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/latchkey-sso/latchkey/api/cpanelfake"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// host is a server behind a real listener, and a client that follows nothing.
type host struct {
	*httptest.Server
	state *cpanelfake.State
}

func newHost(t *testing.T, state *cpanelfake.State) host {
	t.Helper()
	s := newServer(t, cpanelfake.Config{State: state})
	h := httptest.NewServer(s.Handler())
	t.Cleanup(h.Close)
	return host{h, state}
}

func (h host) do(t *testing.T, method, path string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, h.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// fourteen fills an account as the default catalogue would, out of order.
func fourteen(t *testing.T) *cpanelfake.State {
	t.Helper()
	state := stateWith(t)
	labels := []string{"Upgrade/Downgrade", "Register a New Domain", "Transfer a Domain", "Open a Ticket", "View Ticket History",
		"Announcements", "Downloads", "Knowledgebase", "Network Status", "Edit Your Profile", "View Billing", "Manage Billing",
		"View Email History", "View Invoice History"}
	for i := range labels {
		n := (i*5 + 3) % len(labels)
		l := link(t)
		l.App, l.Label, l.Order, l.Hide = fmt.Sprintf("latchkey_%02d", n), labels[n], n*10, false
		l.GroupID = "support"
		if n < 3 {
			l.GroupID = "ordering"
		}
		if n == 13 {
			l.GroupID, l.Base64PNGImage = "gone", ""
		}
		if err := state.PutLink(user, l); err != nil {
			t.Fatal(err)
		}
	}
	for i, g := range []string{"support", "ordering", "empty"} {
		if err := state.PutGroup(user, cpanelfake.Group{ID: g, Label: "The group " + g, Order: 3 - i}); err != nil {
			t.Fatal(err)
		}
	}
	hidden := link(t)
	hidden.App, hidden.Label, hidden.Hide = "latchkey_hidden", "A hidden one", true
	if err := state.PutLink(user, hidden); err != nil {
		t.Fatal(err)
	}
	for _, a := range []cpanelfake.Account{{User: "alice"}, {User: "dave", Domain: "dave.example", Suspended: true}} {
		if err := state.AddAccount(a); err != nil {
			t.Fatal(err)
		}
	}
	return state
}

func TestPagesLookAsTheyDid(t *testing.T) {
	h := newHost(t, fourteen(t))
	tests := []struct{ name, path, golden string }{
		{"accounts", "/", "accounts.html"},
		{"account with fourteen links", "/bob/", "account.html"},
		{"account without links", "/alice/", "account_empty.html"},
		{"problem", "/eve/", "problem.html"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, got := h.do(t, http.MethodGet, tt.path)
			file := filepath.Join("testdata", tt.golden)
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil || got != string(want) {
				t.Errorf("differs from %s (go test -update rewrites it; %v), got:\n%s", file, err, got)
			}
		})
	}
}

func TestAccountPageOrdersItsTiles(t *testing.T) {
	_, body := newHost(t, fourteen(t)).do(t, http.MethodGet, "/bob/")
	at := -1
	for _, part := range []string{"The group ordering", "Upgrade/", "Register", "Transfer", "The group support", "Open a Ticket", "Manage Billing", "View Email", "Other", "View Invoice"} {
		next := strings.Index(body, part)
		if next <= at {
			t.Errorf("%q stands at %d, want it after %d", part, next, at)
		}
		at = next
	}
	for _, absent := range []string{"A hidden one", "The group empty", secret} {
		if strings.Contains(body, absent) {
			t.Errorf("the page shows %q", absent)
		}
	}
}

func TestPagesEscapeHostileWords(t *testing.T) {
	const hostile = `"><script>alert(1)</script>`
	l := link(t)
	l.App, l.Label, l.Hide = `a b?#%2F"><img src=x>:`, hostile, false
	b := newBroker(t, always(http.StatusOK, "application/json", signOn))
	l.AutologinTokenURL = b.URL
	state := stateWith(t, l)
	if err := state.PutGroup(user, cpanelfake.Group{ID: "latchkey", Label: hostile}); err != nil {
		t.Fatal(err)
	}
	if err := state.ModifyAccount(user, func(a *cpanelfake.Account) { a.Domain, a.Plan = hostile, hostile }); err != nil {
		t.Fatal(err)
	}
	h := newHost(t, state)
	for _, path := range []string{"/", "/bob/", "/bob/go/%3Cscript%3Ealert(1)"} {
		_, body := h.do(t, http.MethodGet, path)
		if strings.Contains(body, "<script") || strings.Contains(body, "<img src=x") {
			t.Errorf("%s: a hostile word became an element:\n%s", path, body)
		}
	}
	_, body := h.do(t, http.MethodGet, "/bob/")
	href := regexp.MustCompile(`href="(go/[^"]*)"`).FindStringSubmatch(body)
	if href == nil {
		t.Fatalf("no tile on the page:\n%s", body)
	}
	if resp, _ := h.do(t, http.MethodGet, "/bob/"+href[1]); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("the tile %s leads to %s, want a 303", href[1], resp.Status)
	}
}

func TestEveryTileOfThePageCanBeClicked(t *testing.T) {
	b := newBroker(t, always(http.StatusOK, "application/json", signOn))
	state := fourteen(t)
	links, err := state.Links(user)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		l.AutologinTokenURL = b.URL
		if err := state.PutLink(user, l); err != nil {
			t.Fatal(err)
		}
	}
	h := newHost(t, state)
	_, body := h.do(t, http.MethodGet, "/bob/")
	tiles := regexp.MustCompile(`href="(go/[^"]*)"`).FindAllStringSubmatch(body, -1)
	for _, tile := range tiles {
		resp, text := h.do(t, http.MethodGet, "/bob/"+tile[1])
		if resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != oneTimeURL || resp.Header.Get("Cache-Control") != "no-store" || text != "" {
			t.Errorf("%s: got %s to %q, Cache-Control %q, body %q", tile[1], resp.Status, resp.Header.Get("Location"), resp.Header.Get("Cache-Control"), text)
		}
	}
	if len(tiles) != 14 || len(b.got()) != 14 {
		t.Errorf("got %d tiles and %d posts, want 14 of each", len(tiles), len(b.got()))
	}
}

func TestAddressesAnswer(t *testing.T) {
	b := newBroker(t, always(http.StatusServiceUnavailable, "application/json", `{}`))
	state := fourteen(t)
	for name, url := range map[string]string{"falls_back": fallback, "nowhere": ""} {
		l := link(t)
		l.App, l.AutologinTokenURL, l.URL = name, b.URL, url
		if err := state.PutLink(user, l); err != nil {
			t.Fatal(err)
		}
	}
	h := newHost(t, state)
	tests := []struct {
		name, method, path string
		status             int
		header, value      string // one header that it must have
		contains           string
	}{
		{"list", "GET", "/", 200, "Content-Type", "text/html; charset=utf-8", "Simulated cPanel"},
		{"list, head only", "HEAD", "/", 200, "Content-Type", "text/html; charset=utf-8", ""},
		{"account", "GET", "/bob/", 200, "Content-Type", "text/html; charset=utf-8", "Simulated cPanel"},
		{"account without slash", "GET", "/bob", 303, "Location", "./bob/", ""},
		{"style", "GET", "/style.css", 200, "Content-Type", "text/css; charset=utf-8", "prefers-color-scheme: dark"},
		{"icon", "GET", "/bob/icon/latchkey_01", 200, "Content-Type", "image/png", "PNG"},
		{"link without icon", "GET", "/bob/icon/latchkey_13", 404, "", "", "nothing at this address"},
		{"click that falls back", "GET", "/bob/go/falls_back", 303, "Location", fallback, ""},
		{"click with nowhere to go", "GET", "/bob/go/nowhere", 502, "Cache-Control", "no-store", "did not answer with a page to open"},
		{"click, head only", "HEAD", "/bob/go/falls_back", 405, "Allow", "GET", ""},
		{"click by POST", "POST", "/bob/go/falls_back", 405, "Allow", "GET, HEAD", "answers GET, HEAD only"},
		{"POST on a page", "POST", "/bob/", 405, "Allow", "GET, HEAD", "answers GET, HEAD only"},
		{"unknown account", "GET", "/eve/", 404, "", "", "no account of that name"},
		{"unknown account without slash", "GET", "/favicon.ico", 404, "", "", "no account of that name"},
		{"click for an unknown account", "GET", "/eve/go/x", 404, "", "", "no account of that name"},
		{"unknown link", "GET", "/bob/go/x", 404, "", "", `href="../../bob/"`},
		{"icon of an unknown link", "GET", "/bob/icon/x", 404, "", "", "no link of that name"},
		{"suspended account", "GET", "/dave/", 403, "", "", "is suspended"},
		{"click for a suspended account", "GET", "/dave/go/x", 403, "", "", "is suspended"},
		{"far away", "GET", "/a/b/c/d", 404, "", "", `href="../../../style.css"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			resp, body := h.do(t, tt.method, tt.path)
			if resp.StatusCode != tt.status || !strings.Contains(body, tt.contains) {
				t.Errorf("got %s, want %d with %q in:\n%s", resp.Status, tt.status, tt.contains, body)
			}
			if tt.header != "" && resp.Header.Get(tt.header) != tt.value {
				t.Errorf("%s: got %q, want %q", tt.header, resp.Header.Get(tt.header), tt.value)
			}
			checkSafe(t, resp, body)
		})
	}
	if n := len(b.got()); n != 2 {
		t.Errorf("the broker was asked %d times, want twice: HEAD and POST must not click", n)
	}
}

// checkSafe holds every answer to what keeps a page from running or loading
// anything that is not its own.
func checkSafe(t *testing.T, resp *http.Response, body string) {
	t.Helper()
	csp := resp.Header.Get("Content-Security-Policy")
	if !strings.HasPrefix(csp, "default-src 'none';") || strings.Contains(csp, "unsafe") || !strings.Contains(csp, "frame-ancestors 'none'") {
		t.Errorf("Content-Security-Policy: got %q", csp)
	}
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY"} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if resp.Header.Get("Cache-Control") == "" {
		t.Error("no Cache-Control")
	}
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") || body == "" {
		return
	}
	for _, want := range []string{`<html lang="en">`, "Simulated cPanel", "<main id=\"content\"", "<h1>"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if found := regexp.MustCompile(`(?i)<script|<style|\sstyle=|\son[a-z]+=|(src|href)="(https?:)?//`).FindString(body); found != "" {
		t.Errorf("the page has %q, which its policy forbids", found)
	}
}

func TestIconIsThePictureAndIsNotSentTwice(t *testing.T) {
	h := newHost(t, fourteen(t))
	resp, body := h.do(t, http.MethodGet, "/bob/icon/latchkey_02")
	if want, _ := base64.StdEncoding.DecodeString(icon(t, 8)); body != string(want) {
		t.Errorf("got %d bytes, want the %d of the picture", len(body), len(want))
	}
	req := httptest.NewRequest(http.MethodGet, "/bob/icon/latchkey_02", nil)
	req.Header.Set("If-None-Match", resp.Header.Get("ETag"))
	w := httptest.NewRecorder()
	h.Config.Handler.ServeHTTP(w, req)
	if w.Code != http.StatusNotModified {
		t.Errorf("asked again: got %d, want 304", w.Code)
	}
}

func TestHandlerWorksUnderAPrefix(t *testing.T) {
	s := newServer(t, cpanelfake.Config{State: fourteen(t)})
	mux := http.NewServeMux()
	mux.Handle("/web01/", http.StripPrefix("/web01", s.Handler()))
	h := httptest.NewServer(mux)
	defer h.Close()
	seen := map[string]bool{}
	todo := []string{h.URL + "/web01/"}
	links := regexp.MustCompile(`(?:href|src)="([^"#]+)"`)
	for len(todo) > 0 {
		page := todo[0]
		todo = todo[1:]
		if seen[page] || strings.Contains(page, "/go/") {
			continue
		}
		seen[page] = true
		resp, err := h.Client().Get(page)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK && !strings.Contains(page, "/dave/") {
			t.Errorf("%s: got %s", page, resp.Status)
		}
		for _, l := range links.FindAllStringSubmatch(string(body), -1) {
			next, err := resp.Request.URL.Parse(l[1])
			if err != nil || !strings.HasPrefix(next.String(), h.URL+"/web01/") {
				t.Errorf("%s: the link %q leaves the prefix (%v)", page, l[1], err)
				continue
			}
			todo = append(todo, next.String())
		}
	}
	if len(seen) < 18 { // the list, three accounts, the style and thirteen icons
		t.Errorf("found %d addresses only", len(seen))
	}
}
