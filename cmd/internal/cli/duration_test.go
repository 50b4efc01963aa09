package cli_test

import (
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
)

func TestDurationFlag(t *testing.T) {
	const day = 24 * time.Hour
	tests := []struct {
		text string
		want time.Duration // 0: refused
	}{
		{"90s", 90 * time.Second},
		{"1h30m", 90 * time.Minute},
		{"2d", 2 * day},
		{"1d12h", 36 * time.Hour},
		{"366d", 366 * day},
		{"65535d23h59m", 65535*day + 23*time.Hour + 59*time.Minute},
		{"65536d", 0},
		{"1d24h", 0},
		{"1d-1h", 0},
		{"-1d", 0},
		{"d", 0},
		{"1.5d", 0},
		{"2 d", 0},
		{"2dd", 0},
		{"2w", 0},
		{"", 0},
	}
	for _, tt := range tests {
		cmd := &cobra.Command{}
		got := cli.DurationFlag(cmd, "for", 0, "")
		if err := cmd.Flags().Set("for", tt.text); (err == nil) != (tt.want != 0) || *got != tt.want {
			t.Errorf("%q: got %v, %v, want %v", tt.text, *got, err, tt.want)
		}
	}
}
