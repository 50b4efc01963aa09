package app

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
)

// Env is the world around the command.
type Env struct {
	cli.Env
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Wait makes every pause: it returns after a while, or earlier with an error when
	// the context ends. nil means a real timer.
	Wait func(context.Context, time.Duration) error
}

// Main runs the command and returns its exit code.
func Main(args []string, env Env) int {
	if env.Now == nil {
		env.Now = time.Now
	}
	if env.Wait == nil {
		env.Wait = wait
	}
	return cli.Main(newRoot(env), args, env.Env)
}

func newRoot(env Env) *cobra.Command {
	root := &cobra.Command{
		Use:   "provisioner",
		Short: "Keep links on many WHM servers as the catalogue wants them",
		Long: `provisioner registers links in the cPanel interfaces of many servers and keeps them
right: it compares what the catalogue and the subscribers ask for with what the
servers have, and changes the difference. It can be stopped at any instant; the
same command, run again, goes on. Links and groups of other makers are reported
and never touched.

It reads the same configuration file as the broker. Flags override the environment
(LATCHKEY_...), the environment overrides the file.

Exit codes: 0 done, 1 some items failed (each is named), 2 bad usage or
configuration, 3 interrupted (run again to go on).`,
		Example: `  provisioner servers check -c latchkey.yaml
  provisioner plan -c latchkey.yaml
  provisioner apply -c latchkey.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.AddCommand(
		serversCommand(env), planCommand(env), applyCommand(env), removeCommand(env), rotateCommand(env),
		verifyCommand(env), logCommand(env), catalogueCommand(env), runCommand(env),
	)
	return root
}

// wait waits for real.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// holder names this process to those who wait for it. Processes of containers may
// have one name and number, hence the random part.
func holder(command string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "an unnamed host"
	}
	return fmt.Sprintf("provisioner %s on %s (process %d, %s)", command, host, os.Getpid(), rand.Text()[:6])
}
