// Package hooks is where WHM servers report what happened to an account.
//
// WHM calls a script when an account was created, changed, suspended, removed or
// restored (standardized hooks). That script, deploy/whm-hooks/latchkey-hook,
// posts the server's id, the event and the account's name to /hooks/whm, on a
// listener that is not for browsers. The handler proves that the server is the
// one it says, turns the event into a reconcile.Request or two, and puts them
// into the queue, where the worker that holds the server's lease finds them. The
// server learns only whether they were queued: 202 means "we will look", not
// "it is done".
//
// A report is a hint and never a fact. Nothing is believed but that the account
// is worth a look. The timer finds most of what a lost report was about, but not the
// older link tokens of a restored backup.
// So the script never asks twice, and a server that has been taken over can make
// us look at its own accounts, or rotate their link tokens, and nothing else.
//
// What a newcomer may question:
//
//   - The secret is judged before the body is read, against the secrets of all
//     servers: whoever has none makes us parse nothing, and the work is the same
//     whichever server they name.
//   - Only four members of the body are ever looked at. The script sends
//     little more, but WHM's own event holds the account's password in clear,
//     and somebody will sooner or later post that as it is. So unknown
//     members are neither refused nor logged nor kept, and an answer never
//     repeats a value.
//   - A restored account is also rotated: its backup brought older link tokens
//     back, which the broker has long replaced.
package hooks
