package reconcile

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/latchkey-sso/latchkey/broker"
)

// operationLog gathers an operation's entries and writes them in bundles.
type operationLog struct {
	journal Journal
	id      int64 // 0 for a dry run, which is not logged
	now     func() time.Time

	mu      sync.Mutex
	waiting []Entry
	counts  Counts
	// blocked is the part of counts.Failed that others stand in the way of: no run
	// can do anything about it.
	blocked int
	// arrived: some account may work by the records of another one. behind: some was
	// left to others, who may not be done.
	arrived, behind bool
	// warnings are those about the whole run.
	warnings []Entry
	// problems are kept for the Result as well, maxProblems at most.
	problems []Entry
	more     int
	// notices are those of servers; with named, those of accounts as well.
	notices []Entry
	named   bool
	told    int // accounts that were logged
	servers map[string]*serverLog
}

// serverLog is what is gathered about a server until it is done. Names and words in
// it are of the server's choice, so what it holds is bounded.
type serverLog struct {
	steps map[stepKey]int
	alike map[alikeKey]*alike
	more  int   // entries that came when alike was full
	worst Level // of those
}

// stepKey is what the steps of one link on a server are counted by; without an app,
// those of groups, and of all links beyond maxKinds.
type stepKey struct {
	app  string
	kind StepKind
}

const (
	maxProblems = 1000
	maxNotices  = 100
	maxAccounts = 500
	// maxKinds is how many links' steps, and how many different notices about accounts,
	// are told apart on a server.
	maxKinds  = 200
	logBundle = 500
	logEvery  = time.Second
	// logsPerPulse is how many writings of the log there are to a sign of life, and
	// pulseTTL how long one lasts: three are missed before an operation counts as
	// killed.
	logsPerPulse = 5
	pulseTTL     = 20 * time.Second
)

func (l *operationLog) add(entries ...Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range entries {
		if e.At.IsZero() {
			e.At = l.now()
		}
		e.User, e.App, e.Message = clip(e.User, maxName), clip(e.App, maxName), clip(e.Message, maxMessage)
		if e.Level == LevelNotice && e.User != "" {
			l.gather(e)
			continue
		}
		l.waiting = append(l.waiting, e)
		switch {
		case e.Level == LevelWarning && e.Server == "":
			l.warnings = append(l.warnings, e)
		case e.Level == LevelWarning:
			l.problem(e)
		case e.Level == LevelNotice:
			l.notice(e)
		}
	}
}

// What servers say of themselves is bounded, and moves no cursor on a terminal.
const (
	maxName    = 128 // bytes
	maxMessage = 500
)

func clip(text string, most int) string {
	if len(text) > most {
		text = text[:most] + "..."
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}

// left adds what a plan leaves alone. The warnings of one that has not failed are
// its blocked links: many accounts' may be alike, and each is an item that failed.
func (l *operationLog) left(p Plan) {
	if p.Failed {
		l.add(p.Left...)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range p.Left {
		l.gather(e)
		if e.Level == LevelWarning {
			e.At = l.now()
			l.problem(e)
		}
	}
}

// problem is called with mu held.
func (l *operationLog) problem(e Entry) {
	if len(l.problems) < maxProblems {
		l.problems = append(l.problems, e)
	} else {
		l.more++
	}
}

// notice is called with mu held.
func (l *operationLog) notice(e Entry) {
	if len(l.notices) < maxNotices {
		l.notices = append(l.notices, e)
	}
}

// about returns what is gathered about a server. It is called with mu held.
func (l *operationLog) about(server string) *serverLog {
	s := l.servers[server]
	if s == nil {
		s = &serverLog{steps: map[stepKey]int{}, alike: map[alikeKey]*alike{}}
		if l.servers == nil {
			l.servers = map[string]*serverLog{}
		}
		l.servers[server] = s
	}
	return s
}

// count changes the sums.
func (l *operationLog) count(change func(*Counts)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&l.counts)
}

// undone reports whether something was not done that another run may do.
func (l *operationLog) undone() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts.Failed > l.blocked || l.arrived || l.behind
}

// overtaken notes that an account was left to somebody else.
func (l *operationLog) overtaken(e Entry) {
	l.add(e)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.behind = true
}

// step counts one step that was done; the first of its kind for a link on a server
// is logged as a start.
func (l *operationLog) step(server string, s Step) {
	l.mu.Lock()
	defer l.mu.Unlock()
	steps := l.about(server).steps
	key := stepKey{s.App, s.Kind}
	if steps[key] == 0 && len(steps) >= maxKinds {
		key.app = ""
	}
	if steps[key]++; steps[key] == 1 {
		l.waiting = append(l.waiting, Entry{At: l.now(), Level: LevelDebug, Server: server, App: key.app, Message: "start: " + string(s.Kind)})
	}
	switch s.Kind {
	case StepCreate:
		l.counts.Created++
	case StepChange:
		l.counts.Changed++
	case StepRotate:
		l.counts.Rotated++
	case StepRemove, StepForget:
		l.counts.Removed++
	case StepCreateGroup, StepRemoveGroup, StepForgetGroup: // counted with their links
	}
}

// accounts logs what was done to accounts, up to maxAccounts of them in one
// operation: the log has other entries to keep.
func (l *operationLog) accounts(done map[broker.Account][]StepKind) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for a, kinds := range done {
		if l.told++; l.told > maxAccounts {
			return
		}
		count := map[StepKind]int{}
		var order []StepKind
		for _, kind := range kinds {
			if count[kind]++; count[kind] == 1 {
				order = append(order, kind)
			}
		}
		var what []string
		for _, kind := range order {
			what = append(what, fmt.Sprintf("%s %d", kind, count[kind]))
		}
		l.waiting = append(l.waiting, Entry{At: l.now(), Level: LevelDebug, Server: a.Server, User: a.User, Message: "done: " + strings.Join(what, ", ")})
	}
}

// endServer logs what was gathered about a server: notices, and the end of each kind
// of step.
func (l *operationLog) endServer(server string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	about := l.about(server)
	delete(l.servers, server)
	l.tellAlike(server, about)
	for _, key := range slices.SortedFunc(maps.Keys(about.steps), func(a, b stepKey) int {
		return slices.Compare([]string{a.app, string(a.kind)}, []string{b.app, string(b.kind)})
	}) {
		l.waiting = append(l.waiting, Entry{
			At: l.now(), Level: LevelDebug, Server: server, App: key.app, Message: fmt.Sprintf("end: %s, %d done", key.kind, about.steps[key]),
		})
	}
}

// flush writes what waits. What the journal does not take is kept for the next
// time.
func (l *operationLog) flush(ctx context.Context) error {
	l.mu.Lock()
	entries := l.waiting
	l.waiting = nil
	l.mu.Unlock()
	if l.id == 0 {
		return nil
	}
	for len(entries) > 0 {
		bundle := entries[:min(logBundle, len(entries))]
		if err := l.journal.Log(ctx, l.id, bundle); err != nil {
			l.mu.Lock()
			l.waiting = append(slices.Clone(entries), l.waiting...)
			l.mu.Unlock()
			return err
		}
		entries = entries[len(bundle):]
	}
	return nil
}

// write flushes again and again until ctx ends, and says that the operation goes on,
// also while it only waits for a server that another process works on.
func (l *operationLog) write(ctx context.Context, wait func(context.Context, time.Duration) error) {
	for n := 0; ; n++ {
		if n%logsPerPulse == 0 && l.id != 0 {
			_ = l.journal.Pulse(ctx, l.id, pulseTTL) // the next one comes before this one was missed
		}
		if wait(ctx, logEvery) != nil {
			return
		}
		_ = l.flush(ctx) // tried again; the last flush tells
	}
}
