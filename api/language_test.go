package api_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var languages = []string{"ar", "de", "en", "es", "fr", "it", "nl", "pl", "pt", "tr"}

func TestPagesSpeakTheBrowsersLanguage(t *testing.T) {
	type row struct{ accept, want string }
	tests := []row{
		{"", "en"}, {"*", "en"}, {"de-AT", "de"}, {"de-CH,de;q=0.9", "de"}, {"pt-BR", "pt"}, {"pt-PT", "pt"}, {"es-MX", "es"},
		{"en-GB", "en"}, {"fr-CA,fr;q=0.8", "fr"}, {"nl-BE", "nl"}, {"ar-EG", "ar"}, {"it-CH", "it"}, {"DE", "de"}, {"TR-tr", "tr"},
		{"zh", "en"}, {"zh-Hant-TW", "en"}, {"ja", "en"}, {"ja,fr;q=0.5", "fr"}, {"xx", "en"},
		{"en;q=0.2,pl;q=0.9", "pl"}, {"pl;q=0.2,en;q=0.9", "en"}, {"tr;q=0.3, it;q=0.30001", "it"},
		{"de;q=0,nl", "nl"}, {"de,!!", "de"}, {"!!,fr;q=x,it", "it"}, {"zh,ja,tr;q=0.1", "tr"}, {" de , en ;q=0.5", "de"},
		{"hostile!!", "en"}, {"<script>", "en"}, {";;;q=,", "en"}, {"\x00\xff", "en"},
		{"../../locales/de", "en"}, {strings.Repeat("x", 100_000), "en"}, {strings.Repeat("-", 100_000), "en"},
		{strings.Repeat("ja-JP,", 5_000), "en"},
	}
	for _, language := range languages {
		tests = append(tests, row{language, language})
	}
	s := newServer(t, &domain{})
	for _, test := range tests {
		t.Run(test.accept[:min(len(test.accept), 20)], func(t *testing.T) {
			r := navigation("/nothing")
			if test.accept != "" {
				r.Header.Set("Accept-Language", test.accept)
			}
			a := s.send(t, r)
			p := parsePage(t, a)
			if got := a.header.Get("Content-Language"); got != test.want || p.lang != test.want {
				t.Errorf("got the language %q and the page in %q, want %q", got, p.lang, test.want)
			}
			if got, want := p.title, texts(t, test.want)["not_found.title"]; got != want {
				t.Errorf("title: got %q, want %q", got, want)
			}
			if !slices.Contains(a.header.Values("Vary"), "Accept-Language") {
				t.Errorf("Vary: got %q, want Accept-Language in it", a.header.Values("Vary"))
			}
		})
	}
}

// texts returns the texts of one language, each key of which may stand once.
func texts(t *testing.T, language string) map[string]string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("locales", language+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var found map[string]string
	if err := json.Unmarshal(content, &found); err != nil {
		t.Fatalf("%s: %v", language, err)
	}
	for key := range found {
		if n := strings.Count(string(content), strconv.Quote(key)+":"); n != 1 {
			t.Errorf("%s: the key %s is there %d times, want once", language, key, n)
		}
	}
	return found
}

var placeholder = regexp.MustCompile(`\{[^}]*\}`)

func TestLanguagesSayTheSame(t *testing.T) {
	present, err := filepath.Glob("locales/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for i := range present {
		present[i] = strings.TrimSuffix(filepath.Base(present[i]), ".json")
	}
	if !slices.Equal(present, languages) {
		t.Fatalf("got the languages %q, want %q", present, languages)
	}
	english := texts(t, "en")
	for _, language := range languages {
		t.Run(language, func(t *testing.T) {
			found := texts(t, language)
			for key, text := range found {
				if _, known := english[key]; !known {
					t.Errorf("%s: not in English", key)
				}
				if strings.TrimSpace(text) != text || text == "" {
					t.Errorf("%s: got %q, want a text without space around it", key, text)
				}
			}
			for key, text := range english {
				other, present := found[key]
				if !present {
					t.Errorf("%s: missing", key)
				}
				got, want := placeholder.FindAllString(other, -1), placeholder.FindAllString(text, -1)
				slices.Sort(got)
				slices.Sort(want)
				if !slices.Equal(got, want) {
					t.Errorf("%s: got the placeholders %q, want %q", key, got, want)
				}
				if language != "en" && other == text && strings.HasSuffix(key, ".text") {
					t.Errorf("%s: is not translated", key)
				}
			}
			wantDir := "ltr"
			if language == "ar" {
				wantDir = "rtl"
			}
			if got := found["lang.dir"]; got != wantDir {
				t.Errorf("lang.dir: got %q, want %q", got, wantDir)
			}
		})
	}
}

// TestTextsThatTheCodeNamesExist reads the source for the kinds of pages and
// the keys of texts: one that is missing would be an empty place on a page.
func TestTextsThatTheCodeNamesExist(t *testing.T) {
	kinds, keys := namedTexts(t)
	if len(kinds) < 11 || len(keys) < 5 {
		t.Fatalf("found the kinds %q and the keys %q, want all of them: has the code changed?", kinds, keys)
	}
	for _, kind := range kinds {
		keys = append(keys, kind+".title", kind+".text")
	}
	english := texts(t, "en")
	for _, key := range keys {
		if english[key] == "" {
			t.Errorf("the code uses %s, which is no text", key)
		}
	}
	for key := range english {
		if !slices.Contains(keys, key) {
			t.Errorf("the code does not use %s", key)
		}
	}
	for _, kind := range pageKinds() {
		kinds = slices.DeleteFunc(kinds, func(k string) bool { return k == kind.name })
	}
	if len(kinds) > 0 {
		t.Errorf("no golden file shows the pages %q", kinds)
	}
}

// namedTexts finds the values of fields `page: "..."`, of constants page...,
// and the keys in `texts["..."]`.
func namedTexts(t *testing.T) (kinds, keys []string) {
	t.Helper()
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	literal := func(e ast.Expr) string {
		l, ok := e.(*ast.BasicLit)
		if !ok {
			return ""
		}
		text, _ := strconv.Unquote(l.Value)
		return text
	}
	add := func(list *[]string, text string) {
		if text != "" && !slices.Contains(*list, text) {
			*list = append(*list, text)
		}
	}
	for _, source := range sources {
		if strings.HasSuffix(source, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), source, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(node ast.Node) bool {
			switch n := node.(type) {
			case *ast.KeyValueExpr:
				if name, ok := n.Key.(*ast.Ident); ok && name.Name == "page" {
					add(&kinds, literal(n.Value))
				}
			case *ast.ValueSpec:
				if strings.HasPrefix(n.Names[0].Name, "page") && len(n.Values) == 1 {
					add(&kinds, literal(n.Values[0]))
				}
			case *ast.IndexExpr:
				if of, ok := n.X.(*ast.SelectorExpr); ok && of.Sel.Name == "texts" {
					add(&keys, literal(n.Index))
				}
			}
			return true
		})
	}
	return kinds, keys
}
