// Package cli is what the commands share: the world around a command, exit codes,
// the configuration file, questions, the log. It does not know what a command is
// for.
package cli

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

// UsageError is bad usage or configuration: exit code 2.
type UsageError struct{ err error }

func (e *UsageError) Error() string { return e.err.Error() }
func (e *UsageError) Unwrap() error { return e.err }

// Usagef is fmt.Errorf for a UsageError.
func Usagef(format string, args ...any) error { return &UsageError{fmt.Errorf(format, args...)} }

// InterruptedError is a stop before the work was done: exit code 3. State says
// what was done and how to go on.
type InterruptedError struct{ State string }

func (e *InterruptedError) Error() string { return "interrupted; " + e.State }

// ErrSaid ends a command with exit code 1 whose output has said why.
var ErrSaid = errors.New("")

// Main runs a command and returns its exit code.
func Main(root *cobra.Command, args []string, env Env) int {
	root.Version = version()
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetIn(env.In)
	root.SetOut(env.Out)
	root.SetErr(env.Err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if args := cmd.Flags().Args(); cmd.HasAvailableSubCommands() && len(args) > 0 {
			return withUsage(cmd, argumentProblem(cmd, args, false)) // the flag may be right for another
		}
		return withUsage(cmd, flagProblem(err))
	})
	root.InitDefaultCompletionCmd()
	explainUsage(root)
	root.SetArgs(args)
	err := root.ExecuteContext(env.Signals)
	if err == nil {
		return ExitDone
	}
	if text := err.Error(); text != "" {
		fmt.Fprintf(env.Err, "%s: %s\n", root.Name(), text)
	}
	if _, usage := errors.AsType[*UsageError](err); usage {
		return ExitUsage
	}
	if _, interrupted := errors.AsType[*InterruptedError](err); interrupted || errors.Is(err, context.Canceled) && env.Signals.Err() != nil {
		return ExitInterrupted
	}
	return ExitFailed
}

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(unknown)"
	}
	return info.Main.Version
}
