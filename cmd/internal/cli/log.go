package cli

import (
	"io"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// AuditName is the name under which the audit stands in the log.
const AuditName = "audit"

// NewLog returns a log of JSON lines. The audit is written whatever the level
// is, because it is the only record of who signed on.
func NewLog(out io.Writer, level string) *zap.Logger {
	least, err := zapcore.ParseLevel(level)
	if err != nil {
		least = zapcore.InfoLevel
	}
	encoding := zap.NewProductionEncoderConfig()
	encoding.TimeKey, encoding.EncodeTime = "time", zapcore.RFC3339NanoTimeEncoder
	encoding.EncodeDuration = zapcore.StringDurationEncoder
	core := zapcore.NewCore(zapcore.NewJSONEncoder(encoding), zapcore.Lock(zapcore.AddSync(out)), zapcore.DebugLevel)
	return zap.New(&leveled{Core: core, least: least})
}

// leveled drops what is less severe than least, except for the audit.
type leveled struct {
	zapcore.Core
	least zapcore.Level
}

func (l *leveled) With(fields []zapcore.Field) zapcore.Core {
	return &leveled{Core: l.Core.With(fields), least: l.least}
}

func (l *leveled) Check(e zapcore.Entry, c *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if e.Level >= l.least || e.LoggerName == AuditName {
		return l.Core.Check(e, c)
	}
	return c
}
