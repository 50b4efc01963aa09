package cpanelfake

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// Config is what a Server is made of. Name and State are required.
type Config struct {
	// Name is the server's host name, for instance web01.example.com. Pages show it.
	Name string

	// State is what the server stores. Others may write into it at any time.
	State *State

	// Client posts to brokers; nil means one with Go's default transport. The Server
	// works on a copy that follows no redirects and keeps no cookies.
	Client *http.Client

	// Timeout limits each attempt, body included; zero means 30 seconds.
	Timeout time.Duration

	// Wait pauses between two attempts. It returns an error only when ctx ends first.
	// Nil means a real timer.
	Wait func(ctx context.Context, d time.Duration) error

	// Variant is how this version of cPanel posts.
	Variant Variant

	// Trace is told each hop of each click, if not nil. It may be called from several
	// clicks at once, and holds up the click while it runs.
	Trace func(Hop)
}

// Server is one simulated cPanel server.
type Server struct {
	name    string
	state   *State
	client  *http.Client
	timeout time.Duration
	wait    func(context.Context, time.Duration) error
	variant Variant
	trace   func(Hop)
}

// New returns a Server, or says what Config lacks.
func New(cfg Config) (*Server, error) {
	if cfg.Name == "" {
		return nil, errors.New("cpanelfake: Config.Name is empty: give the server a host name")
	}
	if cfg.State == nil {
		return nil, errors.New("cpanelfake: Config.State is nil: give the server a State, an empty one will do")
	}
	s := &Server{
		name:    cfg.Name,
		state:   cfg.State,
		client:  &http.Client{},
		timeout: cfg.Timeout,
		wait:    cfg.Wait,
		variant: cfg.Variant,
		trace:   cfg.Trace,
	}
	if cfg.Client != nil {
		*s.client = *cfg.Client
	}
	s.client.Jar = nil
	s.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if s.timeout <= 0 {
		s.timeout = 30 * time.Second
	}
	if s.wait == nil {
		s.wait = sleep
	}
	if s.trace == nil {
		s.trace = func(Hop) {}
	}
	return s, nil
}

// Name returns the server's host name.
func (s *Server) Name() string { return s.name }

// State returns what the server stores.
func (s *Server) State() *State { return s.state }

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
