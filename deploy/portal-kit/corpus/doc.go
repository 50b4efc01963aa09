// Package corpus is a list of signed assertions, good and bad, on which a portal's
// verifier is tried: assertions.json. The README one folder up says how, for portals
// in any language; for those in Go, and for the tests of this repository, [Read]
// reads the list.
//
// # How it is made
//
// The tests of this package make the file from the keys in testdata and hold it to
// what is committed; go test -update writes it anew. All signatures are
// deterministic, so a case that was not touched does not change. The keys are
// published with the source: they sign nothing but this corpus.
//
// Each case breaks one rule and is right in all others, its signature included where
// that is possible at all: a verifier that lacks this one check accepts it. That is
// tried too: the tests have a verifier of their own with a switch for every check,
// and switching any of them off must be noticed by some case. The group burden is the
// exception: what it shows is that a verifier refuses, and does not break.
//
// # What belongs into it
//
// What can be decided from issuer, audience, origin, keys and time alone. A case that
// is to be accepted is one that the standards and Latchkey leave no choice about;
// leniency that is a matter of taste is not in here.
package corpus
