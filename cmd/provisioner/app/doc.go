// Package app assembles the provisioner out of the configuration: WHM clients,
// the store and a source of subscribers around package reconcile, and its
// commands. What is to be done on a server is decided in package reconcile;
// here it is asked for, watched and told.
//
// Results go to standard output, everything on the way (bars, lines, questions,
// warnings) to standard error, so that output can be piped.
package app
