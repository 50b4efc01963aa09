package whm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"regexp"
	"strings"
	"syscall"
	"unicode"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

// maxMessage is the longest message in characters.
const maxMessage = 500

// server makes the Failure of a server that need not be asked again.
func (c *Client) server(err error, format string, args ...any) *reconcile.Failure {
	return &reconcile.Failure{Scope: reconcile.ScopeServer, Message: fmt.Sprintf(format, args...), Err: err}
}

// unsettled makes the Failure of a request that may succeed later. maybe: it may
// have been executed.
func (c *Client) unsettled(scope reconcile.Scope, maybe bool, err error, format string, args ...any) *reconcile.Failure {
	return &reconcile.Failure{Scope: scope, Again: true, Maybe: maybe, Message: fmt.Sprintf(format, args...), Err: err}
}

// clean makes a Failure fit to be shown: what a server says may have anything in
// it, what we sent included.
func (c *Client) clean(f *reconcile.Failure, commands ...reconcile.Command) *reconcile.Failure {
	f.Message = strings.Map(visible, strings.ToValidUTF8(f.Message, "?"))
	secrets := []broker.Secret{c.token}
	for _, command := range commands {
		secrets = append(secrets, command.Token.Secret)
	}
	for _, secret := range secrets {
		if secret.IsZero() {
			continue
		}
		f.Message = strings.ReplaceAll(f.Message, secret.Reveal(), secret.String())
		if f.Err != nil && strings.Contains(f.Err.Error(), secret.Reveal()) {
			f.Err = nil
		}
	}
	// A time-out of ours must not pass for one of the caller's context.
	if errors.Is(f.Err, context.DeadlineExceeded) || errors.Is(f.Err, context.Canceled) {
		f.Err = nil
	}
	if runes := []rune(f.Message); len(runes) > maxMessage {
		f.Message = string(runes[:maxMessage])
	}
	return f
}

func visible(r rune) rune {
	switch {
	case r == '\n', r == '\t', r == '\r':
		return ' '
	case unicode.IsControl(r), unicode.Is(unicode.Cf, r), r == '\u2028', r == '\u2029':
		return -1
	}
	return r
}

// An XID is new each time, and the same message twice must be the same.
var (
	xid        = regexp.MustCompile(`(?:API failure: )?\(XID [0-9A-Za-z]+\) ?`)
	unknownApp = regexp.MustCompile(`Unknown app \(["“”']*([^"“”'()]*)["“”']*\) requested`)
)

// refused makes the Failure of a result that is not 1.
func (c *Client) refused(reason string) *reconcile.Failure {
	if m := unknownApp.FindStringSubmatch(reason); m != nil {
		return c.server(nil, "%s does not offer the function %s: it needs a cPanel & WHM with integration links, "+
			"and an API token with the rights cpanel-integration, list-accts, acct-summary and basic-whm-functions", c.host, m[1])
	}
	reason = strings.TrimSpace(xid.ReplaceAllLiteralString(reason, ""))
	if reason == "" {
		reason = "WHM gave no reason"
	}
	return &reconcile.Failure{Scope: reconcile.ScopeItem, Message: reason}
}

// noAccount are sentences by which WHM says that there is no such account: the one
// that functions for a user answer, and those of older functions. A sentence about
// access or ownership is not among them: the account may be there.
var noAccount = regexp.MustCompile(`(?i)^(?:` +
	`you do not have a user named ["“'‘]?([^"“”'‘’]+?)["”'’]?` +
	`|(?:sorry, )?(?:the |that )?(?:user|account|username) ["“'‘]?([^\s"“”'‘’]+)["”'’]? does not exist(?: on this server)?` +
	`|(?:sorry, )?(?:the |that )?(?:user|account|username) does not exist(?: on this server)?` +
	`)[.!]?$`)

// missing reports whether a reason says that there is no account of that name.
func missing(reason, user string) bool {
	m := noAccount.FindStringSubmatch(reason)
	return m != nil && user != "" && (m[1]+m[2] == "" || m[1]+m[2] == user)
}

// cause is what is left of an error without addresses and ports of our own, which
// are new each time.
func cause(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		return "the name " + e.Name + " is not known: " + e.Err
	}
	if e, ok := errors.AsType[*os.SyscallError](err); ok {
		return e.Err.Error()
	}
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Err != nil {
		return e.Err.Error()
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err.Error()
	}
	return err.Error()
}

// broken reports whether a connection just ended.
func broken(err error) bool {
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		return true
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
