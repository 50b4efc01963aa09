// Package app assembles the broker: it reads the configuration, wires the
// domain to Redis and HTTP, and runs them until it is told to stop. The demo
// and the end-to-end tests run the same assembly.
//
// A start that finds a problem in the configuration or in the signing keys
// refuses, naming it. A Redis that is not there yet is no such problem: the
// broker starts, is not ready, and answers servers "retry".
//
// A stop is announced first: readiness goes off, a load balancer has a moment
// to notice, and only then the listeners close and running requests end.
package app
