-- Forgets a link, and its account with the last one.
--
-- KEYS  1 account
-- ARGV  1 app
-- Returns 1 when the link was there.
local removed = redis.call('HDEL', KEYS[1], ARGV[1])
if redis.call('HLEN', KEYS[1]) == 1 then redis.call('HDEL', KEYS[1], '/subscriber') end
return removed
