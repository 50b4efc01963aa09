-- Tells what brokers ask for again and again, all of one instant.
--
-- KEYS  1 catalogue   2 version of the controls   3 sign of life of a daemon (one slot)
-- ARGV  1 field of the current revision's number
-- Returns {number ("0" = none), version ("" = none), "" when no daemon is alive,
-- unix seconds, microseconds}. On a cluster only a script is sure to ask the clock of
-- the node that has the controls.
local now = redis.call('TIME')
return {
  redis.call('HMGET', KEYS[1], ARGV[1])[1] or '0', redis.call('GET', KEYS[2]) or '', redis.call('GET', KEYS[3]) or '',
  now[1], now[2],
}
