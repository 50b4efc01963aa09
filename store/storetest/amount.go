package storetest

import (
	"os"
	"strconv"
	"testing"
)

// Amount is how much a test does: short as a rule, long with the build tag `long`, or
// what an environment variable says.
func Amount(t testing.TB, variable string, short, long int) int {
	t.Helper()
	text := os.Getenv(variable)
	switch {
	case text == "" && Long:
		return long
	case text == "":
		return short
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q: want a number from 1", variable, text)
	}
	return n
}
