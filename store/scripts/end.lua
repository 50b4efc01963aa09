-- Keeps how an operation ended, unless it was forgotten meanwhile: one atomic step.
--
-- KEYS  1 operations
-- ARGV  1 its number   2 operation
-- Returns 1, or 0 when there is no such operation.
if not redis.call('HMGET', KEYS[1], ARGV[1])[1] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
