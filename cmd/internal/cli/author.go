package cli

import (
	"os"
	"os/user"
)

// Author names whoever runs the command: user@host.
func Author() string {
	who, host := "unknown", "unknown"
	if u, err := user.Current(); err == nil {
		who = u.Username
	}
	if h, err := os.Hostname(); err == nil {
		host = h
	}
	return who + "@" + host
}
