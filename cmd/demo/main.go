// Command demo runs all of Latchkey on this machine: a broker, two simulated
// cPanel servers and a sample customer portal.
package main

import (
	"os"

	"github.com/latchkey-sso/latchkey/cmd/demo/app"
	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
)

func main() {
	os.Exit(app.Main(os.Args[1:], cli.System()))
}
