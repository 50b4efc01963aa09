-- Adds entries to the log of an operation: one atomic step. When it is full, one
-- last entry says so and the others are dropped.
--
-- KEYS  1 log
-- ARGV  1 how many entries are kept   2 how long in ms   3 the entry that says that the log is full
--       4 and so on: entries
local most, length = tonumber(ARGV[1]), redis.call('LLEN', KEYS[1])
for i = 4, #ARGV do
  if length < most then
    length = redis.call('RPUSH', KEYS[1], ARGV[i])
  elseif length == most then
    length = redis.call('RPUSH', KEYS[1], ARGV[3])
  end
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {'ok'}
