package app

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/latchkey-sso/latchkey/api/cpanelfake"
	"github.com/latchkey-sso/latchkey/cmd/demo/portal"
	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
)

// Main runs the command and returns its exit code.
func Main(args []string, env cli.Env) int {
	var once, verbose bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Try Latchkey on this machine",
		Long: `demo runs a broker over an embedded store, a provisioner, two simulated cPanel
servers with their WHM and a sample customer portal, all on this machine, and prints
the addresses to open.
Nothing is kept when it stops.

With --once it performs one whole sign-in, prints each hop with its status, and
exits with 0 only if the portal saw the right subscriber.`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().BoolVar(&once, "once", false, "perform one sign-in, print its hops and stop")
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "print the broker's log")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		o := Options{FixedPorts: true}
		if verbose {
			o.Log = cli.NewLog(env.Err, "info")
		}
		if once {
			return runOnce(cmd.Context(), env.Out, o)
		}
		return runUntilStopped(cmd.Context(), env.Out, o)
	}
	return cli.Main(cmd, args, env)
}

// runOnce performs one sign-in while the demo runs.
func runOnce(ctx context.Context, out io.Writer, o Options) error {
	var mu sync.Mutex
	var seen []portal.SignIn
	o.SignedIn = func(s portal.SignIn) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, s)
	}
	var refused error
	o.Refused = func(err error) {
		mu.Lock()
		defer mu.Unlock()
		refused = err
	}
	o.Trace = func(server string, hop cpanelfake.Hop) { fmt.Fprintf(out, "   %s: %s\n", server, hop) }

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d, err := New(ctx, o)
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()

	account := Accounts()[0]
	subscriber, err := d.signIn(ctx, out, account, "latchkey_invoices", "/invoices")
	cancel()
	if stopErr := <-done; err == nil {
		err = stopErr
	}
	mu.Lock()
	defer mu.Unlock()
	switch {
	case refused != nil:
		return fmt.Errorf("the portal refused the sign-in: %w", refused)
	case err != nil:
		return err
	case len(seen) != 1 || seen[0].Subscriber != account.Subscriber || subscriber != account.Subscriber:
		return fmt.Errorf("the portal saw the sign-ins %+v and greets subscriber %q, want one of %s", seen, subscriber, account.Subscriber)
	}
	fmt.Fprintf(out, "\nThe portal saw subscriber %s (%s/%s) at /invoices, as it should.\n", subscriber, account.Server, account.User)
	return nil
}

func runUntilStopped(ctx context.Context, out io.Writer, o Options) error {
	var mu sync.Mutex
	say := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(out, "%s  "+format+"\n", append([]any{cli.Moment(time.Now())}, args...)...)
	}
	o.Trace = func(server string, hop cpanelfake.Hop) { say("%s: %s", server, hop) }
	o.SignedIn = func(s portal.SignIn) {
		say("portal: subscriber %s signed in at %s (%s/%s, %s)", s.Subscriber, s.Page, s.Server, s.User, s.Handoff)
	}
	o.Refused = func(err error) { say("portal: refused a sign-in: %v", err) }
	if o.Log == nil {
		o.Log = auditOnly(func(event string) { say("broker: %s", event) })
	}
	d, err := New(ctx, o)
	if err != nil {
		return err
	}
	d.greet(out)
	if err := d.Run(ctx); err != nil {
		return err
	}
	say("stopped; nothing was kept")
	return nil
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ") + "\n"
}

// auditOnly is a log that tells of the broker's audit and nothing else: issued,
// redeemed, replayed, expired, ...
func auditOnly(tell func(event string)) *zap.Logger {
	core := zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(io.Discard), zapcore.InfoLevel)
	return zap.New(core, zap.Hooks(func(e zapcore.Entry) error {
		if e.LoggerName == cli.AuditName {
			tell(e.Message)
		}
		return nil
	}))
}

func (d *Demo) greet(out io.Writer) {
	fmt.Fprintf(out, "Latchkey runs on this machine with an embedded store: NOTHING IS KEPT when it stops.\n\n")
	for _, p := range d.Panels {
		fmt.Fprintf(out, "  cPanel on %-8s  %s/\n", p.ID, p.URL)
		for _, a := range Accounts() {
			if a.Server == p.ID {
				fmt.Fprintf(out, "    %-16s  %s/%s/   (subscriber %s, %s)\n", a.User, p.URL, a.User, a.Subscriber, a.Name)
			}
		}
	}
	fmt.Fprintf(out, "  Customer portal     %s/\n", d.PortalURL)
	fmt.Fprintf(out, "  Broker              %s/.well-known/jwks.json\n", d.BrokerURL)
	fmt.Fprintf(out, "  Broker's health     %s/healthz/ready\n\n", d.OperatorURL)
	fmt.Fprintf(out, "provisioner apply has put the links onto both servers:\n%s\n", indent(d.Applied))
	fmt.Fprintf(out, "Try it in another terminal, while this one runs:\n")
	for _, command := range []string{"servers check", "verify", "rotate --account web01/alice", "remove --all", "plan", "apply", "log"} {
		fmt.Fprintf(out, "  go run ./cmd/provisioner %s -c %s\n", command, d.ConfigFile)
	}
	fmt.Fprintln(out)
	if d.OtherPorts {
		fmt.Fprintf(out, "(Some of the usual ports 8480 to 8486 are taken, so these are others.)\n\n")
	}
	first := Accounts()[0]
	fmt.Fprintf(out, "Open %s/%s/ and click a link. Ctrl-C stops.\n\n", d.Panels[0].URL, first.User)
}
