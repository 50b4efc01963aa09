// Package reconcile brings the links on WHM servers to what the catalogue and the
// subscribers want, and can be stopped at any instant.
//
// It owns the plan, the order of its steps, and the decision what to ask again and
// what to give up. It knows neither HTTP nor Redis: [Host] is one server's WHM,
// [Records], [Leases], [Requests] and [Journal] are the store, [Subscriptions] is
// where the subscribers come from.
//
// # The story of a run
//
// [Reconciler.Run] works on all servers of an [Order] side by side; none waits for
// another. For each it takes the lease, asks whether WHM has integration links at
// all, and lists the accounts. Several workers then go through them in portions:
//
//   - load what the store knows of the accounts (a [Record] each),
//   - look at the server: which links the account has, before a group is written for
//     the first time which groups, and of links that are to be touched the stored
//     fields,
//   - plan: wanted (the catalogue and the account's subscriber) against what was
//     seen. A [Plan] is data; a dry run prints the same plans that a run carries out,
//   - apply the plans, the commands of several accounts in one request.
//
// Links that are as wanted cost one question for the account and no write: the store
// keeps a fingerprint of what was last written. Only Policy.Deep compares field by
// field.
//
// # Three steps, and why no token is lost
//
// A link token is written in this order:
//
//  1. prepared in the store: it is accepted beside the former one,
//  2. written on the server by WHM,
//  3. promoted in the store: now it is the only one.
//
// Whoever is killed in between leaves a server with the former or the new token, and
// both are accepted. The next run finds the token pending, writes another one and
// promotes that. A prepared token is taken back only when its command has surely not
// been executed: once an answer was lost, it stays, whatever is answered when the
// same command is sent again. Removing goes the other way, from the server first and
// then from the store.
//
// A store that fails over may forget what was just prepared. So promoting says again
// all that preparing did, and what WHM has confirmed is accepted, but for an account
// that the store now gives to another subscriber or to none: that link has failed,
// and is marked so that the next run writes it anew ([ErrLost]).
//
// Another subscriber is the exception: the account's former tokens stop working in
// the very step that prepares the new ones, because they would sign in the wrong
// person. Clicks are asked to come again meanwhile.
//
// # Whose links are ours
//
// A link is ours when its autologin_token_url leads to our brokers, or when it is
// field by field what the store says that we wrote: the brokers may have another
// address now. The name alone is no proof: a link with our prefix that leads
// elsewhere is reported and not touched, and where it has the name of a wanted one,
// that counts as a failure. So a link that is on a server already is looked at before
// it is changed or removed, unless Policy.TrustStore says otherwise. Of links that
// neither the store nor the catalogue knows, 200 an account are looked at and the
// others counted: a server that was taken over may name any number. A link whose URL
// names another account than the one that it stands in tells that the account was
// copied or has moved.
//
// WHM does not tell who made a group, nor its label. So the store is told that we are
// about to make one before WHM is. One that is there before that is somebody else's: our links are shown in it, the
// store remembers it with a zero fingerprint, and it is never written or removed.
// That links of ours stand in it is no proof: accounts are copied, and people move
// links. So the groups of copied accounts, and all of them after the store was lost,
// keep the label that they have. Whoever removes such a group on the server, and runs
// `provisioner verify --repair`, has it managed again.
//
// # Accounts that are gone
//
// An account that is not listed any more is forgotten last, and only by a run that
// has looked at every server and has left nothing undone: it may have moved, and its
// links, which came along, work by the former account's records until they are
// written anew. The server is asked once more for each; only one of which WHM says
// in words that it does not exist loses its links. When most accounts of a server
// seem to be gone at once, the API token has lost its rights more likely than the
// server its customers.
//
// An account may also have come back, or been restored from a copy, over one whose
// record still matches: nobody would look at its links, which work by the records
// that are to be forgotten. So accounts of the same name that other servers have
// records of are looked at in detail first. A copy that was restored over an account
// of another name is not found so: its clicks end at the portal's own login once the
// original is forgotten, until `provisioner verify --repair` or a hook looks at it.
//
// # Leases and fences
//
// One process at a time works on a server. Its lease is renewed while work lasts, and
// work ends before a lease that cannot be renewed does. That is no proof: a process
// may sleep through the end of its lease. So each lease has a [Fence], and the store
// refuses an account's changes from a worker when a later one has written there. All
// that one process does on a server shares its lease (a seat), and writes to an
// account one request after the other.
//
// # Requests
//
// Brokers ask for rotations, hooks for single accounts. Whoever has the lease of the
// server does them, a long run included, within a third of a second plus the work:
// [Reconciler.Serve] also takes servers on which nobody works. Each server and kind of
// request has a queue of its own (a [Lane]), and is done in batches: what one server
// reports, however much, is in no other's way, and in no click's on that server. A
// click waits for a rotation, so that does not read the subscribers. A new account may
// be known to the server before the portal knows it: it comes again a few times, and
// is then left to
// the next whole run.
//
// # Lists of customers
//
// To read one may take minutes, and an account may change hands meanwhile. Nobody
// writes by a list who knows of a later one: what a seat has written, it remembers
// with the time at which the list was begun ([Reading]); and a run that gets a lease
// reads the list again when anybody has worked on the server since it was read, which
// the fences tell without a clock. What is overtaken so is not done: a request comes
// again, and nothing is forgotten by that run.
//
// # What a newcomer may question
//
//   - Every change of a link replaces its token, too. create_integration_link
//     replaces the whole link and wants a token; the one that stands there is known
//     to the server alone, the store has its digest.
//   - update_integration_link_token is sent only for links that were seen, or that
//     the store is trusted about: it may succeed for a link that is not there.
//   - Failures are asked again here and not in the client (after 1, 3 and 9 seconds,
//     only what failed): the client cannot know what a run has left to lose.
//   - The time that a stopped run still gets (15 s) is for requests on their way. It
//     begins nothing new, and what the server has done is written down.
//   - An account that has no subscriber any more keeps its links: a list that lost
//     its rows would else take every customer's links away. Whoever wants them gone
//     removes the account, or the links.
//   - After broker.public_url was changed to another host, links of ours that somebody
//     has edited by hand, and those of copied accounts, lead to a stranger as far as
//     anybody can tell. They are reported and have to be removed by hand.
//   - The store remembers one group of an account. Where the wanted group gets the
//     name of somebody else's and a run is killed just then, the former group of ours
//     may stay behind, empty.
package reconcile
