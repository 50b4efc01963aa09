// Package portal is a sample customer portal: the place where a hosting
// company's customers pay invoices and write tickets, and where a click inside
// cPanel brings them, signed in. It is written for developers who want to teach
// their own portal the same, and it imports nothing of the broker: all that it
// knows about it are three URLs and a client secret.
//
// # What happens
//
// A customer clicks "Billing" inside cPanel. The cPanel server asks the broker
// for a one-time URL, the browser follows it, and the broker hands the customer
// over to the portal in one of two ways.
//
// Form post (the default). The broker answers with a page whose form submits
// itself to POST /sso/latchkey with two fields: assertion, a signed JWT, and
// target_link_uri, the page that the customer asked for. See signin.go.
//
// Exchange. The browser is sent to GET /sso/exchange?one_time_token=... and the
// portal's back end calls the broker with its client id and secret. It gets the
// same claims as JSON, and the same signed assertion along with them. See
// exchange.go. Nothing but the one-time token passes through the browser, at the
// price of a call between two servers during each sign-in.
//
// Both end in Portal.signIn: check, make a new session, answer 303 to the page.
//
// # Checking an assertion
//
// An assertion is a password that works once. Everything that assertion.go checks
// is there because leaving it out has broken somebody's single sign-on before:
//
//   - size first, then exactly one of each field: two parsers that disagree about
//     which of two fields counts are an old trick. The same goes for JSON: doubled
//     members, names in another case, and bytes that are not UTF-8 (strict.go);
//   - the header: typ is latchkey+jwt, so that no other JWT signed by the same
//     keys (an ID token, say) passes; alg is one of EdDSA, ES256, RS256, a list of
//     ours and not of the sender; kid names a key that the broker publishes; and
//     the key is of the kind that alg needs, so that a public key is never taken
//     for an HMAC secret;
//   - iss is the broker and aud is this portal, this portal alone;
//   - exp, nbf and iat are there and fit the clock, 10 seconds of difference
//     allowed, and the whole life is short;
//   - sub (the customer), auth_time and jti are there;
//   - target_link_uri leads to this portal's own origin and is the same in the
//     form and in the claims: otherwise the portal would be an open redirect;
//   - jti was not seen before. This comes last, in one step that exactly one of
//     any number of simultaneous requests passes. It is remembered until exp plus
//     the leeway; after that the clock refuses the assertion. This sample
//     remembers in memory: a portal of several processes needs a place that they
//     share, such as a UNIQUE column or Redis SET with NX.
//
// Several hundred assertions that break these rules, one each, come with the portal
// kit (deploy/portal-kit): try your own verifier on them.
//
// The keys come from the broker's JWKS and change without notice. keys.go fetches
// them when first needed, again when an unknown kid turns up (at a limited rate:
// a kid costs an attacker nothing), and again when they are old.
//
// # What frameworks get in the way of
//
// The POST is cross-site. The broker's page has the referrer policy no-referrer,
// so it arrives with "Origin: null" and without a Referer, and SameSite=Lax
// cookies do not come along. Hence:
//
//   - Exempt /sso/latchkey from your framework's CSRF check. No check that
//     compares a cookie with a form field can pass here, and none is needed: the
//     assertion itself, signed, addressed to you and good for once, is what
//     protects this endpoint. Exempt this one path and nothing else.
//   - Do not count on the visitor's former session in that request. It looks as
//     if there was none, and the cookie that you set replaces it.
//   - Whether there was a session or not, make a new one with a new id. A session
//     id that someone planted in the browser beforehand must not become a
//     signed-in one (session fixation). And the customer of the assertion counts,
//     not the one before: hosting resellers go from one customer to the next in
//     the same browser all day.
//   - Answer with 303. The browser then asks for the page with GET, and reloading
//     that page does not post the assertion again.
//   - Show on every page who is signed in. Somebody may lure a visitor into the
//     lurer's own account; nothing in a sign-in that starts elsewhere can tell
//     that, but a visible name can.
//
// # What a sign-in proves
//
// Access to the control panel, not who clicked: amr and acr say so. That is
// plenty for reading invoices. Before money moves or an address changes, ask for
// a password or a second factor, as the page /billing/methods says it would.
//
// # When it does not work
//
// The visitor gets a page in plain words with a way on, the portal's own login
// page. Why exactly is for the operator alone: Config.Refused. Status 403 means
// that the sign-in was refused, 502 that portal and broker do not fit together,
// 503 that trying again in a moment may help.
package portal
