-- Keeps a new operation, and forgets the oldest: one atomic step.
--
-- KEYS  1 operations
-- ARGV  1 operation   2 how many are kept
-- Returns its number.
local id = tonumber(redis.call('HMGET', KEYS[1], 'last')[1] or 0) + 1
redis.call('HSET', KEYS[1], 'last', string.format('%.0f', id), string.format('%.0f', id), ARGV[1])
redis.call('HDEL', KEYS[1], string.format('%.0f', id - tonumber(ARGV[2])))
return id
