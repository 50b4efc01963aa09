package app_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/cmd/broker/app"
	"github.com/latchkey-sso/latchkey/cmd/internal/config"
	"github.com/latchkey-sso/latchkey/cmd/loadgen/clicks"
	"github.com/latchkey-sso/latchkey/cmd/loadgen/openloop"
	"github.com/latchkey-sso/latchkey/store/storetest"
)

// replica is one place behind a balancer, where brokers come and go.
type replica struct {
	cfg   *config.Config
	url   *url.URL
	ready atomic.Bool
}

// balancer spreads requests over the replicas that say that they are ready. It
// repeats nothing, so that a request that a broker loses is seen.
type balancer struct {
	replicas []*replica
	next     atomic.Uint64
}

// choose returns the next replica that is ready.
func (b *balancer) choose() *replica {
	for range b.replicas {
		if r := b.replicas[b.next.Add(1)%uint64(len(b.replicas))]; r.ready.Load() {
			return r
		}
	}
	return b.replicas[0]
}

func (b *balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	chosen := b.choose()
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(p *httputil.ProxyRequest) { p.SetURL(chosen.url) },
		Transport: client.Transport,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, err.Error(), http.StatusBadGateway)
		},
	}
	proxy.ServeHTTP(w, r)
}

// watch asks the replicas whether they are ready until ctx ends.
func (b *balancer) watch(ctx context.Context) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, r := range b.replicas {
			response, err := client.Get("http://" + r.cfg.Broker.OperatorListen + "/healthz/ready")
			if err == nil {
				_ = response.Body.Close()
			}
			r.ready.Store(err == nil && response.StatusCode == http.StatusOK)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// rolled clicks while three brokers are restarted in turn, and returns what came
// out. With aware, the balancer asks whether they are ready; otherwise it takes them
// all for that.
func rolled(t *testing.T, aware bool) *openloop.Report {
	t.Helper()
	redis := storetest.StartRedis(t)
	b := &balancer{}
	front := httptest.NewServer(b)
	t.Cleanup(front.Close)
	dir := t.TempDir()
	newKey(t, dir)
	brokers := make([]*running, 3)
	for i := range brokers {
		listen := freeAddress(t)
		text := changed(t, configFile(dir, redis.Addr, listen, freeAddress(t)), "http://"+listen, front.URL, "drain_delay: 0s", "drain_delay: 1s")
		cfg := loadConfig(t, text)
		brokers[i] = start(t, app.Options{Config: cfg})
		waitReady(t, brokers[i].operators)
		r := &replica{cfg: cfg, url: &url.URL{Scheme: "http", Host: listen}}
		r.ready.Store(true)
		b.replicas = append(b.replicas, r)
	}
	bob := bobAt(t, front.URL, addLink(t, brokers[0].Store(), "latchkey_billing"))

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var others sync.WaitGroup
	defer others.Wait()
	defer stop()
	if aware {
		others.Go(func() { b.watch(ctx) })
	}
	others.Go(func() {
		defer stop()
		for i, r := range b.replicas {
			if err := brokers[i].stop(); err != nil {
				t.Errorf("stop: %v", err)
			}
			if !aware { // long enough for somebody to be sent there
				time.Sleep(200 * time.Millisecond)
			}
			brokers[i] = start(t, app.Options{Config: r.cfg})
			waitReady(t, brokers[i].operators)
			eventually(t, "the balancer sees it", r.ready.Load)
		}
	})
	// A click that has begun is made to its end.
	return openloop.Run(ctx, openloop.Config{
		Rate: oneOf(300.0, 30.0), For: time.Minute,
		Do: func(ctx context.Context) string { return bob.Click(context.WithoutCancel(ctx)) },
	})
}

// Brokers that are restarted one after the other behind a balancer that asks whether
// they are ready lose no request (A4).
func TestARollingRestartLosesNoRequest(t *testing.T) {
	t.Parallel()
	report := rolled(t, true)
	t.Logf("while three brokers were restarted:\n%s", report)
	for _, o := range report.Outcomes() {
		// A busy machine makes a broker say "retry".
		if o.Name != clicks.SignedOn && (storetest.Long || !clicks.Sound(o.Name)) {
			t.Errorf("%d times: %s", o.Count, o.Name)
		}
	}
	if report.Of(clicks.SignedOn).Count == 0 {
		t.Error("nobody was signed on")
	}
}

// What keeps them is readiness: a balancer that does not ask loses some.
func TestWithoutReadinessARestartLosesRequests(t *testing.T) {
	t.Parallel()
	report := rolled(t, false)
	t.Logf("with a balancer that does not ask:\n%s", report)
	for _, o := range report.Outcomes() {
		if !clicks.Sound(o.Name) {
			return
		}
	}
	t.Error("no request was lost: the other test shows nothing")
}
