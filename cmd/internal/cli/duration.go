package cli

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// DurationFlag gives a command a flag for a time: what time.ParseDuration takes, and
// before it days, of 24 hours each: 2d, 1d12h.
func DurationFlag(cmd *cobra.Command, name string, value time.Duration, usage string) *time.Duration {
	d := duration(value)
	cmd.Flags().Var(&d, name, usage)
	return (*time.Duration)(&d)
}

type duration time.Duration

func (d *duration) String() string { return time.Duration(*d).String() }
func (d *duration) Type() string   { return "duration" }

var errDuration = errors.New("write a time like 90s, 30m, 24h, 2d or 1d12h")

func (d *duration) Set(text string) error {
	var whole, part time.Duration
	number, rest, days := strings.Cut(text, "d")
	if days {
		n, err := strconv.ParseUint(number, 10, 16) // 179 years: no overflow
		if err != nil {
			return errDuration
		}
		whole, text = time.Duration(n)*24*time.Hour, rest
	}
	if !days || text != "" {
		var err error
		if part, err = time.ParseDuration(text); err != nil || days && (part < 0 || part >= 24*time.Hour) {
			return errDuration
		}
	}
	*d = duration(whole + part)
	return nil
}
