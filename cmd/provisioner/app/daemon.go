package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sync/errgroup"

	"github.com/latchkey-sso/latchkey/api"
	"github.com/latchkey-sso/latchkey/api/hooks"
	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
	"github.com/latchkey-sso/latchkey/cmd/internal/config"
	"github.com/latchkey-sso/latchkey/cmd/internal/setup"
	"github.com/latchkey-sso/latchkey/store"
)

const (
	// A daemon says that it is alive every beatEvery; brokers believe it for
	// beatTTL.
	beatEvery = 2 * time.Second
	beatTTL   = 8 * time.Second
)

func runCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Keep the servers right: the daemon",
		Long: `run reconciles every server on a timer (provisioner.interval), replaces link tokens
within two seconds when a broker asks for it, and takes reports of WHM hooks on
provisioner.listen (deploy/whm-hooks). It follows the catalogue in the store, and
publishes the file's links only when the store has none.

Several daemons may run, and commands beside them: one works on a server at a
time. SIGTERM stops it after the requests that are on their way.`,
		Example: "  provisioner run -c /etc/latchkey/latchkey.yaml",
	}
	t := &target{source: cli.Configured(env.Env, cmd, true)}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, warnings, err := t.source.Read(config.RoleProvisioner)
		if err != nil {
			return err
		}
		log := cli.NewLog(env.Err, cfg.Provisioner.LogLevel)
		for _, w := range warnings {
			log.Warn("configuration", zap.String("source", w.Source), zap.String("key", w.Key), zap.String("problem", w.Message))
		}
		f, err := openFleet(env, cfg)
		if err != nil {
			return err
		}
		defer f.close()
		d, err := newDaemon(f, log)
		if err != nil {
			return err
		}
		return d.run(cmd.Context())
	}
	return cmd
}

// daemon is `provisioner run`.
type daemon struct {
	fleet      *fleet
	log        *zap.Logger
	reconciler *reconcile.Reconciler
	hooks      *http.Server // nil without a listener
	listener   net.Listener
	cert       *setup.CertFiles // nil without TLS
}

func newDaemon(f *fleet, log *zap.Logger) (*daemon, error) {
	d := &daemon{fleet: f, log: log}
	d.reconciler = f.reconcilerWith("run", nil, &loggedJournal{Journal: f.store, log: log})
	listen := f.cfg.Provisioner.Listen
	if listen == "" {
		return d, nil
	}
	secrets := map[string]broker.Secret{}
	for _, s := range f.cfg.Servers {
		secrets[s.ID] = s.HookSecret
	}
	var err error
	if d.cert, err = setup.OpenCertFiles(f.cfg.Provisioner.TLS, log); err != nil {
		return nil, fmt.Errorf("provisioner.tls: %w", err)
	}
	handler := hooks.New(hooks.Config{Secrets: secrets, Requests: f.store, Now: f.env.Now, Log: log.Named("hooks")})
	d.hooks = api.HTTPServer(handler, d.cert.TLS(), log)
	if d.listener, err = net.Listen("tcp", listen); err != nil {
		return nil, fmt.Errorf("provisioner.listen: %w", err)
	}
	return d, nil
}

// run works until ctx ends, and then ends what it has begun.
func (d *daemon) run(ctx context.Context) error {
	group, running := errgroup.WithContext(ctx)
	if d.hooks != nil {
		group.Go(func() error { return d.serveHooks() })
		group.Go(func() error {
			<-running.Done()
			stop, cancel := context.WithTimeout(context.Background(), 4*time.Second)
			defer cancel()
			return d.hooks.Shutdown(stop)
		})
	}
	if d.cert != nil {
		group.Go(func() error { d.watchCertificate(running); return nil })
	}
	group.Go(func() error { d.beat(running); return nil })
	group.Go(func() error { d.reconciler.Serve(running); return nil })
	group.Go(func() error { d.tick(running); return nil })
	fields := []zap.Field{zap.Int("servers", len(d.fleet.clients)), zap.Duration("interval", d.fleet.cfg.Provisioner.Interval)}
	if d.listener != nil {
		fields = append(fields, zap.Stringer("listen", d.listener.Addr()))
	}
	d.log.Info("working", fields...)
	err := group.Wait()
	d.log.Info("stopped")
	return err
}

func (d *daemon) serveHooks() error {
	var err error
	if d.hooks.TLSConfig != nil {
		err = d.hooks.ServeTLS(d.listener, "", "")
	} else {
		err = d.hooks.Serve(d.listener)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("provisioner.listen: %w", err)
}

// certificateEvery is how often the listener's certificate is read again.
const certificateEvery = 10 * time.Second

func (d *daemon) watchCertificate(ctx context.Context) {
	for d.fleet.env.Wait(ctx, certificateEvery) == nil {
		d.cert.Reload()
	}
}

// beat says that the daemon is alive, until it is not.
func (d *daemon) beat(ctx context.Context) {
	complaint := ""
	for {
		call, cancel := context.WithTimeout(ctx, beatEvery)
		err := d.fleet.store.Beat(call, beatTTL)
		cancel()
		switch {
		case err == nil:
			if complaint != "" {
				d.log.Info("the store answers again")
			}
			complaint = ""
		case ctx.Err() == nil && complaint != err.Error():
			complaint = err.Error()
			d.log.Warn("the store does not answer; trying on", zap.Error(err), zap.Strings("addresses", d.fleet.cfg.Store.Addresses))
		}
		if d.fleet.env.Wait(ctx, beatEvery) != nil {
			break
		}
	}
	resign, cancel := context.WithTimeout(context.Background(), beatEvery)
	defer cancel()
	if err := d.fleet.store.Resign(resign); err != nil {
		d.log.Warn("brokers will notice the end a few seconds later", zap.Error(err))
	}
}

// tick reconciles everything on the timer, and when the catalogue has a new
// revision.
func (d *daemon) tick(ctx context.Context) {
	for first := true; ; first = false {
		pause := d.fleet.cfg.Provisioner.Interval
		revision, err := d.reconcile(ctx, first)
		if err != nil && ctx.Err() == nil {
			d.log.Error("reconciling failed", zap.Error(err))
			pause = min(pause, time.Minute)
		}
		if d.pause(ctx, pause, revision) != nil {
			return
		}
	}
}

const (
	// revisionEvery is how often the daemon looks for a new revision.
	revisionEvery = 2 * time.Second
	// unknownRevision: the store did not tell which one is in force.
	unknownRevision = -1
)

// pause ends early when another revision is in force than the one that was done.
func (d *daemon) pause(ctx context.Context, whole time.Duration, done int) error {
	for left := whole; left > 0; left -= revisionEvery {
		if err := d.fleet.env.Wait(ctx, min(left, revisionEvery)); err != nil {
			return err
		}
		now, err := d.fleet.store.Status(ctx)
		switch {
		case err != nil:
		case done == unknownRevision:
			done = now.Revision
		case now.Revision != done:
			return nil
		}
	}
	return nil
}

// reconcile brings everything to what is wanted, unless another daemon has done so
// in this interval; the first time in any case, because what this one is configured
// for may be new. It returns the revision that was in force when it began: one
// that is published during a long run is not to wait for the timer.
func (d *daemon) reconcile(ctx context.Context, first bool) (revision int, err error) {
	f := d.fleet
	if err := d.publishFirst(ctx); err != nil {
		return unknownRevision, err
	}
	current, err := f.store.Status(ctx)
	if err != nil {
		return unknownRevision, f.storeError(err)
	}
	if !first {
		if done, err := d.doneAlready(ctx, current.Revision); err != nil || done {
			return current.Revision, err
		}
	}
	r, err := f.revisionInForce(ctx)
	if err != nil {
		return current.Revision, err
	}
	o, err := f.order(ctx, reconcile.OperationApply, r, &target{})
	if err != nil {
		return current.Revision, err
	}
	_, err = d.reconciler.Run(ctx, o)
	return current.Revision, err
}

// daemonPrefix begins the holder's name of every daemon, see holder.
const daemonPrefix = "provisioner run on "

// recentOperations is how many are looked through for one that was just done.
const recentOperations = 50

// doneAlready reports whether a run in this interval has done all that the daemon's
// own would do.
func (d *daemon) doneAlready(ctx context.Context, revision int) (bool, error) {
	operations, err := d.fleet.store.Operations(ctx, recentOperations)
	if err != nil {
		return false, d.fleet.storeError(err)
	}
	since := d.fleet.env.Now().Add(-d.fleet.cfg.Provisioner.Interval * 9 / 10)
	return slices.ContainsFunc(operations, func(o reconcile.Operation) bool {
		whole := len(o.Servers) == 0 && len(o.Apps) == 0 && !o.TrustStore
		return strings.HasPrefix(o.By, daemonPrefix) && o.Kind == reconcile.OperationApply && o.State == reconcile.StateDone && whole &&
			o.Revision == revision && o.Started.After(since)
	}), nil
}

// publishFirst puts the file's links in force when the store has none.
func (d *daemon) publishFirst(ctx context.Context) error {
	f := d.fleet
	if _, err := f.store.Revision(ctx, 0); !errors.Is(err, store.ErrNoRevision) {
		return err
	}
	r, err := setup.FileRevision(f.cfg)
	if err != nil {
		return err
	}
	r.Author, r.At = (&publishing{}).name(f.cfg), f.env.Now()
	r.Changes = []string{fmt.Sprintf("first revision, %d links", len(r.Links))}
	published, err := f.store.Publish(ctx, r, 0)
	if conflict, is := errors.AsType[*store.RevisionConflictError](err); is {
		d.log.Info("another process published the first revision", zap.Int("revision", conflict.Current))
		return nil
	}
	if err == nil {
		d.log.Info("the store had no revision of the catalogue: the configuration's links are in force", zap.Int("revision", published.Number))
	}
	return err
}

// loggedJournal writes what matters to the process's log as well.
type loggedJournal struct {
	reconcile.Journal
	log *zap.Logger
}

// Log implements reconcile.Journal.
func (j *loggedJournal) Log(ctx context.Context, operation int64, entries []reconcile.Entry) error {
	err := j.Journal.Log(ctx, operation, entries)
	if err != nil {
		return err // they come again
	}
	for _, e := range entries {
		fields := []zap.Field{zap.Int64("operation", operation)}
		for _, f := range [][2]string{{"server", e.Server}, {"user", e.User}, {"app", e.App}} {
			if f[1] != "" {
				fields = append(fields, zap.String(f[0], f[1]))
			}
		}
		j.log.Log(logLevel(e), e.Message, fields...)
	}
	return nil
}

// logLevel keeps what is the same at each run, account by account, out of the log
// of a day; `provisioner log` has it.
func logLevel(e reconcile.Entry) zapcore.Level {
	switch {
	case e.Level == reconcile.LevelWarning:
		return zapcore.WarnLevel
	case e.Level == reconcile.LevelDebug, e.User != "":
		return zapcore.DebugLevel
	default:
		return zapcore.InfoLevel
	}
}

// End implements reconcile.Journal.
func (j *loggedJournal) End(ctx context.Context, o reconcile.Operation) error {
	level := zapcore.InfoLevel
	if o.State == reconcile.StateFailed {
		level = zapcore.WarnLevel
	}
	message := "done on request"
	if o.Kind == reconcile.OperationApply {
		message = "reconciled"
	}
	c := o.Counts
	j.log.Log(level, message, zap.Int64("operation", o.ID), zap.String("kind", string(o.Kind)), zap.String("state", string(o.State)),
		zap.Strings("servers", o.Servers), zap.Int("created", c.Created), zap.Int("changed", c.Changed), zap.Int("rotated", c.Rotated),
		zap.Int("removed", c.Removed), zap.Int("unchanged", c.Unchanged), zap.Int("failed", c.Failed), zap.Int("failed_servers", c.FailedServers), zap.Int("skipped", c.Skipped))
	return j.Journal.End(ctx, o)
}
