package app

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"github.com/latchkey-sso/latchkey/broker/reconcile"
	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
)

// stopping says that the wish to stop was heard.
func (p *progress) stopping() {
	const text = "Stopping after the requests that are on their way. Nothing is lost; press Ctrl-C again to end at once.\n"
	switch {
	case p.bars != nil:
		_, _ = p.bars.Write([]byte("\n" + text)) // above the bars; it cannot fail before Wait
	case p.servers != nil:
		fmt.Fprint(p.out, text)
	}
}

// progress shows how far each server is: a bar each on a terminal, else lines.
// The zero progress shows nothing.
type progress struct {
	now func() time.Time

	mu      sync.Mutex
	out     io.Writer
	bars    *mpb.Progress // nil for lines
	servers map[string]*serverProgress
	all     *mpb.Bar // of the servers, when there are many
}

type serverProgress struct {
	name        string
	bar         *mpb.Bar
	text        string // what it waits for, or how it ended
	done, total int
	told        time.Time // when a line was printed last
}

const (
	// lineEvery is how often a server's line is printed while it is at work.
	lineEvery = 10 * time.Second
	// manyBars is how many servers get a bar of their own from the beginning.
	// With more, bars come and go with the work, above one for all.
	manyBars = 20
	barWidth = 40
	// maxBarName cuts long ids, so that a line of 80 columns has room for its bar and
	// its end.
	maxBarName = 16
)

func newProgress(env Env, servers []string) *progress {
	p := &progress{now: env.Now, out: env.Err, servers: map[string]*serverProgress{}}
	if isTerminal(env.Err) {
		p.bars = mpb.New(mpb.WithOutput(env.Err), mpb.WithWidth(barWidth), mpb.WithRefreshRate(120*time.Millisecond))
	}
	width := 0
	for _, s := range servers {
		width = max(width, len(s))
	}
	width = min(width, maxBarName)
	for _, s := range servers {
		name := s
		if len(s) > width {
			name = s[:width-3] + "..."
		}
		p.servers[s] = &serverProgress{name: fmt.Sprintf("%-*s", width, name)}
		if p.bars != nil && len(servers) <= manyBars {
			p.addBar(p.servers[s])
		}
	}
	if p.bars != nil && len(servers) > manyBars {
		p.all = p.bars.AddBar(int64(len(servers)), mpb.BarPriority(1<<30),
			mpb.PrependDecorators(decor.Name(fmt.Sprintf("%-*s ", width, "servers"))),
			mpb.AppendDecorators(decor.CountersNoUnit("%d of %d servers")))
	}
	return p
}

func isTerminal(w io.Writer) bool {
	f, is := w.(*os.File)
	return is && term.IsTerminal(int(f.Fd()))
}

// addBar is called with mu held, or before anything runs.
func (p *progress) addBar(s *serverProgress) {
	options := []mpb.BarOption{
		mpb.PrependDecorators(decor.Name(s.name + " ")),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string {
			p.mu.Lock()
			defer p.mu.Unlock()
			return s.tail()
		})),
	}
	if p.all != nil {
		options = append(options, mpb.BarRemoveOnComplete())
	}
	s.bar = p.bars.AddBar(0, options...)
}

func (s *serverProgress) tail() string {
	if s.text != "" {
		return s.text
	}
	if s.total == 0 {
		return "..."
	}
	return fmt.Sprintf("%d of %s", s.done, accounts(s.total))
}

func accounts(n int) string { return cli.Plural(n, "account") }

// observe takes an event of the reconciler.
func (p *progress) observe(e reconcile.Event) {
	if p.servers == nil {
		return
	}
	p.mu.Lock()
	s := p.servers[e.Server]
	if s == nil {
		p.mu.Unlock()
		return
	}
	line := p.take(s, e)
	if p.bars == nil && line != "" {
		fmt.Fprintf(p.out, "%s  %s: %s\n", cli.Moment(p.now()), e.Server, line)
	}
	if p.bars != nil && s.bar == nil && e.Kind != reconcile.EventEnded {
		p.addBar(s)
	}
	bar, all := s.bar, p.all
	p.mu.Unlock() // the bars ask for the text while they are drawn
	if bar != nil {
		if e.Kind == reconcile.EventProgress {
			bar.SetTotal(int64(e.Total)+1, false) // one more: the end is an event of its own
			bar.SetCurrent(int64(e.Done))
		}
		switch {
		case e.Kind == reconcile.EventEnded && e.State == reconcile.ServerDone:
			bar.SetTotal(int64(max(e.Total, 1)), false)
			bar.SetCurrent(int64(max(e.Total, 1)))
			bar.SetTotal(-1, true)
		case e.Kind == reconcile.EventEnded:
			bar.Abort(all != nil) // it stays where it was; its text says why
		}
	}
	if all != nil && e.Kind == reconcile.EventEnded {
		all.Increment()
	}
}

// take notes an event and returns the line that it is worth, if it is.
func (p *progress) take(s *serverProgress, e reconcile.Event) string {
	switch e.Kind {
	case reconcile.EventWaiting:
		was := s.text
		s.text = "waiting for " + e.Text
		if was == s.text {
			return ""
		}
		return s.text
	case reconcile.EventStarted:
		s.text = ""
		s.told = p.now()
		return "started"
	case reconcile.EventProgress:
		s.done, s.total = e.Done, e.Total
		if p.now().Sub(s.told) < lineEvery || s.done == 0 {
			return ""
		}
		s.told = p.now()
		return s.tail()
	case reconcile.EventEnded:
		s.text = string(e.State)
		switch e.State {
		case reconcile.ServerDone:
			s.text = "done, " + accounts(e.Total)
		case reconcile.ServerInterrupted:
			s.text = fmt.Sprintf("interrupted at %d of %s", e.Done, accounts(e.Total))
		case reconcile.ServerFailed: // the result says why
		case reconcile.ServerUnsupported:
		}
		return s.text
	}
	return ""
}

// stop draws the last state.
func (p *progress) stop() {
	if p.bars == nil {
		return
	}
	for _, s := range p.servers {
		if s.bar != nil && !s.bar.Completed() {
			s.bar.Abort(false)
		}
	}
	if p.all != nil && !p.all.Completed() {
		p.all.Abort(false)
	}
	p.bars.Wait()
}
