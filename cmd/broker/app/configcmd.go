package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
	"github.com/latchkey-sso/latchkey/cmd/internal/config"
	"github.com/latchkey-sso/latchkey/cmd/internal/setup"
	"github.com/latchkey-sso/latchkey/store/subscribers"
)

func configCommand(env cli.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check and show the configuration",
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(configCheckCommand(env), configShowCommand(env), configExampleCommand(env))
	return cmd
}

func configCheckCommand(env cli.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "List every problem of the configuration at once",
		Long: `check reads the configuration as serve would, secrets and key files included, and
lists every problem with its file, line and key; with --provisioner also what the
provisioner would find. It connects to nothing.

Exit code 2 when there is a problem; warnings alone are no problem.`,
		Example: "  broker config check -c /etc/latchkey/latchkey.yaml",
	}
	source := cli.Configured(env, cmd, true)
	provisioner := cmd.Flags().Bool("provisioner", false, "check what the provisioner needs as well: WHM tokens, subscribers")
	output := cli.OutputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		asJSON, err := output()
		if err != nil {
			return err
		}
		role := config.RoleBroker
		if *provisioner {
			role |= config.RoleProvisioner
		}
		cfg, report := config.Load(config.LoadOptions{
			Path: source.Path, Role: role, Environ: env.Environ, Flags: cmd.Flags(),
		})
		if cfg != nil {
			report.Problems = append(report.Problems, startProblems(source.Path, cfg)...)
			if *provisioner {
				report.Problems = append(report.Problems, groupWarnings(source.Path, cfg)...)
				report.Problems = append(report.Problems, subscriberProblems(cmd.Context(), source.Path, cfg)...)
			}
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
			return cli.Usagef("1 problem in the configuration")
		case problems > 1:
			return cli.Usagef("%d problems in the configuration", problems)
		case !asJSON:
			fmt.Fprintf(env.Out, "%s is fine\n", source.Path)
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
	if _, err := setup.NewCatalogue(cfg); err != nil {
		problems = append(problems, config.Problem{Source: path, Key: "links", Message: err.Error()})
	}
	return problems
}

// groupWarnings are about a group that holds for the first revision only, which is
// nobody's guess.
func groupWarnings(path string, cfg *config.Config) []config.Problem {
	if !cfg.DefaultCatalogue() || !cfg.SetsGroup() || cfg.Group == config.Default().Group {
		return nil
	}
	return []config.Problem{{
		Source: path, Key: "group", Warning: true,
		Message: "counts until the store has a revision of the catalogue, because there is no key links: change it after that with `provisioner catalogue export` and `import`",
	}}
}

// subscriberProblems are those of the rows of a file; other sources are not asked.
func subscriberProblems(ctx context.Context, path string, cfg *config.Config) []config.Problem {
	file := cfg.Subscribers.File.Path
	if _, err := os.Stat(file); cfg.Subscribers.Source != config.SubscribersFile || err != nil {
		return nil // the rules have told of a file that is missing
	}
	_, err := reconcile.ReadDirectory(ctx, subscribers.NewFile(file), reconcile.Reading{Servers: cfg.ServerIDs()})
	wrong, is := errors.AsType[*reconcile.SourceError](err)
	switch {
	case err == nil:
		return nil
	case !is:
		return []config.Problem{{Source: path, Key: "subscribers.file.path", Message: err.Error()}}
	}
	var problems []config.Problem
	for _, p := range wrong.Problems {
		problems = append(problems, config.Problem{Source: path, Key: "subscribers.file.path", Message: p})
	}
	if wrong.More > 0 {
		problems = append(problems, config.Problem{Source: path, Key: "subscribers.file.path", Message: fmt.Sprintf("%d more rows are wrong", wrong.More)})
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

func configShowCommand(env cli.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Print the configuration in force, without secrets",
		Long: `show prints what results from defaults, file, environment and flags, as YAML. It
prints no secret.`,
	}
	source := cli.Configured(env, cmd, true)
	cmd.RunE = func(*cobra.Command, []string) error {
		cfg, err := source.Load(0)
		if err != nil {
			return err
		}
		_, err = fmt.Fprint(env.Out, cfg.Effective())
		return err
	}
	return cmd
}

func configExampleCommand(env cli.Env) *cobra.Command {
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
