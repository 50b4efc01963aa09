-- Keeps a revision of the catalogue and puts it in force, and forgets the oldest:
-- one atomic step. Sent twice it has the same effect.
--
-- KEYS  1 catalogue
-- ARGV  1 the revision that it is based on, in force or 0   2 revision   3 how many are kept
-- Returns {"ok"} or {"conflict", the revision in force}.
local base = tonumber(ARGV[1])
local number = string.format('%.0f', base + 1)
local stored = redis.call('HMGET', KEYS[1], 'current', number)
local current = tonumber(stored[1] or 0)
if current == base + 1 and stored[2] == ARGV[2] then return {'ok'} end
if current ~= base then return {'conflict', string.format('%.0f', current)} end
redis.call('HSET', KEYS[1], 'current', number, number, ARGV[2])
redis.call('HDEL', KEYS[1], string.format('%.0f', base + 1 - tonumber(ARGV[3])))
return {'ok'}
