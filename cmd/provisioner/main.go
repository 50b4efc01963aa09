// Command provisioner puts links into the cPanel interfaces of many servers, and
// keeps them as the catalogue and the subscribers want them.
package main

import (
	"os"

	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
	"github.com/latchkey-sso/latchkey/cmd/provisioner/app"
)

func main() {
	os.Exit(app.Main(os.Args[1:], app.Env{Env: cli.System()}))
}
