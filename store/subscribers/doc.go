// Package subscribers reads who owns which account: from a file, from an SQL
// database or from an HTTP endpoint of the portal. Each source implements
// reconcile.Subscriptions. What the rows say is the reconciler's business: ids
// that are wrong, accounts that come twice and servers that nobody knows pass
// through here as they are, but for the spaces around them.
//
// # The story of a reading
//
// [File] opens the file and [HTTP] asks for the list with a bearer token; what
// they get is the same to the rest. Its first byte that is not blank decides the
// format: "{" begins JSON lines, "[" a JSON array, anything else the header of a
// CSV. (The Content-Type and the file's name do not count; both are wrong too
// often.) Rows are then handed on one by one as they arrive, and only the one at
// hand is kept, which may take 1 MiB.
//
// [SQL] opens one connection, begins a transaction that may only read, runs the
// operator's query and hands on its rows in the same way.
//
// # Half a list
//
// A list that lost its end looks like one with fewer customers. So the end of a
// list must be its real end, and whatever breaks off is an error:
// a connection that is lost, a JSON array without its "]", an HTTP answer that
// says in no way how long it is, a file that somebody writes to meanwhile. An
// error may come after many rows were handed on; the caller must not act on them
// then. A list that is empty or has nothing but a header is not an error here.
//
// # Secrets
//
// DSN and bearer token never stand in an error. Drivers put much into theirs, so
// an error here has its own sentence and the cause's words with the secrets
// taken out, and not the cause itself: only the context's errors can be found by
// errors.Is.
package subscribers
