// Command demo runs all of Latchkey on this machine: a broker, two simulated
// cPanel servers and a sample customer portal.
package main

import (
	"os"

	brokerapp "github.com/latchkey-sso/latchkey/cmd/broker/app"
	"github.com/latchkey-sso/latchkey/cmd/demo/app"
)

func main() {
	os.Exit(app.Main(os.Args[1:], brokerapp.System()))
}
