package api_test

import (
	"regexp"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/latchkey-sso/latchkey/broker"
)

// parsedPage is what a browser would make of a page.
type parsedPage struct {
	lang, dir, title, heading string
	forms, buttons, scripts   int
	action, method            string
	submits                   bool // a script presses the button
	inputs                    map[string]string
	ways                      []string // href of each link
	nonces                    []string // of scripts and styles
	resources                 []string // what a browser would load
	handlers                  []string // on... and style attributes
	elements                  map[string]int
	text                      string
}

func parsePage(t testing.TB, a answer) parsedPage {
	t.Helper()
	root, err := html.Parse(strings.NewReader(a.body))
	if err != nil {
		t.Fatalf("parse page: %v", err)
	}
	if !strings.HasPrefix(a.body, "<!doctype html>") {
		t.Fatalf("got %q, want a page", a.body)
	}
	p := parsedPage{inputs: map[string]string{}, elements: map[string]int{}}
	for node := range root.Descendants() {
		switch node.Type {
		case html.ElementNode:
			p.element(node)
		case html.TextNode:
			p.text += node.Data
		}
	}
	return p
}

func (p *parsedPage) element(node *html.Node) {
	attributes := map[string]string{}
	for _, a := range node.Attr {
		attributes[a.Key] = a.Val
		switch {
		case strings.HasPrefix(a.Key, "on"), a.Key == "style":
			p.handlers = append(p.handlers, a.Key+"="+a.Val)
		case a.Key == "nonce":
			p.nonces = append(p.nonces, a.Val)
		case a.Key == "href" && node.Data == "a", a.Key == "action" && node.Data == "form":
			// A person goes there; nothing is loaded.
		case a.Key == "src", a.Key == "href", a.Key == "srcset", a.Key == "data", a.Key == "action", a.Key == "formaction",
			a.Key == "poster", a.Key == "background", a.Key == "ping", a.Key == "manifest":
			p.resources = append(p.resources, a.Val)
		}
	}
	p.elements[node.Data]++
	switch node.Data {
	case "html":
		p.lang, p.dir = attributes["lang"], attributes["dir"]
	case "title":
		p.title = content(node)
	case "h1":
		p.heading = content(node)
	case "form":
		_, p.submits = attributes["data-submit"]
		p.forms++
		p.action, p.method = attributes["action"], attributes["method"]
	case "button":
		if attributes["type"] == "submit" && content(node) != "" {
			p.buttons++
		}
	case "script":
		p.scripts++
	case "input":
		p.inputs[attributes["name"]] = attributes["value"]
	case "a":
		p.ways = append(p.ways, attributes["href"])
	}
}

func content(node *html.Node) string {
	if node.FirstChild == nil {
		return ""
	}
	return node.FirstChild.Data
}

func TestHandoverPageLeadsToThePortalAlone(t *testing.T) {
	s := newServer(t, &domain{})
	a := s.send(t, navigation(loginPath))
	p := parsePage(t, a)
	if p.forms != 1 || p.method != "post" || p.action != portalLogin {
		t.Errorf("got %d forms, the last a %s to %s, want one post to %s", p.forms, p.method, p.action, portalLogin)
	}
	if len(p.inputs) != 2 || p.inputs["assertion"] != assertionText || p.inputs["target_link_uri"] != target {
		t.Errorf("got the fields %v, want the assertion and the target", p.inputs)
	}
	if p.buttons != 1 || !p.submits || p.scripts != 1 {
		t.Errorf("got %d buttons and %d scripts, want a button that works without the script", p.buttons, p.scripts)
	}
	if len(p.ways) != 0 || strings.Contains(a.body, tokenText) {
		t.Errorf("the page has other links or the one-time token: %s", a.body)
	}
}

var nonceInPolicy = regexp.MustCompile(`'nonce-([^']*)'`)

func TestNonces(t *testing.T) {
	kinds := pageKinds()
	seen := map[string]bool{}
	for range 20 {
		for _, kind := range kinds {
			a := kind.page(t, "en")
			p := parsePage(t, a)
			inPolicy := nonceInPolicy.FindAllStringSubmatch(a.header.Get("Content-Security-Policy"), -1)
			if len(inPolicy) != 2 || len(p.nonces) < 1 {
				t.Fatalf("%s: got the nonces %v in the policy and %v in the page", kind.name, inPolicy, p.nonces)
			}
			if want := p.elements["script"] + p.elements["style"]; len(p.nonces) != want {
				t.Errorf("%s: got %d nonces, want one for each of %d scripts and styles", kind.name, len(p.nonces), want)
			}
			for _, nonce := range append(p.nonces, inPolicy[1][1]) {
				if nonce != inPolicy[0][1] {
					t.Errorf("%s: got the nonce %q, want %q", kind.name, nonce, inPolicy[0][1])
				}
			}
			seen[p.nonces[0]] = true
		}
	}
	if want := 20 * len(kinds); len(seen) != want {
		t.Errorf("%d pages have %d nonces, want one each", want, len(seen))
	}
}

// TestPagesLoadNothing: no page asks for anything from anywhere.
func TestPagesLoadNothing(t *testing.T) {
	for _, kind := range pageKinds() {
		t.Run(kind.name, func(t *testing.T) {
			a := kind.page(t, "en")
			p := parsePage(t, a)
			for _, resource := range p.resources {
				if resource != "data:," {
					t.Errorf("the page loads %q", resource)
				}
			}
			if len(p.handlers) > 0 {
				t.Errorf("the policy forbids the attributes %q", p.handlers)
			}
			for _, forbidden := range []string{"base", "iframe", "object", "embed", "img", "video", "audio", "template"} {
				if p.elements[forbidden] > 0 {
					t.Errorf("the page has a %s", forbidden)
				}
			}
			if strings.Contains(a.body, "@import") || strings.Contains(a.body, "url(") {
				t.Error("the style loads something")
			}
			if p.forms != p.buttons {
				t.Errorf("got %d forms with %d buttons, want a button each", p.forms, p.buttons)
			}
		})
	}
}

// TestHostileDestinationsStayText: what comes from the configuration and the
// catalogue cannot break out of a page.
func TestHostileDestinationsStayText(t *testing.T) {
	const breakOut = `"'><script>hostile()</script><img src=x onerror=hostile()>`
	urls := []string{
		portalLogin + "?a=" + breakOut, portalLogin + "#" + breakOut, "https://portal.example.com/" + breakOut,
		"javascript:hostile()", "javascript://portal.example.com/%0ahostile()", "JaVaScRiPt://x/hostile()",
		"data:text/html,hostile", "vbscript://x/hostile", " javascript://x/hostile()", "", "%zz",
	}
	for _, u := range urls {
		t.Run(u, func(t *testing.T) {
			d := &domain{login: func(broker.LoginRequest) (broker.FormPost, error) {
				return handover(u, "https://portal.example.com/"+breakOut), nil
			}}
			a := newServer(t, d).send(t, navigation(loginPath))
			p := parsePage(t, a)
			if a.status == 200 && p.inputs["target_link_uri"] != "https://portal.example.com/"+breakOut {
				t.Errorf("target_link_uri: got %q, want it as it is", p.inputs["target_link_uri"])
			}
			checkTame(t, p)

			failing := &domain{waysOn: []string{u, u}}
			failing.refuse(&broker.Error{Reason: broker.ReasonTokenUnknown})
			checkTame(t, parsePage(t, newServer(t, failing).send(t, navigation(loginPath))))
			failing.refuse(&broker.Error{Reason: broker.ReasonTokenUsed, WayOn: u})
			checkTame(t, parsePage(t, newServer(t, failing).send(t, navigation(loginPath))))
		})
	}
}

func checkTame(t *testing.T, p parsedPage) {
	t.Helper()
	if p.scripts > 1 || p.elements["img"] > 0 || len(p.handlers) > 0 {
		t.Errorf("got %d scripts, %d images and the attributes %q, want at most our own script", p.scripts, p.elements["img"], p.handlers)
	}
	for _, u := range append(p.ways, p.action) {
		lower := strings.ToLower(strings.TrimSpace(u))
		for _, scheme := range []string{"javascript:", "vbscript:", "data:"} {
			if strings.HasPrefix(lower, scheme) {
				t.Errorf("the page leads to %q", u)
			}
		}
	}
}
