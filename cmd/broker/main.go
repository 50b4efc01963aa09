// Command broker answers cPanel servers, browsers and portals, and manages
// single links, signing keys and the configuration by hand.
package main

import (
	"os"

	"github.com/latchkey-sso/latchkey/cmd/broker/app"
	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
)

func main() {
	os.Exit(app.Main(os.Args[1:], cli.System()))
}
