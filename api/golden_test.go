package api_test

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/latchkey-sso/latchkey/broker"
)

var update = flag.Bool("update", false, "write the golden files")

// pageKind is a page that a person can see.
type pageKind struct {
	name string
	path string
	// automatic is for a page that a program got.
	automatic bool
	err       error
}

func pageKinds() []pageKind {
	refusal := func(r broker.Reason, wayOn string) error { return &broker.Error{Reason: r, WayOn: wayOn} }
	const wayOn = portalWayOn + "?next=%2Fbilling%3Ftab%3Dopen"
	return []pageKind{
		{name: "confirm", path: loginPath, automatic: true},
		{name: "handover", path: loginPath},
		{name: "used", path: loginPath, err: refusal(broker.ReasonTokenUsed, wayOn)},
		{name: "expired", path: loginPath, err: refusal(broker.ReasonTokenExpired, wayOn)},
		{name: "unknown", path: loginPath, err: refusal(broker.ReasonTokenUnknown, "")},
		{name: "disabled", path: loginPath, err: refusal(broker.ReasonSignOnDisabled, wayOn)},
		{name: "unavailable", path: loginPath, err: refusal(broker.ReasonUnavailable, "")},
		{name: "slow_down", path: loginPath, err: refusal(broker.ReasonSlowDown, "")},
		{name: "incomplete", path: "/login"},
		{name: "not_found", path: "/nothing"},
		{name: "error", path: loginPath, err: errPrivate},
	}
}

// page gets the page in a language.
func (k pageKind) page(t testing.TB, language string) answer {
	t.Helper()
	d := &domain{waysOn: []string{portalWayOn, "https://desk.example.com/"}}
	if k.err != nil {
		d.refuse(k.err)
	}
	r := navigation(k.path)
	if k.automatic {
		r = get(k.path)
	}
	r.Header.Set("Accept-Language", language)
	return newServer(t, d).send(t, r)
}

func TestPagesLookAsTheyDid(t *testing.T) {
	const folder = "testdata/pages"
	var names []string
	for _, kind := range pageKinds() {
		for _, language := range []string{"ar", "de", "en"} {
			name := kind.name + "." + language + ".html"
			names = append(names, name)
			t.Run(name, func(t *testing.T) {
				a := kind.page(t, language)
				policy := nonceInPolicy.FindStringSubmatch(a.header.Get("Content-Security-Policy"))
				if policy == nil {
					t.Fatalf("no nonce in %v", a.header)
				}
				got := strings.ReplaceAll(a.body, policy[1], "NONCE")
				got = strings.ReplaceAll(got, a.header.Get("X-Request-Id"), "REQUEST-ID")
				path := filepath.Join(folder, name)
				if *update {
					writeGolden(t, path, got)
				}
				want, err := os.ReadFile(path)
				if err != nil {
					t.Fatalf("%v (go test -update writes it)", err)
				}
				if got != string(want) {
					t.Errorf("%s, if wanted: go test -update\ngot:\n%s\nwant:\n%s", path, got, want)
				}
			})
		}
	}
	present, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range present {
		if !slices.Contains(names, file.Name()) {
			t.Errorf("%s belongs to no page", file.Name())
		}
	}
}

func writeGolden(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestPagesOfAFailureHelp: words, a support code and a way on.
func TestPagesOfAFailureHelp(t *testing.T) {
	for _, kind := range pageKinds() {
		if kind.name == "confirm" || kind.name == "handover" {
			continue
		}
		for _, language := range []string{"ar", "de", "en"} {
			t.Run(kind.name+" "+language, func(t *testing.T) {
				a := kind.page(t, language)
				p := parsePage(t, a)
				wantDir := "ltr"
				if language == "ar" {
					wantDir = "rtl"
				}
				if p.lang != language || p.dir != wantDir {
					t.Errorf("got lang %q and dir %q, want %q and %q", p.lang, p.dir, language, wantDir)
				}
				if p.heading == "" || p.heading != p.title {
					t.Errorf("got the title %q and the heading %q, want them equal", p.title, p.heading)
				}
				if id := a.header.Get("X-Request-Id"); !strings.Contains(p.text, id) {
					t.Errorf("the support code %s is not shown", id)
				}
				if len(p.ways) == 0 || !strings.HasPrefix(p.ways[0], portalWayOn) {
					t.Errorf("the ways on are %q, want the portal's own login", p.ways)
				}
				if (p.forms == 1) != (kind.name == "unavailable") {
					t.Errorf("got %d forms, want one on the page to try again alone", p.forms)
				}
			})
		}
	}
}

// TestGoneLooksTheSame: the pages of 410 differ by their words alone.
func TestGoneLooksTheSame(t *testing.T) {
	var first string
	for _, reason := range []broker.Reason{broker.ReasonTokenUnknown, broker.ReasonTokenExpired, broker.ReasonTokenUsed} {
		a := pageKind{path: loginPath, err: &broker.Error{Reason: reason}}.page(t, "en")
		if a.status != 410 {
			t.Fatalf("%s: got %d, want 410", reason, a.status)
		}
		p := parsePage(t, a)
		body := strings.ReplaceAll(a.body, p.title, "TITLE")
		_, rest, _ := strings.Cut(body, "</p>")
		start, _, _ := strings.Cut(body, "<p>")
		body = strings.NewReplacer(p.nonces[0], "NONCE", a.header.Get("X-Request-Id"), "ID").Replace(start + rest)
		if first == "" {
			first = body
		}
		if body != first {
			t.Errorf("%s: got %s, want %s", reason, body, first)
		}
	}
}
