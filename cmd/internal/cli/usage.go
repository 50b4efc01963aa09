package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// explainUsage makes wrong arguments and missing flags bad usage, for every command,
// and says in our words what the command wants.
func explainUsage(cmd *cobra.Command) {
	check := cmd.Args
	if check == nil {
		check = cobra.NoArgs
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		var problems []string
		if check(cmd, args) != nil {
			problems = append(problems, argumentProblem(cmd, args, check(cmd, nil) == nil))
		}
		if missing := missingFlags(cmd); len(missing) > 0 {
			problems = append(problems, "missing: "+strings.Join(missing, ", "))
		}
		if len(problems) > 0 {
			return withUsage(cmd, strings.Join(problems, "; "))
		}
		return nil
	}
	for _, sub := range cmd.Commands() {
		explainUsage(sub)
	}
}

func withUsage(cmd *cobra.Command, problem string) error {
	usage := cmd.UseLine()
	if cmd.HasAvailableSubCommands() {
		usage = cmd.CommandPath() + " COMMAND"
	}
	return Usagef("%s\nUsage: %s\nSee `%s --help`.", problem, usage, cmd.CommandPath())
}

func argumentProblem(cmd *cobra.Command, args []string, maybeNone bool) string {
	switch {
	case len(args) == 0:
		return fmt.Sprintf("`%s` wants an argument", cmd.CommandPath())
	case cmd.HasAvailableSubCommands():
		var names []string
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() {
				names = append(names, sub.Name())
			}
		}
		return fmt.Sprintf("unknown command %q; there are: %s", args[0], strings.Join(names, ", "))
	case maybeNone:
		return fmt.Sprintf("`%s` takes no arguments, and got %s", cmd.CommandPath(), quoted(args))
	}
	return fmt.Sprintf("`%s` does not take these arguments: %s", cmd.CommandPath(), quoted(args))
}

func quoted(args []string) string {
	var all []string
	for _, a := range args {
		all = append(all, fmt.Sprintf("%q", a))
	}
	return strings.Join(all, " ")
}

// missingFlags are those that were marked as required and not given.
func missingFlags(cmd *cobra.Command) []string {
	var missing []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if len(f.Annotations[cobra.BashCompOneRequiredFlag]) > 0 && !f.Changed {
			missing = append(missing, "--"+f.Name)
		}
	})
	return missing
}

// flagProblem words what parsing the flags has found; causes in the words of
// package strconv help nobody.
func flagProblem(err error) string {
	if valueless, is := errors.AsType[*pflag.ValueRequiredError](err); is {
		return fmt.Sprintf("--%s wants a value", valueless.GetFlag().Name)
	}
	wrong, is := errors.AsType[*pflag.InvalidValueError](err)
	if !is {
		return err.Error()
	}
	wants := wrong.Unwrap().Error()
	switch wrong.GetFlag().Value.Type() {
	case "int", "int64":
		wants = "give a whole number"
	case "float64":
		wants = "give a number"
	case "bool":
		wants = "give true or false, or the flag alone"
	}
	return fmt.Sprintf("--%s %q: %s", wrong.GetFlag().Name, wrong.GetValue(), wants)
}
