-- Returns the requests whose time has come, the earliest first, each with its score.
--
-- KEYS  1 requests
-- ARGV  1 how many at most
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000000 + tonumber(t[2])
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now), 'WITHSCORES', 'LIMIT', '0', ARGV[1])
