//go:build unix

package storetest

import (
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// dropRoot returns what makes a command run as the first of users that exists,
// and gives dir to that user. Tests that do not run as root change nothing.
func dropRoot(t testing.TB, dir string, users ...string) func(*exec.Cmd) {
	t.Helper()
	if os.Getuid() != 0 {
		return func(*exec.Cmd) {}
	}
	for _, name := range append(users, "nobody") {
		found, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(found.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(found.Gid, 10, 32)
		if uidErr != nil || gidErr != nil {
			continue
		}
		if err := os.Chown(dir, int(uid), int(gid)); err != nil {
			t.Fatalf("give the directory of a server to %s: %v", name, err)
		}
		credential := &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		return func(cmd *exec.Cmd) {
			if cmd.SysProcAttr == nil {
				cmd.SysProcAttr = new(syscall.SysProcAttr)
			}
			cmd.SysProcAttr.Credential = credential
		}
	}
	t.Fatalf("there is no user to run the server as: it refuses to run as root, and none of %v and nobody exists", users)
	return nil
}

// enterable returns a directory for temporary files that every user can enter.
func enterable(t testing.TB) string {
	t.Helper()
	if os.Getuid() != 0 {
		return os.TempDir()
	}
	for _, dir := range []string{os.TempDir(), "/tmp", "/var/tmp"} {
		if openToAll(dir) {
			return dir
		}
	}
	t.Fatal("neither TMPDIR nor /tmp nor /var/tmp can be entered by other users than root")
	return ""
}

func openToAll(dir string) bool {
	for ; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil || !info.IsDir() || info.Mode()&0o001 == 0 {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
	}
}
