// Command loadgen clicks links at a fixed rate, to find out what brokers carry.
package main

import (
	"os"

	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
	"github.com/latchkey-sso/latchkey/cmd/loadgen/app"
)

func main() {
	os.Exit(app.Main(os.Args[1:], cli.System()))
}
