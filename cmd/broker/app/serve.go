package app

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
	"github.com/latchkey-sso/latchkey/cmd/internal/config"
	"github.com/latchkey-sso/latchkey/cmd/internal/setup"
)

func serveCommand(env cli.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Answer cPanel servers, browsers and portals",
		Long: `serve listens on broker.listen for cPanel servers, browsers and portals, and on
broker.operator_listen for operators (/healthz/live, /healthz/ready).

SIGTERM stops it in order: readiness goes off, broker.drain_delay passes, the
listeners close, running requests end. That takes less than 10 seconds.`,
		Example: "  broker serve -c /etc/latchkey/latchkey.yaml",
	}
	source := cli.Configured(env, cmd, true)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, warnings, err := source.Read(config.RoleBroker)
		if err != nil {
			return err
		}
		log := cli.NewLog(env.Err, cfg.Broker.LogLevel)
		for _, w := range append(warnings, startWarnings(source.Path, cfg)...) {
			log.Warn("configuration", zap.String("source", w.Source), zap.String("key", w.Key), zap.String("problem", w.Message))
		}
		redis.SetLogger(setup.RedisLog{Log: log.Named("redis")}) // go-redis has one log for the process
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
