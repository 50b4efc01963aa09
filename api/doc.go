// Package api is Latchkey's HTTP: what cPanel servers, browsers and portals call.
//
// A click comes in three requests. The cPanel server posts to /autologin and
// gets a one-time URL. The browser follows it to /login, where a page hands it
// over to the portal with a signed assertion; or it goes to the portal at once,
// whose back end calls /exchange. The portal finds the public keys at
// /.well-known/jwks.json.
//
// A handler binds, calls one method of package broker, and answers. Everything
// that holds for all routes stands in server.go: time-outs, body limits,
// addresses and request ids, security headers, the log. Every refusal is a
// broker.Reason; the table in errors.go is the only place that knows which
// status and which words belong to it.
//
// # What an address may
//
// Every request counts against the limit of its address before anything of it is
// read, but a click: all clicks of a server come from one address, and its tenants
// can send from there, too. A click counts when it was malformed, denied or over the
// limit of its account or server, and when its caller hung up. From an address that is
// over its limit failures are answered slow_down, and clicks whose link token is right
// get in through a few slots (broker.AutologinRequest.Doubted), for which they wait like
// for any other: told at once that those are taken, most clicks would be lost to a flood
// of eight connections. Against one of hundreds some are lost all the same: nobody knows
// a right token before the store was asked.
//
// # Who is the claimant
//
// A one-time token serves one claimant, who may repeat itself when a reply was
// lost. A browser becomes a known claimant by a __Host- cookie, which it gets
// with every page from which it will ask again: the page with the button and
// the page that says "try again". The page that hands over takes the cookie
// away: whoever received it has no reason to repeat, and whoever sits at that
// browser next finds the URL used, the back button included. A request that a trusted
// proxy has named is the same claimant too when the proxy sends it again, so that
// a balancer may repeat a request whose reply it lost. The name of a request is
// no secret (it stands on pages and in logs), so it is never taken from a cookie,
// and only from the proxy itself.
package api
