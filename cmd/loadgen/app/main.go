// Package app assembles the load generator: it makes links of accounts of its own in
// the store, clicks them at a fixed rate, reports what came out, and removes them.
package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
	"github.com/latchkey-sso/latchkey/cmd/internal/config"
	"github.com/latchkey-sso/latchkey/cmd/loadgen/clicks"
	"github.com/latchkey-sso/latchkey/cmd/loadgen/openloop"
)

// Main runs the command and returns its exit code.
func Main(args []string, env cli.Env) int { return cli.Main(newRoot(env), args, env) }

// flags are what the command is told beside the configuration.
type flags struct {
	rate     float64
	lasting  time.Duration
	accounts int
	most     int
	url      string
	server   string
	app      string
}

func newRoot(env cli.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "loadgen",
		Short: "Click links at a fixed rate, to find out what brokers carry",
		Long: `loadgen begins clicks at a fixed rate, however long the answers take: the post of
a cPanel server and, with the one-time URL that it gets, the request of a browser. The
time of a click counts from the instant at which it was meant to begin.

It reads the brokers' configuration, for their store and address. In the store it
makes links of accounts of its own (loadgen00001 and so on), and removes them at the
end. The assertions that it gets go to nobody. All clicks come from one address: set
broker.limits.per_address_rate and per_server_rate to 0, or 429 is what you measure,
and name that address in broker.trusted_proxies, or it has 512 connections at most.

Exit codes: 0 every answer kept the contract, whether somebody was signed on or told
to come again, 1 some did not (each is named), 2 bad usage or configuration,
3 interrupted.`,
		Example: "  loadgen -c /etc/latchkey/latchkey.yaml --rate 500 --for 30s\n  loadgen --rate 2000 --url http://10.0.0.7:8080 -o json",
		Args:    cobra.NoArgs,
	}
	source := cli.Configured(env, cmd, false)
	output := cli.OutputFlag(cmd)
	var f flags
	cmd.Flags().Float64Var(&f.rate, "rate", 100, "clicks that begin in a second, 0.1 to 100000")
	lasting := cli.DurationFlag(cmd, "for", 10*time.Second, "how long clicks begin, 1s to 24h")
	cmd.Flags().IntVar(&f.accounts, "accounts", 500, "accounts that click, 1 to 99999")
	cmd.Flags().IntVar(&f.most, "under-way", 10_000, "clicks under way at most; those beyond are counted as unsent")
	cmd.Flags().StringVar(&f.url, "url", "", "where the broker or its balancer is, if not at broker.public_url")
	cmd.Flags().StringVar(&f.server, "server", "", "server whose accounts click; the configuration's first if empty")
	cmd.Flags().StringVar(&f.app, "app", "", "app that is clicked; the first with the handoff form_post if empty")
	source.Complete("server", (*config.Config).ServerIDs)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		f.lasting = *lasting
		asJSON, err := output()
		if err == nil {
			err = f.check()
		}
		if err != nil {
			return err
		}
		cfg, err := source.Load(config.RoleBroker)
		if err != nil {
			return err
		}
		return f.run(cmd.Context(), env.Out, cfg, asJSON)
	}
	return cmd
}

func (f flags) check() error {
	switch {
	case math.IsNaN(f.rate) || f.rate < 0.1 || f.rate > 100_000:
		return cli.Usagef("--rate %v: give 0.1 to 100000 clicks per second", f.rate)
	case f.lasting < time.Second || f.lasting > 24*time.Hour:
		return cli.Usagef("--for %v: give 1s to 24h", f.lasting)
	case f.accounts < 1 || f.accounts > 99_999:
		return cli.Usagef("--accounts %d: give 1 to 99999", f.accounts)
	case f.most < 1:
		return cli.Usagef("--under-way %d: give at least 1", f.most)
	}
	return nil
}

func (f flags) run(ctx context.Context, out io.Writer, cfg *config.Config, asJSON bool) (err error) {
	crowd, err := seed(ctx, cfg, f)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, crowd.remove()) }()
	report := openloop.Run(ctx, openloop.Config{
		Rate: f.rate, For: f.lasting, MaxUnderWay: f.most,
		// A click that has begun is not cut off when the command is to stop.
		Do: func(ctx context.Context) string {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
			defer cancel()
			return crowd.people[rand.IntN(len(crowd.people))].Click(ctx)
		},
	})
	// Who stops it early may have seen no answer yet: that is no finding.
	if silence := nobodyAnswers(report); silence != "" && !asJSON && ctx.Err() == nil {
		return fmt.Errorf("nobody answers at %s: %s", crowd.people[0].URL, silence)
	}
	if err := show(out, f, report, asJSON); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return &cli.InterruptedError{State: "the report is of the clicks that had begun"}
	}
	var broken []error
	for _, o := range report.Outcomes() {
		if o.Name != openloop.Unsent && !clicks.Sound(o.Name) {
			broken = append(broken, fmt.Errorf("%s: %s", cli.Plural(o.Count, "click"), o.Name))
		}
	}
	return errors.Join(broken...)
}

// nobodyAnswers says what came of the clicks when none was answered: a table of that
// measures nothing. Else it is empty.
func nobodyAnswers(r *openloop.Report) string {
	var causes []string
	for _, o := range r.Outcomes() {
		switch {
		case o.Name == openloop.Unsent:
		case clicks.Answered(o.Name):
			return ""
		default:
			causes = append(causes, fmt.Sprintf("%s: %s", cli.Plural(o.Count, "click"), o.Name))
		}
	}
	return strings.Join(causes, "; ")
}

// document is the output of -o json. Members may be added.
type document struct {
	Rate     float64            `json:"rate_per_second"`
	For      float64            `json:"for_seconds"`
	Outcomes []openloop.Outcome `json:"outcomes"`
}

func show(out io.Writer, f flags, r *openloop.Report, asJSON bool) error {
	if asJSON {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(document{f.rate, f.lasting.Seconds(), r.Outcomes()})
	}
	_, err := fmt.Fprintf(out, "%v clicks per second for %v\n%s", f.rate, f.lasting, r)
	return err
}
