package app

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/cmd/internal/config"
)

func configCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check and show the configuration",
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(configCheckCommand(env), configShowCommand(env), configExampleCommand(env))
	return cmd
}

func configCheckCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "List every problem of the configuration at once",
		Long: `check reads the configuration as serve would, secrets and key files included, and
lists every problem with its file, line and key. It connects to nothing.

Exit code 2 when there is a problem; warnings alone are no problem.`,
		Example: "  broker config check -c /etc/latchkey/latchkey.yaml",
	}
	source := configured(env, cmd, true)
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		asJSON, err := output()
		if err != nil {
			return err
		}
		cfg, report := config.Load(config.LoadOptions{
			Path: source.path, Role: config.RoleBroker, Environ: env.Environ, Flags: cmd.Flags(),
		})
		if cfg != nil {
			report.Problems = append(report.Problems, startProblems(source.path, cfg)...)
		}
		if asJSON {
			if err := json.NewEncoder(env.Out).Encode(report); err != nil {
				return fmt.Errorf("print report: %w", err)
			}
		} else {
			fmt.Fprint(env.Out, report)
		}
		problems := len(report.Errors())
		switch {
		case problems == 1:
			return usagef("1 problem in the configuration")
		case problems > 1:
			return usagef("%d problems in the configuration", problems)
		case !asJSON:
			fmt.Fprintf(env.Out, "%s is fine\n", source.path)
		}
		return nil
	}
	return cmd
}

// startProblems are what serve would find in the files that a configuration
// without problems names, and what it would warn of.
func startProblems(path string, cfg *config.Config) []config.Problem {
	problems := startWarnings(path, cfg)
	for _, file := range readableKeys(cfg.Broker.SigningKeysDir) {
		problems = append(problems, config.Problem{
			Source: path, Key: "broker.signing_keys_dir", Warning: true,
			Message: file + " can be read by everyone on this machine: chmod 600 it",
		})
	}
	if _, err := broker.LoadKeys(os.DirFS(cfg.Broker.SigningKeysDir)); err != nil {
		problems = append(problems, config.Problem{
			Source: path, Key: "broker.signing_keys_dir", Message: fmt.Sprintf("%s: %v", cfg.Broker.SigningKeysDir, err),
		})
	}
	if _, err := NewCatalogue(cfg); err != nil {
		problems = append(problems, config.Problem{Source: path, Key: "links", Message: err.Error()})
	}
	return problems
}

// startWarnings are about what is allowed and probably not meant.
func startWarnings(path string, cfg *config.Config) []config.Problem {
	b := cfg.Broker
	if len(b.TrustedProxies) > 0 || b.TLS.CertFile != "" || !strings.HasPrefix(b.PublicURL, "https://") {
		return nil
	}
	return []config.Problem{{
		Source: path, Key: "broker.trusted_proxies", Warning: true,
		Message: "is empty, and the broker does not speak TLS itself: list the balancer in front of it, else all clients share its address and its limit",
	}}
}

func configShowCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Print the configuration in force, without secrets",
		Long: `show prints what results from defaults, file, environment and flags, as YAML. It
prints no secret.`,
	}
	source := configured(env, cmd, true)
	cmd.RunE = func(*cobra.Command, []string) error {
		cfg, err := source.load(0)
		if err != nil {
			return err
		}
		_, err = fmt.Fprint(env.Out, cfg.Effective())
		return err
	}
	return cmd
}

func configExampleCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "example",
		Short:   "Print a configuration to start from",
		Example: "  broker config example > latchkey.yaml\n  broker config example --links >> latchkey.yaml",
	}
	links := cmd.Flags().Bool("links", false, "print the default catalogue as the key links, to change it")
	cmd.RunE = func(*cobra.Command, []string) error {
		if *links {
			return printDefaultLinks(env.Out)
		}
		_, err := fmt.Fprint(env.Out, config.Example)
		return err
	}
	return cmd
}

// printDefaultLinks prints the default catalogue for a portal with the id of the
// example.
func printDefaultLinks(out io.Writer) error {
	fmt.Fprintln(out, "links:")
	for _, l := range broker.DefaultLinks("portal") {
		if _, err := fmt.Fprintf(out, "  - {id: %s, enabled: true, label: %q, implements: %s, order: %d, portal: %s, path: %s}\n",
			l.ID, l.Label, l.Implements, l.Order, l.Portal, l.Path); err != nil {
			return err
		}
	}
	return nil
}

// outputFlag gives a command -o text|json.
func outputFlag(cmd *cobra.Command) func() (asJSON bool, err error) {
	format := cmd.Flags().StringP("output", "o", "text", "text or json")
	return func() (bool, error) {
		switch *format {
		case "text":
			return false, nil
		case "json":
			return true, nil
		}
		return false, usagef("-o %q: use text or json", *format)
	}
}

func hideFlags(cmd *cobra.Command) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) { f.Hidden = true })
}
