//go:build !unix

package storetest

import (
	"os"
	"os/exec"
	"testing"
)

func dropRoot(testing.TB, string, ...string) func(*exec.Cmd) { return func(*exec.Cmd) {} }

func enterable(testing.TB) string { return os.TempDir() }
