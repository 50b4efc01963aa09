// Package whmfake is a simulated WHM: the party that a provisioner asks to create,
// change and remove the links of cPanel accounts. It stands beside the contract
// that it imitates and knows nothing of our own client, so that what passes
// against it passes over the wire.
//
// # The story of a request
//
// [New] makes a certificate authority and a certificate and serves HTTPS on a port
// of 127.0.0.1. CAPEM and Pin tell a client how to trust it.
//
// A client calls https://127.0.0.1:PORT/json-api/FUNCTION with a query, a form or a
// JSON object. The Authorization header is held against the user and the token of
// the Config; one that is wrong is a 403. The function is looked up among those
// that this server has and that the token may call, and works on a
// [cpanelfake.State]: the same that a simulated cPanel server clicks on, so a
// link that was created here stands on that server's page, and posts the token
// that was written here. What goes wrong in a function is still a 200: the
// envelope's metadata.result says so.
//
// The function batch holds many commands. They are executed one after the other,
// each has its own envelope, and the answer is the list of them.
//
// # What differs between versions
//
// Each thing that differs or is not documented is a switch of the [Variant], and
// [Variants] lists the combinations that a client should be tested with.
//
// # What goes wrong
//
// A [Rule] looks at each request and picks its [Fault]: an answer in the 5xx range,
// a connection that ends after everything was done, half an answer, a server that
// hangs. SetRefusal makes single commands fail. SetLatency makes all of it slow,
// once for a whole request. Down and Up take the server off the network and back
// to the same port. All of it can be changed while requests run.
//
// A server does not notice that a client has gone: whatever it was sent it
// executes, after the latency, too.
//
// # What happened
//
// Every executed command is in the [Server.Journal], and Config.Log gets a line for
// each request like a web server's access log, with the query of a GET and without
// the body of a POST. Neither has more than names: link tokens show up in the log
// only for a client that puts them into a URL.
//
// # What it leaves out
//
// It checks what is documented and no more; sentences of errors are made up, in the
// form of the real ones.
package whmfake
