-- Adds entries to the log of an operation: one atomic step. When it is full, one
-- last entry says so and the others are dropped.
--
-- KEYS  1 log   2 operations with long logs
-- ARGV  1 how many entries are kept   2 how long in ms   3 the entry that says that the log is full
--       4 the operation   5 how many entries a short log has   6 how many long logs are kept
--       7 and so on: entries
-- Returns the operations whose logs are to be shortened, time and again until
-- shorten.lua has done it.
local most, short, length = tonumber(ARGV[1]), tonumber(ARGV[5]), redis.call('LLEN', KEYS[1])
local former = length
for i = 7, #ARGV do
  if length < most then
    length = redis.call('RPUSH', KEYS[1], ARGV[i])
  elseif length == most then
    length = redis.call('RPUSH', KEYS[1], ARGV[3])
  end
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
local shorten = {}
if former <= short and length > short then
  redis.call('ZADD', KEYS[2], ARGV[4], ARGV[4])
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
  local long = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '+inf')
  for i = 1, #long - tonumber(ARGV[6]) do
    shorten[i] = tonumber(long[i])
  end
end
return shorten
