// Package broker is the domain of Latchkey: what a click is worth, and to whom.
//
// A cPanel server asks on behalf of an account's user (Autologin). It shows the
// link token that WHM keeps; if the store knows it for that link and
// subscriber, the server gets a one-time URL for the user's browser. The
// browser, or for the exchange the portal's back end, redeems the token inside
// it (Login, Exchange): once, by one claimant, within its lifetime. What comes
// out is a signed assertion which the portal trusts. Nothing that a request
// carries decides where the browser goes: the token remembers the app, the
// catalogue knows the destination.
//
// The package owns the rules, the words and the signing keys. It knows no HTTP,
// no Redis and no logger: it declares ports (SignOns, Audit) beside the code
// that calls them, and package store and the commands implement them.
//
// Four decisions that a newcomer may question:
//
//   - The link token is checked by the store, in the same atomic step that
//     keeps the one-time token. It is compared as a digest, so the comparison
//     tells nothing about the token, however long it takes.
//   - Whether a server, an address or an app may sign on at all is judged after
//     that check, and the check is made in any case. A caller without a valid
//     link token therefore sees one answer, after the same work.
//   - Accounts and servers are held to their limits after it, too: nobody else can
//     use them up. A click that is refused then has a one-time token that nobody
//     is told.
//   - "Not now" is an answer, not an error, for the first two attempts of a
//     click: cPanel asks again by itself, three times at most.
package broker
