package app

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/latchkey-sso/latchkey/api"
	"github.com/latchkey-sso/latchkey/api/operator"
	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
	"github.com/latchkey-sso/latchkey/cmd/internal/config"
	"github.com/latchkey-sso/latchkey/cmd/internal/setup"
	"github.com/latchkey-sso/latchkey/store"
	"github.com/latchkey-sso/latchkey/store/embedded"
)

// Options are what a Broker is assembled from. Config is required.
type Options struct {
	Config *config.Config
	// Log is the log of the process; nil logs nothing.
	Log *zap.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Listener and OperatorListener replace broker.listen and
	// broker.operator_listen when they are set. The Broker closes them.
	Listener, OperatorListener net.Listener
	// Embedded is the store for the mode embedded; nil starts one. Whoever
	// passes it closes it.
	Embedded *embedded.Redis
	// KeyInterval is how often signing keys and certificates are read again; 0
	// means 10 s.
	KeyInterval time.Duration

	// unguarded lets calls of Redis take as long as they like: for tests that show
	// what the time-outs and the breaker are for.
	unguarded bool
	// slots is broker.Config.Slots; 0 means slotsOf the cores that there are, less than 0 no bound.
	slots int
	// wall is the clock of the machine, which tests set apart from Now; nil means
	// time.Now.
	wall func() time.Time
	// rotations is how often an account's clicks have its tokens rotated; nil means
	// rotationRate and rotationBurst.
	rotations *broker.Limit
}

// Broker is one assembled broker.
type Broker struct {
	cfg       *config.Config
	log       *zap.Logger
	store     *store.Store
	embedded  *embedded.Redis // ours to close
	keys      *keyDir
	follower  *follower
	cert      *setup.CertFiles // nil without TLS
	public    *http.Server
	operators *http.Server
	listener  net.Listener
	opListen  net.Listener

	keyInterval time.Duration

	loaded    atomic.Bool // the scripts are in Redis, and it passed the probe
	loadError atomic.Pointer[error]
	draining  atomic.Bool
}

const (
	// storeTimeout bounds a call of Redis, dialling included.
	storeTimeout = 250 * time.Millisecond
	// shutdownTimeout and the longest drain delay (5 s) together stay under 10 s.
	shutdownTimeout = 4 * time.Second
	// slotsPerCore are for clicks, and as many for redemptions. While some wait for the
	// store others use the core; more than these only make the queue in front of it
	// longer. With RS256 on one core, 8 slots carry about as much as 30, and whoever has
	// to come again is told in half the time.
	slotsPerCore = 8
	// mostSlots of both kinds are nearly all connections of the store's pool: few wait
	// for a connection beside those who wait for a slot.
	mostSlots    = store.PoolSize/2 - 2
	loadInterval = 500 * time.Millisecond
	// unguardedTimeout is for Options.unguarded: as good as none.
	unguardedTimeout = time.Minute
)

// New assembles a Broker and opens its listeners. After an error nothing is
// left open.
func New(o Options) (_ *Broker, err error) {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.wall == nil {
		o.wall = time.Now
	}
	if o.rotations == nil {
		o.rotations = &broker.Limit{Rate: rotationRate, Burst: rotationBurst}
	}
	o.slots = cmp.Or(o.slots, slotsOf(runtime.GOMAXPROCS(0)))
	b := &Broker{cfg: o.Config, log: o.Log, listener: o.Listener, opListen: o.OperatorListener, keyInterval: o.KeyInterval}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	if b.keys, err = openKeyDir(o.Config.Broker.SigningKeysDir, o.Now, o.Log); err != nil {
		return nil, err
	}
	if err := b.openStore(o); err != nil {
		return nil, err
	}
	if b.follower, err = newFollower(o.Config, b.store, o.Log, o.wall); err != nil {
		return nil, fmt.Errorf("catalogue: %w", err)
	}
	limits := newLimiters(o, b.store)
	domain := newDomain(o, b.store, b.keys.current, b.follower, limits)
	handler, err := api.New(api.Config{
		Domain: domain, Log: o.Log, PublicURL: o.Config.Broker.PublicURL,
		TrustedProxies: o.Config.Broker.TrustedProxies,
		Confirm:        api.Confirm(o.Config.Broker.Confirm),
		ClaimTTL:       o.Config.Broker.OneTimeTokenTTL,
		AddressLimit:   limits.address,
	})
	if err != nil {
		return nil, err
	}
	if b.cert, err = setup.OpenCertFiles(o.Config.Broker.TLS, o.Log); err != nil {
		return nil, fmt.Errorf("broker.tls: %w", err)
	}
	b.public = api.HTTPServer(handler, b.cert.TLS(), o.Log)
	b.operators = api.HTTPServer(operator.New(b.ready), nil, o.Log)
	return b, b.listen()
}

// slotsOf is how many clicks, and how many redemptions, so many cores work on at once.
func slotsOf(cores int) int { return min(slotsPerCore*cores, mostSlots) }

// timeoutOf is how long a call of the store may take.
func timeoutOf(c *config.Config) time.Duration {
	if c.Store.Mode == config.StoreEmbedded {
		return embedded.Timeout
	}
	return storeTimeout
}

func newDomain(o Options, s *store.Store, keys func() *broker.KeyRing, f *follower, limits limiters) *broker.Broker {
	servers := make(map[string]broker.Server, len(o.Config.Servers))
	for _, server := range o.Config.Servers {
		servers[server.ID] = broker.Server{SourceIPs: server.SourceIPs}
	}
	timeout := timeoutOf(o.Config)
	signOns := broker.SignOns(newBreaker(s, o.Log))
	if o.unguarded {
		signOns, timeout = s, unguardedTimeout
	}
	return broker.New(broker.Config{
		PublicURL:       o.Config.Broker.PublicURL,
		OneTimeTokenTTL: o.Config.Broker.OneTimeTokenTTL,
		LinkTokenMaxAge: o.Config.Broker.LinkTokenMaxAge,
		StoreTimeout:    timeout,
		Servers:         servers,
		Catalogue:       f.current,
		Keys:            keys,
		Controls:        f.controls,
		SignOns:         signOns,
		AccountLimit:    limits.account,
		ServerLimit:     limits.server,
		Slots:           o.slots,
		Rotations:       f,
		RotationLimit:   limits.rotations,
		Audit:           &audit{log: o.Log.Named(cli.AuditName)},
		Now:             o.Now,
		Random:          rand.Reader,
	})
}

func (b *Broker) openStore(o Options) error {
	var client redis.UniversalClient
	if o.Config.Store.Mode == config.StoreEmbedded {
		in := o.Embedded
		if in == nil {
			started, err := embedded.Start()
			if err != nil {
				return err
			}
			in, b.embedded = started, started
		}
		b.log.Warn("the store is embedded: everything is forgotten when this process ends, and other brokers do not see it")
		client = in.Client()
	} else {
		var timeout time.Duration // the default
		if o.unguarded {
			timeout = unguardedTimeout
		}
		opened, err := setup.OpenRedis(o.Config.Store, timeout)
		if err != nil {
			return err
		}
		client = opened
	}
	replicas := 0
	if o.Config.Broker.Durability == config.DurabilityReplicated {
		replicas = o.Config.Store.Replicas
	}
	b.store = store.New(store.Config{Client: client, KeyPrefix: o.Config.Store.KeyPrefix, Replicas: replicas})
	return nil
}

func (b *Broker) listen() error {
	var err error
	if b.listener == nil {
		if b.listener, err = net.Listen("tcp", b.cfg.Broker.Listen); err != nil {
			return fmt.Errorf("broker.listen: %w", err)
		}
	}
	if b.opListen == nil {
		if b.opListen, err = net.Listen("tcp", b.cfg.Broker.OperatorListen); err != nil {
			return fmt.Errorf("broker.operator_listen: %w", err)
		}
	}
	return nil
}

// Addr is where cPanel servers and browsers are listened to.
func (b *Broker) Addr() net.Addr { return b.listener.Addr() }

// OperatorAddr is where operators are listened to.
func (b *Broker) OperatorAddr() net.Addr { return b.opListen.Addr() }

// Store is the store that the broker works on.
func (b *Broker) Store() *store.Store { return b.store }

func (b *Broker) ready(ctx context.Context) error {
	if b.draining.Load() {
		return errors.New("stopping")
	}
	if !b.loaded.Load() {
		if err := b.loadError.Load(); err != nil {
			return fmt.Errorf("starting: the store: %w", *err)
		}
		return errors.New("starting: the store has not answered yet")
	}
	if err := b.store.Probe(ctx); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

// Run serves until ctx ends, then stops in order: readiness off, drain delay,
// listeners closed, running requests ended. It returns nil after a stop in
// order.
func (b *Broker) Run(ctx context.Context) error {
	defer b.close()
	// Where the store answers at once, so do the first clicks.
	_ = b.tryStore(ctx, timeoutOf(b.cfg))
	group, running := errgroup.WithContext(ctx)
	group.Go(func() error { return serve(b.public, b.limitConnections()) })
	group.Go(func() error { return serve(b.operators, b.opListen) })
	group.Go(func() error { b.watchFiles(running); return nil })
	group.Go(func() error { b.useStore(running); return nil })
	group.Go(func() error { return b.stop(running) })
	b.log.Info("serving",
		zap.Stringer("listen", b.Addr()), zap.Stringer("operator_listen", b.OperatorAddr()),
		zap.String("public_url", b.cfg.Broker.PublicURL), zap.String("store", b.cfg.Store.Mode))
	err := group.Wait()
	b.log.Info("stopped")
	return err
}

func (b *Broker) limitConnections() net.Listener {
	return api.LimitConnections(b.listener, api.ConnectionLimits{
		Most: api.MaxConnections, OfOne: api.MaxConnectionsOfOne, TrustedProxies: b.cfg.Broker.TrustedProxies,
	})
}

func serve(s *http.Server, l net.Listener) error {
	var err error
	if s.TLSConfig != nil {
		err = s.ServeTLS(l, "", "")
	} else {
		err = s.Serve(l)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve %s: %w", l.Addr(), err)
}

// stop waits for the end of running and then ends both servers. The operators'
// goes last, so that a balancer sees "not ready" until the end.
func (b *Broker) stop(running context.Context) error {
	<-running.Done()
	b.draining.Store(true)
	b.log.Info("stopping", zap.Duration("drain_delay", b.cfg.Broker.DrainDelay))
	time.Sleep(b.cfg.Broker.DrainDelay)
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	for _, s := range []*http.Server{b.public, b.operators} {
		if err := s.Shutdown(ctx); err != nil {
			b.log.Warn("requests were cut off", zap.Error(err))
			_ = s.Close()
		}
	}
	return nil
}

// watchFiles reads signing keys and certificates again and again, so that neither
// needs a restart.
func (b *Broker) watchFiles(ctx context.Context) {
	tick := time.NewTicker(cmp.Or(b.keyInterval, defaultKeyInterval))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			b.keys.reload()
			b.cert.Reload()
		}
	}
}

// tryStore puts the scripts into Redis and asks what is in force.
func (b *Broker) tryStore(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := b.store.LoadScripts(ctx)
	if err == nil {
		err = b.follower.look(ctx)
	}
	if err != nil {
		b.loadError.Store(&err)
		return err
	}
	b.loaded.Store(true)
	b.log.Info("store is ready")
	return nil
}

// useStore tries until the store is ready, logging each kind of failure once; then
// it follows the store.
func (b *Broker) useStore(ctx context.Context) {
	tick := time.NewTicker(loadInterval)
	defer tick.Stop()
	for complaint := ""; !b.loaded.Load(); {
		if err := b.tryStore(ctx, followTimeout); err != nil && complaint != err.Error() && ctx.Err() == nil {
			complaint = err.Error()
			b.log.Warn("the store is not ready; trying on", zap.Error(err),
				zap.String("advice", adviceOn(err)), zap.Strings("addresses", b.cfg.Store.Addresses))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
	var asking sync.WaitGroup
	defer asking.Wait()
	if b.cfg.Store.Mode != config.StoreEmbedded {
		asking.Go(func() { b.doubtStore(ctx) })
	}
	b.follower.run(ctx)
}

// close gives back what New opened.
func (b *Broker) close() {
	if b.listener != nil {
		_ = b.listener.Close()
	}
	if b.opListen != nil {
		_ = b.opListen.Close()
	}
	if b.store != nil && (b.embedded != nil || b.cfg.Store.Mode != config.StoreEmbedded) {
		_ = b.store.Close()
	}
	if b.embedded != nil {
		_ = b.embedded.Close()
	}
}
