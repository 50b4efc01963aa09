package app

import (
	"github.com/spf13/cobra"

	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
)

// Main runs the command and returns its exit code.
func Main(args []string, env cli.Env) int { return cli.Main(newRoot(env), args, env) }

func newRoot(env cli.Env) *cobra.Command {
	root := &cobra.Command{
		Use:   "broker",
		Short: "One-click sign-in from cPanel to your customer portal",
		Long: `broker answers cPanel servers, browsers and customer portals, and manages single
links, controls, signing keys and the configuration by hand.

It reads one configuration file. Flags override the environment (LATCHKEY_...),
the environment overrides the file.

Exit codes: 0 done, 1 failed, 2 bad usage or configuration, 3 interrupted.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.AddCommand(serveCommand(env), configCommand(env), keysCommand(env), linksCommand(env), controlsCommand(env))
	return root
}
