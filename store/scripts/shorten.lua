-- Puts entries in the place of a long log, unless something was added to it since it
-- was read: one atomic step.
--
-- KEYS  1 log   2 operations with long logs
-- ARGV  1 the operation   2 how many entries were read   3 and so on: entries; none
--       leave the log as it is
-- Returns 1, or 0 when something was added.
if redis.call('LLEN', KEYS[1]) ~= tonumber(ARGV[2]) then return 0 end
redis.call('ZREM', KEYS[2], ARGV[1])
if #ARGV > 2 then
  local left = redis.call('PTTL', KEYS[1])
  redis.call('DEL', KEYS[1])
  redis.call('RPUSH', KEYS[1], unpack(ARGV, 3))
  redis.call('PEXPIRE', KEYS[1], left)
end
return 1
