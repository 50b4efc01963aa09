package app

import (
	"context"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/latchkey-sso/latchkey/broker"
)

// audit writes every event of the domain as one line of the log.
type audit struct{ log *zap.Logger }

var _ broker.Audit = (*audit)(nil)

// levels are those of events that an operator should look at.
var levels = map[broker.EventKind]zapcore.Level{
	broker.EventAged:         zapcore.WarnLevel,
	broker.EventNotNow:       zapcore.WarnLevel,
	broker.EventSlowedDown:   zapcore.WarnLevel,
	broker.EventReplayed:     zapcore.WarnLevel,
	broker.EventClientDenied: zapcore.WarnLevel,
	broker.EventMismatch:     zapcore.ErrorLevel,
}

// Record implements broker.Audit.
func (a *audit) Record(_ context.Context, e broker.Event) {
	fields := []zap.Field{zap.String("request_id", e.From.RequestID)}
	add := func(name, value string) {
		if value != "" {
			fields = append(fields, zap.String(name, value))
		}
	}
	if e.From.Address.IsValid() {
		add("address", e.From.Address.String())
	}
	add("server", e.Link.Server)
	add("user", e.Link.User)
	add("app", e.Link.App)
	add("subscriber", e.Subscriber)
	add("cause", string(e.Cause))
	add("control", e.Control)
	add("portal", e.Portal)
	add("token", e.Token)
	add("claim", e.Claim)
	if e.ClaimedBy != e.Claim {
		add("claimed_by", e.ClaimedBy)
	}
	if e.Attempt != 0 {
		fields = append(fields, zap.Int("attempt", e.Attempt))
	}
	if e.Err != nil {
		fields = append(fields, zap.Error(e.Err))
	}
	a.log.Log(levels[e.Kind], string(e.Kind), fields...) // info unless listed
}
