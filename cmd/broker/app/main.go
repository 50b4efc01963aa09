package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/latchkey-sso/latchkey/cmd/internal/config"
)

// Exit codes, the same for every command of Latchkey.
const (
	ExitDone        = 0
	ExitFailed      = 1
	ExitUsage       = 2
	ExitInterrupted = 3
)

// Env is the world around a command, so that tests can make their own.
type Env struct {
	In       io.Reader
	Out, Err io.Writer
	// Environ has the form of os.Environ.
	Environ []string
	// Signals is done when the command is to stop.
	Signals context.Context
}

// System is the world around a process: it stops at SIGINT and SIGTERM. A second
// signal ends the process at once.
func System() Env {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return Env{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Environ: os.Environ(), Signals: ctx}
}

// usageError is bad usage or configuration: exit code 2.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// interruptedError is a stop before the work was done: exit code 3.
type interruptedError struct{ state string }

func (e *interruptedError) Error() string { return "interrupted; " + e.state }

// Main runs the command and returns its exit code.
func Main(args []string, env Env) int {
	root := newRoot(env)
	root.SetArgs(args)
	err := root.ExecuteContext(env.Signals)
	if err == nil {
		return ExitDone
	}
	if text := err.Error(); text != "" {
		fmt.Fprintf(env.Err, "broker: %s\n", text)
	}
	if _, usage := errors.AsType[*usageError](err); usage {
		return ExitUsage
	}
	if _, interrupted := errors.AsType[*interruptedError](err); interrupted || errors.Is(err, context.Canceled) && env.Signals.Err() != nil {
		return ExitInterrupted
	}
	return ExitFailed
}

func newRoot(env Env) *cobra.Command {
	root := &cobra.Command{
		Use:   "broker",
		Short: "One-click sign-in from cPanel to your customer portal",
		Long: `broker answers cPanel servers, browsers and customer portals, and manages single
links, signing keys and the configuration by hand.

It reads one configuration file. Flags override the environment (LATCHKEY_...),
the environment overrides the file.

Exit codes: 0 done, 1 failed, 2 bad usage or configuration, 3 interrupted.`,
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(env.In)
	root.SetOut(env.Out)
	root.SetErr(env.Err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%w\nSee `%s --help`.", err, cmd.CommandPath())
	})
	root.AddCommand(serveCommand(env), configCommand(env), keysCommand(env), linksCommand(env))
	root.InitDefaultCompletionCmd()
	wrapArgs(root)
	return root
}

// wrapArgs makes wrong arguments and missing flags bad usage, for every command.
func wrapArgs(cmd *cobra.Command) {
	check := cmd.Args
	if check == nil {
		check = cobra.NoArgs
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if err := errors.Join(check(cmd, args), cmd.ValidateRequiredFlags()); err != nil {
			return usagef("%w\nSee `%s --help`.", err, cmd.CommandPath())
		}
		return nil
	}
	for _, sub := range cmd.Commands() {
		wrapArgs(sub)
	}
}

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(unknown)"
	}
	return info.Main.Version
}

// source is where a command's configuration comes from.
type source struct {
	env  Env
	path string
	cmd  *cobra.Command
}

// configured gives a command -c and a flag for each key. The many flags are
// hidden unless they are what the command is about.
func configured(env Env, cmd *cobra.Command, showFlags bool) *source {
	s := &source{env: env, cmd: cmd}
	config.RegisterFlags(cmd.Flags())
	if !showFlags {
		hideFlags(cmd)
	}
	cmd.Flags().StringVarP(&s.path, "config", "c", "latchkey.yaml", "configuration file")
	return s
}

// load reads the configuration for a role and prints its warnings. Errors are all
// listed in one usage error.
func (s *source) load(role config.Role) (*config.Config, error) {
	cfg, warnings, err := s.read(role)
	for _, w := range warnings {
		fmt.Fprintln(s.env.Err, w)
	}
	return cfg, err
}

func (s *source) read(role config.Role) (*config.Config, []config.Problem, error) {
	cfg, report := config.Load(config.LoadOptions{
		Path: s.path, Role: role, Environ: s.env.Environ, Flags: s.cmd.Flags(),
	})
	if err := report.Err(); err != nil {
		return nil, report.Warnings(), usagef("%w", err)
	}
	return cfg, report.Warnings(), nil
}
