package storetest

import (
	"flag"
	"runtime"
	"strconv"
)

// waiting is how many tests of a package run side by side on a core: most of them
// wait, for a server that hangs or comes back.
const waiting = 3

// Parallel lets more parallel tests run at once than there are cores, and in the long
// form, which asserts figures, one at a time, unless -parallel says how many. It is for
// TestMain, before m.Run.
func Parallel() {
	flag.Parse()
	asked := false
	flag.Visit(func(f *flag.Flag) { asked = asked || f.Name == "test.parallel" })
	if asked {
		return
	}
	n := waiting * runtime.GOMAXPROCS(0)
	if Long {
		n = 1
	}
	_ = flag.Set("test.parallel", strconv.Itoa(n)) // a number is no error
}
