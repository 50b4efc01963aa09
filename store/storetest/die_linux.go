package storetest

import (
	"os/exec"
	"syscall"
)

// DieWithTest makes a process end with the test binary, even when that is killed.
// (Linux sends the signal when the thread ends that started the process; the
// threads of a test binary live as long as it does.)
func DieWithTest(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
