// Package whm asks one WHM server to do things, over its JSON API (WHM API 1). It
// implements the port [reconcile.Host] and says of every failure what the
// reconciler must know to go on: whether the rest of the server is worth trying,
// whether the same request may succeed later, and whether the commands may have
// been executed although nobody said so.
//
// # The story of a request
//
// [Client.Run] is given commands. One is called directly; several become one call
// of the function batch, each encoded as its own query and then once more as a
// value of the form. Everything is posted: the link tokens in it stay out of
// access logs that way. The Authorization header carries the API token.
//
// The request waits for its turn (RequestsPerSecond, MaxConnections) and only then
// gets its deadline, which grows with the number of commands. It is sent once. It
// is not repeated here, whatever happens, redirects are not followed, and no proxy
// is taken from the environment.
//
// The answer is read leniently, because versions of WHM differ, with one
// exception: metadata.result must be 1. Of a batch every position is judged by
// itself; what is missing at the end was not run.
//
// # What failures mean
//
//	cannot be reached (refused, no such name, no route)   server  again
//	time-out, reset or end after sending                  item    again  maybe
//	TLS: unknown authority, expired, wrong name or pin    server
//	403, 401, 404, other 4xx, redirects                   server
//	408, 429                                              server  again
//	502, 503, 504                                         server  again  maybe
//	other 5xx, HTML, half or no JSON                      item    again  maybe
//	a function that is not there                          server
//	result 0                                              item, and missing when the reason says
//	                                                      that there is no such account
//	result 0 of a whole batch                             item, as an error of Run
//	position missing at the end of a batch                item    again
//	position that cannot be read                          item    again  maybe
//
// "Maybe" holds for requests with a command that writes; reading twice does no
// harm. 500 is not about the server because WHM answers so when one function
// breaks down, while 502 to 504 come from what stands before WHM or from a WHM
// that is starting.
//
// # Trust
//
// A server proves itself by the system's certificate authorities, by an authority
// that the operator names, or by the SHA-256 of its certificate. There is no way
// to switch the check off. WHM installs a self-signed certificate when it is set
// up, which is what the pin is for: with a pin neither names nor dates count.
package whm
