package whmfake

import (
	"strings"
	"sync"
)

// texts keeps texts once that many links and calls have, like icons. Parameters
// are parts of large bodies, which must not live as long as a link does.
type texts struct {
	mu    sync.RWMutex
	known map[string]string
}

// maxTexts bounds the memory of a server whose clients send something else each
// time.
const maxTexts = 100_000

// shared returns a text that is no part of another.
func (t *texts) shared(text string) string {
	t.mu.RLock()
	same, ok := t.known[text]
	t.mu.RUnlock()
	if ok {
		return same
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if same, ok := t.known[text]; ok {
		return same
	}
	text = strings.Clone(text)
	if t.known == nil {
		t.known = make(map[string]string)
	}
	if len(t.known) < maxTexts {
		t.known[text] = text
	}
	return text
}
