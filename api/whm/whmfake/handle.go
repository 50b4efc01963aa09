package whmfake

import (
	"bytes"
	"context"
	"crypto/subtle"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"
)

const (
	jsonType = "application/json"
	htmlType = "text/html; charset=utf-8"
	page     = "<!DOCTYPE html>\n<html><head><title>WHM</title></head><body><h1>The server is busy</h1></body></html>\n"
)

// reply is a whole HTTP answer.
type reply struct {
	status      int
	contentType string
	location    string
	body        []byte
	// sent is how much of body goes out before the connection ends; all of it where
	// it is not cut.
	sent int
	cut  bool
}

func (s *Server) handle(w http.ResponseWriter, r *http.Request) {
	if !s.enter() {
		panic(http.ErrAbortHandler)
	}
	defer s.handlers.Done()
	n := s.journal.begin()
	a := s.answer(r, n)
	s.log.line(r, a.status, len(a.body))
	if a.status == 0 {
		panic(http.ErrAbortHandler) // the documented way to end a connection without an answer
	}
	h := w.Header()
	h.Set("Content-Type", a.contentType)
	h.Set("Content-Length", strconv.Itoa(len(a.body)))
	if a.location != "" {
		h.Set("Location", a.location)
	}
	w.WriteHeader(a.status)
	if a.cut {
		_, _ = w.Write(a.body[:a.sent])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write(a.body)
}

// answer does everything but writing. A reply without a status is none.
func (s *Server) answer(r *http.Request, n int) reply {
	authorization := []byte(r.Header.Get("Authorization"))
	if subtle.ConstantTimeCompare(authorization, []byte(*s.authorization.Load())) != 1 {
		return reply{status: http.StatusForbidden, contentType: deniedType, body: []byte(denied)}
	}
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		return reply{status: http.StatusMethodNotAllowed, contentType: htmlType, body: []byte(page)}
	}
	c, err := parse(r)
	if errors.Is(err, errNoPage) {
		return reply{status: http.StatusNotFound, contentType: htmlType, body: []byte(page)}
	}
	if err != nil {
		return reply{status: http.StatusBadRequest, contentType: htmlType, body: []byte(page)}
	}
	commands, err := commandsOf(c)
	if err != nil {
		return s.json(envelope{command: c.function, reason: "The “command” parameter is not encoded well."}, *s.variant.Load())
	}
	request := Request{Function: c.function, User: commands[0].get("user"), N: n}
	if c.function == batchName {
		for _, command := range commands {
			request.Functions = append(request.Functions, command.function)
		}
	}
	return s.respond(r.Context(), c, commands, request, (*s.rule.Load())(request))
}

// respond executes the commands with what the fault does to them. client ends
// when the client goes, or the server.
func (s *Server) respond(client context.Context, c call, commands []call, request Request, f Fault) reply {
	latency := time.Duration(s.request.Load() + int64(len(commands))*s.perCommand.Load())
	if f.Kind == Slow {
		latency += f.Delay
	}
	if latency > 0 {
		s.wait(s.ctx, latency)
	}
	switch f.Kind {
	case Status:
		return reply{status: f.status(), contentType: htmlType, body: []byte(page)}
	case HTMLPage:
		return reply{status: http.StatusOK, contentType: htmlType, body: []byte(page)}
	case Redirect:
		return reply{status: http.StatusFound, contentType: htmlType, location: f.Location}
	case Forbidden:
		return reply{status: http.StatusForbidden, contentType: deniedType, body: []byte(denied)}
	case NoReply:
		return reply{}
	case Hang:
		<-client.Done()
		return reply{}
	}
	v := *s.variant.Load()
	var e envelope
	switch {
	case c.get("api.version") != "1":
		e = envelope{command: c.function, reason: "This server answers version 1 of the API only: send api.version=1."}
	case c.function == batchName:
		e = s.batch(c, commands, request, f, v)
	default:
		e = s.single(c, request, f, v)
	}
	a := s.json(e, v)
	switch f.Kind {
	case LostReply:
		return reply{}
	case LateHang:
		<-client.Done()
		return reply{}
	case HalfJSON:
		a.body = a.body[:len(a.body)/2]
	case HalfBody:
		a.sent, a.cut = len(a.body)/2, true
	case EmptyBody:
		a.body = nil
	}
	return a
}

func (s *Server) json(e envelope, v Variant) reply {
	var b bytes.Buffer
	e.append(&b, v)
	b.WriteByte('\n')
	return reply{status: http.StatusOK, contentType: jsonType, body: slices.Clip(b.Bytes())}
}

func (s *Server) single(c call, request Request, f Fault, v Variant) envelope {
	if f.Kind == FailAt && f.At == 0 {
		return s.broken(c)
	}
	return s.execute(c, Call{Request: request.N}, v)
}

// broken is the answer to a command that a Fault makes fail.
func (s *Server) broken(c call) envelope {
	return envelope{command: c.function, reason: s.failure("The disk quota of “root” is exceeded.")}
}
