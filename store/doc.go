// Package store keeps in Redis (standalone, behind Sentinel or in a Cluster) what
// brokers and provisioners share: accounts with their links, one-time tokens,
// controls, leases, requests, the journal of operations and the revisions of the
// catalogue.
// It implements the ports that packages broker and reconcile declare and knows
// nothing of HTTP.
//
// # Records
//
// A tag, worked out from the account, names the shard in braces; whatever
// belongs to an account is on one node.
//
//	latchkey:acct:{tag}web01/bob   hash    all of an account
//	latchkey:once:{tag}digest      string  a one-time token
//	latchkey:lease:{web01}         string  who works on a server
//	latchkey:fence:{web01}         string  the last fence that was given; never goes back
//	latchkey:requests:{web01}KIND  zset    accounts to be rotated, or reconciled, by time
//	latchkey:limit:account:...     string  how much of a limit is used up (redis_rate)
//	latchkey:{operations}          hash    operations by number, and the last number
//	latchkey:{operations}log:7     list    the log of an operation
//	latchkey:{operations}long      zset    operations whose logs are long and kept whole
//	latchkey:{operations}pulse:7   string  there while the operation goes on
//	latchkey:{catalogue}           hash    revisions by number, and the current number
//	latchkey:{catalogue}controls   hash    controls by target; beside it their version, and their ends
//	latchkey:{catalogue}daemon     string  there while a provisioner daemon is alive
//
// An account has a field per app with its confirmed link token, and up to three
// slots APP/1 to APP/3 with tokens that were prepared: they are accepted beside the
// confirmed one, because nobody knows yet which of them the server ended up with.
// Promoting one supersedes the others, of which a few bytes are remembered, so that
// a click with an old token is told from a click with a wrong one. When so many writes
// in a row were not finished that not all of their tokens are remembered, no token is
// told to be wrong until one write is, whoever the account is given to meanwhile: it is
// answered like an old one, which gets nobody in and asks for another write. Fields whose
// names begin with a slash, which no app has, hold the subscriber, the group and
// the fence of the last provisioner that wrote. The bytes are in scripts/record.lua.
// Of a link token they have the first 20 bytes of its digest, so that an account with
// fourteen links stays in Redis's compact encoding and, with three superseded tokens
// a link, within 1024 bytes there: less than 80 bytes of memory a link.
//
// A one-time token's record names the Redis that wrote it, who may redeem it, who
// has and when (empty until then) and what it is worth. It stays a while
// after the token's lifetime, so that whoever comes late or second is told so.
//
// # Atomicity
//
// Issuing and redeeming are one script each (folder scripts) and one round trip
// each. A script compares the identity of its Redis with the record's:
// replication is asynchronous and snapshots are old, so after a failover or a
// restart a spent token may be there again, unspent. The identity is the run_id,
// which is new with every process, and the master_replid, which is new with every
// promotion: a primary that was demoted and comes back has taken over the other
// one's records meanwhile, and its run_id would not tell. People whose token was
// in flight click again. (The master_replid also changes when a primary gets its
// first replica.)
//
// With Config.Replicas a redemption counts when so many replicas have it (WAIT), and
// tokens in flight survive one failover: besides its issuer a token is honoured by a
// process that ran already when it was issued and was promoted from the issuer's own
// history. So a primary that restarts from an old disk does not honour it, nor does a
// replica that has copied one. (Which process ran first is read off the clocks of both
// machines, to the second.) The promise holds when every replica that may be
// promoted has to confirm: with fewer, one that lacks the redemption may become the
// primary. When one of them is away, nobody is signed on. A token that counts on
// replicas is expired for a broker that does not ask them.
//
// The changes of one account are one script, too. It refuses a worker whose fence
// is smaller than the one that wrote last, and has the same effect twice, so that a
// worker that lost a reply sends its changes again.
//
// Nothing here is repeated behind the caller's back: MaxRetries is off, and
// where a cluster redirects a call, the scripts have the same effect twice. (Only
// the journal may have an operation or an entry twice.)
package store
