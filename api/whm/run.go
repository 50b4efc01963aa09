package whm

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

// Run implements reconcile.Host. One command is called directly, several go into
// a batch; what was asked and what came back is judged command by command.
func (c *Client) Run(ctx context.Context, commands []reconcile.Command) ([]reconcile.Reply, error) {
	switch len(commands) {
	case 0:
		return nil, nil
	case 1:
		cmd := commands[0]
		r := request{function: string(cmd.Function), form: c.form(cmd), writes: cmd.Function.Writes()}
		e, err := c.call(ctx, r, commands...)
		if err != nil {
			return nil, err
		}
		return []reconcile.Reply{c.reply(cmd, e)}, nil
	}
	return c.batch(ctx, commands)
}

// call makes a request and reads the envelope. Its error is a *Failure or wraps
// that of ctx.
func (c *Client) call(ctx context.Context, r request, commands ...reconcile.Command) (envelope, error) {
	body, err := c.post(ctx, r)
	if err == nil {
		if e, ok := open(body); ok {
			return e, nil
		}
		err = c.unreadable(r.function, r.writes)
	}
	if f, ok := errors.AsType[*reconcile.Failure](err); ok {
		return envelope{}, c.clean(f, commands...)
	}
	return envelope{}, err
}

func (c *Client) batch(ctx context.Context, commands []reconcile.Command) ([]reconcile.Reply, error) {
	r := request{
		function: "batch",
		commands: len(commands),
		writes:   slices.ContainsFunc(commands, func(cmd reconcile.Command) bool { return cmd.Function.Writes() }),
	}
	r.form.add("abort_on_error", "0")
	for _, cmd := range commands {
		inner := c.form(cmd)
		r.form.add("command", string(cmd.Function)+"?"+strings.TrimPrefix(string(inner.encoded), "&"))
	}
	e, err := c.call(ctx, r, commands...)
	if err != nil {
		return nil, err
	}
	var results []json.RawMessage
	if raw := e.member("result"); !absent(raw) {
		if err := json.Unmarshal(raw, &results); err != nil {
			return nil, c.clean(c.unreadable(r.function, r.writes))
		}
	}
	switch {
	case len(results) == 0 && !e.succeeded():
		// One forbidden function may have failed all of them: told apart by asking
		// for each alone, so this is not about the server.
		f := c.refused(e.reason())
		f.Scope = reconcile.ScopeItem
		return nil, c.clean(f, commands...)
	case results == nil:
		return nil, c.clean(c.unreadable(r.function, r.writes))
	}
	return c.replies(commands, results), nil
}

// replies matches results by position; more than there are commands are ignored.
func (c *Client) replies(commands []reconcile.Command, results []json.RawMessage) []reconcile.Reply {
	replies := make([]reconcile.Reply, len(commands))
	for i, cmd := range commands {
		if i >= len(results) {
			replies[i].Err = &reconcile.Failure{Scope: reconcile.ScopeItem, Again: true,
				Message: "not run: the batch ended before this command"}
			continue
		}
		e, ok := open(results[i])
		if !ok {
			replies[i].Err = c.clean(c.unreadable(string(cmd.Function), cmd.Function.Writes()))
			continue
		}
		replies[i] = c.reply(cmd, e)
	}
	return replies
}
