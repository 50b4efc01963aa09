package whm

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

// read calls a function that changes nothing. A result other than 1 is a
// *Failure, too.
func (c *Client) read(ctx context.Context, function string, f form) (envelope, error) {
	e, err := c.call(ctx, request{function: function, form: f})
	if err != nil {
		return envelope{}, err
	}
	if !e.succeeded() {
		return envelope{}, c.clean(c.refused(e.reason()))
	}
	return e, nil
}

// Functions implements reconcile.Host.
func (c *Client) Functions(ctx context.Context) ([]string, error) {
	e, err := c.read(ctx, "applist", form{})
	if err != nil {
		return nil, err
	}
	raw := e.member("app")
	found, _, ok := nameList(raw, "app")
	if !ok || absent(raw) {
		return nil, c.clean(c.unreadable("applist", false))
	}
	return found, nil
}

// maxWord is the longest version or name in bytes: a DNS name has no more.
const maxWord = 253

// Version returns the server's version of cPanel & WHM, like 11.136.0.13, without
// what cannot be shown. Its error is a *reconcile.Failure or wraps that of ctx.
func (c *Client) Version(ctx context.Context) (string, error) {
	return c.word(ctx, "version", "version")
}

// Hostname returns the name that the server gives itself, like Version. Its error is a
// *reconcile.Failure or wraps that of ctx.
func (c *Client) Hostname(ctx context.Context) (string, error) {
	return c.word(ctx, "gethostname", "hostname")
}

func (c *Client) word(ctx context.Context, function, member string) (string, error) {
	e, err := c.read(ctx, function, form{})
	if err != nil {
		return "", err
	}
	text, ok := scalar(e.member(member))
	if !ok {
		return "", c.clean(c.unreadable(function, false))
	}
	text = strings.Map(visible, text)
	return strings.ToValidUTF8(text[:min(len(text), maxWord)], ""), nil
}

// Users implements reconcile.Host. A list that cannot be read as a whole is an
// error: an account that is missing in it would count as removed. So is one with
// more than 100,000 names. The names are as the server tells them, not checked.
func (c *Client) Users(ctx context.Context) ([]string, error) {
	var all []string
	seen := map[string]bool{}
	records := 0
	for start := 1; ; start += c.pageSize {
		p, err := c.page(ctx, start)
		if err != nil {
			return nil, err
		}
		fresh := 0
		for _, user := range p.users {
			if !seen[user] {
				seen[user] = true
				all = append(all, user)
				fresh++
			}
		}
		switch {
		case len(all) > maxNames:
			return nil, c.clean(c.server(nil, "%s lists more than %d accounts: has it been tampered with?", c.host, maxNames))
		case p.told && p.records < records:
			// Somebody behind the pages that were read has moved to one of them.
			return nil, c.clean(c.unsettled(reconcile.ScopeItem, false, nil, "the accounts of %s changed while they were listed", c.host))
		case p.told && (start+c.pageSize > p.records || len(all) >= p.records):
			return all, nil
		case p.told && fresh == 0:
			return nil, c.clean(c.unreadable("listaccts", false))
		case !p.told && (len(p.users) != c.pageSize || fresh == 0):
			// The last page, or the same again, or all of them: then the server knows
			// no pages.
			return all, nil
		}
		records = p.records
	}
}

// page is some of the accounts.
type page struct {
	users []string
	// records is how many there are in all, where the server told.
	records int
	told    bool
}

func (c *Client) page(ctx context.Context, start int) (page, error) {
	var f form
	f.add("want", "user")
	f.add("api.columns.enable", "1")
	f.add("api.columns.a", "user")
	f.add("api.chunk.enable", "1")
	f.add("api.chunk.verbose", "1")
	f.add("api.chunk.size", strconv.Itoa(c.pageSize))
	f.add("api.chunk.start", strconv.Itoa(start))
	e, err := c.read(ctx, "listaccts", f)
	if err != nil {
		return page{}, err
	}
	data, isObject := object(e.Data)
	raw, there := data["acct"]
	users, unreadable, ok := nameList(raw, "user")
	if !isObject || !there || !ok || unreadable > 0 {
		return page{}, c.clean(c.unreadable("listaccts", false))
	}
	p := page{users: users}
	var chunk struct {
		Records json.RawMessage `json:"records"`
	}
	if !absent(e.Metadata.Chunk) && json.Unmarshal(e.Metadata.Chunk, &chunk) == nil {
		p.records, p.told = number(chunk.Records)
	}
	return p, nil
}
