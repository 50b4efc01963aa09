// Package store keeps accounts with their links, and one-time tokens, in Redis:
// standalone, behind Sentinel or in a Cluster. It implements the ports that
// package broker declares and knows nothing of HTTP.
//
// # Records
//
// A tag, worked out from the account, names the shard in braces; whatever
// belongs to an account is on one node.
//
//	latchkey:acct:{tag}web01/bob   hash    one field per app and one for the subscriber
//	latchkey:once:{tag}digest      string  a one-time token
//
// An app's field holds the digest of its link token (32 bytes), when it was made
// (4 bytes) and its generation. With fourteen links an account stays in Redis's compact
// encoding. The subscriber's field has a slash in its name, which no app has.
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
// Nothing here is repeated behind the caller's back: MaxRetries is off, and
// where a cluster redirects a call, the scripts have the same effect twice.
package store
