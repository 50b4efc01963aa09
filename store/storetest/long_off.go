//go:build !long

package storetest

// Long says that the long forms of the tests were asked for, and with them the figures
// of a quiet machine.
const Long = false
