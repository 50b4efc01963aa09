// Package app wires the demo: the broker as it runs in production, over the
// embedded store, with simulated cPanel servers on one side and a sample
// customer portal on the other. The end-to-end tests run on it.
//
// Nothing of the demo touches another machine or outlives the process; its
// signing key lies in a temporary directory until then.
package app
