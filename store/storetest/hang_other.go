//go:build !unix

package storetest

// Hang skips the test: only Unix can stop a process without ending it.
func (r *RedisServer) Hang() { r.t.Skip("NOT TESTED: a hung Redis (needs a Unix)") }

// Resume undoes Hang.
func (r *RedisServer) Resume() {}
