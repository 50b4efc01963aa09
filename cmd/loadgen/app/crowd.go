package app

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
	"github.com/latchkey-sso/latchkey/cmd/internal/config"
	"github.com/latchkey-sso/latchkey/cmd/internal/setup"
	"github.com/latchkey-sso/latchkey/cmd/loadgen/clicks"
	"github.com/latchkey-sso/latchkey/store"
)

const (
	// storeTimeout bounds each call of the store.
	storeTimeout = 5 * time.Second
	subscriber   = "loadgen"
)

// crowd is who clicks. Their links are in the store until remove.
type crowd struct {
	people []clicks.Person
	client *http.Client
	store  *store.Store
}

// seed makes links for f.accounts accounts.
func seed(ctx context.Context, cfg *config.Config, f flags) (*crowd, error) {
	if cfg.Store.Mode == config.StoreEmbedded {
		return nil, cli.Usagef("store.mode is embedded: such a store is inside the broker and takes no links from here; use a Redis")
	}
	target := strings.TrimSuffix(cmp.Or(f.url, cfg.Broker.PublicURL), "/")
	if u, err := url.Parse(target); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, cli.Usagef("--url %q: give a URL like http://10.0.0.7:8080", f.url)
	}
	server, err := serverOf(cfg, f.server)
	if err != nil {
		return nil, err
	}
	app, err := appOf(cfg, f.app)
	if err != nil {
		return nil, err
	}
	redis, err := setup.OpenRedis(cfg.Store, storeTimeout)
	if err != nil {
		return nil, err
	}
	c := &crowd{client: clicks.NewClient(), store: store.New(store.Config{Client: redis, KeyPrefix: cfg.Store.KeyPrefix})}
	for n := range f.accounts {
		link := broker.Link{Account: broker.Account{Server: server, User: fmt.Sprintf("loadgen%05d", n+1)}, App: app}
		if err := c.add(ctx, target, link); err != nil {
			return nil, errors.Join(err, c.remove())
		}
	}
	return c, nil
}

func (c *crowd) add(ctx context.Context, target string, link broker.Link) error {
	token, err := broker.NewLinkToken(rand.Reader)
	if err != nil {
		return err
	}
	record := store.LinkRecord{Link: link, Subscriber: subscriber, Token: token.Digest(), Created: time.Now()}
	if err := c.store.PutLink(ctx, record, true); err != nil {
		return fmt.Errorf("make the link of %s: %w", link.Account, err)
	}
	c.people = append(c.people, clicks.Person{URL: target, Client: c.client, Link: link, Token: token, Subscriber: subscriber})
	return nil
}

// remove takes the links away again, also when the command is to stop.
func (c *crowd) remove() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var failed error
	for i, p := range c.people {
		if _, err := c.store.RemoveLink(ctx, p.Link); err != nil {
			failed = fmt.Errorf("%d links of loadgen are left; run it again: %w", len(c.people)-i, err)
			break
		}
	}
	c.client.CloseIdleConnections()
	return errors.Join(failed, c.store.Close())
}

func serverOf(cfg *config.Config, id string) (string, error) {
	for _, s := range cfg.Servers {
		if id == "" || s.ID == id {
			return s.ID, nil
		}
	}
	return "", cli.Usagef("--server %q: the configuration has no such server", id)
}

// appOf finds an app whose hand-over a browser sees.
func appOf(cfg *config.Config, app string) (string, error) {
	catalogue, err := setup.NewCatalogue(cfg)
	if err != nil {
		return "", cli.Usagef("catalogue: %w", err)
	}
	for _, d := range catalogue.Destinations() {
		if d.Enabled && d.Portal.Handoff == broker.HandoffFormPost && (app == "" || d.App == app) {
			return d.App, nil
		}
	}
	return "", cli.Usagef("--app %q: the configuration has no such app that is enabled and leads to a portal with the handoff form_post", app)
}
