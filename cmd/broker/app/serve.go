package app

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/latchkey-sso/latchkey/cmd/internal/config"
)

func serveCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Answer cPanel servers, browsers and portals",
		Long: `serve listens on broker.listen for cPanel servers, browsers and portals, and on
broker.operator_listen for operators (/healthz/live, /healthz/ready).

SIGTERM stops it in order: readiness goes off, broker.drain_delay passes, the
listeners close, running requests end. That takes less than 10 seconds.`,
		Example: "  broker serve -c /etc/latchkey/latchkey.yaml",
	}
	source := configured(env, cmd, true)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, warnings, err := source.read(config.RoleBroker)
		if err != nil {
			return err
		}
		log := NewLog(env.Err, cfg.Broker.LogLevel)
		for _, w := range append(warnings, startWarnings(source.path, cfg)...) {
			log.Warn("configuration", zap.String("source", w.Source), zap.String("key", w.Key), zap.String("problem", w.Message))
		}
		redis.SetLogger(redisLog{log.Named("redis")}) // go-redis has one log for the process
		b, err := New(Options{Config: cfg, Log: log})
		if err != nil {
			return err
		}
		defer ignoreHangups(log)()
		return b.Run(cmd.Context())
	}
	return cmd
}

// ignoreHangups keeps SIGHUP, which a closed terminal sends and by which some
// daemons reload, from ending the process. The function it returns ends that.
func ignoreHangups(log *zap.Logger) (stop func()) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range hangups {
			log.Warn("SIGHUP does nothing: keys and certificates are read again by themselves; restart to change the configuration")
		}
	}()
	return func() {
		signal.Stop(hangups)
		close(hangups)
		<-done
	}
}

// redisLog takes what go-redis tells of itself: failovers, bad connections. What
// matters of it comes back as errors too, so it is for debugging.
type redisLog struct{ log *zap.Logger }

func (l redisLog) Printf(_ context.Context, format string, args ...any) {
	l.log.Debug(fmt.Sprintf(format, args...))
}

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
