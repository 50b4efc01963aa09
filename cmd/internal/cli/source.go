package cli

import (
	"bufio"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/latchkey-sso/latchkey/cmd/internal/config"
)

// Source is where a command's configuration comes from.
type Source struct {
	// Path is the file's.
	Path string
	// Cmd is the command that reads it.
	Cmd *cobra.Command

	env Env
}

// Configured gives a command -c and a flag for each key. The many flags are
// hidden unless they are what the command is about.
func Configured(env Env, cmd *cobra.Command, showFlags bool) *Source {
	s := &Source{env: env, Cmd: cmd}
	config.RegisterFlags(cmd.Flags())
	if !showFlags {
		HideFlags(cmd)
	}
	cmd.Flags().StringVarP(&s.Path, "config", "c", "latchkey.yaml", "configuration file")
	return s
}

// Load reads the configuration for a role and prints its warnings. Errors are all
// listed in one usage error.
func (s *Source) Load(role config.Role) (*config.Config, error) {
	cfg, warnings, err := s.Read(role)
	for _, w := range warnings {
		fmt.Fprintln(s.env.Err, w)
	}
	return cfg, err
}

// Read reads the configuration for a role and returns its warnings.
func (s *Source) Read(role config.Role) (*config.Config, []config.Problem, error) {
	cfg, report := config.Load(config.LoadOptions{
		Path: s.Path, Role: role, Environ: s.env.Environ, Flags: s.Cmd.Flags(),
	})
	if err := report.Err(); err != nil {
		return nil, report.Warnings(), Usagef("%w", err)
	}
	return cfg, report.Warnings(), nil
}

// Complete offers names of the configuration for a flag to shells. Where the file
// cannot be read or has problems it offers none: a shell is no place to tell so.
func (s *Source) Complete(flag string, names func(*config.Config) []string) {
	_ = s.Cmd.RegisterFlagCompletionFunc(flag, func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return s.Offer(names)
	}) // fails for unknown flags only
}

// Offer is Complete for arguments.
func (s *Source) Offer(names func(*config.Config) []string) ([]cobra.Completion, cobra.ShellCompDirective) {
	cfg, _, err := s.Read(0) // for no role: no secret is read
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return names(cfg), cobra.ShellCompDirectiveNoFileComp
}

// OutputFlag gives a command -o text|json.
func OutputFlag(cmd *cobra.Command) func() (asJSON bool, err error) {
	format := cmd.Flags().StringP("output", "o", "text", "text or json")
	return func() (bool, error) {
		switch *format {
		case "text":
			return false, nil
		case "json":
			return true, nil
		}
		return false, Usagef("-o %q: use text or json", *format)
	}
}

// HideFlags keeps the flags that a command has so far out of its help.
func HideFlags(cmd *cobra.Command) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) { f.Hidden = true })
}

// Confirmed asks a question on the terminal; only y and yes confirm. It does not
// wait for an answer when the command is to stop.
func Confirmed(env Env, question string) bool {
	fmt.Fprintf(env.Err, "%s [y/N] ", question)
	answered := make(chan string, 1)
	go func() {
		answer, _ := bufio.NewReader(env.In).ReadString('\n')
		answered <- strings.ToLower(strings.TrimSpace(answer))
	}()
	select {
	case answer := <-answered:
		return answer == "y" || answer == "yes"
	case <-env.Signals.Done():
		return false
	}
}
