// Package cpanelfake is a simulated cPanel server: the party that shows a
// customer a tile, and asks a broker where the browser shall go when the tile is
// clicked. It stands beside the contract that it imitates and knows nothing of
// the broker's own code, so that what passes against it passes over the wire.
//
// # The story of a click
//
// A [State] keeps what one server keeps: its accounts, and for each account the
// groups and links that somebody registered there. Whoever plays WHM writes into
// it (a test, a demo, a simulated WHM API); the rules of create_integration_link
// are checked on the way in, so a link that this State accepts is one that a
// server would have accepted.
//
// A customer opens /bob/ on the [Server]'s handler. The page draws the links of
// the account as tiles, group by group, and leaves hidden ones out. A tile is a
// plain link to /bob/go/latchkey_billing.
//
// Following it is a [Server.Click]. The server reads the link, takes the link
// token as it is stored at that moment, and posts it to the autologin_token_url.
// What it puts into the body beside the token differs between versions of
// cPanel: that is the [Variant]. Then it judges the answer:
//
//   - a 2xx whose body is a JSON object with a redirect_url: the browser goes
//     there, and the customer is signed on;
//   - a 2xx whose body is a JSON object with retry: the server waits that many
//     seconds, 60 at most, reads its link token afresh and asks again, three
//     times in all. The fresh reading is what lets a broker have a token rotated
//     between two attempts;
//   - anything else (another status, a redirect, HTML, silence, a third retry):
//     the browser goes to the link's own url, at once. A link without one ends on
//     an error page.
//
// The handler turns the [Outcome] into a 303 or into a page that says there is
// nowhere to go. Each step is told to Config.Trace as a [Hop], which carries
// neither the link token nor the query of a one-time URL.
//
// # What it leaves out
//
// Nobody logs in: whoever can reach the handler can click for every account, so
// it belongs on a developer's machine or in a test. It has no WHM API of its own,
// and it checks no more than is documented; where cPanel's behaviour is not
// documented it takes the plainest reading (an answer is JSON when its body is,
// whatever its Content-Type says, and Hop.ContentType shows what was said).
package cpanelfake
