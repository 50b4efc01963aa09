//go:build unix

package storetest

import "syscall"

// Hang stops the server without ending it: it takes connections and commands, and
// answers nothing until Resume.
func (r *RedisServer) Hang() { r.signal(syscall.SIGSTOP) }

// Resume lets a hung server go on. It then does what it was sent meanwhile.
func (r *RedisServer) Resume() { r.signal(syscall.SIGCONT) }

func (r *RedisServer) signal(s syscall.Signal) {
	r.t.Helper()
	if err := r.cmd.Process.Signal(s); err != nil {
		r.t.Fatalf("send signal %v to redis-server: %v", s, err)
	}
}
