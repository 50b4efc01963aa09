package whmfake

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/latchkey-sso/latchkey/api/cpanelfake"
)

// Config is what a Server is made of.
type Config struct {
	// State is what the server stores. Required; share it with a cpanelfake.Server
	// to click on what is created here.
	State *cpanelfake.State
	// User and Token are what clients must send. An empty User means root; Token is
	// required. It is a plain text because it protects nothing.
	User, Token string
	// Name is the server's host name; empty means web01.example.com.
	Name string
	// Version is what the function version tells; empty means 11.136.0.13.
	Version string
	// Listener takes the connections; nil means a free port of 127.0.0.1. It is
	// closed with the server. Only one of package net can come Up after a Down.
	Listener net.Listener
	// TLS is what the server shows of itself.
	TLS TLS
	// Variant is the version that it imitates; SetVariant changes it.
	Variant Variant
	// Missing are functions that are not there, or that the token may not call;
	// SetMissing changes them.
	Missing []string
	// PerRequest and PerCommand are how long a request takes; SetLatency changes
	// them. A batch of n waits once, for PerRequest and n times PerCommand.
	PerRequest, PerCommand time.Duration
	// Wait waits for d and returns early when ctx ends, which is when the server
	// closes. nil means a timer.
	Wait func(ctx context.Context, d time.Duration)
	// NoJournal keeps counts only, for runs of millions of commands.
	NoJournal bool
	// Log gets the lines of an access log, one Write each; nil means none.
	Log io.Writer
}

// Server is a simulated WHM. It is safe for concurrent use.
type Server struct {
	state               *cpanelfake.State
	name, version       string
	authorization       atomic.Pointer[string]
	tls                 *tls.Config
	ca                  []byte
	pin                 [sha256.Size]byte
	address             net.Addr
	wait                func(context.Context, time.Duration)
	table               map[string]function
	variant             atomic.Pointer[Variant]
	missing             atomic.Pointer[[]string]
	rule                atomic.Pointer[Rule]
	refusal             atomic.Pointer[func(Call) string]
	request, perCommand atomic.Int64 // nanoseconds
	xid                 atomic.Uint64
	journal             journal
	log                 accessLog
	texts               texts

	ctx    context.Context // ends with Close
	cancel context.CancelFunc

	mu       sync.Mutex
	closed   bool
	serving  *serving // nil while the server is down
	handlers sync.WaitGroup
}

// serving is one time on the network.
type serving struct {
	http *http.Server
	done chan struct{}
}

// New starts a server. Close it.
func New(cfg Config) (*Server, error) {
	if cfg.State == nil || cfg.Token == "" {
		return nil, errors.New("start a simulated WHM: State and Token are required")
	}
	s := &Server{
		state:   cfg.State,
		name:    cmp.Or(cfg.Name, "web01.example.com"),
		version: cmp.Or(cfg.Version, "11.136.0.13"),
		wait:    cfg.Wait,
		journal: journal{countOnly: cfg.NoJournal},
		log:     accessLog{user: cmp.Or(cfg.User, "root"), to: cfg.Log},
	}
	if s.wait == nil {
		s.wait = sleep
	}
	id, err := cfg.TLS.identity(s.name)
	if err != nil {
		return nil, fmt.Errorf("start a simulated WHM: %w", err)
	}
	s.tls, s.ca = cfg.TLS.config(id.certificate), id.ca
	s.pin = sha256.Sum256(id.certificate.Certificate[0])
	s.table = s.functions()
	s.SetToken(cfg.Token)
	s.SetVariant(cfg.Variant)
	s.SetMissing(cfg.Missing...)
	s.SetFault(nil)
	s.SetLatency(cfg.PerRequest, cfg.PerCommand)
	listener := cfg.Listener
	if listener == nil {
		if listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return nil, fmt.Errorf("start a simulated WHM: %w", err)
		}
	}
	s.address = listener.Addr()
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.serve(listener)
	return s, nil
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// serve is called with mu held, or before anybody else knows the server.
func (s *Server) serve(l net.Listener) {
	srv := &serving{done: make(chan struct{})}
	srv.http = &http.Server{
		Handler:           http.HandlerFunc(s.handle),
		ReadHeaderTimeout: time.Minute,
		// Connections that clients cut are no news.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	s.serving = srv
	go func() {
		defer close(srv.done)
		_ = srv.http.Serve(tls.NewListener(l, s.tls)) // always ErrServerClosed, or the listener's end
	}()
}

// URL returns the address of the server, like https://127.0.0.1:41234.
func (s *Server) URL() string { return "https://" + s.address.String() }

// CAPEM returns the certificate of the authority that signed the server's.
func (s *Server) CAPEM() []byte { return slices.Clone(s.ca) }

// Pin returns the SHA-256 of the server's own certificate.
func (s *Server) Pin() [sha256.Size]byte { return s.pin }

// Close takes the server off the network and waits until nothing of it runs.
func (s *Server) Close() {
	s.Down()
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.handlers.Wait()
}

// Down closes the port and every connection. Requests that arrived are executed
// all the same.
func (s *Server) Down() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.serving == nil {
		return
	}
	_ = s.serving.http.Close()
	<-s.serving.done
	s.serving = nil
}

// Up opens the port again after Down. It fails when somebody else has taken it.
func (s *Server) Up() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.serving != nil {
		return nil
	}
	l, err := net.Listen(s.address.Network(), s.address.String())
	if err != nil {
		return fmt.Errorf("bring the simulated WHM up again: %w", err)
	}
	s.serve(l)
	return nil
}

// enter lets a request in, unless the server is closed. It must leave then.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.handlers.Add(1)
	return true
}

// SetToken changes the token that clients must send, as when one is revoked.
func (s *Server) SetToken(token string) {
	line := "whm " + s.log.user + ":" + token
	s.authorization.Store(&line)
}

// SetVariant changes the version that is imitated.
func (s *Server) SetVariant(v Variant) { s.variant.Store(&v) }

// SetMissing changes the functions that are not there, or that the token may not
// call: both answer alike.
func (s *Server) SetMissing(functions ...string) {
	functions = slices.Clone(functions)
	s.missing.Store(&functions)
}

// SetLatency changes how long a request takes.
func (s *Server) SetLatency(perRequest, perCommand time.Duration) {
	s.request.Store(int64(perRequest))
	s.perCommand.Store(int64(perCommand))
}

// SetFault makes the rule pick the faults from now on; nil means none.
func (s *Server) SetFault(rule Rule) {
	if rule == nil {
		rule = Always(Fault{})
	}
	s.rule.Store(&rule)
}

// SetRefusal has refuse look at every command just before it is executed; its OK
// is false still. A sentence makes the command fail with it; an empty one lets it
// be executed. nil means that all are. It is called by many requests at once.
func (s *Server) SetRefusal(refuse func(Call) string) { s.refusal.Store(&refuse) }
